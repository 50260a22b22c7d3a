"""Layers of a page: orthophotos, class maps and references, at any scale."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import GeosegError, GridMismatchError, LegendError, NoPolygonError
from geoseg.evaluation.class_map import MapOptions
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.legend_map import LegendMap
from geoseg.labels.pixel_classes import PixelClasses
from geoseg.labels.polygon_classes import PolygonClasses
from geoseg.labels.reference import (
    RasterReference,
    Reference,
    ReferenceOptions,
    References,
    VectorReference,
)
from geoseg.labels.style import BandOptions, averaged, painter_of, with_alpha
from geoseg.labels.tags import read_tags
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Split
from geoseg.raster.grid import Grid
from geoseg.raster.polygons import AreaOfInterest
from geoseg.raster.reader import RasterReader
from geoseg.raster.tolerant import AlignedRaster, share_ground
from geoseg.raster.vector import is_vector, read_polygons
from geoseg.raster.window import Window, blocks

OVERSAMPLING = (4, 2, 1)
"""Pixels along a side whose mean is a pixel of a shrunk image; the first that divides the step."""

BLOCK_PX = 4096
"""Side of the blocks that are read at a time where every pixel is read."""


class Ground(NamedTuple):
    """Ground that counts."""

    path: Path
    """Polygons, or the folder of a patch set."""

    split: Split | None = None

    def outlines(self) -> Any:
        """Its polygons, a GeoSeries.

        Raises:
            GeosegError: If they cannot be read.
        """
        if self.split is not None:
            return PatchSet.open(self.path).footprints(self.split)
        return read_polygons(self.path, advice="an area is a file of one layer").geometries


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a map and its reference are read."""

    legend: Legend | None = None
    """Legend of maps that carry none, or instead of theirs."""

    legend_map: LegendMap | None = None
    """Classes of map and reference that mean the same, where the legends differ."""

    reference: ReferenceOptions = field(default_factory=ReferenceOptions)

    map: MapOptions = field(default_factory=MapOptions)
    """How maps of polygons are read."""

    grounds: tuple[Ground, ...] = ()
    """References are shown within all of these."""

    by_map_values: bool = False
    """Whether a raster of one band that geoseg did not write has the values of its maps."""

    def or_else(self, other: Self) -> Self:
        """This one, completed by another."""
        own, theirs = self.reference, other.reference
        return replace(
            other,
            legend=self.legend or other.legend,
            legend_map=self.legend_map or other.legend_map,
            reference=replace(
                theirs,
                attribute=own.attribute or theirs.attribute,
                layer=own.layer or theirs.layer,
                coding=theirs.coding if own.coding == "auto" else own.coding,
                only_polygons=own.only_polygons or theirs.only_polygons,
                color_tolerance=own.color_tolerance or theirs.color_tolerance,
            ),
            grounds=self.grounds or other.grounds,
        )

    def legend_of(self, class_map: Path, tags: dict[str, Any], *, compared: bool) -> Legend:
        """The classes of a map; if it is compared with a reference, those that both have in common.

        Raises:
            LegendError: If nothing names them, or the legend map does not fit.
        """
        legend = self.legend
        if legend is None:
            if "legend" not in tags:
                raise LegendError(f"{class_map}: carries no legend; name one with --legend")
            legend = Legend.from_dict(tags["legend"])
        if self.legend_map is None or not compared:
            return legend
        return self.legend_map.merged(legend.of_map)


