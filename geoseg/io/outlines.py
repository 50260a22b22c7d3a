"""Windows as polygons in a vector file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from shapely import Polygon

from geoseg.core.grid import Grid
from geoseg.core.window import Window
from geoseg.io.numbered import on_grid
from geoseg.io.vector import write_layer

LAYER = "windows"
"""Name of the layer that is written."""


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
        places: Each window and the grid that it lies on.
        columns: What is known of each.
        overwrite: Whether to replace an existing file.
        style: How QGIS is to show them.

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
    write_layer(path, frame, LAYER, overwrite=overwrite, style=style)


def _wkt(grid: Grid) -> str | None:
    return grid.crs.to_wkt() if grid.crs else None
