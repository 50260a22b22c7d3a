"""How much the windows and views that show a pixel differ."""

import numpy as np
import pytest
from rules import Rule, brightest_band, like_a_network, random_image

from geoseg.errors import InputError
from geoseg.model.ensemble import LoadedModels, RuntimeOptions, WithSquares
from geoseg.prediction.blend import WindowGrid
from geoseg.prediction.map_writer import MapOutputs
from geoseg.prediction.mosaic import mosaic
from geoseg.prediction.plan import PredictOptions
from geoseg.prediction.predict import predict_map
from geoseg.prediction.scores import confidence
from geoseg.raster.window import Window


def moody(images):
    """The first class on the left of a window, the second on its right, whatever it shows."""
    place = np.linspace(0, 1, images.shape[-1], dtype=np.float32)
    first = np.broadcast_to(1 - place, images[:, 0].shape)
    return np.stack([first, 1 - first, 0 * first], axis=1)


@pytest.fixture
def ortho(write_raster):
    return write_raster("ortho.tif", random_image(23, 31, holes=0.1), nodata=0)


@pytest.fixture
def layers(tmp_path):
    """Scores and disagreement beside a map."""
    return {
        "scores": tmp_path / "scores.tif",
        "score_type": "float32",
        "confidence": tmp_path / "confidence.tif",
        "confidence_kind": "disagreement",
        "overwrite": True,
    }


@pytest.fixture
def squared(bundle):
    """A function that gives a rule whose scores have the band of squares."""
    return lambda rule: WithSquares(Rule(rule, bundle))


def test_two_windows_that_contradict_each_other_are_least_certain():
    one, other = np.array([[1, 0], [0, 1]], np.float32)
    scores = np.array([(one + other) / 2, one]).T[:, None]
    squares = np.ones((1, 1, 2), np.float32)

    found = confidence(np.concatenate([scores, squares]), "disagreement")

    assert found.tolist() == [[pytest.approx(1 - np.sqrt(0.5)), 1]]


def test_disagreement_is_the_deviation_over_windows_where_there_are_several(
    ortho, predict, squared, layers, tmp_path, read
):
    predict(ortho, squared(moody), stride=5, more=layers)
    found, scores = read(tmp_path / "confidence.tif")[0], read(tmp_path / "scores.tif")

    def of_squares(images):
        """The mean of the sums of squares, as the score of a class."""
        squares = (moody(images) ** 2).sum(axis=1, keepdims=True)
        return np.concatenate([squares, 0 * squares, 0 * squares], axis=1)

    predict(ortho, of_squares, stride=5, more=layers | {"confidence": None})
    deviation = np.sqrt(np.maximum(read(tmp_path / "scores.tif")[0] - (scores**2).sum(axis=0), 0))
    window_grid = WindowGrid(23, 31, 8, 5, "hann", 1)
    alone = ~window_grid.shared(window_grid.whole)
    known = found != 255
    assert np.array_equal(known, ~np.isnan(scores[0]) & ~alone)
    assert 0 < np.count_nonzero(alone) < known.sum()
    assert found[known] == pytest.approx(254 * (1 - deviation[known]), abs=0.6)
    assert found[known].min() < 150


def test_a_rule_that_sees_a_pixel_alone_agrees_with_itself(ortho, predict, squared, layers, read):
    predict(ortho, squared(brightest_band), more=layers)

    assert set(np.unique(read(layers["confidence"]))) == {254, 255}


def test_map_and_scores_are_the_same_bytes_whether_it_is_asked_for_or_not(
    ortho, predict, squared, layers, tmp_path
):
    paths = [tmp_path / "out/map.tif", layers["scores"]]
    predict(ortho, like_a_network, more=layers | {"confidence": None})
    before = [path.read_bytes() for path in paths]

    predict(ortho, squared(like_a_network), more=layers)

    assert [path.read_bytes() for path in paths] == before


def test_views_and_models_disagree_too_and_then_every_pixel_is_known(
    ortho, bundle, layers, tmp_path, read
):
    running = RuntimeOptions(test_time_augmentation="flips", squares=True)
    rules = [like_a_network, brightest_band]
    models = LoadedModels(
        [bundle, bundle], running, open_one=lambda own, **_: Rule(rules.pop(), own)
    )
    outputs = MapOutputs(class_map=tmp_path / "map.tif", **layers)

    predict_map(ortho, models, outputs, options=PredictOptions(patch_size=8, stride=8))

    assert models.views == 8
    found, scores = read(layers["confidence"])[0], read(layers["scores"])
    assert np.array_equal(found == 255, np.isnan(scores[0]))
    assert len(np.unique(found)) > 20


def test_squares_are_of_the_scores_of_each_window():
    images = np.random.default_rng(0).random((2, 3, 4, 4), np.float32)

    scores = WithSquares(Rule(like_a_network, None))(images)

    assert np.array_equal(scores[:, :3], like_a_network(images))
    assert scores[:, 3] == pytest.approx((scores[:, :3] ** 2).sum(axis=1), abs=1e-6)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 30), (23, 31)])
@pytest.mark.parametrize("stride", [3, 6, 8])
def test_pixels_are_shared_that_two_windows_reach(height, width, stride):
    grid = WindowGrid(height, width, 8, stride, "hann", 1)
    reached = np.zeros((height + 16, width + 16), int)
    for window in grid.windows(grid.whole):
        rows, cols = window.row_off + 8, window.col_off + 8
        reached[rows : rows + 8, cols : cols + 8] += 1
    part = Window(row_off=2, col_off=1, height=height - 3, width=width - 1)

    assert np.array_equal(grid.shared(part), reached[10 : height + 7, 9 : width + 8] > 1)


def test_what_was_blended_already_has_no_disagreement(ortho, predict, layers, tmp_path):
    report = predict(ortho, windows=tmp_path / "kept")
    outputs = MapOutputs(class_map=tmp_path / "mosaic.tif", **layers)

    with pytest.raises(InputError, match="`geoseg predict` writes it"):
        mosaic(sorted((tmp_path / "kept").glob("*.tif")), outputs)
    with pytest.raises(InputError, match="`geoseg predict` writes it"):
        mosaic([report.path], outputs)


def test_scores_without_squares_are_not_taken_for_some_with(ortho, predict, layers):
    with pytest.raises(ValueError, match="3 bands of scores for 3 classes"):
        predict(ortho, more=layers)
