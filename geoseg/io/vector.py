"""Polygons: read, brought into a raster's CRS, and burnt into windows of its grid.

geopandas is imported where a file is read or written: it takes longer than all else together, and
commands that are given rasters alone never need it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from geoseg.core.grid import Grid
from geoseg.core.window import Window
from geoseg.errors import EmptyError, NoPolygonError, OutputError, VectorError
from geoseg.io.outputs import staged
from geoseg.io.paths import VECTOR_SUFFIXES

TIMELESS = {"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"}
"""What a GeoPackage says of its age, so that the same features give the same bytes."""


class Polygons(NamedTuple):
    """Polygons and one attribute of each."""

    geometries: Any
    """The geometries, a GeoSeries with a CRS or without."""

    attributes: Sequence[object]
    """One for each geometry; None if no column was named."""


def is_vector(path: Path) -> bool:
    """Whether a file is read as polygons rather than as a raster."""
    return path.suffix.lower() in VECTOR_SUFFIXES


def read_polygons(
    path: Path, *, layer: str | None = None, attribute: str | None = None
) -> Polygons:
    """All polygons of a layer. Rows without a geometry are passed over.

    Raises:
        VectorError: If the file cannot be read, holds other geometries, lacks the column,
            or has several layers and none is named.
    """
    frame = read_layer(path, layer)
    if attribute is not None and attribute not in frame.columns:
        columns = [name for name in frame.columns if name != frame.geometry.name]
        raise VectorError(f"{path}: has no column {attribute!r}; its columns are {columns}")
    frame = frame[~(frame.geometry.isna() | frame.geometry.is_empty)]
    others = frame.geometry[~frame.geom_type.isin(["Polygon", "MultiPolygon"])]
    if len(others):
        kinds = sorted(set(others.geom_type))
        raise VectorError(f"{path}: polygons are needed, and {len(others)} rows are {kinds}")
    values = [None] * len(frame) if attribute is None else list(frame[attribute])
    return Polygons(frame.geometry, values)


def read_layer(path: Path, layer: str | None = None) -> Any:
    """A layer of a vector file, a GeoDataFrame.

    Raises:
        VectorError: If the file cannot be read, or has several layers and none is named.
    """
    return _read(path, _layer(path, layer))


def write_layer(path: Path, frame: Any, layer: str, *, overwrite: bool) -> None:
    """Write a GeoDataFrame as the one layer of a file; the same one gives the same bytes.

    Raises:
        OutputError: If the file cannot be written.
    """
    import pyogrio

    before = {key: pyogrio.get_gdal_config_option(key) for key in TIMELESS}
    with staged(path, overwrite=overwrite) as partial:
        pyogrio.set_gdal_config_options(TIMELESS)
        try:
            frame.to_file(partial, engine="pyogrio", layer=layer)
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise OutputError(f"{path}: cannot be written: {error}") from error
        finally:
            pyogrio.set_gdal_config_options(before)


class BurntPolygons:
    """Polygons that read like a raster on the grid of another one.

    A pixel belongs to a polygon that covers its centre. Of overlapping polygons the one
    with the higher index wins, so a class further down the legend lies on top, and what is
    to be ignored above all.
    """

    def __init__(
        self, polygons: Any, indices: NDArray[np.uint8], grid: Grid, *, background: int
    ) -> None:
        """Prepare.

        Args:
            polygons: GeoSeries; without a CRS it is taken to be the grid's.
            indices: (n,) what to burn for each.
            grid: The raster's.
            background: What to burn where no polygon is.
        """
        if polygons.crs is not None and grid.crs is not None:
            polygons = polygons.to_crs(grid.crs.to_wkt())
        order = np.argsort(indices, kind="stable")
        self._shapes = np.asarray(polygons.values)[order]
        self._indices = indices[order]
        self._tree = shapely.STRtree(self._shapes)
        self._grid = grid
        self._background = background

    def read(self, window: Window) -> NDArray[np.uint8]:
        """(height, width) burnt values."""
        part = self._grid.part(window)
        touching = np.sort(self._tree.query(shapely.box(*part.bounds)))
        shape = (window.height, window.width)
        if not len(touching):
            return np.full(shape, self._background, np.uint8)
        burnt: NDArray[np.uint8] = rasterize(
            zip(self._shapes[touching], self._indices[touching].tolist(), strict=True),
            out_shape=shape,
            transform=part.transform,
            fill=self._background,
            dtype="uint8",
        )
        return burnt

    @property
    def touches_grid(self) -> bool:
        """Whether any polygon lies on the raster."""
        return bool(len(self._tree.query(shapely.box(*self._grid.bounds))))

    def refuse_elsewhere(self, path: Path | None = None, what: str = "polygon") -> None:
        """See that a polygon lies on the raster.

        Args:
            path: Of the polygons, for the message.
            what: They are, for the message.

        Raises:
            NoPolygonError: If none does.
        """
        if self.touches_grid:
            return
        where, paths = (f"{path}: ", {path}) if path else ("", set())
        if not len(self._shapes):
            raise NoPolygonError(f"{where}holds no polygon", paths=paths, is_plausible=True)
        extent = shapely.total_bounds(self._shapes)
        meets = bool(np.isfinite(extent).all()) and shapely.box(*extent).intersects(
            shapely.box(*self._grid.bounds)
        )
        raise NoPolygonError(
            f"{where}no {what} lies on the raster; are the CRS right?",
            paths=paths,
            is_plausible=meets,
        )

    @property
    def window(self) -> Window:
        """The smallest window of the raster that holds all polygons, cut at the raster's edge.

        Raises:
            EmptyError: If none lies on the raster.
        """
        inside = self._grid.window.intersection(
            self._grid.window_around(shapely.total_bounds(self._shapes))
        )
        if inside is None:
            raise EmptyError("no polygon lies on the raster")
        return inside


class Area:
    """Ground that counts: an AOI on the grid of a raster."""

    def __init__(
        self, polygons: Any, grid: Grid, *, path: Path | None = None, may_be_elsewhere: bool = False
    ) -> None:
        """Prepare.

        Args:
            polygons: GeoSeries; without a CRS it is taken to be the grid's.
            grid: The raster's.
            path: Of the polygons, for messages.
            may_be_elsewhere: Whether no polygon need lie on the raster.

        Raises:
            NoPolygonError: If one need, and none does.
        """
        inside = np.ones(len(polygons), np.uint8)
        self._burnt = BurntPolygons(polygons, inside, grid, background=0)
        if not may_be_elsewhere:
            self._burnt.refuse_elsewhere(path, "polygon of the area")

    @property
    def window(self) -> Window:
        """The smallest window of the raster that holds all of the area that lies on it."""
        return self._burnt.window

    @classmethod
    def open(cls, path: Path, grid: Grid, *, may_be_elsewhere: bool = False) -> Self:
        """The polygons of a file as an area on a raster's grid.

        Args:
            path: Of the polygons.
            grid: The raster's.
            may_be_elsewhere: Whether no polygon need lie on the raster.

        Raises:
            NoPolygonError: If one need, and none does.
            VectorError: If they cannot be read.
        """
        polygons = read_polygons(path).geometries
        return cls(polygons, grid, path=path, may_be_elsewhere=may_be_elsewhere)

    @property
    def is_elsewhere(self) -> bool:
        """Whether nothing of it lies on the raster."""
        return not self._burnt.touches_grid

    def read(self, window: Window) -> NDArray[np.bool_]:
        """(height, width) bool, True inside."""
        return self._burnt.read(window) == 1


def _layer(path: Path, wanted: str | None) -> str:
    import pyogrio

    if not path.exists():
        raise VectorError(f"{path}: no such file")
    try:
        layers = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
    except pyogrio.errors.DataSourceError as error:
        raise VectorError(f"{path}: cannot be read: {error}") from error
    if wanted is None and len(layers) == 1:
        return layers[0]
    if wanted not in layers:
        missing = "several layers" if wanted is None else f"no layer {wanted!r}"
        raise VectorError(f"{path}: has {missing}; name one with --layer: {layers}")
    return wanted


def _read(path: Path, layer: str) -> Any:
    import geopandas as gpd
    import pyogrio

    try:
        frame = gpd.read_file(path, layer=layer)
    except (pyogrio.errors.DataSourceError, ValueError, OSError) as error:
        raise VectorError(f"{path}: cannot be read: {error}") from error
    if not isinstance(frame, gpd.GeoDataFrame):
        raise VectorError(f"{path}: layer {layer!r} holds no geometries")
    return frame
