import math

import numpy as np
import pytest
from sklearn import metrics

from geoseg.evaluation.calibration import LEVELS, ThresholdCounts, score_levels
from geoseg.prediction.scores import decode_scores


def test_a_stored_score_has_its_own_level():
    stored = np.arange(LEVELS, dtype=np.uint8)

    assert score_levels(decode_scores(stored)).tolist() == stored.tolist()


def test_a_score_between_two_levels_reaches_the_lower_one():
    assert score_levels(np.array([9.5 / 254, 9.99 / 254])).tolist() == [9, 9]


def test_a_small_case_written_out():
    scores = np.array([[200, 200, 100, 0]]) / 254  # of class 0
    counted = ThresholdCounts.count(scores, np.array([0, 1, 0, 1], np.uint8))

    at = [0, 1, 100, 101, 200, 201]
    assert counted.hits[0, at].tolist() == [2, 2, 2, 1, 1, 0]
    assert counted.false_alarms[0, at].tolist() == [2, 1, 1, 1, 1, 0]
    assert counted.precision[0, at[:5]].tolist() == [1 / 2, 2 / 3, 2 / 3, 1 / 2, 1 / 2]
    assert math.isnan(counted.precision[0, 201])
    assert counted.recall[0, at].tolist() == [1, 1, 1, 1 / 2, 1 / 2, 0]
    assert counted.iou[0, at].tolist() == [1 / 2, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 0]
    assert counted.best.tolist() == [50]  # the middle of 1..100


@pytest.fixture
def scored():
    """(3, n) scores in stored levels, and the reference."""
    rng = np.random.default_rng(1)
    reference = rng.integers(0, 3, 2000).astype(np.uint8)
    raw = rng.normal(size=(3, 2000)) + 1.5 * (np.arange(3)[:, None] == reference)
    scores = np.exp(raw) / np.exp(raw).sum(axis=0)
    return decode_scores(np.rint(scores * 254).astype(np.uint8)), reference


def test_curves_are_those_of_scikit_learn(scored):
    scores, reference = scored

    counted = ThresholdCounts.count(scores, reference)

    for index in range(3):
        own = reference == index
        precision, recall, at = metrics.precision_recall_curve(own, scores[index])
        levels = score_levels(at)
        assert counted.precision[index, levels] == pytest.approx(precision[:-1])
        assert counted.recall[index, levels] == pytest.approx(recall[:-1])
        assert counted.average_precision[index] == pytest.approx(
            metrics.average_precision_score(own, scores[index])
        )


@pytest.mark.parametrize("level", [1, 60, 127, 200])
def test_figures_at_a_threshold_are_those_of_scikit_learn(scored, level):
    scores, reference = scored

    counted = ThresholdCounts.count(scores, reference)

    for index in range(3):
        own, found = reference == index, np.rint(scores[index] * 254) >= level
        assert counted.f1[index, level] == pytest.approx(metrics.f1_score(own, found))
        assert counted.iou[index, level] == pytest.approx(metrics.jaccard_score(own, found))


def test_no_threshold_is_better_than_the_best(scored):
    counted = ThresholdCounts.count(*scored)

    best = counted.f1[np.arange(3), counted.best]
    assert best.tolist() == np.nanmax(counted.f1, axis=1).tolist()


def test_counts_add_up(scored):
    scores, reference = scored
    one = ThresholdCounts.count(scores[:, :700], reference[:700])
    other = ThresholdCounts.count(scores[:, 700:], reference[700:])

    both = ThresholdCounts.zeros(3) + one + other

    assert (both.hits == ThresholdCounts.count(scores, reference).hits).all()


def test_a_class_that_is_not_there_has_no_figures():
    counted = ThresholdCounts.count(np.array([[0.2], [0.8]]), np.array([1], np.uint8))

    assert math.isnan(counted.average_precision[0])
    assert counted.average_precision[1] == 1
    assert counted.best[0] == 255