class ImageLayer:
    """An orthophoto or any other raster in the colours of `painter_of`.

    Raises:
        GridMismatchError: If it has no georeference and not the size of the grid.
        RasterError: If the file cannot be read.
    """

    kind: Literal["image"] = "image"

    def __init__(self, path: Path, grid: Grid, *, bands: BandOptions | None = None) -> None:
        self.title = path.name
        options = (bands or BandOptions()).options_for(path)
        with RasterReader(path, options) as reader:
            self._paint = painter_of(reader, read_tags(path))
            own = reader.grid
        if not (own.is_georeferenced or share_ground(own, grid)):
            raise GridMismatchError(
                f"{path}: {own.width} x {own.height} px, not {grid.width} x {grid.height} as the "
                f"raster that it is shown with; georeference it"
            )
        self._file = AlignedRaster(path, grid, options, resample=True)

    def read(self, window: Window, step: int) -> NDArray[np.uint8]:
        """(height, width, 4) red, green, blue, alpha, one for each square of ``step`` pixels."""
        finer = next(side for side in OVERSAMPLING if step % side == 0)
        image, valid = self._file.read(window, step // finer)
        return averaged(with_alpha(self._paint(image), valid), finer)

    def close(self) -> None:
        """Release files."""
        self._file.close()


@dataclass(frozen=True)
class ClassLayer:
    """A class map or references."""

    title: str
    source: Reference | References

    areas: Sequence[AreaOfInterest] = ()
    """Ground outside of any of these is not shown."""

    exact: bool = False
    """Whether the pixel in the middle of each square is read, rather than overviews.

    It is slower, and two layers then differ only where their pixels do.
    """

    kind: Literal["classes"] = "classes"

    def read(self, window: Window, step: int) -> NDArray[np.uint8]:
        """(height, width) class indices, one for each square of ``step`` pixels; 255: none.

        Raises:
            LegendError: If a value or colour has no class in the legend.
        """
        if not self.exact or step == 1:
            return self._read(window, step)
        shape = window.shrunk(step)
        indices = np.full((shape.height, shape.width), IGNORE, np.uint8)
        side = max(BLOCK_PX // step, 1)
        for part in blocks(shape.height, shape.width, rows=side, cols=side):
            rows, cols = (
                np.minimum(np.arange(each.start, each.stop) * step + step // 2, length - 1)
                for each, length in zip(part.slices, (window.height, window.width), strict=True)
            )
            place = Window(
                row_off=window.row_off + int(rows[0]),
                col_off=window.col_off + int(cols[0]),
                height=int(rows[-1] - rows[0]) + 1,
                width=int(cols[-1] - cols[0]) + 1,
            )
            indices[part.slices] = self._read(place)[np.ix_(rows - rows[0], cols - cols[0])]
        return indices

    def _read(self, window: Window, step: int = 1) -> NDArray[np.uint8]:
        indices = self.source.read(window, step)
        for area in self.areas:
            indices[~area.read(window, step)] = IGNORE
        return indices

    def close(self) -> None:
        """Release files."""
        self.source.close()


PageLayer = ImageLayer | ClassLayer
"""What a page shows: `read(window, step)` gives a pixel for each square of ``step`` pixels."""


def open_map(
    path: Path, legend: Legend, grid: Grid, reading: Reading, *, exact: bool = False
) -> ClassLayer:
    """A class map on a grid; its legend may be what it has in common with its reference.

    Raises:
        GeosegError: What is wrong with the file.
    """
    if is_vector(path):
        how = reading.map
        drawn = PolygonClasses.of_map(
            path, legend, attribute=how.map_attribute, layer=how.map_layer
        )
        polygons = VectorReference(drawn, grid=grid, may_be_elsewhere=True)
        return ClassLayer(path.name, polygons, exact=exact)
    by_map_values = reading.by_map_values or legend.merge is not None
    classes = PixelClasses.of_map if by_map_values else PixelClasses
    source = RasterReference(classes(path, legend), grid=grid, resample=True)
    return ClassLayer(path.name, source, exact=exact)


def open_references(
    paths: Sequence[Path], legend: Legend, grid: Grid, reading: Reading, *, exact: bool = False
) -> ClassLayer:
    """References of any kind as one layer on a grid, those that count first in front.

    Raises:
        EmptyError: If none of them shares ground with the grid.
        GeosegError: What is wrong with a file.
    """
    source = _references(paths, legend, grid, reading)
    try:
        areas = [AreaOfInterest(each.outlines(), grid, path=each.path) for each in reading.grounds]
    except GeosegError:
        source.close()
        raise
    title = ", ".join(path.name for path in source.used)
    return ClassLayer(title, source, areas, exact=exact)


def _references(paths: Sequence[Path], legend: Legend, grid: Grid, reading: Reading) -> References:
    """References; polygons need not lie on the grid if that may be right or was evaluated so."""
    options = replace(reading.reference, resample=True)
    try:
        return References(paths, legend=legend, grid=grid, options=options)
    except NoPolygonError as error:
        if len(paths) > 1 or not (error.is_plausible or reading.by_map_values):
            raise
    return References(paths, legend=legend, grid=grid, options=options, may_be_elsewhere=True)
