import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from geoseg.evaluation.calibration import Reliability


def test_a_small_case_written_out():
    top, right = np.array([0.5, 0.6, 0.9, 1.0]), np.array([True, False, True, True])

    counted = Reliability.count(top, right, bins=2)

    assert counted.pixels.tolist() == [1, 3]  # 0.5 is in the lower bin
    assert counted.right.tolist() == [1, 2]
    assert counted.mean_score.tolist() == pytest.approx([0.5, 2.5 / 3])
    assert counted.ece == pytest.approx((0.5 + 0.5) / 4)
    assert counted.mce == pytest.approx(0.5)


@pytest.fixture(params=[np.float32, np.uint8], ids=["float32", "stored"])
def scored(request):
    """Scores of which the higher ones promise too much."""
    rng = np.random.default_rng(4)
    top = rng.uniform(0.3, 1, 3000).astype(np.float32)
    if request.param is np.uint8:
        top = np.rint(top * 254).astype(np.float32) / 254
    return top, rng.random(3000) < top**2


def test_bins_are_those_of_scikit_learn(scored):
    top, right = scored

    counted = Reliability.count(top, right)

    accuracy, score = calibration_curve(right, top, n_bins=15)
    known = counted.pixels > 0
    assert counted.accuracy[known] == pytest.approx(accuracy)
    assert counted.mean_score[known] == pytest.approx(score)


def test_errors_are_those_of_the_bins_of_scikit_learn(scored):
    top, right = scored
    accuracy, score = calibration_curve(right, top, n_bins=15)
    pixels, _ = np.histogram(top, np.linspace(0, 1, 16))

    counted = Reliability.count(top, right)

    gaps = np.abs(accuracy - score)
    assert counted.ece == pytest.approx(np.average(gaps, weights=pixels[pixels > 0]))
    assert counted.mce == pytest.approx(gaps.max())


def test_counts_add_up(scored):
    top, right = scored

    parts = [Reliability.count(top[part], right[part]) for part in (slice(900), slice(900, None))]

    assert sum(parts, Reliability.zeros()).ece == pytest.approx(Reliability.count(top, right).ece)


def test_scores_of_0_and_1_are_in_the_first_and_the_last_bin():
    counted = Reliability.count(np.array([0.0, 1.0]), np.array([False, True]), bins=3)

    assert counted.pixels.tolist() == [1, 0, 1]
    assert math.isnan(counted.accuracy[1])
    assert counted.ece == 0


def test_no_pixels_give_no_figures():
    assert math.isnan(Reliability.zeros().ece)
    assert math.isnan(Reliability.zeros().mce)
