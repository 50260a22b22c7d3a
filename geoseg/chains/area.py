"""The polygons of an AOI, as a prediction takes them."""

from geoseg.chains.options import PredictOptions
from geoseg.core.grid import Grid
from geoseg.io.vector import Area, read_polygons


def open_area(options: PredictOptions, grid: Grid) -> Area | None:
    """The ground that is wanted; None: all of it.

    Args:
        options: With the AOI, if there is one.
        grid: The orthophoto's.

    Raises:
        EmptyError: If the AOI holds no polygon, or none that lies on the orthophoto.
        VectorError: If it cannot be read, or has several layers and none is named.
    """
    path = options.aoi
    if path is None:
        return None
    advice = "name one with --aoi-layer"
    polygons = read_polygons(path, layer=options.aoi_layer, advice=advice).geometries
    return Area(polygons, grid, path=path)
