"""Objects as polygons on both sides: by hand, and against a loop over all pairs."""

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from geoseg.evaluation.matching import CountedGround, match_polygons
from geoseg.raster.grid import Grid

GRID = Grid(CRS.from_epsg(32632), Affine(0.5, 0, 0, 0, -0.5, 100), 200, 200)
"""100 m by 100 m."""

GROUND = CountedGround(GRID)


def shapes(*found):
    return np.array(found, object)


def test_four_objects_by_hand():
    reference = shapes(
        shapely.box(0, 0, 10, 10),
        shapely.box(20, 0, 30, 10),  # beside the next one, and mapped with it as one
        shapely.box(30, 0, 40, 10),
        shapely.box(50, 50, 60, 60),  # not mapped
    )
    mapped = shapes(
        shapely.box(0, 0, 10, 8),  # IoU 0.8
        shapely.box(20, 0, 40, 10),  # IoU 0.5 with either: it is one of them
        shapely.box(52, 61, 58, 70),  # near, but of nothing
    )

    counts = match_polygons(reference, mapped, GROUND, np.array([0.9, 0.6, 0.8])).counts

    assert (counts.reference, counts.mapped, counts.matched) == (4, 3, 2)
    assert (counts.precision, counts.recall) == (2 / 3, 2 / 4)
    assert counts.f1 == pytest.approx(4 / 7)
    assert counts.iou_sum == pytest.approx(0.8 + 0.5)
    # found by falling score: yes, no, yes. Recalls up to 1/4 at precision 1, to 2/4 at 2/3
    assert counts.ap50 == pytest.approx((26 + 25 * 2 / 3) / 101)


def brute_force(reference, mapped):
    """Pairs of the same object: all pairs, the best first."""
    ious = {
        (i, j): one.intersection(other).area / one.union(other).area
        for i, one in enumerate(reference)
        for j, other in enumerate(mapped)
    }
    pairs = []
    for (i, j), iou in sorted(ious.items(), key=lambda each: -each[1]):
        if iou >= 0.5 and all(i != one and j != other for one, other, _ in pairs):
            pairs.append((i, j, iou))
    return pairs


@pytest.mark.parametrize("seed", range(20))
def test_matches_are_those_of_a_loop_over_all_pairs(seed):
    draw = np.random.default_rng(seed)

    def blobs(centres):
        return shapes(*(
            shapely.affinity.scale(shapely.Point(*centre).buffer(draw.uniform(3, 6), 3),
                                   draw.uniform(0.6, 1.5), draw.uniform(0.6, 1.5))
            for centre in centres
        ))  # fmt: skip

    centres = draw.uniform(10, 90, (40, 2))
    reference, mapped = blobs(centres[:30]), blobs(centres[5:] + draw.normal(0, 1, (35, 2)))
    scores = draw.random(35)

    counts = match_polygons(reference, mapped, GROUND, scores).counts

    pairs = brute_force(reference, mapped)
    assert pairs
    assert (counts.reference, counts.mapped, counts.matched) == (30, 35, len(pairs))
    assert counts.iou_sum == pytest.approx(sum(iou for *_, iou in pairs))
    ious = np.zeros(35)
    for _, j, iou in pairs:
        ious[j] = iou
    assert counts.detections.ious == pytest.approx(ious)
    assert (counts.detections.scores == scores).all()


def test_a_polygon_is_matched_once():
    house = shapely.box(0, 0, 10, 10)

    counts = match_polygons(shapes(house), shapes(house, house, house), GROUND).counts

    assert (counts.reference, counts.mapped, counts.matched) == (1, 3, 1)


def test_ground_that_does_not_count_cuts_objects_on_both_sides():
    areas = [shapes(shapely.box(0, 0, 50, 100), shapely.box(40, 0, 60, 100))]
    ground = CountedGround(GRID, areas, unlabelled=shapes(shapely.box(0, 0, 100, 5)))
    reference = shapes(
        shapely.box(50, 0, 70, 10),  # 10 x 5 of it counts
        shapely.box(80, 80, 90, 90),  # nothing of it does
        shapely.box(-50, 90, -40, 95),  # beyond the grid
    )
    mapped = shapes(shapely.box(50, 5, 60, 9), shapely.box(59.9, 20, 70, 21))

    counts = match_polygons(reference, mapped, ground).counts

    assert (counts.reference, counts.mapped, counts.matched) == (1, 1, 1)
    assert counts.iou_sum == pytest.approx(40 / 50)
    assert counts.left_out == 1


def test_places_are_pixels_in_the_polygons_and_of_a_match_the_same():
    reference = shapes(shapely.box(10, 89.5, 10.5, 90), shapely.box(50, 50, 51, 51))
    mapped = shapes(shapely.box(70, 70, 71, 71), shapely.box(10, 89.5, 10.5, 90.1))

    found = match_polygons(reference, mapped, GROUND)

    assert found.reference[0] == 20 * 200 + 20
    assert found.mapped[1] == found.reference[0]
    assert np.divmod(found.mapped[0], 200) == pytest.approx((59, 141), abs=1)


@pytest.mark.parametrize(("reference", "mapped"), [([], [(0, 0, 5, 5)]), ([(0, 0, 5, 5)], [])])
def test_a_side_without_objects_matches_nothing(reference, mapped):
    counts = match_polygons(
        *(shapes(*(shapely.box(*each) for each in side)) for side in (reference, mapped)), GROUND
    ).counts

    assert (counts.reference, counts.mapped) == (len(reference), len(mapped))
    assert counts.matched == 0


def test_rings_that_cross_are_no_reason_to_fail():
    bow = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])

    counts = match_polygons(shapes(bow), shapes(bow), GROUND).counts

    assert counts.iou_sum == pytest.approx(1)
