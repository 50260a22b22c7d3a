import csv
import json
import math

import numpy as np
import pytest

from geoseg.evaluation.calibration import ScoreCounts, calibration_rows, threshold_rows
from geoseg.evaluation.comparison import EvaluationCounts
from geoseg.evaluation.evaluation import Evaluation
from geoseg.evaluation.report import write_report
from geoseg.evaluation.text import table_of


@pytest.fixture
def counts():
    """Buildings and trees that scores tell apart but for a pixel; no water in the reference."""
    reference = np.array([[0, 0, 1, 1]], np.uint8)
    building = np.array([[1.0, 0.8, 0.6, 0.1]], np.float32)
    scores = np.stack([building, 1 - building, np.zeros_like(building)])
    mapped = np.array([[0, 0, 0, 1]], np.uint8)
    return ScoreCounts.count(reference, mapped, scores, valid=np.ones((1, 4), bool))


@pytest.fixture
def evaluation(counts, legend, evaluate):
    [(pair, counted)] = evaluate([[2, 0, 0], [1, 1, 0], [0, 0, 0]]).counts.items()
    return Evaluation({pair: EvaluationCounts(counted.confusion, scores=counts)}, legend)


def test_main_metrics_written_out(evaluation):
    figures = evaluation.to_dict()["scores"]

    assert (figures["pixels"], figures["without_scores"], figures["other_class"]) == (4, 0, 0)
    assert figures["accuracy_of_top_score"] == 0.75
    assert figures["mean_top_score"] == pytest.approx((1 + 0.8 + 0.6 + 0.9) / 4)
    assert figures["ece"] == pytest.approx((0 + 0.2 + 0.6 + 0.1) / 4)
    building, tree, water = figures["classes"]
    assert building["average_precision"] == 1
    assert 0.6 < building["best_threshold"] <= 0.8
    assert building["best_f1"] == building["best_iou"] == 1
    assert tree["best_recall"] == 1
    assert math.isnan(water["average_precision"])
    assert math.isnan(water["best_f1"])
    assert figures["mean_average_precision"] == 1  # of those in the reference


def test_tables_have_a_row_for_each_bin_and_each_threshold(counts, legend):
    bins = calibration_rows(counts.reliability)
    thresholds = threshold_rows(counts.thresholds, legend)

    assert sum(row["pixels"] for row in bins) == 4
    assert bins[-1]["up_to"] == 1
    assert len(thresholds) == 3 * 255
    at_half = next(row for row in thresholds if row["threshold"] == 0.5)
    assert (at_half["hits"], at_half["false_alarms"], at_half["misses"]) == (2, 1, 0)
    assert at_half["precision"] == pytest.approx(2 / 3)


def test_the_report_holds_tables_and_pictures(evaluation, tmp_path):
    folder = tmp_path / "report"

    write_report(folder, evaluation, overwrite=False)

    figures = json.loads((folder / "evaluation.json").read_text())
    assert figures["scores"]["classes"][2]["average_precision"] is None
    with (folder / "thresholds.csv").open() as file:
        assert next(csv.DictReader(file))["recall"] == "1.0"
    for picture in ("calibration.png", "thresholds.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")


def test_the_table_tells_the_main_figures(evaluation):
    told = table_of(evaluation)

    assert "scores: calibration error ECE 22.50, worst bin" in told
    assert "scores of building: average precision 100.00; F1 is highest (100.00)" in told
    assert "scores of water: not in the reference" in told
