from dataclasses import replace

import numpy as np
import pytest
from rules import like_a_network, random_image

from geoseg.errors import BundleError, GeosegWarning, InputError, LegendError, OutputExistsError
from geoseg.labels.tags import read_tags
from geoseg.prediction.map_writer import LayerOptions, MapOutputs
from geoseg.prediction.mosaic import mosaic
from geoseg.prediction.scores import (
    Threshold,
    chosen_thresholds,
    classify,
    threshold_factors,
)

OFTEN_B = (Threshold("b", 0.1),)


def shares(classes, pixels=2000):
    """(classes, 1, pixels) scores that sum to 1, and that all are valid."""
    scores = np.random.default_rng(classes).dirichlet([1] * classes, pixels).astype(np.float32)
    return scores.T[:, None], np.ones((1, pixels), np.bool_)


def test_a_threshold_is_written_with_all_its_digits():
    threshold = Threshold("building", 0.12345678)

    assert Threshold.parse(str(threshold)) == threshold


@pytest.mark.parametrize("value", [0.05, 0.35, 0.5, 0.9])
def test_of_two_classes_one_is_taken_from_its_threshold_on(value):
    scores, valid = shares(2)
    factors = threshold_factors(["other", "building"], [Threshold("building", value)])

    classes = classify(scores, valid, factors)

    clear = np.abs(scores[1] - value) > 1e-6
    assert np.array_equal(classes[clear], (scores[1] > value)[clear])


def test_of_three_classes_the_formula_decides():
    scores = np.array([[0.5, 0.5, 0.3], [0.2, 0.26, 0.3], [0.3, 0.24, 0.4]], np.float32)[:, None]
    factors = threshold_factors(list("abc"), [Threshold("b", 0.35)])

    classes = classify(scores, np.ones((1, 3), np.bool_), factors)

    assert factors.tolist() == pytest.approx([1, 0.65 / 0.35, 1])
    assert classes.tolist() == [[0, 0, 1]]  # b counts 0.37, 0.48 and 0.56


def test_a_threshold_of_one_half_is_none():
    scores, valid = shares(4)
    factors = threshold_factors(list("abcd"), [Threshold(name, 0.5) for name in "acd"])

    assert np.array_equal(classify(scores, valid, factors), classify(scores, valid))


@pytest.mark.parametrize("word", ["building", "building=", "=0.3", "b=0", "b=1", "b=nan", "b=x"])
def test_what_is_no_threshold_is_refused(word):
    with pytest.raises(ValueError, match="neither auto nor CLASS=SCORE"):
        Threshold.parse(word)


@pytest.mark.parametrize(
    ("thresholds", "error", "reason"),
    [
        ([("z", 0.3)], LegendError, "no such class; they are a, b"),
        ([("a", 0.3), ("a", 0.4)], InputError, "no class twice"),
        ([("a", 0.3), ("b", 0.7)], InputError, "leave one class without"),
    ],
)
def test_thresholds_that_do_not_fit_the_classes_are_refused(thresholds, error, reason):
    with pytest.raises(error, match=reason):
        threshold_factors(["a", "b"], [Threshold(*each) for each in thresholds])


def test_auto_takes_those_of_the_model_if_it_has_some(bundle):
    tuned = replace(bundle, thresholds={"b": 0.3})

    assert chosen_thresholds(["auto"], tuned) == (Threshold("b", 0.3),)
    with pytest.warns(GeosegWarning, match="none gained enough"):
        assert chosen_thresholds(["auto"], replace(bundle, thresholds={})) == ()
    with pytest.raises(BundleError, match="has no thresholds of its own"):
        chosen_thresholds(["auto"], bundle)
    with pytest.raises(InputError, match="asks a model"):
        chosen_thresholds(["auto"], None)
    with pytest.raises(InputError, match="goes with no other"):
        chosen_thresholds(["auto", Threshold("b", 0.2)], tuned)
    with pytest.raises(LegendError, match="no such class"):
        chosen_thresholds([Threshold("z", 0.2)], bundle)


@pytest.fixture
def ortho(write_raster):
    return write_raster("ortho.tif", random_image(20, 30, holes=0.1), nodata=0)


def test_a_map_by_thresholds_has_the_same_scores_and_says_so(ortho, predict, tmp_path, read):
    layers = {"scores": tmp_path / "scores.tif", "score_type": "float32"}
    predict(ortho, like_a_network, more=layers)
    plain, scores = read(tmp_path / "out/map.tif"), read(tmp_path / "scores.tif")

    chosen = layers | {"thresholds": OFTEN_B, "overwrite": True}
    predict(ortho, like_a_network, more=chosen)

    mapped = read(tmp_path / "out/map.tif")
    assert np.array_equal(read(tmp_path / "scores.tif"), scores, equal_nan=True)
    valid = ~np.isnan(scores[0])
    often_b = (scores * np.array([1, 9, 1])[:, None, None])[:, valid].argmax(axis=0)
    assert np.array_equal(mapped[0][valid], np.array([7, 0, 3])[often_b])
    assert np.count_nonzero(mapped == 0) > np.count_nonzero(plain == 0)
    assert read_tags(tmp_path / "out/map.tif")["thresholds"] == {"b": 0.1}
    assert "thresholds" not in read_tags(tmp_path / "scores.tif")


def test_a_map_of_other_thresholds_is_not_what_resume_looks_for(ortho, predict, tmp_path):
    first = predict(ortho, more={"thresholds": OFTEN_B})
    before = first.path.read_bytes()

    assert predict(ortho, more={"thresholds": OFTEN_B}, resume=True) == first
    with pytest.raises(OutputExistsError):
        predict(ortho, resume=True)
    assert first.path.read_bytes() == before


def test_windows_joined_by_thresholds_give_the_bytes_of_the_map(ortho, predict, tmp_path):
    first = predict(ortho, like_a_network, windows=tmp_path / "kept", more={"thresholds": OFTEN_B})
    outputs = LayerOptions(thresholds=OFTEN_B).outputs(tmp_path / "joined.tif", overwrite=False)

    mosaic(sorted((tmp_path / "kept").glob("*.tif")), outputs)

    assert outputs.class_map.read_bytes() == first.path.read_bytes()


def test_class_maps_have_no_scores_for_thresholds(ortho, predict, tmp_path):
    report = predict(ortho)

    with pytest.raises(InputError, match="--threshold is for scores"):
        mosaic([report.path], MapOutputs(class_map=tmp_path / "m.tif", thresholds=OFTEN_B))
