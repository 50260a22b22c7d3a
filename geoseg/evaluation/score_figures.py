"""What scores say of themselves: the figures, as a record and as tables."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from geoseg.core.confusion import Figures
from geoseg.core.legend import Legend
from geoseg.core.scores import IGNORE
from geoseg.evaluation.calibration import ScoreCounts

CURVES = ("precision", "recall", "f1", "iou")
"""Figures of a class over thresholds."""


def score_figures(counts: ScoreCounts, legend: Legend) -> dict[str, Any]:
    """The main figures; what is undefined is NaN."""
    columns = {name: each.tolist() for name, each in class_figures(counts).items()}
    rows = zip(legend.names, *columns.values(), strict=True)
    return {
        "pixels": counts.pixels,
        "without_scores": counts.without_scores,
        "other_class": counts.other_class,
        **top_figures(counts),
        "means_over": "classes present in the reference",
        "bins": calibration_rows(counts),
        "classes": [dict(zip(("name", *columns), row, strict=True)) for row in rows],
    }


def top_figures(counts: ScoreCounts) -> dict[str, float]:
    """Figures of the top scores of all pixels, and the mean of all classes' average precision."""
    reliability, thresholds = counts.reliability, counts.thresholds
    pixels = max(counts.pixels, 1)
    present = thresholds.support > 0
    precision = thresholds.average_precision[present]
    return {
        "ece": reliability.ece,
        "mce": reliability.mce,
        "mean_top_score": float(reliability.score_sum.sum() / pixels),
        "accuracy_of_top_score": float(reliability.right.sum() / pixels),
        "mean_average_precision": float(precision.mean()) if present.any() else np.nan,
    }


def class_figures(counts: ScoreCounts) -> dict[str, Figures]:
    """(classes,) average precision, and the threshold of the highest F1 with its figures."""
    thresholds, levels = counts.thresholds, counts.thresholds.best
    there = levels != IGNORE
    places = np.arange(len(levels)), np.where(there, levels, 0)
    best = {name: getattr(thresholds, name)[places] for name in CURVES}
    return {
        "average_precision": thresholds.average_precision,
        "best_threshold": np.where(there, thresholds.thresholds[places[1]], np.nan),
        **{f"best_{name}": np.where(there, each, np.nan) for name, each in best.items()},
    }


def bin_figures(counts: ScoreCounts) -> dict[str, Figures]:
    """(bins,) what the scores of each bin say, and how many of its pixels are right."""
    reliability = counts.reliability
    return {"mean_score": reliability.mean_score, "accuracy": reliability.accuracy}


def calibration_rows(counts: ScoreCounts) -> list[dict[str, Any]]:
    """A row for each bin of the top score."""
    reliability = counts.reliability
    columns = {
        "above": reliability.edges[:-1],
        "up_to": reliability.edges[1:],
        "pixels": reliability.pixels,
        **bin_figures(counts),
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def threshold_rows(
    counts: ScoreCounts, legend: Legend, bounds: Mapping[str, Figures] | None = None
) -> Iterator[dict[str, Any]]:
    """A row for each class and threshold.

    Args:
        counts: The pixels.
        legend: The classes.
        bounds: (2, classes, LEVELS) of each figure, if they are known.
    """
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
                **{
                    f"{figure}_{side}": float(bound[index, level])
                    for figure, both in (bounds or {}).items()
                    for side, bound in zip(("low", "high"), both, strict=True)
                },
            }
