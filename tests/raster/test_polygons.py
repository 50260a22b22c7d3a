import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from shapely import MultiPolygon, box

from geoseg.raster.grid import Grid
from geoseg.raster.polygons import BurntPolygons, NumberedPolygons
from geoseg.raster.window import Window, blocks

GRID = Grid(CRS.from_epsg(32632), Affine(1, 0, 500_000, 0, -1, 5_700_004), 4, 6)


def square(col, row, width, height):
    return box(500_000 + col, 5_700_004 - row - height, 500_000 + col + width, 5_700_004 - row)


def read(geometries, window=GRID.window, crs=32632):
    return NumberedPolygons(gpd.GeoSeries(geometries, crs=32632).to_crs(crs), GRID).read(window)


def shown(labels):
    return labels.numbers[labels.local].tolist()


@pytest.mark.parametrize("crs", [32632, 4326])
def test_touching_polygons_have_numbers_of_their_own(crs):
    labels = read([square(0, 0, 2, 2), square(2, 0, 3, 2)], crs=crs)

    assert shown(labels) == [[2, 2, 1, 1, 1, 0]] * 2 + [[0] * 6] * 2  # the largest is the first


def test_a_number_is_the_same_in_all_windows():
    squares = [square(0, 0, 1, 4), square(3, 1, 2, 3), square(5, 0, 1, 1)]
    rows = [Window(row_off=row, col_off=0, height=1, width=6) for row in range(4)]

    parts = [shown(read(squares, row)) for row in rows]

    assert np.concatenate(parts).tolist() == shown(read(squares))
    assert read(squares, rows[3]).numbers.tolist() == [0, 1, 2]


def test_of_overlapping_polygons_the_smallest_lies_on_top():
    assert shown(read([square(1, 0, 1, 1), square(0, 0, 6, 4)]))[0] == [1, 2, 1, 1, 1, 1]


def test_parts_of_a_polygon_are_polygons():
    labels = read([MultiPolygon([square(0, 0, 1, 1), square(4, 0, 2, 1)])])

    assert shown(labels)[0] == [2, 0, 0, 0, 1, 1]


def test_polygons_elsewhere_are_not_on_the_grid():
    polygons = NumberedPolygons(
        gpd.GeoSeries([square(0, 0, 1, 1), square(50, 0, 1, 1)], crs=32632), GRID
    )

    assert polygons.on_grid == 1


def test_a_pixel_whose_centre_lies_on_an_edge_reads_the_same_in_all_windows():
    side = 0.14929107  # no sum of powers of two
    place = Affine(side, 0, 9_497_314.2, 0, -side, 3_212_011.7)
    grid = Grid(CRS.from_epsg(3857), place, 200, 200)
    corners = np.random.default_rng(0).integers(0, 150, (40, 2)) + 0.5
    boxes = [box(*(place @ corner), *(place @ (corner + 25))) for corner in corners]
    polygons = gpd.GeoSeries(boxes, crs=3857)
    burnt = BurntPolygons(polygons, np.arange(40, dtype=np.uint8), grid, background=255)
    numbered = NumberedPolygons(polygons, grid)

    whole, numbers = burnt.read(grid.window), np.array(shown(numbered.read(grid.window)))

    for window in blocks(200, 200, rows=33, cols=33):
        assert (burnt.read(window) == whole[window.slices]).all()
        assert (shown(numbered.read(window)) == numbers[window.slices]).all()
