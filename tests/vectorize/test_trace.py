"""Outlines of labelled regions, by the arcs that neighbours share."""

import numpy as np
import pytest
import shapely
from rasterio.features import rasterize
from vectorize_maps import outlines, random_map

from geoseg.vectorize.trace import trace


def rings(polygon):
    """Coordinates of the outer ring and of the holes, each without its closing point."""
    return [list(ring.coords)[:-1] for ring in (polygon.exterior, *polygon.interiors)]


def test_one_pixel_is_a_square_that_begins_at_its_upper_left_corner():
    _, _, (square,) = outlines([[5]])

    assert rings(square) == [[(0, 0), (1, 0), (1, 1), (0, 1)]]


def test_pixels_that_touch_at_a_corner_are_two_polygons():
    _, _, polygons = outlines([[1, 0], [0, 1]])

    assert [polygon.area for polygon in polygons] == [1, 1, 1, 1]
    assert shapely.coverage_is_valid(polygons)


def test_a_region_that_touches_itself_at_a_corner_has_a_hole_there():
    _, _, polygons = outlines([[1, 1, 1], [1, 2, 1], [3, 1, 1]])
    ring = polygons[0]

    assert ring.is_valid
    assert [len(each) for each in rings(ring)] == [6, 4]
    assert ring.area == 7


def test_neighbours_have_a_point_where_a_third_region_begins():
    _, _, (left, upper, lower) = outlines([[1, 2], [1, 3]])

    assert (1, 1) in rings(left)[0]
    assert (1, 1) in rings(upper)[0]
    assert (1, 1) in rings(lower)[0]


def test_a_border_is_stored_once():
    _, coverage, _ = outlines(np.pad([[1]], 1))

    assert sum(coverage.arcs.is_closed) == 1  # the pixel's: the hole is the same, backwards
    assert sorted(coverage.steps.tolist()).count(~np.flatnonzero(coverage.arcs.is_closed)[0]) == 1


@pytest.mark.parametrize("seed", range(8))
def test_polygons_are_the_map(seed):
    draw = np.random.default_rng(seed)
    for _ in range(10):
        values = random_map(draw)
        regions, coverage, polygons = outlines(values)
        numbered = zip(polygons, range(len(polygons)), strict=True)
        back = rasterize(numbered, out_shape=values.shape, fill=-1, dtype=np.int32)

        assert np.array_equal(back, regions.labels)
        assert np.array_equal(shapely.area(polygons), regions.areas)
        assert shapely.is_valid(polygons).all()
        assert shapely.coverage_is_valid(polygons)
        points = coverage.points(np.arange(len(polygons)))
        assert np.array_equal(points, shapely.get_num_coordinates(polygons))


def test_a_forced_corner_is_a_point_of_the_outlines_that_pass_it():
    labels = np.zeros((2, 2), np.int32)
    forced = np.zeros((3, 3), np.bool_)
    forced[0, 1] = forced[1, 1] = True

    (square,) = trace(labels, forced).polygons(np.array([0]))

    assert (1, 0) in rings(square)[0]
    assert (1, 1) not in rings(square)[0]  # no outline passes the middle
