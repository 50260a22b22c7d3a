"""Whole regions take another class: by rules on their size, or because they are holes."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.core.objects import Connectivity
from geoseg.core.scores import IGNORE
from geoseg.core.window import Window
from geoseg.postprocessing.regions import Survey
from geoseg.postprocessing.strips import Change, Indices, MapStrips

OUTSIDE, WITHIN = 0, 1
"""Values of the picture in which holes are regions: the class itself, and what may be a hole."""


class PixelRule(NamedTuple):
    """A rule in class indices and pixels."""

    from_class: int
    larger: bool
    pixels: float
    to_class: int


def apply_rules(
    strips: MapStrips, rules: Sequence[PixelRule], connectivity: Connectivity
) -> Iterator[Change]:
    """Give regions of a class that are smaller, or larger, than an area another class.

    Of several rules that hold for a region the first counts; all are held against the map as
    it was.

    Args:
        strips: The map.
        rules: In this order.
        connectivity: What a region is.
    """
    survey = Survey(connectivity)
    for _, _, indices in strips.read("regions"):
        survey.add(indices)
    regions = survey.result()
    classes = regions.values.copy()
    for rule in reversed(rules):
        larger, areas = rule.larger, regions.areas
        holds = areas > rule.pixels if larger else areas < rule.pixels
        classes[holds & (regions.values == rule.from_class)] = rule.to_class
    for number, window, indices in strips.read("rules"):
        yield Change(window, indices, classes[regions.labels(number, indices)])


def fill_holes(
    strips: MapStrips, around: int, limit: float, connectivity: Connectivity
) -> Iterator[Change]:
    """Give holes in a class that class.

    A hole is ground of any other classes that is surrounded by the class on all sides; what
    touches nodata or the map's edge is none.

    Args:
        strips: The map.
        around: Index of the class.
        limit: Pixels that a hole has less than.
        connectivity: How pixels of the class are connected. Where that is at corners too, holes
            are not.
    """
    survey = Survey(4 if connectivity == 8 else 8)  # noqa: PLR2004
    for _, window, indices in strips.read("holes"):
        survey.add(_picture(indices, around), _open(strips, window))
    regions = survey.result()
    closed = (regions.values == WITHIN) & ~regions.marked & (regions.areas < limit)
    for number, window, indices in strips.read("fill holes"):
        hole = closed[regions.labels(number, _picture(indices, around))]
        yield Change(window, indices, np.where(hole, np.uint8(around), indices))


def _picture(indices: Indices, around: int) -> Indices:
    picture = np.where(indices == around, np.uint8(OUTSIDE), np.uint8(WITHIN))
    picture[indices == IGNORE] = IGNORE
    return picture


def _open(strips: MapStrips, window: Window) -> NDArray[np.bool_]:
    """Pixels of a strip that lie at the map's edge or beside nodata, also at a corner."""
    wide, _ = strips.around(window, 1)
    above = int(window.row_off > 0)
    below = int(window.row_stop < strips.grid.height)
    nodata = np.pad(wide == IGNORE, ((1 - above, 1 - below), (1, 1)), constant_values=True)
    along = nodata[:, :-2] | nodata[:, 1:-1] | nodata[:, 2:]
    beside: NDArray[np.bool_] = along[:-2] | along[1:-1] | along[2:]
    return beside
