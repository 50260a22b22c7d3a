"""Figures as a table for people."""

import math
from typing import Any

from geoseg.core.columns import NOTE, laid_out, sentence
from geoseg.evaluation.bound_lines import confidence_lines, interval
from geoseg.evaluation.figures import PER_CLASS, SUMMARY, Evaluation
from geoseg.evaluation.lines import (
    connectivity_line,
    ground_lines,
    merged_lines,
    object_lines,
    score_lines,
)
from geoseg.evaluation.sections import region_lines, worst_lines

BORDER_COLUMNS = {
    "boundary_iou": "bound.IoU",
    "boundary_f1": "bound.F1",
    "eroded_iou": "erod.IoU",
    "eroded_f1": "erod.F1",
}
"""Figures along borders, which a table has if they were asked for."""

LEGEND_OF_TABLE = (
    "in %, kappa x 100; precision = user's accuracy, recall = producer's accuracy, F1 = Dice; "
    "means over classes present in the reference"
)


def table_of(evaluation: Evaluation, width: int | None = None) -> str:
    """The per-class table and the summary of all maps together, and a line for each map.

    Args:
        evaluation: What is to be told.
        width: Characters of a line; None: as many as are needed.
    """
    figures = evaluation.to_dict()
    lines = [*laid_out(_class_rows(figures["classes"]), width), ""]
    for text in (
        _headline(figures),
        *ground_lines(figures, SUMMARY),
        *_border_lines(figures),
        *_map_lines(figures),
    ):
        lines += sentence(text, width)
    lines += _sections(figures, width)
    if figures["top_confusions"]:
        lines.append("")
    for cell in figures["top_confusions"]:
        lines += sentence(_confusion_line(cell, figures), width)
    lines.append("")
    for text in (*_count_lines(figures), LEGEND_OF_TABLE):
        lines += sentence(text, width)
    return "\n".join(lines)


def _sections(figures: dict[str, Any], width: int | None) -> list[str]:
    """What there is on request, each with a blank line before it."""
    sections = []
    if figures["confidence"]:
        columns = _columns(figures["classes"][0])
        sections.append(confidence_lines(figures["confidence"], columns, SUMMARY, width))
    if figures["regions"]:
        sections.append(region_lines(figures["regions"], SUMMARY, width))
    if figures["worst"]:
        sections.append(worst_lines(figures["worst"], width))
    return [line for section in sections for line in ("", *section)]


def percent(value: float) -> str:
    """A share in %, or a dash if it is undefined.

    >>> percent(0.5), percent(float("nan"))
    ('50.00', '-')
    """
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def _columns(row: dict[str, Any]) -> dict[str, str]:
    """Figures of a class that there are, and their titles."""
    return PER_CLASS | {name: BORDER_COLUMNS[name] for name in BORDER_COLUMNS if name in row}


def _class_rows(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [
        {
            "class": row["name"],
            **{title: percent(row[name]) for name, title in _columns(row).items()},
            "reference px": str(row["support"]),
            "map px": str(row["predicted"]),
            NOTE: _absence(row),
        }
        for row in rows
    ]


def _map_lines(figures: dict[str, Any]) -> list[str]:
    if not figures["per_map"]:
        return []
    mean = f"mean of the maps' own: Dice {percent(figures['per_map']['mean_dice'])}"
    return [mean, "", *(f"{name}: {_headline(own)}" for name, own in figures["maps"].items())]


def _summary_line(figures: dict[str, Any]) -> str:
    return ", ".join(f"{title} {percent(figures[name])}" for name, title in SUMMARY.items())


def _headline(figures: dict[str, Any]) -> str:
    """The summary, and over what it was counted."""
    classes, ground = len(figures["classes"]), figures["share_of_map"]
    counted = figures["classes_counted"]
    of_all = f"all {classes}" if counted == classes else f"{counted} of {classes}"
    share = "" if math.isnan(ground) else f" and {100 * ground:.3g} % of the map"
    return f"over {of_all} classes{share}: {_summary_line(figures)}"


def _border_lines(figures: dict[str, Any]) -> list[str]:
    lines = []
    if boundary := figures["boundary"]:
        means = [percent(boundary[name]) for name in ("mean_iou", "mean_f1")]
        lines.append(
            f"borders within {boundary['distance']}: mean boundary IoU {means[0]}, "
            f"mean boundary F1 {means[1]}"
        )
    if eroded := figures["eroded"]:
        lines.append(
            f"without {eroded['distance']} along the reference's borders "
            f"({eroded['pixels']} px counted): {_summary_line(eroded)}"
        )
    lines += [line for each in figures["objects"] for line in object_lines(each)]
    lines += connectivity_line(figures["objects"])
    return lines + (score_lines(figures["scores"]) if figures["scores"] else [])


def _confusion_line(cell: dict[str, Any], figures: dict[str, Any]) -> str:
    """A confusion in words."""
    share = f"{100 * cell['share_of_reference']:.1f} %"
    if figures["confidence"]:
        names = figures["confusion"]["names"]
        row, col = (names.index(cell[side]) for side in ("reference", "map"))
        share += f" ({interval(figures['confidence']['shares_of_reference'][row][col])})"
    return f"{share} of {cell['reference']} is mapped as {cell['map']} ({cell['pixels']} px)"


def _count_lines(figures: dict[str, Any]) -> list[str]:
    dropped = figures["dropped"]
    counted = (
        f"{figures['pixels']} px counted; dropped: {dropped['without_reference']} px unlabelled in "
        f"the reference, {dropped['without_map']} px without data in the map"
    )
    lines = [counted]
    if figures["labelled_differently"]:
        lines.append(
            f"{figures['labelled_differently']} px are labelled differently by two references; "
            f"the first one counts"
        )
    return [*lines, *merged_lines(figures["merged_classes"] or [])]


def _absence(row: dict[str, Any]) -> str:
    """A class without a figure is said to be absent, and where."""
    if row["support"]:
        return "" if row["predicted"] else "not in the map"
    return "not in the reference" if row["predicted"] else "in neither"
