"""Class maps open for reading: rasters, or polygons burnt onto the pixels of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.pixel_classes import PixelClasses
from geoseg.labels.reference import RasterReference, Reference, VectorReference
from geoseg.options import option
from geoseg.raster.polygons import AreaOfInterest
from geoseg.raster.reader import INPUT, RasterReader
from geoseg.raster.vector import is_vector
from geoseg.raster.window import Window, blocks

if TYPE_CHECKING:
    from geoseg.labels.polygon_classes import PolygonClasses

BLOCK_ROWS, BLOCK_COLUMNS = 512, 4096
"""Size of the block that is read at a time, in pixels."""


@dataclass(frozen=True, kw_only=True)
class MapOptions:
    """How a map of polygons is read."""

    grid: Path | None = option(
        None,
        group=INPUT,
        metavar="RASTER",
        help="Of maps of polygons: raster on whose pixels they are compared [default: the "
        "reference, if it is a raster].",
    )
    map_attribute: str | None = option(
        None,
        group=INPUT,
        help="Of maps of polygons: column of the class; not needed for geoseg's own.",
    )
    map_layer: str | None = option(
        None, group=INPUT, help="Of maps of polygons: the layer, if there are several."
    )

    @property
    def are_given(self) -> bool:
        """Whether any of them is."""
        return any((self.grid, self.map_attribute, self.map_layer))


class ClassMap:
    """A class map open for reading in windows.

    Args:
        path: Raster or, if they may be a map, polygons.
        legend: Its classes.
        aoi: Polygons of the area that counts.
        ground: GeoSeries of the area that counts.
        drawn: How a map of polygons is read; None: they are refused.
        references: Files of which the first raster gives polygons its grid.

    Raises:
        GeosegError: If a file cannot be read or does not fit the legend.
        InputError: If a map is of polygons, and no raster gives them its grid.
    """

    def __init__(
        self,
        path: Path,
        legend: Legend,
        *,
        aoi: Path | None = None,
        ground: Any = None,
        drawn: MapOptions | None = None,
        references: Sequence[Path] = (),
    ) -> None:
        self.path = path
        self.polygons: PolygonClasses | None = None
        """Polygons of the map; None of a raster."""

        how = drawn if is_vector(path) else None
        with RasterReader(_raster_of(path, how, references), palette_index=True) as reader:
            self.grid = reader.grid
        self._areas = [AreaOfInterest.open(aoi, self.grid)] if aoi else []
        self._areas += [AreaOfInterest(ground, self.grid)] if ground is not None else []
        self._map: Reference
        if how is None:
            self._map = RasterReference(PixelClasses.of_map(path, legend), grid=self.grid)
        else:
            self.polygons = _polygons(path, legend, how)
            self._map = VectorReference(self.polygons, grid=self.grid)

    @property
    def areas(self) -> list[AreaOfInterest]:
        """Areas that count where all of them are; none: all counts."""
        return self._areas

    @property
    def notes(self) -> list[str]:
        """Remarks for the user on what was read."""
        return self._map.notes

    def blocks(self) -> list[Window]:
        """Windows that cover the map without overlap."""
        return list(blocks(self.grid.height, self.grid.width, rows=BLOCK_ROWS, cols=BLOCK_COLUMNS))

    def read(self, window: Window) -> NDArray[np.uint8]:
        """(height, width) class indices, also outside the area that counts; 255 without data."""
        return self._map.read(window)

    def read_counted(self, window: Window) -> NDArray[np.uint8]:
        """(height, width) class indices; 255 without data or outside the area that counts."""
        indices = self._map.read(window)
        if (outside := self.outside(window)) is not None:
            indices[outside] = IGNORE
        return indices

    def outside(self, window: Window) -> NDArray[np.bool_] | None:
        """(height, width) bool, True outside the area that counts; None: all of it counts."""
        if not self._areas:
            return None
        return ~np.logical_and.reduce([area.read(window) for area in self._areas])

    def close(self) -> None:
        """Release files."""
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _raster_of(path: Path, drawn: MapOptions | None, references: Sequence[Path]) -> Path:
    """The raster whose grid a map has: itself or, of polygons, one that is named or a reference."""
    if drawn is None:
        return path
    named = [drawn.grid] if drawn.grid else [each for each in references if not is_vector(each)]
    if not named:
        raise InputError(
            f"{path}: polygons are compared on the pixels of a raster, and no reference is one: "
            f"name one with --grid, such as the orthophoto"
        )
    return named[0]


def _polygons(path: Path, legend: Legend, how: MapOptions) -> "PolygonClasses":
    from geoseg.labels.polygon_classes import PolygonClasses

    return PolygonClasses.of_map(path, legend, attribute=how.map_attribute, layer=how.map_layer)
