import numpy as np
import pytest

from geoseg.labels.legend import IGNORE
from geoseg.prediction.scores import (
    SCORE_NODATA,
    classify,
    confidence,
    decode_scores,
    encode_scores,
)


def random_scores(classes, height=5, width=7):
    scores = np.random.default_rng(classes).random((classes, height, width), np.float32)
    return scores / scores.sum(axis=0)


def test_the_highest_score_gives_the_class():
    scores = np.array([[[0.6, 0.1, 0.2]], [[0.3, 0.7, 0.2]], [[0.1, 0.2, 0.6]]], np.float32)

    assert classify(scores, np.array([[True, True, True]])).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("classes", [1, 2, 3, 17])
def test_classes_agree_with_numpy_also_where_scores_are_equal(classes):
    scores = random_scores(classes).round(1)
    valid = np.random.default_rng(0).random((5, 7)) > 0.3

    classes = classify(scores, valid)

    assert (classes == np.where(valid, scores.argmax(axis=0), IGNORE)).all()
    assert classes.dtype == np.uint8


def test_the_best_of_nothing_is_not_class_zero():
    nothing = np.zeros((3, 2, 2), np.float32)

    assert (classify(nothing, np.zeros((2, 2), bool)) == IGNORE).all()


def test_classifying_leaves_the_scores_as_they_are():
    scores = random_scores(3)
    before = scores.copy()

    classify(scores, np.ones((5, 7), bool))

    assert (scores == before).all()


def test_stored_scores_are_within_half_a_step():
    scores = np.linspace(0, 1, 1001, dtype=np.float32).reshape(1, 7, 143)

    stored = encode_scores(scores, np.ones((7, 143), bool))

    assert stored.dtype == np.uint8
    assert stored.max() < SCORE_NODATA
    assert np.abs(decode_scores(stored) - scores).max() <= 1 / 508 + 1e-6


def test_nought_and_one_are_stored_exactly():
    stored = encode_scores(np.array([[[0, 1]]], np.float32), np.ones((1, 2), bool))

    assert stored.tolist() == [[[0, 254]]]
    assert decode_scores(stored).tolist() == [[[0, 1]]]


def test_stored_scores_survive_decoding():
    stored = np.arange(255, dtype=np.uint8).reshape(1, 1, 255)

    assert (encode_scores(decode_scores(stored), np.ones((1, 255), bool)) == stored).all()


@pytest.mark.parametrize("garbage", [0.0, 0.5, 1.0])
def test_what_is_not_valid_is_stored_as_nodata_whatever_it_holds(garbage):
    scores = np.array([[[0.5, garbage]], [[0.5, garbage]]], np.float32)

    stored = encode_scores(scores, np.array([[True, False]]))

    assert stored.tolist() == [[[127, SCORE_NODATA]]] * 2


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("score", [1, 0.5, 0.5]), ("margin", [1, 0, 0.25]), ("entropy", [1, 0, 0])],
)
def test_confidence_of_two_classes_can_be_read(kind, expected):
    scores = np.array([[[1, 0.5, 0.5]], [[0, 0.5, 0.5]]], np.float32)
    if kind == "margin":
        scores[:, 0, 2] = 0.625, 0.375

    assert confidence(scores, kind)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["score", "margin", "entropy"])
@pytest.mark.parametrize("classes", [1, 2, 5])
def test_confidence_lies_between_nought_and_one(kind, classes):
    figure = confidence(random_scores(classes), kind)

    assert figure.shape == (5, 7)
    assert figure.dtype == np.float32
    assert figure.min() >= -1e-6
    assert figure.max() <= 1 + 1e-6


@pytest.mark.parametrize("value", [13 / 254, 0.368, 0.2, 0.9, 0])
def test_entropy_of_even_scores_is_no_confidence_whatever_their_sum(value):
    scores = np.full((20, 1, 1), value, np.float32)

    assert encode_scores(confidence(scores, "entropy"), np.array([[True]])).tolist() == [[0]]


@pytest.mark.parametrize("classes", [2, 5])
def test_margin_agrees_with_sorting_and_entropy_with_its_formula(classes):
    scores = random_scores(classes)
    low_to_high = np.sort(scores, axis=0)
    entropy = -(scores * np.log2(scores)).sum(axis=0) / np.log2(classes)

    assert confidence(scores, "margin") == pytest.approx(
        low_to_high[-1] - low_to_high[-2], abs=1e-6
    )
    assert confidence(scores, "entropy") == pytest.approx(1 - entropy, abs=1e-5)
