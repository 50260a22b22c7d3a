"""Polygons: read, brought into a raster's CRS, and burnt into windows of its grid.

geopandas is imported where a file is read or written: it takes longer than all else together, and
commands that are given rasters alone never need it.
"""

from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.features import rasterize
from rasterio.warp import transform_bounds
from shapely.errors import GEOSException

from geoseg.errors import EmptyError, NoPolygonError, VectorError
from geoseg.raster.grid import Grid
from geoseg.raster.vector import read_polygons
from geoseg.raster.window import Window

Numbers = NDArray[np.int64]


class Labels(NamedTuple):
    """The objects of a strip."""

    local: NDArray[Any]
    """(height, width) which object of the strip; 0 where there is none."""

    numbers: Numbers
    """(objects + 1,) the number in all strips that each of these has; 0 for 0."""


CLIP_MARGIN_SHARE = 0.05
"""What is cut off lies this far beyond a raster at least, as a share of its circumference."""

MAX_LENGTH_RATIO = 20
"""Polygons longer than so many circumferences of the raster are cut before they are moved."""


class NumberedPolygons:
    """Polygons that read like a raster of their numbers, from 1.

    A pixel belongs to a polygon that covers its centre, of several to the smallest. The parts
    of a multi-polygon are polygons of their own.
    """

    def __init__(self, polygons: Any, grid: Grid) -> None:
        """Prepare.

        Args:
            polygons: GeoSeries; without a CRS it is taken to be the grid's.
            grid: The raster's.
        """
        parts = shapely.get_parts(np.asarray(on_grid(polygons, grid).values))
        self._shapes = parts[np.argsort(-shapely.area(parts), kind="stable")]
        self._tree = shapely.STRtree(self._shapes)
        self._grid = grid

    @property
    def on_grid(self) -> int:
        """How many polygons lie on the raster."""
        return len(self._touching(self._grid))

    def read(self, window: Window) -> Labels:
        """The polygons of a window."""
        part = self._grid.part(window)
        touching = self._touching(part)
        local: NDArray[np.int32] = np.zeros((window.height, window.width), np.int32)
        if len(touching):
            numbered = zip(self._shapes[touching], range(1, len(touching) + 1), strict=True)
            rasterize(numbered, out=local, transform=part.transform)
        return Labels(local, np.append(0, touching + 1))

    def _touching(self, grid: Grid) -> NDArray[np.int64]:
        """Indices of the polygons on a grid, the largest first."""
        return np.sort(self._tree.query(shapely.box(*grid.bounds), predicate="intersects"))


def on_grid(polygons: Any, grid: Grid, path: Path | None = None) -> Any:
    """Geometries in the CRS of a grid, a GeoSeries; without a CRS they are taken to have it.

    What is far larger than the grid, or reaches beyond what its CRS can tell of, is cut to the
    grid's ground first; what lies wholly beyond becomes empty.

    Args:
        polygons: GeoSeries.
        grid: The raster's.
        path: Of the polygons, for the message.

    Raises:
        VectorError: If there is no way from one CRS to the other.
    """
    if polygons.crs is None or grid.crs is None:
        return polygons
    try:
        ground = shapely.box(
            *transform_bounds(grid.crs, polygons.crs.to_wkt(), *grid.bounds, densify_pts=21)
        )
        near = ground.buffer(CLIP_MARGIN_SHARE * ground.length)
        west, south, east, north = shapely.bounds(polygons.values).T
        large = np.fmax(east - west, north - south) > MAX_LENGTH_RATIO * ground.length
        if large.any():  # the edges of what is far larger than the raster would bend
            polygons = polygons.where(~large, polygons.intersection(near))
        moved = polygons.to_crs(grid.crs.to_wkt())
        beyond = ~np.isfinite(shapely.bounds(moved.values)).all(axis=1) & ~moved.is_empty
        if beyond.any():
            moved[beyond] = polygons[beyond].intersection(near).to_crs(grid.crs.to_wkt())
    except (ProjError, CPLE_BaseError, RasterioError, ValueError, GEOSException) as error:
        where = f"{path}: " if path else ""
        raise VectorError(
            f"{where}nothing leads from the CRS of the polygons ({polygons.crs.name:.80}) to that "
            f"of the raster; are both the right ones?"
        ) from error
    return moved


class BurntPolygons:
    """Polygons that read like a raster on the grid of another one.

    A pixel belongs to a polygon that covers its centre. Of overlapping polygons the one
    with the higher index wins, so a class further down the legend lies on top, and what is
    to be ignored above all.
    """

    def __init__(
        self,
        polygons: Any,
        indices: NDArray[np.uint8],
        grid: Grid,
        *,
        background: int,
        path: Path | None = None,
    ) -> None:
        """Prepare.

        Args:
            polygons: GeoSeries; without a CRS it is taken to be the grid's.
            indices: (n,) what to burn for each.
            grid: The raster's.
            background: What to burn where no polygon is.
            path: Of the polygons, for messages.
        """
        order = np.argsort(indices, kind="stable")
        self._shapes = np.asarray(on_grid(polygons, grid, path).values)[order]
        self._indices = indices[order]
        self._tree = shapely.STRtree(self._shapes)
        self._grid = grid
        self._background = background

    def read(self, window: Window, step: int = 1) -> NDArray[np.uint8]:
        """(height, width) burnt values, one for each square of ``step`` pixels."""
        window = window.shrunk(step)
        part = self._grid.shrunk(step).part(window)
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


class AreaOfInterest:
    """An area of interest (AOI) on the grid of a raster."""

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
        self._burnt = BurntPolygons(polygons, inside, grid, background=0, path=path)
        if not may_be_elsewhere:
            self._burnt.refuse_elsewhere(path, "polygon of the area")

    @property
    def window(self) -> Window:
        """The smallest window of the raster that holds all of the area that lies on it."""
        return self._burnt.window

    @classmethod
    def open(cls, path: Path, grid: Grid, *, may_be_elsewhere: bool = False) -> Self:
        """Open the polygons of a file as an area of interest.

        Args:
            path: Of the polygons.
            grid: The raster's.
            may_be_elsewhere: Whether no polygon need lie on the raster.

        Raises:
            NoPolygonError: If one need, and none does.
            VectorError: If they cannot be read.
        """
        polygons = read_polygons(path, advice="an area is a file of one layer").geometries
        return cls(polygons, grid, path=path, may_be_elsewhere=may_be_elsewhere)

    @property
    def is_elsewhere(self) -> bool:
        """Whether nothing of it lies on the raster."""
        return not self._burnt.touches_grid

    def read(self, window: Window, step: int = 1) -> NDArray[np.bool_]:
        """(height, width) bool, True inside, one for each square of ``step`` pixels."""
        return self._burnt.read(window, step) == 1
