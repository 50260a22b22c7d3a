"""A block of a class map and its reference, and the protocols of what is counted in it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.labels.legend import IGNORE
from geoseg.raster.window import Window

Labels = NDArray[np.uint8]

BLOCK_ROWS, BLOCK_COLUMNS = 512, 4096
"""Size of the block that is read at a time, in pixels."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Block:
    """Part of a map and of its reference, with the halo that counters ask for."""

    window: Window
    """Pixels that count, on the map's grid; blocks do not overlap."""

    read: Window
    """Pixels that were read: `window` and the halo, cut at the map's edge."""

    all_reference: Labels
    """Class indices of the reference in `read`, `IGNORE` where unlabelled."""

    all_mapped: Labels
    """Class indices of the map in `read`, `IGNORE` without data."""

    outside: NDArray[np.bool_] | None = None
    """True for pixels of `window` outside the area that counts; None: all of it counts."""

    @property
    def inner(self) -> tuple[slice, slice]:
        """Position of `window` in the arrays that were read."""
        return self.window.relative_to(self.read).slices

    @cached_property
    def reference(self) -> Labels:
        """Class indices in `window`, `IGNORE` where unlabelled or outside the area that counts."""
        return self._counted(self.all_reference)

    @cached_property
    def mapped(self) -> Labels:
        """Class indices in `window`, `IGNORE` without data or outside the area that counts."""
        return self._counted(self.all_mapped)

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """True for pixels of `window` with a class in both."""
        return (self.reference != IGNORE) & (self.mapped != IGNORE)

    def _counted(self, labels: Labels) -> Labels:
        inside = labels[self.inner]
        if self.outside is None:
            return inside
        return np.where(self.outside, np.uint8(IGNORE), inside)

    def part(self, window: Window, halo: int) -> Self:
        """A smaller block inside this one, without copying pixels.

        Args:
            window: Inside this block's window.
            halo: Pixels around it; at most the halo of this block.
        """
        read = window.grown(halo).intersection(self.read) or window
        place = read.relative_to(self.read).slices
        own = window.relative_to(self.window).slices
        return type(self)(
            window=window,
            read=read,
            all_reference=self.all_reference[place],
            all_mapped=self.all_mapped[place],
            outside=None if self.outside is None else self.outside[own],
        )


class Counter(Protocol):
    """Counts something in all blocks of a map.

    ``count`` does the work. Threads call it for several blocks at a time, so it changes no state.
    ``add`` then gets its results, block by block in reading order.
    """

    @property
    def halo(self) -> int:
        """Pixels around a block that ``count`` needs."""
        ...

    def count(self, block: Block) -> Any:
        """Counts of a block."""
        ...

    def add(self, counted: Any) -> None:
        """Add a result of `count`."""
        ...

    def compute(self) -> dict[str, Any]:
        """Fields of `EvaluationCounts`, by name."""
        ...


class RowCounter(Counter, Protocol):
    """Counter whose counts are also a row of integers: it has confidence intervals.

    Rows of spatial blocks add up, so that the bootstrap can draw blocks and sum their rows.
    """

    @property
    def field(self) -> str:
        """The field of `EvaluationCounts` that a row stands for."""
        ...

    def row(self, counted: Any) -> NDArray[np.int64]:
        """A result of `count` as (kinds,) integers."""
        ...

    def of_row(self, row: NDArray[np.int64]) -> Any:
        """The value of `field` for a sum of rows."""
        ...
