"""Reference maps on an orthophoto's grid: values, colours or polygons, one or several."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError, GeosegError, LegendError, NoPolygonError, VectorError
from geoseg.labels.boundary import near_border
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import LeastConfidence
from geoseg.labels.pixel_classes import Coding, Meaning, PixelClasses
from geoseg.options import option
from geoseg.raster.grid import Grid, Length
from geoseg.raster.polygons import AreaOfInterest, BurntPolygons, NumberedPolygons, on_grid
from geoseg.raster.tolerant import AlignedRaster
from geoseg.raster.vector import is_vector
from geoseg.raster.window import Window

if TYPE_CHECKING:
    from geoseg.labels.polygon_classes import PolygonClasses

REFERENCE = "Reference"
"""Help group of the options for reading references."""

ONLY_POLYGONS = Path("polygons")
"""Value of `labelled_areas`: only the polygons of a reference are labelled."""

PARSED: dict[str, Callable[[str], Any]] = {
    "point_radius": Length.parse,
    "line_width": Length.parse,
    "min_confidence": LeastConfidence.parse,
}
"""Options that are words in a record."""


@dataclass(frozen=True, kw_only=True)
class PolygonOptions:
    """Layer and class column of a vector reference."""

    attribute: str | None = option(
        None, group=REFERENCE, help="Column of a vector reference that holds the class."
    )
    layer: str | None = option(None, group=REFERENCE, help="Layer of a vector reference.")


@dataclass(frozen=True, kw_only=True)
class ReferenceOptions(PolygonOptions):
    """Coding, tolerance, labelled areas and resampling of a reference."""

    labelled_areas: Path | None = option(
        None,
        group=REFERENCE,
        metavar="FILE|polygons",
        help="Boxes or other polygons: outside of them nothing is labelled, inside what no polygon "
        "of the reference covers is background; with a column `done` those that are. `polygons`: "
        "only they are labelled, whatever the legend's background.",
    )
    point_radius: Length | None = option(
        None,
        group=REFERENCE,
        metavar="1m|3px",
        parse=Length.parse,
        help="A point of a vector reference labels the ground this near; the rest is unlabelled.",
    )
    line_width: Length | None = option(
        None,
        group=REFERENCE,
        metavar="2m|4px",
        parse=Length.parse,
        help="A line of a vector reference labels a band of this width, from edge to edge.",
    )
    min_confidence: LeastConfidence | None = option(
        None,
        group=REFERENCE,
        metavar="COLUMN=0.5",
        parse=LeastConfidence.parse,
        help="Polygons with less in this column, or nothing, cover unlabelled ground.",
    )
    only_polygons: bool = False
    """Whether ground without a polygon is unlabelled; set by `ONLY_POLYGONS`."""

    coding: Coding = option(
        "auto",
        group=REFERENCE,
        help="How a raster reference names classes: by values, by colours, or as a class map of "
        "geoseg's own.",
    )
    color_tolerance: float = option(
        0.0,
        min=0,
        max=441,
        group=REFERENCE,
        metavar="DISTANCE",
        help="Colours of a reference that are so near to a class's in red, green and blue mean it: "
        "for labels that were saved as JPEG. Also for values that lie as far apart.",
    )
    resample: bool = option(
        False, group=REFERENCE, help="Resample (nearest) references on another grid."
    )

    def __post_init__(self) -> None:
        if self.labelled_areas == ONLY_POLYGONS:
            object.__setattr__(self, "labelled_areas", None)
            object.__setattr__(self, "only_polygons", True)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Options as `to_record` has given them, or a part of them.

        Raises:
            ValueError: If a word is none.
        """
        known = {name: record[name] for name in PARSED if record.get(name) is not None}
        return cls(**{**record, **{name: PARSED[name](word) for name, word in known.items()}})

    def to_record(self) -> dict[str, Any]:
        """Options for JSON."""
        words = {name: getattr(self, name) for name in PARSED}
        return asdict(self) | {name: word and str(word) for name, word in words.items()}

    @property
    def of_polygons(self) -> list[str]:
        """Options that were given and change what polygons label, but no raster."""
        names = ("layer", "point_radius", "line_width", "min_confidence")
        given = [n.replace("_", "-") for n in names if getattr(self, n) is not None]
        return [f"--{n}" for n in (*given, *["labelled-areas polygons"] * self.only_polygons)]

    def blank_ground(self, legend: Legend) -> str:
        """Message on a raster without any polygon."""
        if legend.background is None or self.only_polygons:
            return "nothing is labelled there"
        where = f"ground in {self.labelled_areas.name}" if self.labelled_areas else "all ground"
        return f"{where} there is {legend.background!r}"


