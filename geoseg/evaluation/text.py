"""Figures as a table for people."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geoseg.evaluation.metrics import PER_CLASS, SUMMARY, Evaluation, share_of
from geoseg.text import NOTE, laid_out, sentence

OVERALL = ("ece", "mce", "mean_top_score", "accuracy_of_top_score")
"""Figures of the top score."""


def ground_lines(figures: Mapping[str, Any], summary: Mapping[str, str]) -> list[str]:
    """How much of the ground trained the model, and the figures of the rest; nothing if unknown.

    Args:
        figures: Of an evaluation.
        summary: Names and titles of the figures that are told.
    """
    ground = figures["training_ground"]
    if ground is None or not (ground["pixels"] or ground["is_complete"]):
        return []
    if not ground["pixels"]:
        return ["none of this ground trained the model"]
    rest = ground["elsewhere"]
    if not rest["pixels"]:
        return ["all of this ground trained the model: there are no figures of other ground"]
    least = "" if ground["is_complete"] else "at least "
    trained = f"{least}{share_of(ground['share'])} of this ground trained the model"
    told = ", ".join(f"{title} {in_percent(rest[name])}" for name, title in summary.items())
    return [f"{trained}; on the rest ({rest['pixels']} px): {told}"]


def object_lines(row: Mapping[str, Any]) -> list[str]:
    """What is to be said of the objects of a class, shares in %."""
    name = row["name"]
    known = {key: in_percent(value) for key, value in row.items() if isinstance(value, float)}
    if not row["reference"]:
        lines = [f"objects of {name}: none in the reference, {row['map']} mapped"]
    else:
        found = (
            f"{row['matched']} of {row['reference']} found, {row['map']} mapped: precision "
            f"{known['precision']}, recall {known['recall']}, F1 {known['f1']}; mean IoU of "
            f"matches {known['mean_iou_of_matches']}"
        )
        how = "" if row["ap_with_scores"] else " (without scores: of one operating point)"
        average = f"AP at IoU 0.5 {known['ap50']}, averaged over 0.5 to 0.95 {known['ap']}{how}"
        lines = [f"objects of {name}: {told}" for told in (found, average)]
    if row["left_out"]:
        lines.append(f"objects of {name}: {row['left_out']} polygons have no pixel that counts")
    return lines


def connectivity_line(objects: Sequence[Mapping[str, Any]]) -> list[str]:
    """What an object is, if there are any."""
    if not objects:
        return []
    if objects[0]["connectivity"] == 4:  # noqa: PLR2004
        return ["an object is pixels that touch along a side; at a corner too: --connectivity 8"]
    return ["an object is pixels that touch along a side or at a corner"]


def score_lines(figures: Mapping[str, Any]) -> list[str]:
    """What is to be said of scores, shares in %."""
    known = {name: in_percent(figures[name]) for name in OVERALL}
    first = (
        f"scores: calibration error ECE {known['ece']} (worst bin {known['mce']}), mean top score "
        f"{known['mean_top_score']}, right {known['accuracy_of_top_score']}; "
        f"{figures['without_scores']} px without scores, {figures['other_class']} px whose class "
        f"is not the one that scores best"
    )
    lines = [first]
    for row in figures["classes"]:
        if np.isnan(row["average_precision"]):
            lines.append(f"scores of {row['name']}: not in the reference")
            continue
        area, f1 = in_percent(row["average_precision"]), in_percent(row["best_f1"])
        lines.append(
            f"scores of {row['name']}: average precision {area}; F1 is highest ({f1}) from a score "
            f"of {row['best_threshold']:.2f} on"
        )
    return lines


def merged_lines(classes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which classes of map and reference have become one."""
    lines = []
    for each in classes:
        mine, theirs = (" + ".join(each[side]) for side in ("map", "reference"))
        if each["name"]:
            lines.append(f"merged: {each['name']} = {mine} of the map, {theirs} of the reference")
        else:
            lines.append(
                f"left out: {f'{mine} of the map' if mine else f'{theirs} of the reference'}"
            )
    return lines


def in_percent(value: float) -> str:
    """A share in %, or a dash if it is undefined.

    >>> in_percent(0.5), in_percent(float("nan"))
    ('50.00', '-')
    """
    return "-" if np.isnan(value) else f"{100 * value:.2f}"


FEW = 10
"""Windows that are told; the table of the report folder has all."""


