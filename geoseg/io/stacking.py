"""Rasters of other resolutions laid on an orthophoto's grid, as further bands."""

from collections.abc import Sequence
from pathlib import Path

from rasterio.warp import transform_bounds

from geoseg.core.grid import Grid, no_way, same_crs
from geoseg.errors import RasterError
from geoseg.io.gdal import reading
from geoseg.io.layer import Layer, ReadOptions
from geoseg.io.paths import unique_names


def open_stacked(path: Path, grid: Grid, ortho: Path) -> Layer:
    """A raster, resampled (bilinear) onto the grid of an orthophoto.

    Without a CRS it is taken to have the orthophoto's.

    Args:
        path: The raster.
        grid: The orthophoto's.
        ortho: The orthophoto, to be named.

    Raises:
        RasterError: If it cannot be read, or shares no ground with the orthophoto.
    """
    own = Layer(path, ReadOptions())
    own.close()
    if own.grid.crs is not None and grid.crs is None:
        raise RasterError(
            f"{path}: cannot be stacked on {ortho}, which has no CRS; georeference it"
        )
    if not _meet(own.grid, grid, path):
        raise RasterError(
            f"{path}: does not overlap {ortho}, on which it is to be stacked; are the CRS right?"
        )
    return Layer(path, ReadOptions(on=grid, resampling="bilinear"))


def stacked_band_names(layers: Sequence[Layer]) -> tuple[str, ...]:
    """The file's name for its only band, followed by the band's if there are several."""
    names = []
    for layer, file in zip(layers, unique_names([layer.path for layer in layers]), strict=True):
        several = layer.bands > 1
        names += [f"{file} {band}" if several else file for band in layer.band_names]
    return tuple(names)


def _meet(own: Grid, grid: Grid, path: Path) -> bool:
    """Whether two grids share ground; pictures without a place must be of one size."""
    if not own.is_georeferenced and not grid.is_georeferenced:
        return (own.height, own.width) == (grid.height, grid.width)
    bounds = grid.bounds
    if why := no_way(own.crs, grid.crs):
        raise RasterError(f"{path}: {why}")
    if own.crs is not None and not same_crs(own.crs, grid.crs):
        with reading(path):
            bounds = transform_bounds(grid.crs, own.crs, *bounds)
    left, bottom, right, top = bounds
    x_min, y_min, x_max, y_max = own.bounds
    return left < x_max and x_min < right and bottom < y_max and y_min < top
