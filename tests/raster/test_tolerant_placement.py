import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from geoseg.errors import GridMismatchError
from geoseg.raster.grid import Grid, window_on
from geoseg.raster.window import Window

GRID = Grid(CRS.from_epsg(32632), Affine(1, 0, 500_000, 0, -1, 5_700_100), 100, 100)


def other(crs, left, bottom, right, top):
    """A raster of ten by ten pixels on that ground."""
    x_min, y_min, x_max, y_max = transform_bounds("EPSG:32632", crs, left, bottom, right, top)
    size = (x_max - x_min) / 10, (y_max - y_min) / 10
    return Grid(CRS.from_string(crs), Affine(size[0], 0, x_min, 0, -size[1], y_max), 10, 10)


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326", "EPSG:3857"])
def test_the_pixels_on_ground_that_another_raster_covers(crs):
    wanted = Window(row_off=20, col_off=40, height=30, width=10)

    window = window_on(GRID, other(crs, 500_040, 5_700_050, 500_050, 5_700_080))

    assert window.intersection(wanted) == wanted
    assert wanted.grown(6).intersection(window) == window


def test_a_raster_elsewhere_covers_none():
    assert window_on(GRID, other("EPSG:4326", 600_000, 5_700_000, 600_010, 5_700_010)) is None


def test_a_raster_that_reaches_further_covers_what_there_is():
    assert (
        window_on(GRID, other("EPSG:4326", 400_000, 5_600_000, 600_000, 5_800_000)) == GRID.window
    )


def test_there_is_no_transformation_between_a_local_crs_and_another():
    local = Grid(CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]'), Affine.identity(), 4, 6)
    utm = Grid(CRS.from_epsg(25833), Affine(1, 0, 500_000, 0, -1, 5_800_000), 4, 6)

    for one, other in ((local, utm), (utm, local)):
        with pytest.raises(GridMismatchError, match=r"no transformation .* both right"):
            window_on(one, other)
