"""Objects: connected pixels of a class, and which of a map are those of its reference."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from geoseg.labels.legend import IGNORE
from geoseg.options import CONNECTIVITY, Connectivity
from geoseg.postprocess.strips import Change, MapStrips, Strip
from geoseg.raster.polygons import Labels

Mask = NDArray[np.bool_]

ABOVE = {4: (1,), 8: (0, 1, 2)}
"""Pixels of a row that a pixel of the next touches: aslant to the left (0), above, to the right."""

STRUCTURES = {4: ndimage.generate_binary_structure(2, 1), 8: np.ones((3, 3))}
"""Which of its neighbours a pixel touches."""

Numbers = NDArray[np.int64]


class Components:
    """Connected pixels of a mask that comes in strips.

    A strip's numbers are provisional; what turns out to be connected further down is joined at
    the end.
    """

    def __init__(self, connectivity: Connectivity = CONNECTIVITY) -> None:
        self._connectivity = connectivity
        self._next = 1
        self._last: Numbers | None = None
        self._joints = [np.empty((0, 2), np.int64)]

    def add(self, strip: Mask) -> Labels:
        """The next rows.

        Args:
            strip: (height, width) bool; the width never changes.
        """
        local, count = ndimage.label(strip, structure=STRUCTURES[self._connectivity])
        numbers = np.arange(self._next - 1, self._next + count)
        numbers[0] = 0
        first, last = numbers[local[0]], numbers[local[-1]]
        if self._last is not None:
            padded = np.pad(self._last, 1)
            for shift in ABOVE[self._connectivity]:
                above = padded[shift : shift + len(first)]
                touching = (above > 0) & (first > 0)
                joints = np.stack([above[touching], first[touching]], axis=1)
                self._joints.append(np.unique(joints, axis=0))
        self._next += count
        self._last = last
        return Labels(local, numbers)

    def joined(self) -> Numbers:
        """(numbers,) the object that each provisional number belongs to; 0 for 0."""
        above, below = np.concatenate(self._joints).T
        size = (self._next, self._next)
        graph = sparse.coo_matrix((np.ones(len(above), np.bool_), (above, below)), shape=size)
        _, objects = sparse.csgraph.connected_components(graph, directed=False)
        return objects.astype(np.int64)


Values = NDArray[np.uint8]


class Parts(NamedTuple):
    """The regions of a strip on its own."""

    labels: NDArray[np.int32]
    """(height, width) number of the part that each pixel is in."""

    values: NDArray[Any]
    """(parts,)."""

    areas: Numbers
    """(parts,) pixels."""

    first: Numbers
    """(parts,) number of the first pixel of each in reading order."""


def label(values: NDArray[Any], connectivity: Connectivity) -> Parts:
    """Number the connected pixels of one value.

    Args:
        values: (height, width) whole numbers.
        connectivity: What is connected.

    >>> label(np.array([[7, 7, 2], [2, 7, 2]], np.uint8), 4).labels.tolist()
    [[0, 0, 1], [2, 0, 1]]
    """
    starts = np.ones(values.shape, np.bool_)
    np.not_equal(values[:, 1:], values[:, :-1], out=starts[:, 1:])
    first = np.flatnonzero(starts)
    lengths = np.diff(first, append=values.size)
    runs = np.repeat(np.arange(len(first), dtype=np.int32), lengths).reshape(values.shape)
    above, below = _touching_runs(values, starts, runs, connectivity)
    count, parts = joined(above, below, len(first))
    own = np.empty(count, values.dtype)
    own[parts] = values.ravel()[first]
    areas = np.bincount(parts, weights=lengths, minlength=count).astype(np.int64)
    begins = np.empty(count, np.int64)
    begins[parts[::-1]] = first[::-1]  # the first run is set last
    return Parts(np.repeat(parts, lengths).reshape(values.shape), own, areas, begins)


def joined(
    one: NDArray[np.integer], other: NDArray[np.integer], size: int
) -> tuple[int, NDArray[np.int32]]:
    """Of things that are joined in pairs: how many remain, and which each belongs to.

    Args:
        one: (pairs,) numbers below ``size``.
        other: (pairs,) what each is joined with.
        size: How many things there are.
    """
    marks = np.ones(len(one), np.bool_)
    graph = sparse.coo_matrix((marks, (one, other)), shape=(size, size))
    count, group = sparse.csgraph.connected_components(graph, directed=False)
    return int(count), group


def _touching_runs(
    values: NDArray[Any],
    starts: NDArray[np.bool_],
    runs: NDArray[np.int32],
    connectivity: Connectivity,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Pairs of runs of one value in neighbouring rows, each pair about once."""
    same = (values[1:] == values[:-1]) & (starts[1:] | starts[:-1])
    pairs = [(runs[:-1][same], runs[1:][same])]
    if connectivity == 8:  # noqa: PLR2004
        end = starts[1:, 1:] & starts[:-1, 1:]  # else they touch along a side, too
        falling = (values[1:, 1:] == values[:-1, :-1]) & end
        rising = (values[1:, :-1] == values[:-1, 1:]) & end
        pairs.append((runs[:-1, :-1][falling], runs[1:, 1:][falling]))
        pairs.append((runs[:-1, 1:][rising], runs[1:, :-1][rising]))
    above, below = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return above, below