def region_lines(
    regions: Mapping[str, Any], summary: Mapping[str, str], width: int | None
) -> list[str]:
    """A row for each region."""
    named = [(row["name"], row) for row in regions["rows"]]
    rows = [
        {
            "region": name,
            **{title: in_percent(row[key]) for key, title in summary.items()},
            "px counted": str(row["pixels"]),
        }
        for name, row in (*named, ("(outside)", regions["outside"]))
    ]
    return laid_out(rows, width)


def worst_lines(windows: Sequence[Mapping[str, Any]], width: int | None) -> list[str]:
    """A row for each of the first windows."""
    rows = [
        {
            "worst windows": f"{row['rank']}. {row['map']}",
            "row": str(row["row_off"]),
            "col": str(row["col_off"]),
            "px wrong": str(row["errors"]),
            "% wrong": in_percent(row["share_wrong"]),
            "": row["mostly"],
        }
        for row in windows[:FEW]
    ]
    lines = laid_out(rows, width)
    if (more := len(windows) - FEW) > 0:
        lines += sentence(f"and {more} more: the report folder has them all", width)
    return lines


OBJECTS = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "mean_iou_of_matches": "mean IoU",
    "ap50": "AP50",
    "ap": "AP",
}
"""Figures of the objects of a class, and what people call them."""

SCORES = {
    "ece": "ECE",
    "mce": "worst bin",
    "mean_top_score": "mean top score",
    "accuracy_of_top_score": "right",
    "mean_average_precision": "mean average precision",
}
"""Figures of the scores of all pixels."""

SCORES_OF_CLASS = {"average_precision": "avg.prec.", "best_f1": "best F1"}
"""Figures of the scores of a class."""


def confidence_lines(
    bounds: Mapping[str, Any],
    columns: Mapping[str, str],
    summary: Mapping[str, str],
    width: int | None,
) -> list[str]:
    """Bounds of all figures.

    Args:
        bounds: What `confidence_of` gives.
        columns: Titles of the figures of classes.
        summary: What the figures of the whole map are called.
        width: Of a line, in characters.
    """
    how = (
        f"{100 * bounds['level']:g} % intervals, from {bounds['blocks']} blocks of "
        f"{bounds['block']} drawn again {bounds['resamples']} times (seed {bounds['seed']}):"
    )
    lines = [*sentence(how, width), *_table("class", bounds["classes"], columns, width)]
    lines += sentence(_named(bounds, summary), width)
    if boundary := bounds["boundary"]:
        means = {"mean_iou": "mean boundary IoU", "mean_f1": "mean boundary F1"}
        lines += sentence(_named(boundary, means), width)
    if eroded := bounds["eroded"]:
        lines += sentence(f"eroded: {_named(eroded, summary)}", width)
    if per_map := bounds["per_map"]:
        lines += sentence(f"mean of the maps' own: Dice {interval(per_map['mean_dice'])}", width)
    if bounds["objects"]:
        lines += ["", *_table("objects of", bounds["objects"], OBJECTS, width)]
    if scores := bounds["scores"]:
        lines += ["", *_score_lines(scores, bounds["block"], width)]
    if regions := bounds["regions"]:
        rows = [*regions["rows"], {"name": "(outside)", **regions["outside"]}]
        lines += ["", *_table("region", rows, summary, width)]
    return lines


def _score_lines(scores: Mapping[str, Any], block: str, width: int | None) -> list[str]:
    """Bounds of the figures of scores; it is said if they are from larger blocks."""
    larger = f" (from {scores['blocks']} blocks of {scores['block']})"
    start = f"scores{'' if scores['block'] == block else larger}: "
    rows = [
        {
            "scores of": row["name"],
            **{title: interval(row[name]) for name, title in SCORES_OF_CLASS.items()},
            "F1 is highest from": interval(row["best_threshold"], "{:.2f}", 1),
        }
        for row in scores["classes"]
    ]
    return [*sentence(start + _named(scores, SCORES), width), *laid_out(rows, width)]


def _named(bounds: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    return ", ".join(f"{title} {interval(bounds[name])}" for name, title in titles.items())


def _table(
    of: str, rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str], width: int | None
) -> list[str]:
    """A row for each of what there are several of."""
    cells = [
        {of: row["name"], **{title: interval(row[name]) for name, title in titles.items()}}
        for row in rows
    ]
    return laid_out(cells, width)


def interval(bounds: Sequence[float], form: str = "{:.1f}", times: float = 100) -> str:
    """Bounds, in % if nothing else is said.

    >>> interval([0.5, 0.625])
    '50.0..62.5'
    """
    if math.isnan(bounds[0]):
        return "-"
    return "..".join(form.format(times * each) for each in bounds)


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
