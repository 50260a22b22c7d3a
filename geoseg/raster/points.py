"""Samples on a raster's grid: points, plots (polygons) and windows, in vector files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely import Polygon

from geoseg.errors import OutputError, VectorError
from geoseg.raster.grid import Grid
from geoseg.raster.paths import WRITABLE_VECTORS
from geoseg.raster.polygons import on_grid
from geoseg.raster.vector import read_layer, write_layer
from geoseg.raster.window import Window

WINDOWS_LAYER = "windows"
"""Layer name of windows."""


def write_outlines(
    path: Path,
    places: Sequence[tuple[Grid, Window]],
    columns: Mapping[str, Sequence[Any]],
    *,
    overwrite: bool,
    style: str | None = None,
) -> None:
    """Write windows as polygons, in the CRS of the first one's raster.

    Args:
        path: GeoPackage to write.
        places: Windows, each with its grid.
        columns: Attributes of the windows.
        overwrite: Whether to replace an existing file.
        style: QGIS style (QML).

    Raises:
        OutputError: If the file cannot be written.
    """
    import geopandas as gpd

    first = places[0][0]
    outlines = [
        on_grid(gpd.GeoSeries([Polygon(grid.part(window).corners)], crs=_wkt(grid)), first)
        for grid, window in places
    ]
    shapes = np.concatenate([np.asarray(each.values) for each in outlines])
    frame = gpd.GeoDataFrame(dict(columns), geometry=shapes, crs=_wkt(first))
    write_layer(path, frame, WINDOWS_LAYER, overwrite=overwrite, style=style)


def _wkt(grid: Grid) -> str | None:
    return grid.crs.to_wkt() if grid.crs else None


@dataclass(frozen=True, eq=False)
class Plots:
    """Plots: polygons and their attributes."""

    shapes: NDArray[Any]
    """(n,) geometries in the grid's CRS."""

    columns: Mapping[str, Sequence[Any]]
    """Values of each attribute, None where missing."""

    grid: Grid
    """Grid of the raster."""

    def __len__(self) -> int:
        return len(self.shapes)

    def window(self, number: int) -> Window | None:
        """The window around a plot; None outside the raster."""
        around = self.grid.window_around(shapely.bounds(self.shapes[number]))
        return around.clip(self.grid.height, self.grid.width)

    def read(self, number: int, window: Window, *, touched: bool = False) -> NDArray[np.bool_]:
        """(height, width) bool, True for the pixels of a plot.

        Args:
            number: Index of the plot.
            window: Window inside the raster.
            touched: All pixels that it touches instead of those whose centre it covers.
        """
        inside: NDArray[np.uint8] = rasterize(
            [self.shapes[number]],
            out_shape=(window.height, window.width),
            transform=self.grid.part(window).transform,
            all_touched=touched,
            dtype="uint8",
        )
        return inside == 1


MAX_PIXEL_INDEX = 2**40
"""Largest pixel index, for points far outside."""

POINTS_LAYER = "points"
"""Layer name of points."""


class Points(NamedTuple):
    """Points and their attributes."""

    rows: NDArray[np.int64]
    """(n,) row of the pixel of each point, perhaps outside the raster."""

    cols: NDArray[np.int64]
    """(n,) column of the pixel of each point."""

    columns: Mapping[str, Sequence[Any]]
    """Values of each attribute, None where missing."""


def write_points(
    path: Path, points: Points, grid: Grid, *, overwrite: bool, style: str | None = None
) -> None:
    """Write points at the centres of their pixels.

    Args:
        path: File to write; its suffix gives the format.
        points: Points and attributes.
        grid: Grid of the raster.
        overwrite: Whether to replace an existing file.
        style: QGIS style (QML).

    Raises:
        OutputError: If the file cannot be written, or its suffix means no vector format.
    """
    import geopandas as gpd

    if path.suffix.lower() not in WRITABLE_VECTORS:
        raise OutputError(f"{path}: the name must end in one of {', '.join(WRITABLE_VECTORS)}")
    xs, ys = _apply(grid.transform, points.cols + 0.5, points.rows + 0.5)
    frame = gpd.GeoDataFrame(
        dict(points.columns),
        geometry=gpd.points_from_xy(xs, ys),
        crs=grid.crs.to_wkt() if grid.crs else None,
    )
    write_layer(path, frame, POINTS_LAYER, overwrite=overwrite, style=style)


def read_sample(path: Path, grid: Grid, *, layer: str | None = None) -> Points | Plots:
    """Points or polygons of a layer, on a raster's grid.

    Raises:
        VectorError: If the file cannot be read, holds neither or both, or has several layers
            and none is named.
    """
    frame = read_layer(path, layer)
    frame = frame[~(frame.geometry.isna() | frame.geometry.is_empty)]
    kinds = set(frame.geom_type)
    if not kinds or not (kinds == {"Point"} or kinds <= {"Polygon", "MultiPolygon"}):
        found = sorted(kinds) or "nothing"
        raise VectorError(f"{path}: needs points or polygons, but holds {found}")
    places = on_grid(frame.geometry, grid, path)
    table = frame.drop(columns=frame.geometry.name)
    known = table.astype(object).where(table.notna(), None)
    columns = {str(name): list(known[name]) for name in known.columns}
    if kinds != {"Point"}:
        return Plots(np.asarray(places.values), columns, grid)
    cols, rows = (
        np.floor(np.nan_to_num(each, nan=-1, posinf=-1, neginf=-1))
        .clip(-1, MAX_PIXEL_INDEX)
        .astype(np.int64)
        for each in _apply(~grid.transform, places.x.to_numpy(), places.y.to_numpy())
    )
    return Points(rows, cols, columns)


def _apply(transform: Affine, first: NDArray[Any], second: NDArray[Any]) -> Any:
    """Apply an affine transform to arrays of columns and rows, or of x and y."""
    a, b, c, d, e, f = transform[:6]
    return a * first + b * second + c, d * first + e * second + f
