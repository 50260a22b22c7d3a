import math

import numpy as np
import pytest
from scipy import ndimage

from geoseg.evaluation.matching import ObjectCounts, ObjectMatcher
from geoseg.postprocess.components import STRUCTURES, RegionSurvey, StripParts
from geoseg.raster.polygons import Labels


def mask(rows):
    return np.array([[mark == "#" for mark in row] for row in rows])


def match(reference, mapped, rows=100, connectivity=8):
    matcher = ObjectMatcher(connectivity=connectivity)
    for start in range(0, len(reference), rows):
        matcher.add(reference[start : start + rows], mapped[start : start + rows])
    return matcher.matches().counts


TRUTH = mask(["##..##", "##..##", "......", "#.....", ".#....", "....##"])  # four objects
FOUND = mask(["##..#.", "##....", "......", "##....", "##....", "......"])  # three


@pytest.mark.parametrize("rows", [1, 2, 3, 6])
def test_objects_of_a_small_map_written_out(rows):
    counted = match(TRUTH, FOUND, rows)

    assert (counted.reference, counted.mapped) == (4, 3)
    assert counted.matched == 2  # IoU 4/4 and 2/4; the one on the right has 1/4
    assert counted.mean_iou == pytest.approx((1 + 0.5) / 2)
    assert (counted.precision, counted.recall) == (2 / 3, 2 / 4)
    assert counted.f1 == pytest.approx(4 / 7)


@pytest.mark.parametrize("rows", [1, 2, 3, 6])
@pytest.mark.parametrize(("connectivity", "objects"), [(4, 5), (8, 4)])
def test_squares_that_touch_at_a_corner_are_one_object_only_if_wanted(rows, connectivity, objects):
    counted = match(TRUTH, TRUTH, rows, connectivity)

    assert (counted.reference, counted.mapped, counted.matched) == (objects,) * 3


@pytest.mark.parametrize("connectivity", [4, 8])
def test_objects_are_the_regions_of_postprocessing(connectivity):
    mapped = np.random.default_rng(0).random((40, 30)) < 0.5
    survey = RegionSurvey(connectivity)
    for start in range(0, 40, 7):
        strip = mapped[start : start + 7].astype(np.uint8)
        survey.add(StripParts.of(strip, connectivity))

    regions = int(np.count_nonzero(survey.result().values))

    assert match(mapped, mapped, 9, connectivity).mapped == regions
    assert regions == ndimage.label(mapped, STRUCTURES[connectivity])[1]


def test_an_object_may_be_joined_further_down():
    comb = mask(["#.#.#.", "#.#.#.", "#.#.#.", "#####."])

    counted = match(comb, comb, rows=1)

    assert counted == ObjectCounts(1, 1, 1, 1.0)


def test_two_halves_are_not_both_the_whole():
    counted = match(mask(["####"]), mask(["##.#"]))

    assert counted == ObjectCounts(1, 2, 1, 0.5)


def test_no_objects_give_no_figures():
    counted = match(mask(["..", ".."]), mask(["..", ".."]))

    assert counted == ObjectCounts()
    assert math.isnan(counted.f1)
    assert math.isnan(counted.mean_iou)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("seed", range(2))
def test_matches_are_those_of_all_pairs_of_scipys_labels(seed, connectivity):
    rng = np.random.default_rng(seed)
    reference = ndimage.binary_opening(rng.random((60, 50)) < 0.7)
    mapped = reference ^ (rng.random((60, 50)) < 0.03)
    structure = ndimage.generate_binary_structure(2, 1 if connectivity == 4 else 2)
    truth, found = (ndimage.label(each, structure) for each in (reference, mapped))

    counted = match(reference, mapped, rows=7, connectivity=connectivity)

    ious = []
    for one in range(1, truth[1] + 1):
        for other in range(1, found[1] + 1):
            of_one, of_other = truth[0] == one, found[0] == other
            ious.append((of_one & of_other).sum() / (of_one | of_other).sum())
    assert (counted.reference, counted.mapped) == (truth[1], found[1])
    assert counted.matched == sum(iou >= 0.5 for iou in ious)
    assert counted.iou_sum == pytest.approx(sum(iou for iou in ious if iou >= 0.5))


def test_an_object_has_the_mean_score_of_its_pixels():
    found = mask(["##..", "#...", "...#"])
    scores = np.array([[0.9, 0.6, 0, 0], [0.3, 1, 1, 1], [0, 0, 0, np.nan]])
    matcher = ObjectMatcher()
    for row in range(3):
        matcher.add(found[row : row + 1], found[row : row + 1], scores[row : row + 1])

    detections = matcher.matches().counts.detections

    assert detections.scores.tolist() == pytest.approx([0.6, 0])
    assert detections.ious.tolist() == [1, 1]


def test_numbered_objects_stay_apart_where_they_touch():
    local = np.array([[1, 1, 2, 2], [0, 0, 2, 2]])
    matcher = ObjectMatcher(numbered=True)
    matcher.add(Labels(local[:1], np.array([0, 5, 9])), mask(["##.."]))
    matcher.add(Labels((local[1:] == 2).astype(int), np.array([0, 9])), mask(["...."]))

    counted = matcher.matches().counts

    assert (counted.reference, counted.mapped, counted.matched) == (2, 1, 1)
    assert counted.mean_iou == 1


@pytest.mark.parametrize("rows", [1, 2, 3, 6])
def test_objects_are_where_their_first_pixel_is_and_matches_where_the_reference_is(rows):
    found = mask([".#..#.", "##....", "......", "##....", "##....", "......"])
    matcher = ObjectMatcher(connectivity=8)
    for start in range(0, 6, rows):
        matcher.add(TRUTH[start : start + rows], found[start : start + rows])

    matches = matcher.matches()

    assert matches.reference.tolist() == [0, 4, 18, 34]
    # the first has an IoU of 3/4, the one on the right of 1/4, the one below of 2/4
    assert sorted(matches.mapped.tolist()) == [0, 4, 18]
    assert matches.counts.matched == 2


def test_an_object_joined_further_down_is_where_its_first_part_is():
    comb = mask(["..#...", "#.#...", "###..."])
    matcher = ObjectMatcher()
    for row in range(3):
        matcher.add(comb[row : row + 1] & False, comb[row : row + 1])

    assert matcher.matches().mapped.tolist() == [2]