def open_reference(
    path: Path,
    *,
    legend: Legend,
    grid: Grid,
    options: ReferenceOptions | None = None,
    background: bool = True,
    may_be_elsewhere: bool = False,
) -> "Reference":
    """Open a reference map for reading on the grid of an orthophoto.

    Args:
        path: Raster or polygons.
        legend: The classes.
        grid: Grid of the orthophoto.
        options: Options for reading the reference.
        background: Whether ground without a polygon has the legend's background class.
        may_be_elsewhere: Whether all polygons, of reference and labelled areas, may lie outside
            the grid.

    Raises:
        GridMismatchError: If a raster lies on another grid and is not to be resampled.
        EmptyError: If it does not overlap the grid.
        NoPolygonError: If polygons do not, which may mean that there is no object.
        LegendError: If an attribute value has no class.
        RasterError: If a raster cannot be read.
        VectorError: If polygons cannot be read, or are points or lines without a radius or width.
        InputError: If a length is shorter than a pixel, or in metres for a raster without a CRS.
    """
    options = options or ReferenceOptions()
    areas = options.labelled_areas
    labelled = (
        AreaOfInterest.of_boxes(areas, grid, may_be_elsewhere=may_be_elsewhere) if areas else None
    )
    reference: Reference
    if is_vector(path):
        from geoseg.labels.polygon_classes import PolygonClasses

        own = PolygonClasses(
            path,
            legend,
            attribute=options.attribute,
            layer=options.layer,
            least=options.min_confidence,
        )
        has_points = own.widen(grid, radius=options.point_radius, width=options.line_width)
        if options.only_polygons or (has_points and areas is None):
            own.uncovered = IGNORE
        elif areas and own.uncovered == IGNORE and not own.is_own:
            raise LegendError(
                f"{areas}: inside of labelled areas ground without a polygon is background, and "
                f"the legend has none; name it there (background = ...), or give the areas as --aoi"
            )
        blank = areas is not None and own.uncovered != IGNORE and not len(own.indices)
        reference = VectorReference(
            own, grid=grid, background=background, may_be_elsewhere=may_be_elsewhere or blank
        )
    else:
        tolerance = options.color_tolerance
        classes = PixelClasses(path, legend, options.coding, tolerance=tolerance)
        reference = RasterReference(classes, grid=grid, resample=options.resample)
        reference.idle = options.of_polygons
    reference.labelled = labelled
    return reference


