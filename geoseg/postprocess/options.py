"""What a user asks of a finished map, and the words for it."""

import re
from dataclasses import dataclass
from typing import Self

from geoseg.postprocess.components import CONNECTIVITY, Connectivity
from geoseg.raster.units import Area, Distance

NEAREST = "nearest"


@dataclass(frozen=True)
class Fill:
    """A class that is replaced."""

    replaced: str
    """Name of the class."""

    by: str = NEAREST
    """Name of another, or ``nearest``: of the nearest pixel's class."""

    def __str__(self) -> str:
        return f"{self.replaced}={self.by}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``CLASS``, ``CLASS=nearest`` or ``CLASS=OTHER``.

        Raises:
            ValueError: If it is none of them.

        >>> Fill.parse("background")
        Fill(replaced='background', by='nearest')
        """
        name, _, by = (part.strip() for part in text.partition("="))
        if not name or ("=" in text and not by):
            raise ValueError(f"{text!r} is none of CLASS, CLASS=nearest and CLASS=OTHER")
        return cls(name, by or NEAREST)


@dataclass(frozen=True)
class ClassArea:
    """An area that holds for a class, or for all that no other is given for."""

    area: Area

    name: str | None = None
    """Of the class; None: of all others."""

    def __str__(self) -> str:
        return str(self.area) if self.name is None else f"{self.name}={self.area}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``AREA`` or ``CLASS=AREA``.

        Raises:
            ValueError: If it is neither.

        >>> str(ClassArea.parse("building = 10 m2"))
        'building=10m2'
        """
        name, found, area = text.rpartition("=")
        if found and not name.strip():
            raise ValueError(f"{text!r} is neither AREA nor CLASS=AREA, such as building=10m2")
        return cls(Area.parse(area), name.strip() or None)


@dataclass(frozen=True)
class Rule:
    """What regions of a class become that are smaller, or larger, than an area."""

    name: str
    """Of the class."""

    larger: bool
    """Whether the rule is for larger regions rather than smaller ones."""

    area: Area

    into: str
    """Name of the class that they become."""

    def __str__(self) -> str:
        return f"{self.name}{'>' if self.larger else '<'}{self.area}:{self.into}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``CLASS<AREA:OTHER`` or ``CLASS>AREA:OTHER``.

        Raises:
            ValueError: If it is neither.

        >>> str(Rule.parse("car < 2m2 : road"))
        'car<2m2:road'
        """
        found = re.fullmatch(r"(.+?)([<>])([^<>:]+):(.+)", text)
        if found is None:
            raise ValueError(f"{text!r} is no rule such as 'car<2m2:road' or 'car>40m2:building'")
        return cls(found[1].strip(), found[2] == ">", Area.parse(found[3]), found[4].strip())


@dataclass(frozen=True, kw_only=True)
class PostprocessOptions:
    """What is done to a map, in the order of the fields; what is left at its default is not."""

    fill: tuple[Fill, ...] = ()
    """Classes that are replaced."""

    max_distance: Distance | None = None
    """How far away the nearest pixel of another class may be that replaces one; None: anywhere."""

    majority: Distance | None = None
    """Side of the square whose commonest class a pixel takes."""

    rules: tuple[Rule, ...] = ()
    """For regions of a size; the first that holds counts."""

    fill_holes: tuple[ClassArea, ...] = ()
    """Holes in a class that are smaller become that class."""

    min_area: tuple[ClassArea, ...] = ()
    """Regions that are smaller go to a neighbour."""

    connectivity: Connectivity = CONNECTIVITY
    """Whether pixels that touch only at a corner are one region (8) or not (4)."""
