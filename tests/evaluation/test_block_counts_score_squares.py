import csv

import numpy as np
import pytest
from sklearn import metrics

from geoseg.evaluation.bootstrap import Bootstrap
from geoseg.evaluation.compare import compare
from geoseg.evaluation.comparison import Measures, Pair
from geoseg.evaluation.metrics import Evaluation
from geoseg.evaluation.report import write_report
from geoseg.evaluation.text import table_of
from geoseg.raster.units import Distance

SIDE = 8
DRAWS = 30


@pytest.fixture
def judge(write_pair, write_raster):
    """A function that writes a map, its reference and its scores of three classes."""

    def write(truth, scores, name="one"):
        values, codes = np.array([1, 4, 0]), np.array([10, 20, 30])
        pair = write_pair(values[scores.argmax(axis=0)], codes[truth], name=name)
        raster = write_raster(f"scores/{name}.tif", scores.astype(np.uint8), nodata=255)
        return Pair(name, pair.class_map, pair.reference, scores=raster)

    return write


def patchy(seed, shape):
    """Classes of a reference and their scores, 0 to 254, which are worse in some squares."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, shape)
    skill = rng.integers(0, 4, (shape[0] // SIDE, shape[1] // SIDE)).repeat(SIDE, 0)
    logits = rng.normal(size=(3, *shape)) + skill.repeat(SIDE, 1) * (
        truth == np.arange(3)[:, None, None]
    )
    shares = np.exp(logits) / np.exp(logits).sum(axis=0)
    return truth, np.rint(shares * 254)


def evaluated(pairs, legend, side=SIDE, objects=()):
    options = Bootstrap(block=Distance(side, "px"), resamples=DRAWS, seed=3, level=0.9)
    measures = Measures(bootstrap=options, objects=objects)
    compared = {pair: compare(pair, legend, measures=measures) for pair in pairs}
    return Evaluation(compared, legend, measures)


def parted(images):
    """The pixels of each square, (n, pixels), in reading order."""
    height, width = images.shape[-2:]
    return [
        images[..., row : row + SIDE, col : col + SIDE].reshape(-1, SIDE * SIDE)
        for row in range(0, height, SIDE)
        for col in range(0, width, SIDE)
    ]


def drawn_by_hand(squares, figure):
    """Bounds of a figure of the pixels of squares that are drawn."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(DRAWS):
        taken = [squares[place] for place in rng.integers(len(squares), size=len(squares))]
        found.append(figure(np.concatenate(taken, axis=1)))
    return np.quantile(found, [0.05, 0.95], axis=0)


def ece_by_hand(top, right):
    bins = np.ceil(top * 15)
    gaps = [abs((top[bins == each] - right[bins == each]).sum()) for each in set(bins)]
    return sum(gaps) / len(top)


def main_figures(pixels):
    truth, scores = pixels[0].astype(int), pixels[1:] / 254
    top, right = scores.max(axis=0), scores.argmax(axis=0) == truth
    precisions = [metrics.average_precision_score(truth == each, scores[each]) for each in range(3)]
    half = [metrics.f1_score(truth == each, scores[each] >= 0.5) for each in range(3)]
    return [ece_by_hand(top, right), right.mean(), top.mean(), *precisions, *half]


def test_bounds_are_those_of_pixels_drawn_by_squares(judge, legend):
    truth, scores = patchy(0, (24, 32))

    evaluation = evaluated([judge(truth, scores)], legend)

    expected = drawn_by_hand(parted(np.concatenate([truth[None], scores])), main_figures).T
    found = evaluation.confidence["scores"]
    half = np.flatnonzero(np.arange(255) / 254 >= 0.5)[0]
    bounds = [
        *(found[name] for name in ("ece", "accuracy_of_top_score", "mean_top_score")),
        *(row["average_precision"] for row in found["classes"]),
        *evaluation.curve_bounds["f1"][:, :, half].T,
    ]
    assert np.array(bounds) == pytest.approx(expected, abs=1e-6)
    assert (expected[:, 0] < expected[:, 1]).all()
    assert (found["block"], found["blocks"]) == ("8px", 12)