class Reference(ABC):
    """Class indices on the grid of an orthophoto; unlabelled outside of labelled areas."""

    has_edges = False
    """Whether labels have a border with unlabelled ground, as drawn polygons have."""

    path: Path
    extent: Window
    """Window of the grid that it covers, with a margin."""

    labelled: AreaOfInterest | None = None
    """Labelled area; None: everywhere."""

    border_px: float = 0.0
    """Distance to a border within which nothing is labelled, in pixels."""

    def read(self, window: Window, step: int = 1) -> NDArray[np.uint8]:
        """(height, width) class indices; 255 where unlabelled.

        Args:
            window: Window of the grid.
            step: Pixels of the grid per class index, along each axis; borders count at 1 alone.

        Raises:
            LegendError: If a value or colour has no class in the legend.
        """
        if self.border_px and step == 1:
            around = window.grown(ceil(self.border_px))
            labels = self._labels(around, step)
            labels[near_border(labels, self.border_px, unlabelled=self.has_edges)] = IGNORE
            labels = labels[window.relative_to(around).slices].copy()
        else:
            labels = self._labels(window, step)
        if self.labelled is not None:
            labels[~self.labelled.read(window, step)] = IGNORE
        return labels

    @abstractmethod
    def _labels(self, window: Window, step: int) -> NDArray[np.uint8]:
        """Class indices without regard to labelled areas; a new array."""

    @property
    @abstractmethod
    def meaning(self) -> Meaning:
        """Codes of the classes."""

    @property
    def notes(self) -> list[str]:
        """Remarks for the user on what was read."""
        return []

    def close(self) -> None:  # noqa: B027 of polygons nothing is open
        """Release files."""


class RasterReference(Reference):
    """A raster of class values or colours."""

    idle: Sequence[str] = ()
    """Options that were given and apply to vector references alone."""

    def __init__(self, classes: PixelClasses, *, grid: Grid, resample: bool = False) -> None:
        self.path = classes.path
        self._classes = classes
        self._raster = AlignedRaster(
            self.path, grid, resample=resample, palette_index=classes.by_index
        )
        self.extent = self._raster.extent

    @property
    def meaning(self) -> Meaning:
        """Codes of the classes."""
        return self._classes.meaning

    @property
    def notes(self) -> list[str]:
        """Remarks for the user on what was read."""
        idle = [f"{self.path}: is a raster; {each} applies to vector data" for each in self.idle]
        return [*idle, *self._classes.notes]

    def _labels(self, window: Window, step: int) -> NDArray[np.uint8]:
        return self._classes.encode(*self._raster.read(window, step))

    def close(self) -> None:
        """Release files."""
        self._raster.close()


class VectorReference(Reference):
    """Polygons with their classes.

    Ground without a polygon may have no class (``background``), and all polygons may lie outside
    the grid (``may_be_elsewhere``).

    Raises:
        NoPolygonError: If they do and may not.
        VectorError: If there is no transformation to the CRS of the grid.
    """

    has_edges = True

    def __init__(
        self,
        classes: "PolygonClasses",
        *,
        grid: Grid,
        background: bool = True,
        may_be_elsewhere: bool = False,
    ) -> None:
        self.path = classes.path
        self.classes = classes
        fill = classes.uncovered if background else IGNORE
        self._burnt = BurntPolygons(
            classes.geometries, classes.indices, grid, background=fill, path=self.path
        )
        if not may_be_elsewhere:
            self._burnt.refuse_elsewhere(self.path)
        drawn = fill == IGNORE and self._burnt.touches_grid
        self.extent = self._burnt.window if drawn else grid.window

    @property
    def meaning(self) -> Meaning:
        """Codes of the classes."""
        return self.classes.meaning

    @property
    def notes(self) -> list[str]:
        """Remarks for the user on what was read."""
        return self.classes.notes

    @property
    def is_elsewhere(self) -> bool:
        """Whether no polygon lies on the grid."""
        return not self._burnt.touches_grid

    def _labels(self, window: Window, step: int) -> NDArray[np.uint8]:
        return self._burnt.read(window, step)


