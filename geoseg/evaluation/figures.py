"""Figures of a comparison in the two vocabularies of the field."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geoseg.core.legend import Legend
from geoseg.evaluation.compare import Comparison, Pair

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


LEGEND_OF_TABLE = (
    "in %, kappa x 100; precision = user's accuracy, recall = producer's accuracy, F1 = Dice; "
    "means over classes present in the reference"
)


@dataclass(frozen=True)
class Evaluation:
    """Comparisons of one or several maps, and their sum."""

    comparisons: Mapping[Pair, Comparison]
    """Of each map."""

    legend: Legend
    """The classes."""

    @property
    def pooled(self) -> Comparison:
        """All maps together."""
        return sum(self.comparisons.values(), start=Comparison.nothing(len(self.legend)))

    def to_dict(self) -> dict[str, Any]:
        """All figures; what is undefined is NaN. Several maps have each their own as well."""
        own = {pair.name: figures_of(each, self.legend) for pair, each in self.comparisons.items()}
        return {
            **figures_of(self.pooled, self.legend),
            "maps": own if len(own) > 1 else {},
            "inputs": {
                pair.name: {"map": str(pair.class_map), "reference": str(pair.reference)}
                for pair in self.comparisons
            },
        }


def figures_of(comparison: Comparison, legend: Legend) -> dict[str, Any]:
    """All figures of a comparison; what is undefined is NaN.

    Means are over the classes present in the reference.
    """
    confusion = comparison.confusion
    columns = {name: getattr(confusion, name).tolist() for name in PER_CLASS}
    rows = zip(
        legend.names,
        confusion.support.tolist(),
        confusion.predicted.tolist(),
        *columns.values(),
        strict=True,
    )
    names = ("name", "support", "predicted", *columns)
    return {
        "pixels": confusion.total,
        "dropped": {
            "without_map": comparison.without_map,
            "without_reference": comparison.without_reference,
        },
        **{name: getattr(confusion, name) for name in SUMMARY},
        "means_over": "classes present in the reference",
        "classes": [dict(zip(names, row, strict=True)) for row in rows],
        "confusion": {
            "rows": "reference",
            "columns": "map",
            "names": legend.names,
            "counts": confusion.counts.tolist(),
        },
    }


def table_of(evaluation: Evaluation) -> str:
    """The per-class table and the summary of all maps together, and a line for each map."""
    figures = figures_of(evaluation.pooled, evaluation.legend)
    lines = [*_class_lines(figures["classes"]), "", _summary_line(figures)]
    if len(evaluation.comparisons) > 1:
        lines.append("")
        for pair, each in evaluation.comparisons.items():
            own = figures_of(each, evaluation.legend)
            lines.append(f"{pair.name}: {_summary_line(own)}")
    lines += ["", _count_line(figures), LEGEND_OF_TABLE]
    return "\n".join(lines)


def _class_lines(rows: list[dict[str, Any]]) -> list[str]:
    width = max(len("class"), *(len(row["name"]) for row in rows))
    titles = " ".join(f"{title:>9}" for title in PER_CLASS.values())
    lines = [f"{'class':<{width}} {titles} {'reference px':>13} {'map px':>13}"]
    for row in rows:
        cells = " ".join(f"{_percent(row[name]):>9}" for name in PER_CLASS)
        counts = f"{row['support']:>13} {row['predicted']:>13}"
        lines.append(f"{row['name']:<{width}} {cells} {counts}{_absence(row)}")
    return lines


def _summary_line(figures: dict[str, Any]) -> str:
    return ", ".join(f"{title} {_percent(figures[name])}" for name, title in SUMMARY.items())


def _count_line(figures: dict[str, Any]) -> str:
    dropped = figures["dropped"]
    return (
        f"{figures['pixels']} px counted; dropped: {dropped['without_reference']} px unlabelled in "
        f"the reference, {dropped['without_map']} px without data in the map"
    )


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def _absence(row: dict[str, Any]) -> str:
    """A class without a figure is said to be absent, and where."""
    if row["support"]:
        return "" if row["predicted"] else "  not in the map"
    return "  not in the reference" if row["predicted"] else "  in neither"
