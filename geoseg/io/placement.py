"""Rasters placed on the pixels of others, and looked at here and there."""

from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.warp import transform_bounds

from geoseg.core.grid import Grid
from geoseg.core.window import Window
from geoseg.errors import GridMismatchError
from geoseg.io.raster import RasterReader


def sample_values(reader: RasterReader, side: int = 256) -> NDArray[Any]:
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
        GridMismatchError: If one of them has no CRS and the other has.
    """
    if grid.crs == lattice.crs:
        bounds = grid.bounds
    elif grid.crs and lattice.crs:
        bounds = transform_bounds(grid.crs, lattice.crs, *grid.bounds, densify_pts=21)
    else:
        raise GridMismatchError("a raster without georeference cannot be resampled onto another")
    x_min, y_min, x_max, y_max = bounds
    corners = [~lattice.transform @ (x, y) for x in (x_min, x_max) for y in (y_min, y_max)]
    cols, rows = zip(*corners, strict=True)
    hair = 1e-3  # of a pixel: what lies on a border is not beyond it
    col_off, row_off = floor(min(cols) + hair), floor(min(rows) + hair)
    return lattice.part(
        Window(
            row_off=row_off,
            col_off=col_off,
            height=max(ceil(max(rows) - hair) - row_off, 1),
            width=max(ceil(max(cols) - hair) - col_off, 1),
        )
    )
