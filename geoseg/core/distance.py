"""Distances as people give them: in pixels, or in metres on the ground."""

from dataclasses import dataclass
from typing import Literal

from geoseg.core.grid import Grid
from geoseg.errors import InputError


@dataclass(frozen=True)
class Distance:
    """A length on a map.

    >>> str(Distance(1.5, "m"))
    '1.5m'
    """

    value: float
    """More than 0, in `unit`."""

    unit: Literal["px", "m"]
    """Pixels, or metres on the ground."""

    def __str__(self) -> str:
        return f"{self.value:g}{self.unit}"

    def in_pixels(self, grid: Grid) -> float:
        """The same in pixels of a raster.

        Raises:
            InputError: If the raster's pixels have no size on the ground, or if the distance
                is less than one of them.
        """
        if self.unit == "px":
            pixels = self.value
        elif grid.gsd is None:
            raise InputError(f"{self} cannot be told in pixels without a CRS; give it in px")
        else:
            pixels = self.value / grid.gsd
        if pixels < 1:
            raise InputError(f"{self} is {pixels:.2f} px, and a distance is at least 1 px")
        return pixels
