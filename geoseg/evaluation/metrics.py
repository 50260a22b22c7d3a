"""Metrics: the table of their titles and sources, and their values for counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from geoseg.evaluation.calibration import ScoreCounts, best_metrics, calibration_rows
from geoseg.evaluation.comparison import ErrorWindow, EvaluationCounts, Measures
from geoseg.evaluation.matching import ObjectCounts
from geoseg.labels.confusion import ConfusionMatrix, mean_where, rows_of
from geoseg.labels.legend import Legend


@dataclass(frozen=True)
class Metric:
    """A share of 1; text gives it in %."""

    name: str
    """Name in JSON and CSV."""

    title: str
    """Title in text and on pages."""

    source: str
    """Attribute of `EvaluationCounts`, with dots."""

    column: str | None = ""
    """Title of its column in text; empty: as `title`, None: it has none."""


_SUMMARY = (
    Metric("overall_accuracy", "overall accuracy", "confusion.overall_accuracy"),
    Metric("balanced_accuracy", "balanced accuracy", "confusion.balanced_accuracy"),
    Metric("kappa", "kappa", "confusion.kappa"),
    Metric("mcc", "MCC", "confusion.mcc"),
    Metric("mean_iou", "mean IoU", "confusion.mean_iou"),
    Metric("mean_f1", "mean F1", "confusion.mean_f1"),
)

METRICS: dict[str, tuple[Metric, ...]] = {
    "summary": _SUMMARY,
    "classes": (
        Metric("iou", "IoU", "confusion.iou"),
        Metric("f1", "F1", "confusion.f1"),
        Metric("precision", "precision", "confusion.precision"),
        Metric("recall", "recall", "confusion.recall"),
        Metric("specificity", "specificity", "confusion.specificity", "specif."),
        Metric("boundary_iou", "boundary IoU", "borders.iou", "bound.IoU"),
        Metric("boundary_f1", "boundary F1", "borders.f1", "bound.F1"),
        Metric("boundary_precision", "boundary precision", "borders.precision", None),
        Metric("boundary_recall", "boundary recall", "borders.recall", None),
        Metric("eroded_iou", "eroded IoU", "eroded.iou", "erod.IoU"),
        Metric("eroded_f1", "eroded F1", "eroded.f1", "erod.F1"),
    ),
    "boundary": (
        Metric("mean_iou", "mean boundary IoU", "borders.mean_iou"),
        Metric("mean_f1", "mean boundary F1", "borders.mean_f1"),
    ),
    "eroded": tuple(
        Metric(each.name, each.title, each.source.replace("confusion", "eroded"))
        for each in _SUMMARY
    ),
    "objects": (  # of `ObjectCounts`
        Metric("precision", "precision", "precision"),
        Metric("recall", "recall", "recall"),
        Metric("f1", "F1", "f1"),
        Metric("mean_iou_of_matches", "mean IoU of matches", "mean_iou", "mean IoU"),
        Metric("ap50", "AP50", "ap50"),
        Metric("ap", "AP", "ap"),
    ),
    "scores": (
        Metric("ece", "ECE", "scores.reliability.ece", "calibration error ECE"),
        Metric("mce", "worst bin", "scores.reliability.mce"),
        Metric("mean_top_score", "mean top score", "scores.reliability.mean_top_score"),
        Metric("accuracy_of_top_score", "right", "scores.reliability.accuracy_of_top_score"),
        Metric("mean_iou_by_score", "mean IoU by the best score", "scores.by_score.mean_iou"),
        Metric(
            "mean_average_precision",
            "mean average precision",
            "scores.thresholds.mean_average_precision",
        ),
    ),
}
"""All metrics, by where they stand in JSON. Text, tables, intervals and the page follow from it."""

TOP_CONFUSIONS = 5
"""Pairs of confused classes that text names."""

TITLES = {each.name: each.title for group in reversed(METRICS.values()) for each in group}
"""Titles of all metrics, by name; of two groups with the same name that of the first."""


def titles(group: str) -> dict[str, str]:
    """Titles of a group's metrics in text, by name."""
    return {
        each.name: each.column or each.title for each in METRICS[group] if each.column is not None
    }