class StripParts(NamedTuple):
    """The regions of a strip on its own, without its pixels."""

    values: Values
    """(parts,)."""

    areas: Numbers
    """(parts,) pixels."""

    marked: NDArray[np.bool_]
    """(parts,) whether a pixel of it was marked."""

    top: NDArray[np.int32]
    """(width,) number of the part that each pixel of the first row is in."""

    bottom: NDArray[np.int32]
    """(width,) the same of the last row."""

    @classmethod
    def of(
        cls, values: Values, connectivity: Connectivity, marks: NDArray[np.bool_] | None = None
    ) -> Self:
        """The parts of a strip.

        Args:
            values: (height, width).
            connectivity: What is connected.
            marks: (height, width) pixels whose regions are to be marked.
        """
        parts = label(values, connectivity)
        marked = np.zeros(len(parts.values), np.bool_)
        if marks is not None:
            marked[parts.labels[marks]] = True
        top, bottom = parts.labels[[0, -1]].copy()
        return cls(parts.values, parts.areas, marked, top, bottom)


def parts_of(strip: Strip, connectivity: Connectivity) -> StripParts:
    """The regions of a strip."""
    return StripParts.of(strip.read(), connectivity)


def relabelled(strip: Strip, indices: Values, connectivity: Connectivity) -> NDArray[Any]:
    """A strip whose pixels are what is known of their parts."""
    found: NDArray[Any] = strip.known[label(indices, connectivity).labels]
    return found


