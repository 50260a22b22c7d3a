"""Rasters placed on the pixels of others, and looked at here and there."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.warp import transform_bounds

from geoseg.core.grid import Grid, no_way, same_crs
from geoseg.core.window import Window
from geoseg.errors import GridMismatchError
from geoseg.io.raster import RasterReader
from geoseg.io.tolerant import TolerantReader


def sample_values(reader: RasterReader | TolerantReader, side: int = 256) -> NDArray[Any]:
    """(n,) valid values of windows spread over a raster, to judge its range by.

    Args:
        reader: An open raster.
        side: Of each window, in pixels.
    """
    height, width = reader.grid.height, reader.grid.width
    values = []
    for row_off in np.linspace(0, max(height - side, 0), 4).astype(int):
        for col_off in np.linspace(0, max(width - side, 0), 4).astype(int):
            window = Window(row_off=row_off, col_off=col_off, height=side, width=side)
            image, valid = reader.read(window.clip(height, width) or window)
            values.append(image[:, valid].ravel())
    return np.concatenate(values)


def cover(grid: Grid, lattice: Grid) -> Grid:
    """The smallest grid on the pixels of another one that holds all of a grid.

    Args:
        grid: What is to be covered.
        lattice: Gives CRS and pixels.

    Raises:
        GridMismatchError: If one of them has no CRS and the other has, or nothing leads from one
            CRS to the other.
    """
    if why := no_way(grid.crs, lattice.crs):
        raise GridMismatchError(why)
    if same_crs(grid.crs, lattice.crs):
        bounds = grid.bounds
    elif grid.crs and lattice.crs:
        bounds = transform_bounds(grid.crs, lattice.crs, *grid.bounds, densify_pts=21)
    else:
        raise GridMismatchError("a raster without georeference cannot be resampled onto another")
    return lattice.part(lattice.window_around(bounds))


def window_on(grid: Grid, other: Grid) -> Window | None:
    """The pixels of a grid on ground that another one covers, or a few more; None if it has none.

    Args:
        grid: Whose pixels are told.
        other: Of any CRS; without one it is taken to have the same.

    Raises:
        GridMismatchError: If nothing leads from one CRS to the other.
    """
    if why := no_way(other.crs, grid.crs):
        raise GridMismatchError(why)
    bounds = other.bounds
    if other.crs and grid.crs and not same_crs(other.crs, grid.crs):
        bounds = transform_bounds(other.crs, grid.crs, *bounds, densify_pts=21)
    if not np.isfinite(bounds).all():  # a CRS may not reach that far
        return grid.window
    return grid.window_around(bounds).grown(1).clip(grid.height, grid.width)
