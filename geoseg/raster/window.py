"""Windows: rectangles of pixel positions, and how they cover a raster."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

Edge = Literal["shift", "spread", "pad", "drop"]
"""Handling of the last window of a row or column at the raster's edge.

``shift`` moves it back to end there, ``spread`` spaces all windows evenly so that it does,
``pad`` lets it overhang, ``drop`` leaves it out.
"""


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Window:
    """A rectangle of whole pixels, at least one. Windows sort in reading order."""

    row_off: int
    col_off: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a window covers at least one pixel, got {self}")

    @property
    def row_stop(self) -> int:
        """Row below the bottom edge."""
        return self.row_off + self.height

    @property
    def col_stop(self) -> int:
        """Column right of the right edge."""
        return self.col_off + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index a raster with."""
        return slice(self.row_off, self.row_stop), slice(self.col_off, self.col_stop)

    def intersection(self, other: Self) -> Self | None:
        """The pixels that both windows cover, or None.

        >>> a = Window(row_off=0, col_off=0, height=4, width=4)
        >>> a.intersection(Window(row_off=2, col_off=3, height=4, width=4))
        Window(row_off=2, col_off=3, height=2, width=1)
        """
        row_off = max(self.row_off, other.row_off)
        col_off = max(self.col_off, other.col_off)
        height = min(self.row_stop, other.row_stop) - row_off
        width = min(self.col_stop, other.col_stop) - col_off
        if height < 1 or width < 1:
            return None
        return type(self)(row_off=row_off, col_off=col_off, height=height, width=width)

    def clip(self, height: int, width: int) -> Self | None:
        """The part inside a raster of ``height`` rows and ``width`` columns, or None."""
        return self.intersection(type(self)(row_off=0, col_off=0, height=height, width=width))

    def grown(self, margin: int) -> Self:
        """The window with ``margin`` more pixels on all four sides; it may overhang."""
        return type(self)(
            row_off=self.row_off - margin,
            col_off=self.col_off - margin,
            height=self.height + 2 * margin,
            width=self.width + 2 * margin,
        )

    def relative_to(self, origin: Self) -> Self:
        """The same pixels, counted from the corner of another window."""
        return self.moved(-origin.row_off, -origin.col_off)

    def moved(self, rows: int, cols: int) -> Self:
        """The window moved down by ``rows`` and right by ``cols``, in pixels."""
        return type(self)(
            row_off=self.row_off + rows,
            col_off=self.col_off + cols,
            height=self.height,
            width=self.width,
        )

    def shrunk(self, step: int) -> Self:
        """The window in pixels of ``step`` times the size, those that it cuts included.

        >>> Window(row_off=8, col_off=0, height=9, width=4).shrunk(4)
        Window(row_off=2, col_off=0, height=3, width=1)
        """
        row_off, col_off = self.row_off // step, self.col_off // step
        return type(self)(
            row_off=row_off,
            col_off=col_off,
            height=-(-self.row_stop // step) - row_off,
            width=-(-self.col_stop // step) - col_off,
        )


def offsets(length: int, size: int, stride: int, edge: Edge = "shift") -> list[int]:
    """Window starts along one axis.

    Args:
        length: Pixels along the axis.
        size: Side of a window, in pixels.
        stride: Step between windows, in pixels; ``size - stride`` is the overlap. With
            ``spread`` it is the longest step: all overlaps are that or a little more, equal to
            a pixel.
        edge: Handling of the last window. With ``shift`` and ``spread``
            only an axis shorter than ``size`` is overhung.

    Raises:
        ValueError: If ``stride`` is not in ``1..size`` (a larger one leaves gaps).

    >>> offsets(10, size=5, stride=3)  # 0-4, 3-7, 5-9
    [0, 3, 5]
    >>> offsets(14, size=5, stride=4, edge="spread")  # 0-4, 3-7, 6-10, 9-13
    [0, 3, 6, 9]
    >>> offsets(10, size=5, stride=3, edge="pad")  # 0-4, 3-7, 6-10
    [0, 3, 6]
    >>> offsets(10, size=5, stride=3, edge="drop")  # 0-4, 3-7
    [0, 3]
    """
    if not 1 <= stride <= size:
        raise ValueError(f"stride must be in 1..{size} to leave no gap, got {stride}")
    last = length - size
    if edge == "drop":
        return list(range(0, last + 1, stride))
    if last <= 0:
        return [0]
    if edge == "pad":
        return list(range(0, last + stride, stride))
    if edge == "spread":
        steps = -(-last // stride)
        return [step * last // steps for step in range(steps + 1)]
    return [*range(0, last, stride), last]


def sliding_windows(
    height: int, width: int, *, size: int, stride: int, edge: Edge = "shift"
) -> Iterator[Window]:
    """Cover a raster with square windows, in reading order.

    All windows have the same size.

    Raises:
        ValueError: If ``stride`` is not in ``1..size``.
    """
    cols = offsets(width, size, stride, edge)
    for row_off in offsets(height, size, stride, edge):
        for col_off in cols:
            yield Window(row_off=row_off, col_off=col_off, height=size, width=size)


def blocks(height: int, width: int, *, rows: int, cols: int) -> Iterator[Window]:
    """Divide a raster into windows that do not overlap; the last ones are cut at the edge."""
    for row_off in range(0, height, rows):
        for col_off in range(0, width, cols):
            yield Window(
                row_off=row_off,
                col_off=col_off,
                height=min(rows, height - row_off),
                width=min(cols, width - col_off),
            )


def spread_windows(height: int, width: int, *, size: int, per_axis: int) -> list[Window]:
    """Windows of a sample: spread evenly over a raster from corner to corner, cut at its edge."""
    rows, cols = (
        np.linspace(0, max(length - size, 0), per_axis).astype(int).tolist()
        for length in (height, width)
    )
    size_here = {"height": min(size, height), "width": min(size, width)}
    return [Window(row_off=row, col_off=col, **size_here) for row in rows for col in cols]
