from types import SimpleNamespace

import numpy as np
import pytest
import torch

from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import IGNORE
from geoseg.prediction.scores import Threshold, classify, threshold_factors
from geoseg.training.calibration import (
    LEVELS,
    Sample,
    calibrate,
    draw_sample,
    find_thresholds,
    fit_temperature,
    reliability,
)


def draw_truth(scores, rng):
    """A class for each pixel, drawn by its scores: these are calibrated."""
    return (scores.cumsum(axis=1) < rng.random((len(scores), 1))).sum(axis=1).astype(np.uint8)


def overconfident(times, pixels=20_000):
    """Pixels of three classes, whose logits are so many times as large as they should be."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (pixels, 3)).astype(np.float32)
    scores = torch.from_numpy(logits).softmax(dim=1).numpy()
    return Sample(times * logits, draw_truth(scores, rng))


@pytest.mark.parametrize("times", [0.5, 1.0, 2.5])
def test_logits_that_are_so_many_times_too_large_are_divided_by_that(times):
    sample = overconfident(np.float32(times))

    temperature = fit_temperature(sample)

    assert temperature == pytest.approx(times, rel=0.05)
    assert reliability(sample.scores(temperature), sample.truth).ece < 0.01
    if times != 1:
        assert reliability(sample.scores(1.0), sample.truth).ece > 0.05


def test_no_temperature_near_it_has_a_lower_cross_entropy_in_torch():
    sample = overconfident(np.float32(2.5), pixels=500)
    logits, truth = torch.from_numpy(sample.logits), torch.from_numpy(sample.truth).long()

    found = fit_temperature(sample)

    least, *others = (
        torch.nn.functional.cross_entropy(logits.double() / each, truth).item()
        for each in (found, found * 1.01, found / 1.01)
    )
    assert least < min(others)


def test_a_network_that_is_always_right_stays_within_the_bounds():
    logits = np.array([[0, 1], [1, 0]], np.float32)

    assert fit_temperature(Sample(logits, np.array([1, 0], np.uint8))) == 0.25


class Task(SimpleNamespace):
    """Gives the bands of an image as logits; the last class does not count."""

    classes, device = 3, torch.device("cpu")
    counted = np.array([True, True, False])

    def __call__(self, images):
        return images

    def eval(self):
        pass


class Patches(SimpleNamespace):
    """A patch of 2 x 2 px: bands are classes."""

    record = SimpleNamespace(legend=SimpleNamespace(names=["a", "b", "c"]))

    image = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    mask = np.array([[1, IGNORE], [2, 0]], np.uint8)

    def read(self, _):
        return self.image, self.mask


def test_only_labelled_pixels_of_classes_that_count_are_looked_at():
    sample = draw_sample(Task(), Patches(), [0], np.random.default_rng(0))

    assert sample.truth.tolist() == [1, 0]
    assert sample.logits.tolist() == [[0, 4, 8], [3, 7, 11]]


def test_of_many_pixels_some_are_drawn_and_the_same_by_the_same_seed(monkeypatch):
    monkeypatch.setattr("geoseg.training.calibration.MOST_PIXELS", 2)
    monkeypatch.setattr("geoseg.training.calibration.MOST_PATCHES", 2)

    found = [calibrate(Task(), Patches(), [0] * 5, seed=3) for _ in range(2)]

    assert found[0] == found[1]
    assert (found[0].pixels, found[0].patches) == (2, 2)


def test_ground_without_a_label_calibrates_nothing():
    unlabelled = Patches(mask=np.full((2, 2), IGNORE, np.uint8))

    assert calibrate(Task(), unlabelled, [0], seed=0) is None


def mean_iou(scores, truth, values):
    """Of the classes that `predict` gives pixels by thresholds of some class indices."""
    names = [str(index) for index in range(scores.shape[1])]
    thresholds = [Threshold(str(index), value) for index, value in values.items()]
    valid = np.ones((1, len(truth)), np.bool_)
    mapped = classify(scores.T[:, None], valid, threshold_factors(names, thresholds))
    counts = ConfusionMatrix.count(truth[None], mapped, valid=valid, classes=len(names))
    return counts.mean_iou


def shifted(classes, pixels=3000):
    """Scores of pixels, of which too few speak for the last class, a rare one."""
    rng = np.random.default_rng(classes)
    logits = rng.normal(0, 2, (pixels, classes)) - np.eye(classes)[-1]
    scores = torch.from_numpy(logits).softmax(dim=1).numpy()
    truth = draw_truth(scores, rng)
    rare = np.exp(logits) * np.where(np.arange(classes) == classes - 1, 0.2, 1)
    return (rare / rare.sum(axis=1, keepdims=True)).astype(np.float32), truth


def test_of_two_classes_no_other_threshold_maps_better():
    scores, truth = shifted(2)

    found = find_thresholds(scores, truth)

    every = [mean_iou(scores, truth, {1: value}) for value in LEVELS]
    ((index, value),) = found.values.items()
    assert (index, value) == (1, LEVELS[np.argmax(every)])
    assert value < 0.3
    assert found.miou_after == pytest.approx(max(every), abs=1e-3)
    assert found.miou_before == pytest.approx(mean_iou(scores, truth, {}))


def test_of_several_classes_the_gain_is_what_predict_has_of_it():
    scores, truth = shifted(4)

    found = find_thresholds(scores, truth)

    assert found.values[3] < 0.4
    assert int(np.bincount(truth).argmax()) not in found.values
    assert found.miou_after == pytest.approx(mean_iou(scores, truth, found.values), abs=1e-3)
    assert found.miou_after > found.miou_before + 0.01


def test_a_class_without_pixels_gets_no_threshold():
    scores, truth = shifted(4)
    absent = truth != 1

    found = find_thresholds(scores[absent], truth[absent])

    assert 3 in found.values
    assert 1 not in found.values


def test_scores_that_mean_what_they_say_of_classes_alike_need_no_threshold():
    scores = np.array([[0.9, 0.1], [0.1, 0.9]] * 5, np.float32)

    found = find_thresholds(scores, np.array([0, 1] * 5, np.uint8))

    assert found == ({}, 1.0, 1.0)