def test_squares_of_several_maps_are_drawn_together(judge, legend):
    worlds = patchy(1, (16, 16)), patchy(2, (8, 32))
    pairs = [judge(*world, name=f"map{number}") for number, world in enumerate(worlds)]

    found = evaluated(pairs, legend).confidence["scores"]

    images = [np.concatenate([truth[None], scores]) for truth, scores in worlds]
    squares = [square for image in images for square in parted(image)]
    expected = drawn_by_hand(squares, lambda pixels: main_figures(pixels)[0])
    assert found["ece"] == pytest.approx(expected, abs=1e-6)


def test_figures_are_the_same_as_without_bounds(judge, legend):
    pair = judge(*patchy(0, (24, 32)))
    plain = Evaluation({pair: compare(pair, legend)}, legend).to_dict()["scores"]

    figures = evaluated([pair], legend).to_dict()["scores"]

    assert figures["ece"] == pytest.approx(plain["ece"], abs=1e-14)  # summed in another order
    for name in ("pixels", "other_class", "mean_average_precision", "classes"):
        assert figures[name] == plain[name]


def test_squares_that_are_alike_leave_no_doubt(judge, legend):
    truth, scores = patchy(5, (SIDE, SIDE))
    evaluation = evaluated([judge(np.tile(truth, (2, 3)), np.tile(scores, (1, 2, 3)))], legend)

    figures, bounds = evaluation.to_dict()["scores"], evaluation.confidence["scores"]

    for name in ("ece", "mce", "mean_top_score", "mean_average_precision"):
        assert bounds[name] == pytest.approx([figures[name]] * 2), name
    for row, own in zip(figures["classes"], bounds["classes"], strict=True):
        assert own["best_f1"] == pytest.approx([row["best_f1"]] * 2)
        assert own["best_threshold"] == pytest.approx([row["best_threshold"]] * 2)


def test_scores_of_a_single_square_have_no_bounds(judge, legend):
    truth, scores = patchy(5, (8, 16))
    scores[:, :, 8:] = 255
    pair = judge(truth, scores)

    bounds = evaluated([pair], legend).confidence

    assert bounds["blocks"] == 2
    assert bounds["scores"]["blocks"] == 1
    assert np.isnan(bounds["scores"]["ece"]).all()
    assert np.isnan(bounds["scores"]["classes"][0]["average_precision"]).all()


def test_where_squares_would_take_too_much_memory_larger_ones_are_drawn(judge, legend, monkeypatch):
    pair = judge(*patchy(0, (32, 48)))
    expected = evaluated([pair], legend, side=16).confidence["scores"]
    numbers = compare(pair, legend, measures=Measures(bootstrap=Bootstrap(block=Distance(8, "px"))))
    most = numbers.score_squares.table.nnz - 1
    monkeypatch.setattr("geoseg.evaluation.block_counts.MOST", most)

    evaluation = evaluated([pair], legend)

    found = evaluation.confidence["scores"]
    assert found["classes"] == expected["classes"]
    assert found["ece"] == pytest.approx(expected["ece"], abs=1e-8)
    assert evaluation.confidence["blocks"] == 24  # for the other figures
    assert "scores (from 6 blocks of 16px): ECE" in table_of(evaluation)


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_bounds_are_told_and_written(judge, legend, tmp_path):
    evaluation = evaluated([judge(*patchy(0, (24, 32)))], legend, objects=(0,))
    folder = tmp_path / "report"

    write_report(folder, evaluation, overwrite=False)

    one, low = rows_of(folder / "calibration.csv")[10], evaluation.curve_bounds["iou"][0, 0, 100]
    assert float(one["accuracy_low"]) < float(one["accuracy"]) < float(one["accuracy_high"])
    at_100 = rows_of(folder / "thresholds.csv")[100]
    assert float(at_100["iou_low"]) == low < float(at_100["iou"])
    [row], [own] = rows_of(folder / "objects.csv"), evaluation.confidence["objects"]
    assert [float(row["ap50_low"]), float(row["ap50_high"])] == own["ap50"]
    told, ece = table_of(evaluation), evaluation.confidence["scores"]["ece"]
    assert f"scores: ECE {100 * ece[0]:.1f}..{100 * ece[1]:.1f}, worst bin" in told
    assert f"{100 * own['ap50'][0]:.1f}..{100 * own['ap50'][1]:.1f}" in told