class References:
    """Rasters and polygons that each cover a part of an orthophoto.

    The first ones take precedence. Ground without a polygon has the legend's background class only
    where no file labels it. All polygons may lie outside the grid if they ``may_be_elsewhere``.
    `labelled` is the area with labels; None: everywhere.

    Raises:
        EmptyError: If none overlaps the grid.
        NoPolygonError: If they are polygons, which may mean that there is no object.
        GeosegError: If one cannot be read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        legend: Legend,
        grid: Grid,
        options: ReferenceOptions | None = None,
        may_be_elsewhere: bool = False,
    ) -> None:
        self.paths = tuple(paths)
        self._grid = grid
        self._parts: list[Reference] = []
        options = options or ReferenceOptions()
        alone = len(paths) == 1
        absent: list[EmptyError] = []
        try:
            for path in paths:
                try:
                    part = open_reference(
                        path,
                        legend=legend,
                        grid=grid,
                        options=options,
                        background=alone,
                        may_be_elsewhere=may_be_elsewhere,
                    )
                except EmptyError as error:
                    if alone:
                        raise
                    absent.append(error)
                else:
                    self._parts.append(part)
        except GeosegError:
            self.close()
            raise
        if not self._parts:
            raise NoPolygonError.of_all(paths, absent)
        drawn = (part.classes for part in self._parts if isinstance(part, VectorReference))
        filled = not alone and any(each.uncovered != IGNORE for each in drawn)
        self._background = legend.background_index if filled else IGNORE
        self.labelled = self._parts[0].labelled

    @property
    def used(self) -> tuple[Path, ...]:
        """Files that overlap the grid."""
        return tuple(part.path for part in self._parts)

    @property
    def notes(self) -> list[str]:
        """Remarks for the user on what was read."""
        return [note for part in self._parts for note in part.notes]

    @property
    def meanings(self) -> list[Meaning]:
        """Codes of the classes in each used file."""
        return [part.meaning for part in self._parts]

    def read(self, window: Window, step: int = 1) -> NDArray[np.uint8]:
        """Class indices as `Reference.read` gives them; 255 where no file has a label."""
        if len(self.paths) == 1:
            return self._parts[0].read(window, step)
        shape = window.shrunk(step)
        labels = np.full((shape.height, shape.width), IGNORE, np.uint8)
        for part in self._touching(window):
            empty = labels == IGNORE
            if not empty.any():
                break
            labels = np.where(empty, part.read(window, step), labels)
        if self._background != IGNORE:
            empty = labels == IGNORE
            if self.labelled is not None:
                empty &= self.labelled.read(window, step)
            labels[empty] = self._background
        return labels

    def conflicts(self, window: Window) -> NDArray[np.bool_]:
        """(height, width) bool, True where two files label a pixel differently."""
        lowest = np.full((window.height, window.width), IGNORE, np.uint8)
        highest = np.zeros_like(lowest)
        touching = self._touching(window)
        shared = [a.extent.intersection(b.extent) for a, b in combinations(touching, 2)]
        if any(each and each.intersection(window) for each in shared):
            for part in touching:
                labels = part.read(window)
                known = labels != IGNORE
                np.minimum(lowest, labels, out=lowest)
                np.maximum(highest, labels, out=highest, where=known)
        return (lowest != IGNORE) & (lowest != highest)

    def polygons_of(self, index: int) -> NumberedPolygons:
        """Polygons of a class in all files, each an object.

        Raises:
            VectorError: If a file holds no polygons.
        """
        import geopandas as gpd

        drawn = []
        for part in self._parts:
            if not isinstance(part, VectorReference):
                raise VectorError(
                    f"{part.path}: a raster has no polygons that could be objects; connected "
                    f"pixels can be (--reference-objects components)"
                )
            shapes = part.classes.objects_of(index).shapes
            drawn.append(np.asarray(on_grid(shapes, self._grid, part.path).values))
        return NumberedPolygons(gpd.GeoSeries(np.concatenate(drawn)), self._grid)

    @property
    def are_polygons(self) -> bool:
        """Whether all files hold polygons."""
        return all(isinstance(part, VectorReference) for part in self._parts)

    def _touching(self, window: Window) -> list[Reference]:
        return [part for part in self._parts if part.extent.intersection(window)]

    def close(self) -> None:
        """Release files."""
        for part in self._parts:
            part.close()
