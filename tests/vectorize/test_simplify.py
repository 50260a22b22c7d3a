"""Arcs with fewer points, and rounder ones: the coverage stays one."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
import shapely.affinity
from scipy import ndimage
from vectorize_maps import outlines, random_map

from geoseg.vectorize.simplify import are_free, simplify, smooth

STAIRS = np.tri(12, dtype=np.uint8)


def simplified(values, tolerance, *, rounded=False):
    """Polygons of an array of classes."""
    regions, coverage, _ = outlines(values)
    arcs = simplify(coverage.arcs, tolerance, values.shape)
    if rounded:
        arcs = smooth(arcs, values.shape)
    return replace(coverage, arcs=arcs).polygons(np.arange(len(regions.values)))


def test_stairs_become_a_slope():
    below = simplified(STAIRS, 1)[0]

    assert len(below.exterior.coords) <= 8
    assert below.area == pytest.approx(12 * 12 / 2, abs=12)  # at most a pixel of the slope away


@pytest.mark.parametrize("run", [1, 2, 5, 12])
def test_every_slope_becomes_a_line(run):
    rows, columns = np.indices((60, 60))
    slope = (columns // run < rows).astype(np.uint8)
    upper, lower = simplified(slope, 1)

    assert len(lower.exterior.coords) <= 9
    assert abs(lower.area - slope.sum()) <= 60
    assert upper.area + lower.area == slope.size


def test_a_strip_of_one_pixel_keeps_its_ends():
    road = np.zeros((9, 30), np.uint8)
    road[4, 3:27] = 1

    assert simplified(road, 1)[1].area == 24


def test_no_tolerance_changes_nothing():
    _, coverage, _ = outlines(STAIRS)

    assert simplify(coverage.arcs, 0, STAIRS.shape) is coverage.arcs


def test_a_single_pixel_stays_a_square():
    whole = np.pad(np.ones((1, 1), np.uint8), 3)

    assert simplified(whole, 5)[1].area == 1


def test_a_region_between_two_nodes_does_not_collapse():
    lens = np.array([[1, 1, 1, 1], [1, 3, 3, 2], [2, 2, 2, 2]], np.uint8)
    polygons = simplified(lens, 10)

    assert (shapely.area(polygons) > 0).all()
    assert shapely.coverage_is_valid(polygons)


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("tolerance", [0.5, 1, 2, 5, 20])
def test_no_border_crosses_another(tolerance, rounded):
    draw = np.random.default_rng(round(10 * tolerance))
    for _ in range(25):
        values = random_map(draw, side=30)
        polygons = simplified(values, tolerance, rounded=rounded)

        assert shapely.is_valid(polygons).all()
        assert shapely.coverage_is_valid(polygons)
        assert (shapely.area(polygons) > 0).all()
        assert shapely.area(polygons).sum() == pytest.approx(values.size)


def test_fewer_points_are_left_than_by_geos():
    blobs = ndimage.gaussian_filter(np.random.default_rng(3).random((300, 300)), 12)
    values = np.digitize(blobs, np.quantile(blobs, [0.4, 0.8])).astype(np.uint8)
    _, _, polygons = outlines(values)
    theirs = shapely.coverage_simplify(polygons, 1, simplify_boundary=False)
    ours = simplified(values, 1)

    counts = [shapely.get_num_coordinates(each).sum() for each in (ours, theirs)]
    assert counts[0] < 0.7 * counts[1]  # it keeps flat stairs


def test_rounded_corners_stay_within_their_triangles():
    corner = np.zeros((12, 12), np.uint8)
    corner[6:, 6:] = 1
    _, rounded = simplified(corner, 0, rounded=True)

    assert 30 < rounded.area < 36
    assert len(rounded.exterior.coords) == 7  # one corner of four lies within the map


def test_all_corners_of_an_island_are_rounded():
    island = np.pad(np.ones((8, 8), np.uint8), 4)
    _, rounded = simplified(island, 0, rounded=True)

    assert len(rounded.exterior.coords) == 4 * 3 + 1
    assert rounded.symmetric_difference(shapely.affinity.rotate(rounded, 90)).area < 1e-9


def test_a_triangle_is_free_if_nothing_stands_in_it_or_on_its_edges():
    standing = np.zeros((5, 5), np.bool_)
    x, y = np.array([[0], [4], [0]]), np.array([[0], [0], [4]])
    standing[y.ravel(), x.ravel()] = True
    standing[4, 4] = True  # outside

    assert are_free(x, y, standing).tolist() == [True]
    for row, column in ((1, 1), (2, 2), (0, 3)):
        within = standing.copy()
        within[row, column] = True
        assert are_free(x, y, within).tolist() == [False]
