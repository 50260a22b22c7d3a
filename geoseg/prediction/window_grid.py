"""The windows that cover a raster, and how much each weighs where they overlap."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.raster.window import Window, offsets

Taper = Literal["hann", "ramp", "flat"]
"""How windows fade towards their edges: a bell, straight over the overlap, or not at all."""


class AxisWindow(NamedTuple):
    """A window along one axis."""

    start: int
    """First pixel."""

    covered: int
    """Leading pixels that windows before it reach as well."""

    done: int
    """Leading pixels that no window after it reaches, inside the raster."""

    weights: NDArray[np.float32]
    """(size,) of its pixels; those of all windows sum to 1 at every coordinate, and where
    it is alone its own is exactly 1. 0 beyond the raster."""


def taper(size: int, overlap: int, kind: Taper = "hann") -> NDArray[np.float64]:
    """How much a window says along one axis: highest in the middle, never 0.

    Args:
        size: Side of a window, in pixels.
        overlap: Pixels that it shares with the next one.
        kind: Shape. A ramp rises over the overlap and is level between.

    >>> taper(4, 2).round(2).tolist()
    [0.15, 0.85, 0.85, 0.15]
    >>> taper(6, 2, "ramp").tolist()
    [0.25, 0.75, 1.0, 1.0, 0.75, 0.25]
    """
    from_edge = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5)
    if kind == "hann":
        return np.sin(np.pi * from_edge / size) ** 2
    if kind == "ramp" and overlap:
        return np.minimum(from_edge / overlap, 1)
    return np.ones(size)


class WindowGrid(NamedTuple):
    """The windows that cover a raster: all that blending needs to know of them."""

    height: int
    """Raster rows, in pixels."""

    width: int
    """Raster columns, in pixels."""

    size: int
    """Side of a window, in pixels."""

    stride: int
    """Step between windows, in pixels, at most: they are spread evenly."""

    taper: Taper = "hann"
    """How windows fade into each other."""

    overhang: int = 0
    """Pixels by which the outermost windows reach beyond the raster, so that its edge is not
    theirs; fewer where that would take more windows (`possible_overhang`)."""

    @property
    def whole(self) -> Window:
        """All pixels of the raster."""
        return Window(row_off=0, col_off=0, height=self.height, width=self.width)

    def rows(self, region: Window) -> list[AxisWindow]:
        """The rows of windows that reach a region of the raster, top to bottom."""
        return self._steps(self.height, region.row_off, region.row_stop)

    def cols(self, region: Window) -> list[AxisWindow]:
        """The columns of windows that reach a region of the raster, left to right."""
        return self._steps(self.width, region.col_off, region.col_stop)

    def windows(self, region: Window) -> Iterator[Window]:
        """The windows that reach a region of the raster, in reading order."""
        cols = self._reaching(self.width, region.col_off, region.col_stop)
        for row_off in self._reaching(self.height, region.row_off, region.row_stop):
            for col_off in cols:
                yield Window(row_off=row_off, col_off=col_off, height=self.size, width=self.size)

    def window_count(self, region: Window) -> int:
        """How many windows reach a region of the raster."""
        rows = self._reaching(self.height, region.row_off, region.row_stop)
        cols = self._reaching(self.width, region.col_off, region.col_stop)
        return len(rows) * len(cols)

    @property
    def most_shared_rows(self) -> int:
        """Rows that windows above each other share, at most."""
        starts = spread(self.height, self.size, self.stride, self.overhang)
        return max((above + self.size - below for above, below in pairwise(starts)), default=0)

    def _reaching(self, length: int, low: int, high: int) -> list[int]:
        """Starts of the windows that reach some pixels along one axis."""
        starts = spread(length, self.size, self.stride, self.overhang)
        return [start for start in starts if start < high and start + self.size > low]

    def _steps(self, length: int, low: int, high: int) -> list[AxisWindow]:
        starts = spread(length, self.size, self.stride, self.overhang)
        weights = axis_weights(length, self.size, self.stride, self.taper, self.overhang)
        stops = [0, *(start + self.size for start in starts[:-1])]
        nexts = [*starts[1:], length]
        return [
            AxisWindow(start, max(stop - start, 0), following - start, weights[start])
            for start, stop, following in zip(starts, stops, nexts, strict=True)
            if start < high and start + self.size > low
        ]


def spread(length: int, size: int, stride: int, overhang: int = 0) -> list[int]:
    """Starts of a map's windows along one axis, evenly apart.

    Had the last one to move back alone, blending would hold up to a whole window of rows for
    it, where others share an eighth. A raster that fits into one window is in its middle if
    windows are to hang over.

    Args:
        length: Pixels along the axis.
        size: Side of a window, in pixels.
        stride: Step between windows, in pixels, at most.
        overhang: Pixels by which the first and the last one reach beyond the raster, as far as
            this takes no more windows.

    >>> spread(14, size=5, stride=4), spread(14, size=5, stride=4, overhang=1)
    ([0, 3, 6, 9], [-1, 2, 6, 10])
    >>> spread(3, size=5, stride=4), spread(3, size=5, stride=4, overhang=2)
    ([0], [-1])
    >>> spread(10, size=5, stride=5, overhang=2)  # two windows fit exactly
    [0, 5]
    """
    if length <= size:
        return [-((size - length) // 2) if overhang else 0]
    over = possible_overhang(length, size, stride, overhang)
    return [start - over for start in offsets(length + 2 * over, size, stride, "spread")]


def possible_overhang(length: int, size: int, stride: int, overhang: int) -> int:
    """As much of an overhang as the windows have room for that a raster needs anyhow.

    Args:
        length: Pixels along the axis.
        size: Side of a window, in pixels.
        stride: Step between windows, in pixels, at most.
        overhang: What is wanted, in pixels.

    >>> possible_overhang(12, size=5, stride=4, overhang=3)  # 3 windows cover 13
    0
    """
    steps = max(-(-(length - size) // stride), 0)
    return min(overhang, (steps * stride + size - length) // 2)


def axis_weights(
    length: int, size: int, stride: int, kind: Taper = "hann", overhang: int = 0
) -> dict[int, NDArray[np.float32]]:
    """The weights of each window along one axis, by its start.

    At every coordinate the weights of all windows sum to 1.

    Args:
        length: Pixels along the axis.
        size: Side of a window, in pixels.
        stride: Step between windows, in pixels, at most.
        kind: How windows fade into each other.
        overhang: Pixels by which the outermost windows reach beyond the raster.

    Returns:
        (size,) weights for each of `spread`; 0 beyond the raster.
    """
    starts = spread(length, size, stride, overhang)
    own = taper(size, size - stride, kind)
    total = np.zeros(starts[-1] + size - starts[0])
    places = {start: slice(start - starts[0], start - starts[0] + size) for start in starts}
    for place in places.values():
        total[place] += own
    weights = {start: own / total[place] for start, place in places.items()}
    for start, each in weights.items():
        each[: max(-start, 0)] = 0
        each[max(length - start, 0) :] = 0
    return {start: weight.astype(np.float32) for start, weight in weights.items()}
