"""Lengths and areas, in pixels or on the ground."""

import re
from dataclasses import dataclass
from typing import Literal, Self

from geoseg.errors import InputError
from geoseg.raster.grid import Grid


@dataclass(frozen=True)
class Length:
    """A length on a map.

    >>> str(Length(1.5, "m"))
    '1.5m'
    """

    value: float
    """Positive number of `unit`."""

    unit: Literal["px", "m"]
    """Pixels, or metres on the ground."""

    def __str__(self) -> str:
        return f"{self.value:g}{self.unit}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``2px`` (the unit may be left out) or ``1.5m``.

        Raises:
            ValueError: If it is neither.

        >>> str(Length.parse("2")), str(Length.parse("1.5 m"))
        ('2px', '1.5m')
        """
        found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(px|m|)", text.strip().lower())
        if found is None or not float(found[1]):
            raise ValueError(f"{text!r} is not a distance such as 2px or 1.5m")
        return cls(float(found[1]), "m" if found[2] == "m" else "px")

    def in_pixels(self, grid: Grid) -> float:
        """Convert to pixels of a raster.

        Raises:
            InputError: If the raster has no CRS, or the length is less than a pixel.
        """
        if self.unit == "px":
            pixels = self.value
        elif grid.gsd is None:
            raise InputError(f"{self} cannot be converted to pixels without a CRS; give it in px")
        else:
            pixels = self.value / grid.gsd
        if pixels < 1:
            raise InputError(f"{self} is {pixels:.2f} px, and a distance is at least 1 px")
        return pixels


NUMBER = r"[0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?"
"""Pattern of a positive number."""


@dataclass(frozen=True)
class AreaSize:
    """An area on a map.

    >>> str(AreaSize(2.5, "m2"))
    '2.5m2'
    """

    value: float
    """Positive number of `unit`."""

    unit: Literal["px", "m2"]
    """Pixels, or square metres on the ground."""

    def __str__(self) -> str:
        return f"{self.value:g}{self.unit}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``40px`` (the unit may be left out) or ``5m2``.

        Raises:
            ValueError: If it is neither.

        >>> AreaSize.parse("5 m2"), AreaSize.parse("40")
        (AreaSize(value=5.0, unit='m2'), AreaSize(value=40.0, unit='px'))
        """
        found = re.fullmatch(rf"({NUMBER})\s*(px|m2|m²|)", text.strip().lower())
        if found is None or not float(found[1]):
            raise ValueError(f"{text!r} is not an area such as 40px or 5m2")
        return cls(float(found[1]), "m2" if found[2].startswith("m") else "px")

    def in_pixels(self, grid: Grid) -> float:
        """Convert to pixels of a raster.

        Raises:
            InputError: If the raster has no CRS.
        """
        if self.unit == "px":
            return self.value
        if grid.pixel_area is None:
            raise InputError(f"{self} cannot be converted to pixels without a CRS; give it in px")
        return self.value / grid.pixel_area
