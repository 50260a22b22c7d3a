"""A class map as class indices, and the ground of it that counts."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.labels.legend import IGNORE
from geoseg.raster.window import Window

Labels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False, kw_only=True)
class Block:
    """A part of a map and of its reference, and the halo that a tally has asked for."""

    window: Window
    """The pixels that count, on the map's grid; blocks do not overlap."""

    read: Window
    """The pixels that were read: the halo is cut at the map's edge."""

    all_reference: Labels
    """Class indices of the reference in `read`, `IGNORE` where unlabelled."""

    all_mapped: Labels
    """Class indices of the map in `read`, `IGNORE` without data."""

    outside: NDArray[np.bool_] | None = None
    """True for pixels of `window` on ground that does not count; None: it all counts."""

    @property
    def inner(self) -> tuple[slice, slice]:
        """Where `window` lies in what was read."""
        return self.window.relative_to(self.read).slices

    @cached_property
    def reference(self) -> Labels:
        """Class indices in `window`, `IGNORE` where unlabelled or on ground that does not count."""
        return self._counted(self.all_reference)

    @cached_property
    def mapped(self) -> Labels:
        """Class indices in `window`, `IGNORE` without data or on ground that does not count."""
        return self._counted(self.all_mapped)

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """True for pixels of `window` that both know."""
        return (self.reference != IGNORE) & (self.mapped != IGNORE)

    def _counted(self, labels: Labels) -> Labels:
        inside = labels[self.inner]
        if self.outside is None:
            return inside
        return np.where(self.outside, np.uint8(IGNORE), inside)


class Tally(Protocol):
    """Counts something of all blocks of a map.

    ``look`` does the work. Threads call it for several blocks at a time, so it changes nothing.
    ``add`` is then called with what it returned, block by block in reading order.
    """

    @property
    def halo(self) -> int:
        """Pixels around a block that it needs to see."""
        ...

    def look(self, block: Block) -> Any:
        """What is to be known of a block."""
        ...

    def add(self, looked: Any) -> None:
        """Count what `look` has returned."""
        ...

    def result(self) -> dict[str, Any]:
        """Fields of the `Comparison`, by name."""
        ...


ROWS, COLUMNS = 512, 4096
"""The block that is read at a time, in pixels."""
