"""Arcs with fewer points, and rounder ones: the coverage stays one."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
import shapely.affinity
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
    for _ in range(40):
        values = random_map(draw, side=30)
        polygons = simplified(values, tolerance, rounded=rounded)

        assert shapely.is_valid(polygons).all()
        assert shapely.coverage_is_valid(polygons)
        assert (shapely.area(polygons) > 0).all()
        assert shapely.area(polygons).sum() == pytest.approx(values.size)


def test_points_are_about_as_many_as_geos_leaves():
    draw = np.random.default_rng(3)
    values = np.kron(random_map(draw, side=40), np.ones((9, 9), np.uint8))
    values = np.where(draw.random(values.shape) < 0.02, 1, values).astype(np.uint8)
    _, _, polygons = outlines(values)
    theirs = shapely.coverage_simplify(polygons, 3, simplify_boundary=False)
    ours = simplified(values, 3)

    counts = [shapely.get_num_coordinates(each).sum() for each in (ours, theirs, polygons)]
    assert counts[0] < 1.35 * counts[1]
    assert counts[0] < counts[2]


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
