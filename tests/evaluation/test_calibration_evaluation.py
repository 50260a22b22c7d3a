import numpy as np
import pytest
import rasterio
from sklearn import metrics
from sklearn.calibration import calibration_curve

from geoseg.evaluation.calibration import ScoreCounts
from geoseg.evaluation.compare import compare
from geoseg.evaluation.comparison import Pair

U = 255


def test_a_small_map_written_out():
    reference = np.array([[0, 0, 1, U, 1]], np.uint8)
    mapped = np.array([[0, 1, 1, 1, 0]], np.uint8)
    roof = np.array([[0.9, 0.3, 0.2, 0.2, 0.8]], np.float32)
    valid = np.array([[True, True, True, True, False]])

    counted = ScoreCounts.count(reference, mapped, np.stack([roof, 1 - roof]), valid=valid)

    assert counted.pixels == 3
    assert counted.without_scores == 1
    assert counted.reliability.right.sum() == 2
    assert counted.reliability.score_sum.sum() == pytest.approx(0.9 + 0.7 + 0.8)
    assert counted.thresholds.support.tolist() == [2, 1]


def test_of_equal_scores_the_maps_class_is_right_and_not_the_first():
    tied = np.full((2, 1, 1), 0.5, np.float32)
    one = np.array([[1]], np.uint8)

    counted = ScoreCounts.count(one, one, tied, valid=np.array([[True]]))

    assert counted.reliability.right.sum() == 1
    assert counted.other_class == 0


def test_a_class_of_the_map_that_does_not_score_best_is_counted():
    scores = np.array([[[0.9]], [[0.1]]], np.float32)

    counted = ScoreCounts.count(
        np.array([[0]], np.uint8), np.array([[1]], np.uint8), scores, valid=np.array([[True]])
    )

    assert counted.other_class == 1
    assert counted.reliability.right.sum() == 1  # the scores are judged, not the map
    assert counted.by_score.counts.tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("workers", [1, 2])
def test_scores_of_a_map_are_judged_as_by_scikit_learn(
    write_pair, write_raster, legend, dtype, workers
):
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, (530, 40))  # two blocks
    logits = rng.normal(size=(3, *truth.shape)) + 2 * (np.arange(3)[:, None, None] == truth)
    scores = (np.exp(logits) / np.exp(logits).sum(axis=0)).astype(np.float32)
    if dtype == "uint8":
        scores = np.rint(scores * 254) / 254
    known = truth[:, 3:].ravel(), scores[:, :, 3:].reshape(3, -1)
    reference = np.array([10, 20, 30])[truth]
    reference[:, :3] = 99
    pair = write_pair(np.array([1, 4, 0])[scores.argmax(axis=0)], reference)
    stored = np.rint(scores * 254).astype(np.uint8) if dtype == "uint8" else scores
    raster = write_raster("scores.tif", stored, nodata=255 if dtype == "uint8" else np.nan)

    judged = Pair("one", pair.class_map, pair.reference, scores=raster)
    counted = compare(judged, legend, workers=workers).scores

    of_truth, of_scores = known
    top, right = of_scores.max(axis=0), of_scores.argmax(axis=0) == of_truth
    accuracy, mean_score = calibration_curve(right, top, n_bins=15)
    filled = counted.reliability.pixels > 0
    assert counted.reliability.accuracy[filled] == pytest.approx(accuracy, abs=2e-3)
    assert counted.reliability.mean_score[filled] == pytest.approx(mean_score, abs=2e-3)
    tolerance = 1e-9 if dtype == "uint8" else 1e-3
    for index in range(3):
        expected = metrics.average_precision_score(of_truth == index, of_scores[index])
        found = counted.thresholds.average_precision[index]
        assert found == pytest.approx(expected, abs=tolerance)


def test_pixels_without_scores_are_counted_and_the_area_is_respected(
    write_pair, write_raster, legend
):
    pair = write_pair([[1, 4, 4, 255]], [[10, 20, 20, 20]])
    stored = np.array([[[254, 0, 255, 0]], [[0, 254, 255, 0]], [[0, 0, 255, 254]]], np.uint8)
    raster = write_raster("scores.tif", stored, nodata=255)
    with rasterio.open(raster, "r+") as file:
        for band, name in enumerate(legend.names, 1):
            file.set_band_description(band, name)

    counted = compare(Pair("one", pair.class_map, pair.reference, scores=raster), legend).scores

    assert (counted.pixels, counted.without_scores, counted.other_class) == (2, 1, 0)
    assert (counted + counted).without_scores == 2
