"""Regions that are too small go to the class with which they share the longest border."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.labels.legend import IGNORE
from geoseg.postprocess.components import (
    Connectivity,
    Numbers,
    Regions,
    RegionSurvey,
    Values,
    joined,
)
from geoseg.postprocess.strips import Change, MapStrips

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
