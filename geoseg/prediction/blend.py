"""The windows that cover a raster, and how their scores become finished cells of a map.

A window's *cell* is what no later window reaches: with it come the last scores of those
pixels. Only where windows overlap are scores weighted, summed and divided; the rest of a
window goes through untouched.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
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
    width: int
    size: int
    stride: int
    """Step between windows, in pixels, at most: they are spread evenly."""

    taper: Taper = "hann"
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

    def shared(self, window: Window) -> NDArray[np.bool_]:
        """(height, width) bool, True for pixels of a window that several of the grid show."""
        rows, cols = (
            self._reached(length, low, high) > 1
            for length, low, high in (
                (self.height, window.row_off, window.row_stop),
                (self.width, window.col_off, window.col_stop),
            )
        )
        return rows[:, None] | cols

    def _reached(self, length: int, low: int, high: int) -> NDArray[np.intp]:
        """How many windows reach each of some pixels along one axis."""
        starts = np.array(spread(length, self.size, self.stride, self.overhang))
        begun, over = (
            np.searchsorted(each, np.arange(low, high), side="right")
            for each in (starts, starts + self.size)
        )
        return np.asarray(begun - over)

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


class WindowScores(NamedTuple):
    """What a segmenter says of one window."""

    window: Window
    """Where; it may hang over the raster's edge."""

    scores: NDArray[np.float32]
    """(classes, height, width), 0..1; finite where they do not count, too."""

    valid: NDArray[np.bool_]
    """(height, width), True where the scores count."""


def blend(
    parts: Iterable[WindowScores], window_grid: WindowGrid, region: Window | None = None
) -> Iterator[WindowScores]:
    """Average overlapping windows; yield each cell as soon as no later window reaches it.

    The arrays of the parts are taken over: they are changed in place. Windows may be
    missing (they count as not valid). Memory is classes x overlap x width, whatever the
    height. A region comes out the same to the bit as it does within the whole raster.

    Args:
        parts: Windows of the window grid that reach the region, in reading order.
        window_grid: The windows that cover the raster.
        region: Part of the raster that is wanted; None: all.

    Yields:
        Cells inside the region, in reading order, without overlap. Cells that no window
        reached are left out. Scores mean nothing where ``valid`` is False.

    Raises:
        ValueError: If a window is not on the window grid or out of order.
    """
    region = region or window_grid.whole
    cols = window_grid.cols(region)
    incoming = iter(parts)
    part = next(incoming, None)
    above: list[_Sums | None] = [None] * len(cols)
    for row in window_grid.rows(region):
        left: _Sums | None = None
        for index, col in enumerate(cols):
            here: _Sums | None = None
            if part is not None and (part.window.row_off, part.window.col_off) == (
                row.start,
                col.start,
            ):
                here = _weighted(part, row, col)
                part = next(incoming, None)
            here, left = _joined(here, left, window_grid.size, col)
            cell, above[index] = _finished(here, above[index], row, col)
            if cell is not None and (inside := _clipped(cell, region)) is not None:
                yield inside
    if part is not None:
        raise ValueError(f"{part.window} is not on {window_grid}, or out of order")


ALL = slice(None)


@dataclass(frozen=True, slots=True)
class _Sums:
    """Weighted scores and their weights."""

    scores: NDArray[np.float32]
    weight: NDArray[np.float32]

    def part(self, rows: slice, cols: slice) -> "_Sums":
        """A view of some pixels."""
        return _Sums(self.scores[:, rows, cols], self.weight[rows, cols])

    def kept(self) -> "_Sums | None":
        """A copy to hold on to, unless nothing was said of these pixels."""
        return _Sums(self.scores.copy(), self.weight.copy()) if self.weight.any() else None

    def add(self, other: "_Sums") -> None:
        """Add sums of the same pixels."""
        np.add(self.scores, other.scores, out=self.scores)
        np.add(self.weight, other.weight, out=self.weight)


def _weighted(part: WindowScores, row: AxisWindow, col: AxisWindow) -> _Sums:
    """A window's scores times its weights; where it is alone they stay as they are."""
    weight = np.outer(row.weights, col.weights)
    weight *= part.valid
    col_edges, alone = _edges(col)
    row_edges, _ = _edges(row)
    for rows, cols in (*product((ALL,), col_edges), *product(row_edges, (alone,))):
        for scores in part.scores:
            scores[rows, cols] *= weight[rows, cols]
    return _Sums(part.scores, weight)


def _edges(step: AxisWindow) -> tuple[list[slice], slice]:
    """The parts of a window that it shares with others, and the part between them."""
    if step.covered >= step.done:
        return [ALL], slice(0, 0)
    return [slice(0, step.covered), slice(step.done, None)], slice(step.covered, step.done)


def _joined(
    here: _Sums | None, left: _Sums | None, size: int, col: AxisWindow
) -> tuple[_Sums | None, _Sums | None]:
    """The sums of a window with what windows to the left have said.

    Returns:
        Its columns that no window to the right reaches, and the others.
    """
    if here is None:
        if left is None:
            return None, None
        here = _zeros(len(left.scores), size, size)
    if left is not None:
        here.part(ALL, slice(col.covered)).add(left)
    return here.part(ALL, slice(col.done)), here.part(ALL, slice(col.done, None)).kept()


def _finished(
    here: _Sums | None, above: _Sums | None, row: AxisWindow, col: AxisWindow
) -> tuple[WindowScores | None, _Sums | None]:
    """The cell of a window, and the sums of the rows that windows below reach."""
    size = len(row.weights)
    if here is None:
        if above is None:
            return None, None
        here = _zeros(len(above.scores), size, above.weight.shape[1])
    if above is not None:
        here.part(slice(row.covered), ALL).add(above)
    rest = here.part(slice(row.done, None), ALL).kept()
    cell = here.part(slice(row.done), ALL)
    window = Window(row_off=row.start, col_off=col.start, height=row.done, width=col.done)
    return WindowScores(window, cell.scores, _divide(cell, row.covered, col.covered)), rest


def _divide(cell: _Sums, rows: int, cols: int) -> NDArray[np.bool_]:
    """Turn sums into means in the upper rows and left columns, where windows overlap.

    Returns:
        (height, width) bool, True where any window was valid.
    """
    valid = cell.weight > 0
    for where in ((ALL, slice(0, cols)), (slice(0, rows), slice(cols, None))):
        divisor = cell.weight[where]
        if divisor.size:
            divisor = np.where(valid[where], divisor, np.float32(1))
            for scores in cell.scores:
                scores[where] /= divisor
    return valid


def _clipped(cell: WindowScores, region: Window) -> WindowScores | None:
    inside = cell.window.intersection(region)
    if inside is None:
        return None
    rows, cols = inside.relative_to(cell.window).slices
    return WindowScores(inside, cell.scores[:, rows, cols], cell.valid[rows, cols])


def _zeros(classes: int, height: int, width: int) -> _Sums:
    return _Sums(np.zeros((classes, height, width), np.float32), np.zeros((height, width), "f4"))
