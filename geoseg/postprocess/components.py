"""Objects: connected pixels of a class, and which of a map are those of its reference."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from geoseg.labels.legend import IGNORE
from geoseg.options import CONNECTIVITY, Connectivity
from geoseg.postprocess.strips import Change, MapStrips
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


@dataclass(frozen=True, eq=False)
class Regions:
    """All regions of a map."""

    connectivity: Connectivity
    """What is connected."""

    values: Values
    """(regions,)."""

    areas: Numbers
    """(regions,) pixels."""

    marked: NDArray[np.bool_]
    """(regions,) whether a pixel of it was marked."""

    members: NDArray[np.int32]
    """(parts of all strips,) the region that each belongs to."""

    offsets: tuple[int, ...]
    """(strips,) number of each strip's first part."""

    def labels(self, number: int, values: Values) -> NDArray[np.int32]:
        """(height, width) the region of each pixel of a strip.

        Args:
            number: Of the strip, from 0.
            values: (height, width) as it was surveyed.
        """
        parts = label(values, self.connectivity)
        start = self.offsets[number]
        return self.members[start : start + len(parts.values)][parts.labels]


class RegionSurvey:
    """Finds the regions of a map that comes in strips. Memory grows with their number only."""

    def __init__(self, connectivity: Connectivity) -> None:
        self._connectivity = connectivity
        self._offsets = [0]
        self._values: list[Values] = []
        self._areas: list[Numbers] = []
        self._marked: list[NDArray[np.bool_]] = []
        self._joints: list[Numbers] = [np.empty((2, 0), np.int64)]
        self._last: tuple[Values, Numbers] | None = None

    def add(self, values: Values, marks: NDArray[np.bool_] | None = None) -> None:
        """The next strip.

        Args:
            values: (height, width); the width never changes.
            marks: (height, width) pixels whose regions are to be marked.
        """
        parts = label(values, self._connectivity)
        start = self._offsets[-1]
        self._join(values[0], parts.labels[0] + np.int64(start))
        self._last = values[-1].copy(), parts.labels[-1] + np.int64(start)
        marked = np.zeros(len(parts.values), np.bool_)
        if marks is not None:
            marked[parts.labels[marks]] = True
        self._values.append(parts.values)
        self._areas.append(parts.areas)
        self._marked.append(marked)
        self._offsets.append(start + len(parts.values))

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
        offsets = tuple(self._offsets[:-1])
        return Regions(self._connectivity, values, areas, marked, members, offsets)

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
    for _, _, indices in strips.read("regions"):
        survey.add(indices)
    regions = survey.result()
    limit = np.zeros(VALUES)
    limit[list(limits)] = list(limits.values())
    small = regions.areas < limit[regions.values]
    numbers = np.flatnonzero(small)
    classes = regions.values.copy()
    borders = measure_borders(strips, regions, small)
    classes[numbers] = absorb(borders, regions.values[numbers], regions.areas[numbers])
    for number, window, indices in strips.read("sieve"):
        yield Change(window, indices, classes[regions.labels(number, indices)])


def measure_borders(strips: MapStrips, regions: Regions, small: NDArray[np.bool_]) -> Borders:
    """The borders of small regions with other classes.

    Args:
        strips: The map.
        regions: Its regions.
        small: (regions,) which of them are small.
    """
    count = int(np.count_nonzero(small))
    codes = count + regions.values.astype(np.int64)
    codes[small] = np.arange(count)
    found = [_counted(np.empty(0, np.int64))]
    last: Numbers | None = None
    for number, _, indices in strips.read("borders"):
        image = codes[regions.labels(number, indices)]
        found.append(_counted(_pairs(image, last, count)))
        last = image[-1].copy()
    keys = np.concatenate([keys for keys, _ in found])
    keys, where = np.unique(keys, return_inverse=True)
    lengths = np.concatenate([counts for _, counts in found])
    total = np.bincount(where, weights=lengths, minlength=len(keys)).astype(np.int64)
    return Borders(*np.divmod(keys, count + VALUES), total)


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


def _pairs(image: Numbers, above: Numbers | None, count: int) -> Numbers:
    """Each side of a pixel of a small region that is a border, as a number for the two sides."""
    if image.min(initial=count) >= count and (above is None or above.min() >= count):
        return np.empty(0, np.int64)
    sides = [(image[:, :-1], image[:, 1:]), (image[:-1], image[1:])]
    if above is not None:
        sides.append((above, image[0]))
    keys = []
    for one, other in sides:
        border = (one != other) & (np.minimum(one, other) < count)
        first, second = one[border], other[border]
        for mine, its in ((first, second), (second, first)):
            counts = (mine < count) & (its != count + IGNORE)
            keys.append(mine[counts] * (count + VALUES) + its[counts])
    return np.concatenate(keys)


def _counted(keys: Numbers) -> tuple[Numbers, Numbers]:
    found, counts = np.unique(keys, return_counts=True)
    return found, counts.astype(np.int64)


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
