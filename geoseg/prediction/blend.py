"""Overlapping windows of scores become finished cells of a map.

A window's *cell* is what no later window reaches: with it come the last scores of those
pixels. Only where windows overlap are scores weighted, summed and divided; the rest of a
window goes through untouched.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.prediction.window_grid import AxisWindow, WindowGrid
from geoseg.raster.window import Window


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
    """(classes, height, width)."""

    weight: NDArray[np.float32]
    """(height, width)."""

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
