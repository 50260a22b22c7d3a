"""Overlapping windows of scores become finished strips of rows.

The weights are one-dimensional tapers divided by the sum of all tapers at that
coordinate. Their outer product sums to 1 at every pixel, edges included, at any stride.
What is not valid weighs nothing, and the rest is divided by the weight that is left.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.core.window import Window, offsets


class WindowScores(NamedTuple):
    """What a segmenter says of one window."""

    window: Window
    """Where; it may hang over the raster's edge."""

    scores: NDArray[np.float32]
    """(classes, height, width), 0..1; finite where they do not count, too."""

    valid: NDArray[np.bool_]
    """(height, width), True where the scores count."""


class Lattice(NamedTuple):
    """The windows that cover a raster: all that blending needs to know of them."""

    height: int
    """Raster rows, in pixels."""

    width: int
    """Raster columns, in pixels."""

    size: int
    """Side of a window, in pixels."""

    stride: int
    """Step between windows, in pixels."""

    @property
    def row_offs(self) -> list[int]:
        """Top rows of the windows."""
        return offsets(self.height, self.size, self.stride)

    @property
    def col_offs(self) -> list[int]:
        """Left columns of the windows."""
        return offsets(self.width, self.size, self.stride)

    @property
    def window_count(self) -> int:
        """How many windows cover the raster."""
        return len(self.row_offs) * len(self.col_offs)

    @property
    def strips(self) -> list[Window]:
        """The full-width strips of rows, each finished when a row of windows is through."""
        tops = self.row_offs
        return [
            Window(row_off=top, col_off=0, height=bottom - top, width=self.width)
            for top, bottom in zip(tops, [*tops[1:], self.height], strict=True)
        ]


def taper(size: int) -> NDArray[np.float64]:
    """Hann window on the half-sample grid: highest in the middle, never 0.

    >>> taper(4).round(2).tolist()
    [0.15, 0.85, 0.85, 0.15]
    """
    return np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2


def axis_weights(length: int, size: int, stride: int) -> dict[int, NDArray[np.float32]]:
    """The weights of each window along one axis, by its start.

    At every coordinate the weights of all windows sum to 1.

    Args:
        length: Pixels along the axis.
        size: Side of a window, in pixels.
        stride: Step between windows, in pixels.

    Returns:
        (size,) weights for each of `offsets`; 0 beyond ``length``.
    """
    starts = offsets(length, size, stride)
    total = np.zeros(max(length, size))
    for start in starts:
        total[start : start + size] += taper(size)
    weights = {start: taper(size) / total[start : start + size] for start in starts}
    if length < size:
        weights[0][length:] = 0
    return {start: weight.astype(np.float32) for start, weight in weights.items()}


def blend(parts: Iterable[WindowScores], lattice: Lattice) -> Iterator[WindowScores]:
    """Average overlapping windows; yield each strip of rows once no later window reaches it.

    Memory is classes x size x width, whatever the height. Windows may be missing (they
    count as not valid); all strips are yielded nevertheless, and they cover the raster.

    Args:
        parts: Windows of the lattice in reading order.
        lattice: The windows that cover the raster.

    Yields:
        Full-width strips, top to bottom. Where no window was valid, ``valid`` is False
        and the scores are 0.

    Raises:
        ValueError: If a window is not on the lattice or out of order, or there is none.
    """
    rows = axis_weights(lattice.height, lattice.size, lattice.stride)
    cols = axis_weights(lattice.width, lattice.size, lattice.stride)
    incoming = iter(parts)
    part = next(incoming, None)
    if part is None:
        raise ValueError("there is nothing to blend")
    buffer = _Buffer(len(part.scores), lattice)
    for strip in lattice.strips:
        while part is not None and part.window.row_off == strip.row_off:
            if part.window.col_off not in cols:
                raise ValueError(f"{part.window} is not on {lattice}")
            weights = np.outer(rows[part.window.row_off], cols[part.window.col_off])
            buffer.add(part, weights)
            part = next(incoming, None)
        yield buffer.pop(strip)
    if part is not None:
        raise ValueError(f"{part.window} is not on {lattice}, or out of order")


class _Buffer:
    """Weighted sums of the rows that windows still reach."""

    def __init__(self, classes: int, lattice: Lattice) -> None:
        self.scores = np.zeros((classes, lattice.size, lattice.width), np.float32)
        self.weight = np.zeros((lattice.size, lattice.width), np.float32)

    def add(self, part: WindowScores, weights: NDArray[np.float32]) -> None:
        """Add a window whose top is the buffer's top.

        Args:
            part: The window.
            weights: (size, size).
        """
        left = part.window.col_off
        width = min(part.window.width, self.weight.shape[1] - left)
        cols = slice(left, left + width)
        counted = np.where(part.valid, weights, np.float32(0))[:, :width]
        for total, scores in zip(self.scores, part.scores, strict=True):
            total[:, cols] += scores[:, :width] * counted
        self.weight[:, cols] += counted

    def pop(self, strip: Window) -> WindowScores:
        """Finish the rows of a strip at the top and move the rest up."""
        rows = strip.height
        divisor = self.weight[:rows].copy()
        valid = divisor > 0
        divisor[~valid] = 1
        scores = self.scores[:, :rows] / divisor
        for total in (*self.scores, self.weight):
            total[:-rows] = total[rows:].copy()
            total[-rows:] = 0
        return WindowScores(strip, scores, valid)
