"""What scores say of themselves: the figures, as a record and as tables."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from geoseg.core.legend import Legend
from geoseg.core.scores import IGNORE
from geoseg.evaluation.calibration import ScoreCounts

CURVES = ("precision", "recall", "f1", "iou")
"""Figures of a class over thresholds."""


def score_figures(counts: ScoreCounts, legend: Legend) -> dict[str, Any]:
    """The main figures; what is undefined is NaN."""
    reliability, thresholds = counts.reliability, counts.thresholds
    pixels = max(counts.pixels, 1)
    precision = thresholds.average_precision
    present = thresholds.support > 0
    return {
        "pixels": counts.pixels,
        "without_scores": counts.without_scores,
        "other_class": counts.other_class,
        "ece": reliability.ece,
        "mce": reliability.mce,
        "mean_top_score": float(reliability.score_sum.sum() / pixels),
        "accuracy_of_top_score": float(reliability.right.sum() / pixels),
        "mean_average_precision": float(precision[present].mean()) if present.any() else np.nan,
        "means_over": "classes present in the reference",
        "bins": calibration_rows(counts),
        "classes": [
            {"name": name, "average_precision": float(precision[index]), **_best(counts, index)}
            for index, name in enumerate(legend.names)
        ],
    }


def _best(counts: ScoreCounts, index: int) -> dict[str, float]:
    """The threshold at which a class's F1 is highest, and its figures there."""
    thresholds, level = counts.thresholds, int(counts.thresholds.best[index])
    if level == IGNORE:
        return dict.fromkeys(["best_threshold", *(f"best_{name}" for name in CURVES)], np.nan)
    figures = {f"best_{name}": float(getattr(thresholds, name)[index, level]) for name in CURVES}
    return {"best_threshold": float(thresholds.thresholds[level]), **figures}


def calibration_rows(counts: ScoreCounts) -> list[dict[str, Any]]:
    """A row for each bin of the top score."""
    reliability = counts.reliability
    columns = {
        "above": reliability.edges[:-1],
        "up_to": reliability.edges[1:],
        "pixels": reliability.pixels,
        "mean_score": reliability.mean_score,
        "accuracy": reliability.accuracy,
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def threshold_rows(counts: ScoreCounts, legend: Legend) -> Iterator[dict[str, Any]]:
    """A row for each class and threshold."""
    thresholds = counts.thresholds
    figures = {name: getattr(thresholds, name) for name in CURVES}
    hits, false_alarms = thresholds.hits, thresholds.false_alarms
    for index, name in enumerate(legend.names):
        for level, threshold in enumerate(thresholds.thresholds.tolist()):
            yield {
                "class": name,
                "threshold": round(threshold, 6),
                "hits": int(hits[index, level]),
                "false_alarms": int(false_alarms[index, level]),
                "misses": int(thresholds.support[index] - hits[index, level]),
                **{figure: float(values[index, level]) for figure, values in figures.items()},
            }
