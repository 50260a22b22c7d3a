"""What a user decides about polygons of class maps: the only place of the defaults."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.options import CALL, aoi_option, option, parse_part
from geoseg.postprocess.options import ClassArea
from geoseg.raster.grid import Length
from geoseg.raster.reader import INPUT
from geoseg.raster.threads import core_count

GEOMETRY, CONTENT = "Geometry", "Content"
"""Groups of the options."""

MAX_VERTICES = 250_000
"""Points up to which a region becomes one polygon."""


def parse_names(text: str) -> tuple[str, ...]:
    """Names, divided by commas.

    >>> parse_names("building, road")
    ('building', 'road')
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ValueError(f"{text!r} names no class")
    return names


@dataclass(frozen=True, kw_only=True)
class VectorizeOptions:
    """How a class map becomes polygons."""

    aoi: Path | None = aoi_option(INPUT)
    scores: Path | None = option(
        None,
        group=CONTENT,
        metavar="RASTER",
        help="Scores of the map's classes: polygons get the mean score of their class.",
    )
    confidence: Path | None = option(
        None, group=CONTENT, metavar="RASTER", help="Confidence: polygons get its mean."
    )
    classes: tuple[str, ...] = option(
        (),
        group=CONTENT,
        metavar="NAME,NAME",
        parse=parse_names,
        shown="all",
        help="Write these classes only; the others still shape the borders.",
    )
    min_area: tuple[ClassArea, ...] = option(
        (),
        group=GEOMETRY,
        metavar="[CLASS=]AREA",
        parse=ClassArea.parse,
        repeat=True,
        help="Smaller regions join the neighbour with the longest border before: 40px or 5m2, for "
        "one class building=10m2; may be repeated.",
    )
    simplify: Length | None = option(
        Length.parse("1px"),
        group=GEOMETRY,
        metavar="1px|0.3m|0",
        parse=Length.parse,
        none="0",
        help="Leave out points of borders: steps of stairs up to this high, and corners up to the "
        "square of it (0: none). Neighbours keep a common border.",
    )
    smooth: bool = option(False, group=GEOMETRY, help="Round the corners that are left.")
    regularize: tuple[str, ...] = option(
        (),
        group=GEOMETRY,
        metavar="NAME,NAME",
        parse=parse_names,
        shown="none",
        help="Give these classes, such as building, right angles, in a layer of their own "
        "(GeoPackage), or a file whose name ends in _regularised.",
    )
    split_touching: str | None = option(
        None,
        group=GEOMETRY,
        metavar="CLASS",
        help="Divide regions of CLASS, such as rows of houses, at their necks, and where --scores "
        "are low between two objects.",
    )
    max_vertices: int = option(
        MAX_VERTICES,
        group=GEOMETRY,
        min=100,
        help="Regions with more points stay divided at lines of a lattice.",
    )
    workers: int = option(core_count(), group=CALL, min=1, shown="all cores", help="Threads.")
    part: tuple[int, int] | None = option(
        None,
        group=CALL,
        metavar="I/N|auto",
        parse=parse_part,
        help="Only the I-th of N parts, into a folder; give all folders to `geoseg vectorize` to "
        "join them; auto: as the array job says (auto/N where it does not say how many).",
    )
    resume: bool = option(
        False, group=CALL, help="Continue an interrupted run; skip maps that are done."
    )

    def to_record(self) -> dict[str, Any]:
        """What decides the polygons, besides the files that are read."""
        return {
            "min_area": [str(each) for each in self.min_area],
            "simplify": str(self.simplify or 0),
            "smooth": self.smooth,
            "classes": list(self.classes),
            "regularize": list(self.regularize),
            "split_touching": self.split_touching,
            "max_vertices": self.max_vertices,
        }
