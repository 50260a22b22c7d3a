"""An evaluation as tables and sentences."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from geoseg.evaluation.evaluation import Evaluation
from geoseg.evaluation.metrics import in_percent, share_of, titles
from geoseg.text import REMARKS_TITLE, format_table, wrap_text

MAX_WINDOWS = 10
"""Error windows in text; the table of the report folder has all."""

TABLE_LEGEND = (
    "in %, kappa and MCC x 100; precision = user's accuracy, recall = producer's accuracy, "
    "F1 = Dice; means over classes present in the reference"
)


def table_of(evaluation: Evaluation, width: int | None = None) -> str:
    """The per-class table and the summary of all maps together, and a line for each map.

    Lines have at most ``width`` characters, if that is given.
    """

    def wrapped(*texts: str) -> list[str]:
        return [line for text in texts for line in wrap_text(text, width)]

    record = evaluation.to_dict()
    confusions = [_confusion_line(cell, record) for cell in record["top_confusions"]]
    summary = wrapped(
        _headline(record),
        *_ground_lines(record["training_ground"]),
        *_border_lines(record),
        *_map_lines(record),
    )
    sections = (
        summary,
        _confidence_lines(record["confidence"], width) if record["confidence"] else [],
        _region_lines(record["regions"], width) if record["regions"] else [],
        _window_lines(record["worst"], width) if record["worst"] else [],
        wrapped(*confusions),
        wrapped(*_count_lines(record), TABLE_LEGEND),
    )
    lines = format_table(_class_rows(record["classes"]), width)
    return "\n".join(lines + [line for part in sections if part for line in ("", *part)])


def _named(values: Mapping[str, Any], group: str) -> str:
    """Titles and values of a group's metrics; a value may be an interval."""
    return ", ".join(f"{title} {_cell(values[name])}" for name, title in titles(group).items())


def _cells(row: Mapping[str, Any], group: str) -> dict[str, str]:
    """Titles and values of those metrics that the row has."""
    return {title: _cell(row[name]) for name, title in titles(group).items() if name in row}


def _cell(value: float | Sequence[float]) -> str:
    """A share or its interval, in %."""
    return interval(value) if isinstance(value, Sequence) else in_percent(value)


def interval(bounds: Sequence[float]) -> str:
    """Bounds, in %.

    >>> interval([0.5, 0.625])
    '50.0..62.5'
    """
    return "-" if math.isnan(bounds[0]) else "..".join(f"{100 * each:.1f}" for each in bounds)


def _class_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [
        {
            "class": row["name"],
            **_cells(row, "classes"),
            "ref. px": str(row["support"]),
            "map px": str(row["predicted"]),
            REMARKS_TITLE: _absence(row),
        }
        for row in rows
    ]


def _headline(record: Mapping[str, Any]) -> str:
    """The summary, and over what it was counted."""
    classes, ground = len(record["classes"]), record["share_of_map"]
    counted = record["classes_counted"]
    of_all = f"all {classes}" if counted == classes else f"{counted} of {classes}"
    share = "" if math.isnan(ground) else f" and {100 * ground:.3g} % of the map"
    return f"over {of_all} classes{share}: {_named(record, 'summary')}"


def _ground_lines(ground: Mapping[str, Any] | None) -> list[str]:
    """How much of the ground trained the model, and metrics of the rest; nothing if unknown."""
    if ground is None or not (ground["pixels"] or ground["is_complete"]):
        return []
    if not ground["pixels"]:
        return ["none of this ground trained the model"]
    rest = ground["elsewhere"]
    if not rest["pixels"]:
        return ["all of this ground trained the model: there are no metrics of other ground"]
    least = "" if ground["is_complete"] else "at least "
    trained = f"{least}{share_of(ground['share'])} of this ground trained the model"
    return [f"{trained}; on the rest ({rest['pixels']} px): {_named(rest, 'summary')}"]


def _border_lines(record: Mapping[str, Any]) -> list[str]:
    """Borders, objects and scores."""
    lines = []
    if boundary := record["boundary"]:
        lines.append(f"borders within {boundary['distance']}: {_named(boundary, 'boundary')}")
    if eroded := record["eroded"]:
        lines.append(
            f"without {eroded['distance']} along the reference's borders "
            f"({eroded['pixels']} px counted): {_named(eroded, 'eroded')}"
        )
    lines += [line for each in record["objects"] for line in object_lines(each)]
    lines += connectivity_line(record["objects"])
    return lines + (_score_lines(record["scores"]) if record["scores"] else [])


def _map_lines(record: Mapping[str, Any]) -> list[str]:
    if not record["per_map"]:
        return []
    mean = f"mean of the maps' own: Dice {in_percent(record['per_map']['mean_dice'])}"
    return [mean, "", *(f"{name}: {_headline(own)}" for name, own in record["maps"].items())]


