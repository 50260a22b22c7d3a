"""Bounds of figures in words and tables."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from geoseg.core.columns import laid_out, sentence

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