def values_of(group: str, counts: Any) -> dict[str, Any]:
    """Values of a group's metrics as far as they were counted: numbers, or (classes,) arrays."""
    return {
        each.name: attrgetter(each.source)(counts)
        for each in METRICS[group]
        if getattr(counts, each.source.partition(".")[0]) is not None
    }


def in_percent(value: float) -> str:
    """A share in %, or a dash if it is undefined.

    >>> in_percent(0.5), in_percent(float("nan"))
    ('50.00', '-')
    """
    return "-" if np.isnan(value) else f"{100 * value:.2f}"


def share_of(value: float) -> str:
    """A share of ground; neither none nor all of it if it is not.

    >>> share_of(0.6213), share_of(0.99996), share_of(0.00001)
    ('62 %', '>99 %', '<1 %')
    """
    rounded = round(100 * value)
    if rounded == 100 and value < 1:  # noqa: PLR2004
        return ">99 %"
    return "<1 %" if not rounded and value else f"{rounded} %"


def metrics_of(counts: EvaluationCounts, legend: Legend, measures: Measures) -> dict[str, Any]:
    """All metrics of counts; what is undefined is NaN.

    Means are over the classes present in the reference.
    """
    confusion, names = counts.confusion, legend.names
    return {
        "pixels": confusion.total,
        "share_of_map": confusion.total / counts.mapped if counts.mapped else np.nan,
        "classes_counted": int(np.count_nonzero(confusion.support)),
        "dropped": {
            "without_map": counts.without_map,
            "without_reference": counts.without_reference,
        },
        "labelled_differently": counts.label_conflicts,
        **values_of("summary", counts),
        "means_over": "classes present in the reference",
        "training_ground": _training_ground(counts, legend),
        "boundary": counts.borders
        and {
            "distance": str(measures.boundary or ""),
            **values_of("boundary", counts),
            "means_over": "classes with a border in the reference",
        },
        "eroded": counts.eroded
        and {
            "distance": str(measures.erode or ""),
            "pixels": counts.eroded.total,
            **values_of("eroded", counts),
            "counts": counts.eroded.counts.tolist(),
        },
        "objects": [
            _object_metrics(names[index], each, measures)
            for index, each in (counts.objects or {}).items()
        ],
        "scores": counts.scores and _score_metrics(counts, counts.scores, names),
        "classes": rows_of(
            {"name": names, "support": confusion.support, "predicted": confusion.predicted}
            | values_of("classes", counts)
        ),
        "top_confusions": top_confusions(confusion, names),
        "confusion": {
            "rows": "reference",
            "columns": "map",
            "names": names,
            "counts": confusion.counts.tolist(),
        },
    }


def _object_metrics(name: str, counts: ObjectCounts, measures: Measures) -> dict[str, Any]:
    return {
        "name": name,
        "connectivity": None if counts.by_area else measures.connectivity,
        "reference": counts.reference,
        "map": counts.mapped,
        "matched": counts.matched,
        "left_out": counts.left_out,
        **values_of("objects", counts),
        "ap_with_scores": counts.detections.scored,
    }


def _score_metrics(
    counts: EvaluationCounts, scores: ScoreCounts, names: Sequence[str]
) -> dict[str, Any]:
    return {
        "pixels": scores.pixels,
        "without_scores": scores.without_scores,
        "other_class": scores.other_class,
        **values_of("scores", counts),
        "means_over": "classes present in the reference",
        "bins": calibration_rows(scores.reliability),
        "classes": rows_of({"name": names, **best_metrics(scores.thresholds)}),
    }


