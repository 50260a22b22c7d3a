"""What a user asks of a finished map, and the words for it."""

import re
from dataclasses import dataclass
from typing import Self

from geoseg.options import Connectivity, connectivity_option, option
from geoseg.raster.grid import AreaSize, Length

NEAREST = "nearest"

OPERATIONS = "Operations"
"""Group of the options, which stand in the order in which they are done."""


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

    area: AreaSize

    name: str | None = None

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
        return cls(AreaSize.parse(area), name.strip() or None)


@dataclass(frozen=True)
class Rule:
    """What regions of a class become that are smaller, or larger, than an area."""

    name: str
    larger: bool
    """Whether the rule is for larger regions rather than smaller ones."""

    area: AreaSize

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
        return cls(found[1].strip(), found[2] == ">", AreaSize.parse(found[3]), found[4].strip())


@dataclass(frozen=True, kw_only=True)
class PostprocessOptions:
    """What is done to a map, in the order of the fields; what is left at its default is not."""

    fill: tuple[Fill, ...] = option(
        (),
        group=OPERATIONS,
        metavar="CLASS[=nearest|OTHER]",
        parse=Fill.parse,
        repeat=True,
        help="Replace a class by that of the nearest pixel, or by another (which comes first); "
        "may be repeated.",
    )
    max_distance: Length | None = option(
        None,
        group=OPERATIONS,
        metavar="20px|5m",
        parse=Length.parse,
        shown="anywhere",
        help="How far away the nearest may be for --fill.",
    )
    majority: Length | None = option(
        None,
        group=OPERATIONS,
        metavar="5px|2m",
        parse=Length.parse,
        help="Smooth: the commonest class of a square of this side; where several are, nothing "
        "changes.",
    )
    rules: tuple[Rule, ...] = option(
        (),
        group=OPERATIONS,
        names=("--rule",),
        metavar="'CLASS<AREA:OTHER'",
        parse=Rule.parse,
        repeat=True,
        help="Regions of CLASS smaller (>: larger) than AREA become OTHER, such as "
        "'car<2m2:road'; may be repeated, the first that holds counts.",
    )
    fill_holes: tuple[ClassArea, ...] = option(
        (),
        group=OPERATIONS,
        metavar="[CLASS=]AREA",
        parse=ClassArea.parse,
        repeat=True,
        help="Holes in CLASS smaller than AREA become CLASS; may be repeated.",
    )
    min_area: tuple[ClassArea, ...] = option(
        (),
        group=OPERATIONS,
        metavar="[CLASS=]AREA",
        parse=ClassArea.parse,
        repeat=True,
        help="Smaller regions take the class with which they share the longest border: 40px or "
        "5m2, for one class building=10m2; may be repeated.",
    )
    connectivity: Connectivity = connectivity_option(OPERATIONS)
