import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from shapely import box

from geoseg.errors import EmptyError, GridMismatchError, VectorError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.reference import ReferenceOptions, References
from geoseg.raster.grid import Grid
from geoseg.raster.window import Window

U = IGNORE
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
GRID = Grid(CRS.from_epsg(32632), NORTH_UP, 2, 6)
CLASSES = [{"value": 0, "name": "other"}, {"value": 1, "name": "roof"}]
PLAIN = Legend.from_dict({"class": CLASSES})
WITH_BACKGROUND = Legend.from_dict({"class": CLASSES, "background": "other"})


def square(col, width, row=0, height=2):
    left, top = NORTH_UP @ (col, row)
    right, bottom = NORTH_UP @ (col + width, row + height)
    return box(left, bottom, right, top)


@pytest.fixture
def tile(write_raster):
    """A function that writes a row of values, from a column of the grid on."""

    def write(name, values, col, **profile):
        array = np.array([values, values], np.uint8)
        place = NORTH_UP @ Affine.translation(col, 0)
        return write_raster(name, array, **{"transform": place, "nodata": 255} | profile)

    return write


def open_all(*paths, legend=PLAIN, **options):
    return References(paths, legend=legend, grid=GRID, options=ReferenceOptions(**options))


def first_row(references):
    return references.read(GRID.window)[0].tolist()


def test_each_fills_what_those_before_leave_unlabelled(tile):
    one, other = tile("a.tif", [1, 255, 1], 0), tile("b.tif", [0, 0, 0, 0], 1)

    assert first_row(open_all(one, other)) == [1, 0, 1, 0, 0, U]
    assert first_row(open_all(other, one)) == [1, 0, 0, 0, 0, U]


def test_what_two_label_differently_is_known(tile):
    one, other = tile("a.tif", [1, 255, 1], 0), tile("b.tif", [0, 0, 0, 0], 1)
    right = Window(row_off=0, col_off=2, height=2, width=4)

    references = open_all(one, other)

    assert references.conflicts(GRID.window)[0].tolist() == [
        False,
        False,
        True,
        False,
        False,
        False,
    ]
    assert references.conflicts(right)[0].tolist() == [True, False, False, False]
    assert not open_all(one, tile("c.tif", [0, 0], 4)).conflicts(GRID.window).any()


def test_files_elsewhere_are_passed_over(tile):
    near, far = tile("a.tif", [1, 1], 0), tile("b.tif", [0, 0], 99)

    references = open_all(far, near)

    assert first_row(references) == [1, 1, U, U, U, U]
    assert references.used == (near,)


@pytest.mark.parametrize("names", [["a.tif"], ["a.tif", "b.tif"]])
def test_no_file_on_the_raster_is_refused(tile, names):
    paths = [tile(name, [0, 0], 99) for name in names]

    with pytest.raises(EmptyError, match=r"a\.tif.*overlap"):
        open_all(*paths)


def test_polygons_of_several_files_lie_on_one_background(write_polygons):
    west = write_polygons("w.gpkg", [square(0, 1)], kind=["roof"])
    east = write_polygons("e.gpkg", [square(4, 1)], crs="EPSG:32632", kind=["roof"])

    labels = open_all(west, east, legend=WITH_BACKGROUND, attribute="kind")

    assert first_row(labels) == [1, 0, 0, 0, 1, 0]
    assert not labels.conflicts(GRID.window).any()


def test_one_file_of_polygons_has_its_background(write_polygons):
    one = write_polygons("w.gpkg", [square(0, 1)], kind=["roof"])

    assert first_row(open_all(one, legend=WITH_BACKGROUND, attribute="kind")) == [1, 0, 0, 0, 0, 0]


def test_rasters_alone_leave_ground_unlabelled_whatever_the_background(tile):
    paths = tile("a.tif", [1], 0), tile("b.tif", [1], 2)

    assert first_row(open_all(*paths, legend=WITH_BACKGROUND)) == [1, U, 1, U, U, U]


def test_a_raster_and_polygons_in_another_crs_together(tile, write_polygons):
    raster = tile("a.tif", [0, 0, 0], 0)
    [far] = gpd.GeoSeries([square(2, 2)], crs=32632).to_crs(4326)
    drawn = write_polygons("p.geojson", [far], crs="EPSG:4326", kind=["roof"])

    references = open_all(raster, drawn, attribute="kind")

    assert first_row(references) == [0, 0, 0, 1, U, U]
    assert references.conflicts(GRID.window)[0].tolist() == [
        False,
        False,
        True,
        False,
        False,
        False,
    ]


def test_a_raster_in_another_crs_is_resampled_only_on_request(tile, write_raster):
    near = tile("a.tif", [1], 0)
    # a hundred degrees of longitude east lies nothing of the grid
    far = write_raster("far.tif", np.zeros((2, 2), np.uint8), crs="EPSG:4326",
                       transform=Affine(1, 0, 109, 0, -1, 51))  # fmt: skip

    with pytest.raises(GridMismatchError, match="--resample"):
        open_all(near, far)
    assert open_all(near, far, resample=True).used == (near,)


def test_polygons_of_a_class_in_all_files_are_numbered(write_polygons):
    west = write_polygons("w.gpkg", [square(0, 2), square(2, 1)], kind=["roof", "other"])
    east = write_polygons("e.gpkg", [square(3, 3)], kind=["roof"])

    labels = open_all(west, east, attribute="kind").polygons_of(1).read(GRID.window)

    assert labels.numbers[labels.local][0].tolist() == [2, 2, 0, 1, 1, 1]


def test_a_raster_has_no_polygons(tile):
    with pytest.raises(VectorError, match=r"a\.tif: a raster has no polygons"):
        open_all(tile("a.tif", [1], 0)).polygons_of(1)