def object_lines(row: Mapping[str, Any]) -> list[str]:
    """Metrics of the objects of a class."""
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
        lines.append(f"objects of {name}: {row['left_out']} polygons have no ground that counts")
    return lines


def connectivity_line(objects: Sequence[Mapping[str, Any]]) -> list[str]:
    """What an object is, if there are any."""
    if not objects:
        return []
    if objects[0]["connectivity"] is None:
        return ["an object is a polygon, in the map and in the reference; IoU is of their areas"]
    if objects[0]["connectivity"] == 4:  # noqa: PLR2004
        return ["an object is pixels that touch along a side; at a corner too: --connectivity 8"]
    return ["an object is pixels that touch along a side or at a corner"]


def _score_lines(scores: Mapping[str, Any]) -> list[str]:
    """Metrics of scores."""
    lines = [
        (
            f"scores: {_named(scores, 'scores')}; {scores['without_scores']} px without scores, "
            f"{scores['other_class']} px whose class is not the one that scores best"
        )
    ]
    for row in scores["classes"]:
        if math.isnan(row["average_precision"]):
            lines.append(f"scores of {row['name']}: not in the reference")
            continue
        area, f1 = in_percent(row["average_precision"]), in_percent(row["best_f1"])
        lines.append(
            f"scores of {row['name']}: average precision {area}; F1 is highest ({f1}) from a score "
            f"of {row['best_threshold']:.2f} on"
        )
    return lines


def _confidence_lines(bounds: Mapping[str, Any], width: int | None) -> list[str]:
    """Intervals of all metrics that have them."""
    how = (
        f"{100 * bounds['level']:g} % intervals, from {bounds['blocks']} blocks of "
        f"{bounds['block']} drawn again {bounds['resamples']} times (seed {bounds['seed']}):"
    )
    rows = [{"class": row["name"], **_cells(row, "classes")} for row in bounds["classes"]]
    lines = [*wrap_text(how, width), *format_table(rows, width)]
    lines += wrap_text(_named(bounds, "summary"), width)
    if boundary := bounds["boundary"]:
        lines += wrap_text(_named(boundary, "boundary"), width)
    if eroded := bounds["eroded"]:
        lines += wrap_text(f"eroded: {_named(eroded, 'eroded')}", width)
    if per_map := bounds["per_map"]:
        lines += wrap_text(f"mean of the maps' own: Dice {interval(per_map['mean_dice'])}", width)
    if bounds["objects"]:
        rows = [{"objects of": row["name"], **_cells(row, "objects")} for row in bounds["objects"]]
        lines += ["", *format_table(rows, width)]
    return lines


def _region_lines(regions: Mapping[str, Any], width: int | None) -> list[str]:
    """A row for each region."""
    rows = [
        {
            "region": row["name"],
            **_cells(row, "summary"),
            "px counted": str(row["pixels"]),
        }
        for row in (*regions["rows"], {"name": "(outside)", **regions["outside"]})
    ]
    return format_table(rows, width)


def _window_lines(windows: Sequence[Mapping[str, Any]], width: int | None) -> list[str]:
    """A row for each of the first error windows."""
    rows = [
        {
            "worst windows": f"{row['rank']}. {row['map']}",
            "row": str(row["row_off"]),
            "col": str(row["col_off"]),
            "px wrong": str(row["errors"]),
            "% wrong": in_percent(row["share_wrong"]),
            "": row["mostly"],
        }
        for row in windows[:MAX_WINDOWS]
    ]
    lines = format_table(rows, width)
    if (more := len(windows) - MAX_WINDOWS) > 0:
        lines += wrap_text(f"and {more} more: the report folder has them all", width)
    return lines


def _confusion_line(cell: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """A confusion in words."""
    share = f"{100 * cell['share_of_reference']:.1f} %"
    if record["confidence"]:
        names = record["confusion"]["names"]
        row, col = (names.index(cell[side]) for side in ("reference", "map"))
        share += f" ({interval(record['confidence']['shares_of_reference'][row][col])})"
    return f"{share} of {cell['reference']} is mapped as {cell['map']} ({cell['pixels']} px)"


def _count_lines(record: Mapping[str, Any]) -> list[str]:
    dropped = record["dropped"]
    counted = (
        f"{record['pixels']} px counted; dropped: {dropped['without_reference']} px unlabelled in "
        f"the reference, {dropped['without_map']} px without data in the map"
    )
    lines = [counted]
    if record["labelled_differently"]:
        lines.append(
            f"{record['labelled_differently']} px are labelled differently by two references; "
            f"the first one counts"
        )
    return [*lines, *merged_lines(record["merged_classes"] or [])]


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


def _absence(row: Mapping[str, Any]) -> str:
    """Where a class is absent."""
    if row["support"]:
        return "" if row["predicted"] else "not in the map"
    return "not in the reference" if row["predicted"] else "in neither"
