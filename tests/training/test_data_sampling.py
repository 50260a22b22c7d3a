import numpy as np
import pytest

from geoseg.errors import TrainingError
from geoseg.training.data import (
    MAX_OVERSAMPLING_FACTOR,
    draw_epoch,
    draw_probabilities,
    occurrence_numbers,
)

NAMES = ["land", "road", "car"]
SHARES = np.array([[1, 0, 0], [0.8, 0.2, 0], [0.7, 0.2, 0.1], [0.5, 0.5, 0]])


def rng(seed=0):
    return np.random.default_rng(seed)


def test_with_rare_every_class_is_as_likely_to_be_the_reason():
    found = draw_probabilities("rare", NAMES, SHARES)

    by_class = SHARES / SHARES.sum(axis=0)
    assert found == pytest.approx(by_class.mean(axis=1))
    assert found.argmax() == 2


def test_a_class_that_no_patch_has_is_no_reason():
    found = draw_probabilities("rare", ["land", "car"], np.array([[1, 0], [1, 0]]))

    assert found.tolist() == [0.5, 0.5]


def test_no_patch_is_taken_too_often():
    shares = np.zeros((1000, 2))
    shares[:, 0] = 1
    shares[0] = 0.5  # the only one with the second class

    found = draw_probabilities("rare", ["land", "car"], shares)

    assert found[0] * 1000 == pytest.approx(MAX_OVERSAMPLING_FACTOR)
    assert found[1:] == pytest.approx((1 - found[0]) / 999)


def test_patches_with_a_class_are_taken_as_often_as_its_factor_says():
    found = draw_probabilities("road=2, car=6", NAMES, SHARES)

    assert found == pytest.approx(np.array([1, 2, 6, 2]) / 11)


def test_a_factor_below_1_takes_them_more_seldom():
    assert draw_probabilities("land=0.5,road=1", NAMES, SHARES) == pytest.approx(
        np.array([0.5, 1, 1, 1]) / 3.5
    )


def test_a_few_pixels_are_not_a_class():
    shares = np.array([[1, 0], [0.9995, 0.0005]])

    assert draw_probabilities("car=9", ["land", "car"], shares).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("often", "--oversample often: is neither rare nor a list such as land=3"),
        ("", "is neither rare nor a list"),
        ("bus=2", "no class is named 'bus'; they are land, road, car"),
        ("car=2,road=lots", "'lots' is not a number above 0"),
        ("car=0", "'0' is not a number above 0"),
        ("car=inf", "'inf' is not a number above 0"),
    ],
)
def test_what_cannot_be_is_refused(text, message):
    with pytest.raises(TrainingError, match=message):
        draw_probabilities(text, NAMES, SHARES)


def test_without_chances_an_epoch_takes_every_patch_once():
    assert sorted(draw_epoch(20, rng())) == list(range(20))
    assert draw_epoch(20, rng()).tolist() != draw_epoch(20, rng(1)).tolist()


@pytest.mark.parametrize(("samples", "times"), [(5, {0, 1}), (20, {1}), (50, {2, 3}), (60, {3})])
def test_more_or_fewer_samples_are_spread_over_all_patches(samples, times):
    counts = np.bincount(draw_epoch(20, rng(), samples=samples), minlength=20)

    assert counts.sum() == samples
    assert set(counts.tolist()) == times


def test_an_epoch_takes_each_as_often_as_it_is_likely_up_to_rounding():
    likely = rng(1).random(30) ** 3
    likely /= likely.sum()

    for seed in range(20):
        counts = np.bincount(draw_epoch(30, rng(seed), samples=200, likely=likely), minlength=30)

        assert (abs(counts - 200 * likely) < 1 + 1e-9).all()


def test_over_epochs_the_mean_is_what_is_likely():
    likely = np.array([0.55, 0.25, 0.15, 0.05])

    drawn = np.concatenate([draw_epoch(4, rng(seed), likely=likely) for seed in range(2000)])

    assert np.bincount(drawn) / len(drawn) == pytest.approx(likely, abs=0.015)


def test_the_same_patch_is_not_taken_in_a_row():
    likely = np.array([0.9, *[0.01] * 10])

    order = draw_epoch(11, rng(), samples=1000, likely=likely)

    others = np.flatnonzero(order)
    assert np.diff(others).max() < 100
    assert others[0] < 100


def test_repeats_count_from_0():
    assert occurrence_numbers(np.array([2, 2, 0, 2, 0])).tolist() == [0, 1, 0, 2, 1]
    assert occurrence_numbers(np.array([], np.int64)).tolist() == []