def _training_ground(counts: EvaluationCounts, legend: Legend) -> dict[str, Any] | None:
    """Share of the ground that trained the model, and metrics of the rest; None if unknown."""
    if (trained := counts.trained) is None:
        return None
    confusion = counts.confusion
    elsewhere = EvaluationCounts(ConfusionMatrix(confusion.counts - trained.counts))
    return {
        "pixels": trained.total,
        "share": trained.total / confusion.total if confusion.total else np.nan,
        "is_complete": not counts.unknown_ground,
        "elsewhere": _brief(elsewhere, legend),
    }


def region_metrics(
    counts: EvaluationCounts, legend: Legend, measures: Measures
) -> dict[str, Any] | None:
    """Metrics of each region and of the ground outside all; None without regions."""
    if counts.regions is None or measures.by is None:
        return None
    outside = counts.outside_regions or EvaluationCounts.nothing(len(legend))
    return {
        "file": str(measures.by.path),
        "column": measures.by.column,
        "rows": [{"name": name, **_brief(each, legend)} for name, each in counts.regions.items()],
        "outside": _brief(outside, legend),
    }


def _brief(counts: EvaluationCounts, legend: Legend) -> dict[str, Any]:
    """The metrics of pixels."""
    support = {"name": legend.names, "support": counts.confusion.support}
    return {
        "pixels": counts.confusion.total,
        "without_map": counts.without_map,
        "without_reference": counts.without_reference,
        **values_of("summary", counts),
        "classes": rows_of(support | values_of("classes", counts)),
    }


def dice_of_maps(confusions: Sequence[ConfusionMatrix]) -> dict[str, Any]:
    """Dice averaged over maps.

    A large map weighs no more than a small one, and a class that is in few maps counts only
    there: these metrics compare with those that are published per image, not with the
    pooled ones. A map in which a class is neither found nor there does not count for it.

    Returns:
        ``mean_dice``, the mean over maps of each map's mean F1; ``dice``, (classes,) means of
        each class's F1, NaN if it is in no map; ``maps``, (classes,) in how many maps it is.
    """
    dice = np.array([confusion.f1 for confusion in confusions])
    means = np.array([confusion.mean_f1 for confusion in confusions])
    return {
        "mean_dice": mean_where(means, ~np.isnan(means)),
        "dice": np.array([mean_where(each, ~np.isnan(each)) for each in dice.T]),
        "maps": (~np.isnan(dice)).sum(axis=0),
    }


def merged_classes(legend: Legend) -> list[dict[str, Any]] | None:
    """Which classes of the map and of the reference a legend map has made one; None without."""
    if legend.merge is None:
        return None
    return [
        {"name": each.name or None, "map": list(each.map), "reference": list(each.reference)}
        for each in legend.merge.table
    ]


def top_confusions(
    confusion: ConfusionMatrix, names: Sequence[str], most: int = TOP_CONFUSIONS
) -> list[dict[str, Any]]:
    """The pairs of classes that most pixels are confused between, the largest first."""
    return [
        {
            "reference": names[row],
            "map": names[col],
            "pixels": int(confusion.counts[row, col]),
            "share_of_reference": float(confusion.counts[row, col] / confusion.support[row]),
        }
        for row, col in confusion.confusions[:most]
    ]


WINDOW_BOUNDS = ("x_min", "y_min", "x_max", "y_max")
"""Columns of the corners of error windows, in the CRS of the map."""


def window_rows(windows: Sequence[ErrorWindow], names: Sequence[str]) -> list[dict[str, Any]]:
    """A row of a table for each error window, which stand in order."""
    rows = []
    for rank, each in enumerate(windows, 1):
        row, col = each.confusion.confusions[0]
        bounds = each.grid.part(each.window).bounds
        rows.append(
            {
                "rank": rank,
                "map": each.pair.name,
                "errors": each.errors,
                "pixels": each.confusion.total,
                "share_wrong": each.errors / each.confusion.total,
                "mostly": f"{names[row]} mapped as {names[col]}",
                "row_off": each.window.row_off,
                "col_off": each.window.col_off,
                "height": each.window.height,
                "width": each.window.width,
                **dict(zip(WINDOW_BOUNDS, bounds, strict=True)),
            }
        )
    return rows
