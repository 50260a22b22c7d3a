"""Figures of training ground, objects, scores and merged classes in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

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


def share_of(value: float) -> str:
    """A share of ground; neither none nor all of it if it is not.

    >>> share_of(0.6213), share_of(0.99996), share_of(0.00001)
    ('62 %', '>99 %', '<1 %')
    """
    rounded = round(100 * value)
    if rounded == 100 and value < 1:  # noqa: PLR2004
        return ">99 %"
    return "<1 %" if not rounded and value else f"{rounded} %"


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
