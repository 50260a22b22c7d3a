"""Figures of a comparison in the two vocabularies of the field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from geoseg.evaluation.boundary import BorderCounts
from geoseg.evaluation.calibration import score_figures
from geoseg.evaluation.comparison import Comparison, Measures, Pair
from geoseg.evaluation.error_map import ErrorLegend, WorstWindow, worst_rows
from geoseg.evaluation.intervals import BoundedFigures, confidence_of, curve_bounds, per_map
from geoseg.evaluation.matching import ObjectCounts
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import Legend
from geoseg.labels.legend_map import MergedLegend
from geoseg.labels.pixel_classes import doubts_of_codings
from geoseg.patches.class_shares import LITTLE
from geoseg.raster.folders import EVALUATION, KIND
from geoseg.text import listed


def share_of(value: float) -> str:
    """A share of ground; neither none nor all of it if it is not.

    >>> share_of(0.6213), share_of(0.99996), share_of(0.00001)
    ('62 %', '>99 %', '<1 %')
    """
    rounded = round(100 * value)
    if rounded == 100 and value < 1:  # noqa: PLR2004
        return ">99 %"
    return "<1 %" if not rounded and value else f"{rounded} %"


SUMMARY = {
    "overall_accuracy": "overall accuracy",
    "balanced_accuracy": "balanced accuracy",
    "kappa": "kappa",
    "mean_iou": "mean IoU",
    "mean_f1": "mean F1",
}
"""Figures of the whole map, and what people call them."""

PER_CLASS = {
    "iou": "IoU",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
}
"""Figures of a class: F1 is Dice, precision user's and recall producer's accuracy."""

TOP_CONFUSIONS = 5
"""How many cells of the confusion matrix are told in words."""


@dataclass(frozen=True)
class Evaluation:
    """Comparisons of one or several maps, and their sum."""

    comparisons: Mapping[Pair, Comparison]
    """Of each map."""

    legend: Legend
    """The classes."""

    measures: Measures = Measures()  # noqa: RUF009 frozen
    """What was measured besides the figures of pixels."""

    worst: Sequence[WorstWindow] = ()
    """Where most is wrong, if that was asked for; the worst first."""

    reading: Mapping[str, Any] = field(default_factory=dict)
    """How the files were read, for JSON, so that `geoseg report` can read them again."""

    @cached_property
    def pooled(self) -> Comparison:
        """All maps together."""
        return sum(self.comparisons.values(), start=Comparison.nothing(len(self.legend)))

    @property
    def error_legend(self) -> ErrorLegend:
        """What error maps of all maps show, in the same colours.

        Raises:
            LegendError: If there are too many classes.
        """
        return ErrorLegend.of(self.legend, self.pooled.confusion)

    @cached_property
    def confidence(self) -> dict[str, Any] | None:
        """Bounds of the figures of all maps together, if they are wanted.

        Raises:
            InputError: If there are no two blocks to draw from.
        """
        if (options := self.measures.bootstrap) is None:
            return None
        wanted = BoundedFigures(tuple(SUMMARY), tuple(PER_CLASS))
        each_map = self.comparisons.values()
        squares = [each.squares.squares for each in each_map if each.squares is not None]
        return confidence_of(self.pooled, squares, self.legend.names, options, wanted)

    @cached_property
    def curve_bounds(self) -> dict[str, Any] | None:
        """(2, classes, levels) bounds of the figures over thresholds, if they are wanted."""
        options, counts = self.measures.bootstrap, self.pooled.score_squares
        return curve_bounds(counts, options) if options and counts else None

    def to_dict(self) -> dict[str, Any]:
        """All figures; what is undefined is NaN. Several maps have each their own as well."""
        own = {
            pair.name: figures_of(each, self.legend, self.measures)
            for pair, each in self.comparisons.items()
        }
        several = len(own) > 1
        each_map = [comparison.confusion for comparison in self.comparisons.values()]
        return {
            KIND: EVALUATION.name,
            **figures_of(self.pooled, self.legend, self.measures),
            "per_map": per_map(each_map, self.legend.names) if several else None,
            "maps": own if several else {},
            "confidence": self.confidence,
            "regions": region_figures(self.pooled, self.legend, self.measures),
            "worst": worst_rows(self.worst, self.legend.names),
            "notes": list(dict.fromkeys(self.pooled.notes)),
            "merged_classes": merged_classes(self.legend),
            "legend": self.legend.to_dict(),
            "reading": dict(self.reading),
            "inputs": {
                pair.name: {
                    "map": str(pair.class_map),
                    "reference": str(pair.reference),
                    "further_references": [str(path) for path in pair.further],
                    "scores": str(pair.scores) if pair.scores else None,
                }
                for pair in self.comparisons
            },
        }


def figures_of(
    comparison: Comparison, legend: Legend, measures: Measures | None = None
) -> dict[str, Any]:
    """All figures of a comparison; what is undefined is NaN.

    Means are over the classes present in the reference.
    """
    confusion = comparison.confusion
    columns = {
        "name": legend.names,
        "support": confusion.support.tolist(),
        "predicted": confusion.predicted.tolist(),
        **{name: getattr(confusion, name).tolist() for name in PER_CLASS},
        **_border_columns(comparison),
    }
    rows = zip(*columns.values(), strict=True)
    return {
        "pixels": confusion.total,
        "share_of_map": confusion.total / comparison.mapped if comparison.mapped else np.nan,
        "classes_counted": int(np.count_nonzero(confusion.support)),
        "dropped": {
            "without_map": comparison.without_map,
            "without_reference": comparison.without_reference,
        },
        "labelled_differently": comparison.conflicts,
        **{name: getattr(confusion, name) for name in SUMMARY},
        "means_over": "classes present in the reference",
        "training_ground": _training_ground(comparison, legend),
        "boundary": _boundary(comparison.borders, measures),
        "eroded": _eroded(comparison.eroded, measures),
        "objects": [
            _objects(legend.names[i], each, measures)
            for i, each in (comparison.objects or {}).items()
        ],
        "scores": score_figures(comparison.scores, legend) if comparison.scores else None,
        "classes": [dict(zip(columns, row, strict=True)) for row in rows],
        "top_confusions": top_confusions(confusion, legend.names),
        "confusion": {
            "rows": "reference",
            "columns": "map",
            "names": legend.names,
            "counts": confusion.counts.tolist(),
        },
    }


def _training_ground(comparison: Comparison, legend: Legend) -> dict[str, Any] | None:
    """How much of the ground trained the model, and the figures of the rest; None if unknown."""
    if (trained := comparison.trained) is None:
        return None
    confusion = comparison.confusion
    elsewhere = Comparison(ConfusionMatrix(confusion.counts - trained.counts))
    return {
        "pixels": trained.total,
        "share": trained.total / confusion.total if confusion.total else np.nan,
        "is_complete": not comparison.unknown_ground,
        "elsewhere": _brief({}, elsewhere, legend),
    }


def region_figures(
    comparison: Comparison, legend: Legend, measures: Measures
) -> dict[str, Any] | None:
    """Figures of each region and of the ground outside of all, if regions are wanted."""
    if comparison.regions is None or measures.by is None:
        return None
    outside = comparison.outside_regions or Comparison.nothing(len(legend))
    return {
        "file": str(measures.by.path),
        "column": measures.by.column,
        "rows": [_brief({"name": name}, each, legend) for name, each in comparison.regions.items()],
        "outside": _brief({}, outside, legend),
    }


def _brief(start: dict[str, Any], comparison: Comparison, legend: Legend) -> dict[str, Any]:
    """The figures of pixels."""
    confusion = comparison.confusion
    columns = {name: getattr(confusion, name).tolist() for name in PER_CLASS}
    rows = zip(legend.names, confusion.support.tolist(), *columns.values(), strict=True)
    return {
        **start,
        "pixels": confusion.total,
        "without_map": comparison.without_map,
        "without_reference": comparison.without_reference,
        **{name: getattr(confusion, name) for name in SUMMARY},
        "classes": [dict(zip(("name", "support", *columns), row, strict=True)) for row in rows],
    }


def merged_classes(legend: Legend) -> list[dict[str, Any]] | None:
    """Which classes of the map and of the reference a legend map has made one; None without."""
    if not isinstance(legend, MergedLegend):
        return None
    return [
        {"name": each.name or None, "map": list(each.map), "reference": list(each.reference)}
        for each in legend.table
    ]


def top_confusions(
    confusion: ConfusionMatrix, names: Sequence[str], most: int = TOP_CONFUSIONS
) -> list[dict[str, Any]]:
    """The pairs of classes that most pixels are confused between, the largest first."""
    wrong = confusion.counts * (1 - np.eye(len(names), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    cells = [(int(cell // len(names)), int(cell % len(names))) for cell in order]
    return [
        {
            "reference": names[row],
            "map": names[col],
            "pixels": int(wrong[row, col]),
            "share_of_reference": float(wrong[row, col] / confusion.support[row]),
        }
        for row, col in cells
        if wrong[row, col]
    ]


def _border_columns(comparison: Comparison) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {}
    if (borders := comparison.borders) is not None:
        columns |= {
            "boundary_iou": borders.iou.tolist(),
            "boundary_f1": borders.f1.tolist(),
            "boundary_precision": borders.precision.tolist(),
            "boundary_recall": borders.recall.tolist(),
        }
    if (eroded := comparison.eroded) is not None:
        columns |= {"eroded_iou": eroded.iou.tolist(), "eroded_f1": eroded.f1.tolist()}
    return columns


def _boundary(counts: BorderCounts | None, options: Measures | None) -> dict[str, Any] | None:
    if counts is None:
        return None
    return {
        "distance": str(options.boundary) if options else "",
        "mean_iou": counts.mean(counts.iou),
        "mean_f1": counts.mean(counts.f1),
        "means_over": "classes with a border in the reference",
    }


def _eroded(confusion: ConfusionMatrix | None, options: Measures | None) -> dict[str, Any] | None:
    if confusion is None:
        return None
    return {
        "distance": str(options.erode) if options else "",
        "pixels": confusion.total,
        **{name: getattr(confusion, name) for name in SUMMARY},
        "counts": confusion.counts.tolist(),
    }


def _objects(name: str, counts: ObjectCounts, options: Measures | None) -> dict[str, Any]:
    return {
        "name": name,
        "connectivity": (options or Measures()).connectivity,
        "reference": counts.reference,
        "map": counts.mapped,
        "matched": counts.matched,
        "left_out": counts.left_out,
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "mean_iou_of_matches": counts.mean_iou,
        "ap50": counts.ap50,
        "ap": counts.ap,
        "ap_with_scores": counts.detections.scored,
    }


def warnings_of(evaluation: Evaluation) -> list[str]:
    """What spoils the figures: training ground, missing classes, little ground, codings."""
    pooled = evaluation.pooled
    doubts = doubts_of_codings(pooled.meanings, evaluation.legend)
    return [*_of_training(pooled), *_of_reference(evaluation), *doubts]


def _of_training(comparison: Comparison) -> list[str]:
    if comparison.trained is None or not comparison.trained.total:
        return []
    share = share_of(comparison.trained.total / comparison.confusion.total)
    least = "at least " if comparison.unknown_ground else ""
    honest = "honest: --patches PATCHES --split test (or val)"
    return [f"{least}{share} of this ground trained the model; {honest}"]


def _of_reference(evaluation: Evaluation) -> list[str]:
    comparison, names = evaluation.pooled, evaluation.legend.names
    support = comparison.confusion.support.tolist()
    absent = [name for name, pixels in zip(names, support, strict=True) if not pixels]
    found = []
    if len(absent) == len(names) - 1 > 0:
        only = next(name for name, pixels in zip(names, support, strict=True) if pixels)
        found.append(f"the reference holds one class only, {only!r}: its figures say little")
    elif absent:
        them = "it" if len(absent) == 1 else "them"
        found.append(f"no pixel of {listed(absent)} in the reference: the means leave {them} out")
    share = comparison.confusion.total / comparison.mapped if comparison.mapped else 1.0
    if share < LITTLE:
        found.append(f"only {100 * share:.2g} % of the map is counted")
    return found
