import math

import numpy as np
import pytest
from scipy import ndimage

from geoseg.evaluation.matching import Detections, ObjectCounts, ObjectMatcher


def counts(reference, ious, scores=None):
    found = np.array(ious, float)
    detections = Detections.of(found, None if scores is None else np.array(scores))
    return ObjectCounts(reference, len(found), int((found >= 0.5).sum()), detections=detections)


def test_precision_is_averaged_over_101_recalls():
    counted = counts(4, [0.9, 0.0, 0.6], scores=[0.8, 0.7, 0.3])

    # a hit, a miss, a hit: precision 1 up to a recall of 1/4, then 2/3 up to 2/4
    assert counted.ap50 == pytest.approx((26 * 1 + 25 * 2 / 3) / 101)


def test_ap_is_averaged_over_ten_ious():
    counted = counts(1, [0.72], scores=[0.5])

    assert counted.ap50 == 1
    assert counted.ap == pytest.approx(0.5)  # 0.50, 0.55, 0.60, 0.65 and 0.70 are reached


def test_without_scores_there_is_a_single_operating_point():
    counted = counts(4, [0.9, 0.0, 0.6])

    assert counted.ap50 == pytest.approx(51 * (2 / 3) / 101)  # precision 2/3, recall 2/4
    assert not counted.detections.scored


def test_the_order_of_objects_with_the_same_score_does_not_matter():
    one, other = (
        counts(3, [0.9, 0, 0.6], [0.5, 0.5, 0.1]),
        counts(3, [0, 0.9, 0.6], [0.5, 0.5, 0.1]),
    )

    assert one.ap50 == other.ap50


PYCOCOTOOLS = {
    0: (0.14282836656227205, 0.5021319899876177),
    1: (0.1637797500661068, 0.5222330410461083),
}
"""AP and AP50 by COCOeval of pycocotools 2.0.11 (segm, no limit of detections) for `town`."""


def town(seed):
    """Houses, those that a map has, and scores."""
    rng = np.random.default_rng(seed)
    truth, found = np.zeros((2, 120, 120), bool)
    for row in range(2, 110, 12):
        for col in range(2, 110, 12):
            height, width = rng.integers(4, 9, 2)
            if rng.random() < 0.8:
                truth[row : row + height, col : col + width] = True
            if rng.random() < 0.8:
                up, down, left, right = rng.integers(-1, 2, 4)
                found[row + up : row + height + down, col + left : col + width + right] = True
    score = ndimage.gaussian_filter(rng.random((120, 120)).astype(np.float32), 4)
    return truth, found, (score - score.min()) / np.ptp(score)


@pytest.mark.parametrize("seed", PYCOCOTOOLS)
@pytest.mark.parametrize("rows", [7, 120])
def test_ap_is_that_of_pycocotools(seed, rows):
    truth, found, score = town(seed)
    matcher = ObjectMatcher()
    for start in range(0, 120, rows):
        strip = slice(start, start + rows)
        matcher.add(truth[strip], found[strip], score[strip])

    counted = matcher.matches().counts

    assert (counted.ap, counted.ap50) == pytest.approx(PYCOCOTOOLS[seed], abs=1e-9)


def test_maps_are_pooled():
    one, other = counts(2, [0.9, 0.0], [0.9, 0.2]), counts(1, [0.8], [0.5])

    both = one + other

    assert both.ap50 == pytest.approx(counts(3, [0.9, 0.8, 0.0], [0.9, 0.5, 0.2]).ap50)
    assert both.detections.scored
    assert not (both + counts(1, [0.6])).detections.scored


def test_a_map_without_objects_finds_none_of_them():
    assert counts(3, []).ap50 == 0
    assert (counts(3, []) + counts(1, [0.8], [0.4])).detections.scored


def test_no_objects_in_the_reference_give_no_ap():
    assert math.isnan(counts(0, [0.0], [0.5]).ap50)
    assert math.isnan(counts(0, []).ap)


def test_an_object_that_counts_three_times_is_three_objects():
    ious, scores, times = [0.9, 0.0, 0.6, 0.7, 0.8], [0.8, 0.7, 0.7, 0.1, 0.9], [1, 3, 2, 1, 0]
    detections = Detections.of(np.array(ious), np.array(scores))
    three = counts(6, np.repeat(ious, times), np.repeat(scores, times)).detections

    drawn = detections.repeated(np.array(times))

    assert np.count_nonzero(drawn.ious) == 4
    for iou in (0.5, 0.65):
        assert drawn.average_precision(6, iou) == three.average_precision(6, iou) > 0
