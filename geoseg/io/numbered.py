"""Polygons as objects: burnt by their number, so that those that touch stay apart."""

from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.features import rasterize
from rasterio.warp import transform_bounds
from shapely.errors import GEOSException

from geoseg.core.grid import Grid
from geoseg.core.objects import Labels
from geoseg.core.window import Window
from geoseg.errors import VectorError

BEYOND = 0.05
"""What is cut off lies this far beyond a raster at least, as a share of its circumference."""

LARGE = 20
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
        near = ground.buffer(BEYOND * ground.length)
        west, south, east, north = shapely.bounds(polygons.values).T
        large = np.fmax(east - west, north - south) > LARGE * ground.length
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
