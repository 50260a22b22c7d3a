"""What a user asks of a finished map, and the words for it."""

import re
from dataclasses import dataclass
from typing import Literal, Self

from geoseg.errors import InputError
from geoseg.raster.grid import Grid


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

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``2px`` (the unit may be left out) or ``1.5m``.

        Raises:
            ValueError: If it is neither.

        >>> str(Distance.parse("2")), str(Distance.parse("1.5 m"))
        ('2px', '1.5m')
        """
        found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(px|m|)", text.strip().lower())
        if found is None or not float(found[1]):
            raise ValueError(f"{text!r} is no distance such as 2px or 1.5m")
        return cls(float(found[1]), "m" if found[2] == "m" else "px")

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


NUMBER = r"[0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?"


@dataclass(frozen=True)
class Area:
    """A size of regions.

    >>> str(Area(2.5, "m2"))
    '2.5m2'
    """

    value: float
    """More than 0, in `unit`."""

    unit: Literal["px", "m2"]
    """Pixels, or square metres on the ground."""

    def __str__(self) -> str:
        return f"{self.value:g}{self.unit}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``40px`` (the unit may be left out) or ``5m2``.

        Raises:
            ValueError: If it is neither.

        >>> Area.parse("5 m2"), Area.parse("40")
        (Area(value=5.0, unit='m2'), Area(value=40.0, unit='px'))
        """
        found = re.fullmatch(rf"({NUMBER})\s*(px|m2|m²|)", text.strip().lower())
        if found is None or not float(found[1]):
            raise ValueError(f"{text!r} is no area such as 40px or 5m2")
        return cls(float(found[1]), "m2" if found[2].startswith("m") else "px")

    def in_pixels(self, grid: Grid) -> float:
        """The same in pixels of a raster.

        Raises:
            InputError: If the raster's pixels have no size on the ground.
        """
        if self.unit == "px":
            return self.value
        if grid.pixel_area is None:
            raise InputError(f"{self} cannot be told in pixels without a CRS; give it in px")
        return self.value / grid.pixel_area