@dataclass(frozen=True, eq=False)
class Regions:
    """All regions of a map."""

    values: Values
    """(regions,)."""

    areas: Numbers
    """(regions,) pixels."""

    marked: NDArray[np.bool_]
    """(regions,) whether a pixel of it was marked."""

    members: NDArray[np.int32]
    """(parts of all strips,) the region that each belongs to."""

    offsets: tuple[int, ...]
    """(strips + 1,) number of each strip's first part, and how many there are."""

    seams: Numbers
    """(3, pairs) parts above and below of each other where strips meet, and how many pixels wide
    they touch there."""

    def by_strip(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """What is known of regions, for the parts of each strip.

        Args:
            values: (regions,).
        """
        return [values[self.members[start:stop]] for start, stop in pairwise(self.offsets)]


class RegionSurvey:
    """Joins the regions of strips. Memory grows with their number only."""

    def __init__(self, connectivity: Connectivity) -> None:
        self._connectivity = connectivity
        self._offsets = [0]
        self._values: list[Values] = []
        self._areas: list[Numbers] = []
        self._marked: list[NDArray[np.bool_]] = []
        self._joints: list[Numbers] = [np.empty((2, 0), np.int64)]
        self._seams: list[Numbers] = [np.empty((3, 0), np.int64)]
        self._last: tuple[Values, Numbers] | None = None

    def add(self, strip: StripParts) -> None:
        """The next strip, as wide as those before."""
        start = self._offsets[-1]
        self._join(strip.values[strip.top], strip.top + np.int64(start))
        self._last = strip.values[strip.bottom], strip.bottom + np.int64(start)
        self._values.append(strip.values)
        self._areas.append(strip.areas)
        self._marked.append(strip.marked)
        self._offsets.append(start + len(strip.values))

    def result(self) -> Regions:
        """The regions of all strips."""
        above, below = np.concatenate(self._joints, axis=1)
        count, members = joined(above, below, self._offsets[-1])
        values = np.empty(count, np.uint8)
        values[members] = np.concatenate(self._values)
        marked = np.zeros(count, np.bool_)
        marked[members[np.concatenate(self._marked)]] = True
        areas: Numbers = np.zeros(count, np.int64)
        np.add.at(areas, members, np.concatenate(self._areas))
        seams = np.concatenate(self._seams, axis=1)
        return Regions(values, areas, marked, members, tuple(self._offsets), seams)

    def _join(self, values: Values, labels: Numbers) -> None:
        """Note which parts of the last strip touch the first row of the next."""
        if self._last is None:
            return
        shifts = (0,) if self._connectivity == 4 else (-1, 0, 1)  # noqa: PLR2004
        above_values, above_labels = self._last
        for shift in shifts:
            above = slice(max(shift, 0), len(values) + min(shift, 0))
            below = slice(max(-shift, 0), len(values) + min(-shift, 0))
            same = above_values[above] == values[below]
            pairs = np.stack([above_labels[above][same], labels[below][same]])
            self._joints.append(np.unique(pairs, axis=1))
        apart = above_values != values
        pairs = np.stack([above_labels[apart], labels[apart]])
        pairs, widths = np.unique(pairs, axis=1, return_counts=True)
        self._seams.append(np.concatenate([pairs, widths[None]]))


VALUES = 256
"""Classes that a map can have, `IGNORE` included."""

UNDECIDED = IGNORE


class Borders(NamedTuple):
    """How long the borders of small regions are; lists of the same length."""

    small: Numbers
    """Number of a small region."""

    neighbour: Numbers
    """Number of another, or the count of small regions + class of one that stays."""

    length: Numbers
    """Sides of pixels that they share."""


def sieve(
    strips: MapStrips, limits: Mapping[int, float], connectivity: Connectivity
) -> Iterator[Change]:
    """Give regions below a least area to a neighbour.

    A small region takes the class with which it shares the longest border, counted in sides
    of pixels; of equals the class of lowest index. Small regions inside small ones follow
    when what surrounds them is decided, so that no small region is left; only where there is
    nothing large (an island in nodata) the largest of it decides. Nodata stays and is no
    neighbour.

    Args:
        strips: The map.
        limits: Pixels that a region of a class has at least, by class index.
        connectivity: What a region is.
    """
    survey = RegionSurvey(connectivity)
    for parts in strips.survey("regions", partial(parts_of, connectivity=connectivity)):
        survey.add(parts)
    regions = survey.result()
    limit = np.zeros(VALUES)
    limit[list(limits)] = list(limits.values())
    small = regions.areas < limit[regions.values]
    numbers = np.flatnonzero(small)
    classes = regions.values.copy()
    borders = measure_borders(strips, regions, small, connectivity)
    classes[numbers] = absorb(borders, regions.values[numbers], regions.areas[numbers])
    work = partial(relabelled, connectivity=connectivity)
    yield from strips.change("sieve", work, regions.by_strip(classes))


def measure_borders(
    strips: MapStrips, regions: Regions, small: NDArray[np.bool_], connectivity: Connectivity
) -> Borders:
    """The borders of small regions with other classes.

    Args:
        strips: The map.
        regions: Its regions.
        small: (regions,) which of them are small.
        connectivity: What a region is.
    """
    count = int(np.count_nonzero(small))
    codes = count + regions.values.astype(np.int64)
    codes[small] = np.arange(count)
    work = partial(_borders_in, count=count, connectivity=connectivity)
    above, below, widths = regions.seams
    one, other = codes[regions.members[above]], codes[regions.members[below]]
    found = [_counted(*_keys(one, other, widths, count))]
    found += strips.survey("borders", work, regions.by_strip(codes))
    keys, lengths = _counted(*map(np.concatenate, zip(*found, strict=True)))
    return Borders(*np.divmod(keys, count + VALUES), lengths)


def _borders_in(strip: Strip, *, count: int, connectivity: Connectivity) -> tuple[Numbers, Numbers]:
    """Borders within a strip, and their lengths; of its parts the codes are known."""
    image = relabelled(strip, strip.read(), connectivity)
    if image.min() >= count:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    sides = [(image[:, :-1], image[:, 1:]), (image[:-1], image[1:])]
    keys = [_keys(one, other, np.ones(one.shape, np.int64), count) for one, other in sides]
    return _counted(*map(np.concatenate, zip(*keys, strict=True)))


def absorb(borders: Borders, classes: Values, areas: Numbers) -> Values:
    """What becomes of small regions.

    Args:
        borders: Of each with others.
        classes: (small regions,) what they are.
        areas: (small regions,) pixels.

    Returns:
        (small regions,) the class that each takes.
    """
    count = len(classes)
    decided = np.full(count, UNDECIDED, np.uint8)
    inner = borders.neighbour < count
    small, other, length = (each[inner] for each in borders)
    known = Borders(*(each[~inner] for each in borders))
    known = known._replace(neighbour=known.neighbour - count)
    while True:
        if len(known.small):
            fresh, into = _longest(known)
        else:
            fresh, into = _largest(small, other, classes, areas)
        if not len(fresh):
            return np.where(decided == UNDECIDED, classes, decided)
        decided[fresh] = into
        waiting = decided[small] == UNDECIDED
        small, other, length = small[waiting], other[waiting], length[waiting]
        beside = decided[other] != UNDECIDED
        known = Borders(small[beside], decided[other[beside]].astype(np.int64), length[beside])


def _keys(one: Numbers, other: Numbers, lengths: Numbers, count: int) -> tuple[Numbers, Numbers]:
    """Borders of small regions among neighbours, as numbers for the two sides, and their lengths.

    Args:
        one: Codes of pixels, or of parts.
        other: What lies beside each.
        lengths: Sides of pixels that they share.
        count: Small regions.
    """
    border = (one != other) & (np.minimum(one, other) < count)
    first, second, shared = one[border], other[border], lengths[border]
    keys, found = [], []
    for mine, its in ((first, second), (second, first)):
        counts = (mine < count) & (its != count + IGNORE)
        keys.append(mine[counts] * (count + VALUES) + its[counts])
        found.append(shared[counts])
    return np.concatenate(keys), np.concatenate(found)


def _counted(keys: Numbers, lengths: Numbers) -> tuple[Numbers, Numbers]:
    """Each key once, with the sum of its lengths."""
    found, where = np.unique(keys, return_inverse=True)
    return found, np.bincount(where, weights=lengths, minlength=len(found)).astype(np.int64)


def _longest(known: Borders) -> tuple[Numbers, Values]:
    """Of each region that has a border with a class: the class of the longest."""
    keys, where = np.unique(known.small * VALUES + known.neighbour, return_inverse=True)
    length = np.bincount(where, weights=known.length)
    small, into = np.divmod(keys, VALUES)
    order = np.lexsort((into, -length, small))
    regions, first = np.unique(small[order], return_index=True)
    return regions, into[order][first].astype(np.uint8)


def _largest(
    small: Numbers, other: Numbers, classes: Values, areas: Numbers
) -> tuple[Numbers, Values]:
    """Of each group of regions that touch only each other: the largest, which stay.

    Of equals those of the class of lowest index.
    """
    if not len(small):
        return small, classes[:0]
    regions = np.unique(small)
    _, groups = joined(
        np.searchsorted(regions, small), np.searchsorted(regions, other), len(regions)
    )
    order = np.lexsort((classes[regions], -areas[regions], groups))
    _, first = np.unique(groups[order], return_index=True)
    best = regions[order][first][groups]
    stays = (areas[regions] == areas[best]) & (classes[regions] == classes[best])
    return regions[stays], classes[regions[stays]]
