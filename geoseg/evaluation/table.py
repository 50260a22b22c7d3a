"""Figures as a table for people."""

import math
from typing import Any

from geoseg.evaluation.figures import PER_CLASS, SUMMARY, Evaluation

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


def table_of(evaluation: Evaluation) -> str:
    """The per-class table and the summary of all maps together, and a line for each map."""
    figures = evaluation.to_dict()
    lines = [*_class_lines(figures["classes"]), "", _summary_line(figures)]
    lines += _border_lines(figures)
    if figures["per_map"]:
        lines.append(f"mean of the maps' own: Dice {percent(figures['per_map']['mean_dice'])}")
        lines.append("")
        lines += [f"{name}: {_summary_line(own)}" for name, own in figures["maps"].items()]
    if figures["top_confusions"]:
        lines += ["", *(_confusion_line(each) for each in figures["top_confusions"])]
    lines += ["", _count_line(figures), LEGEND_OF_TABLE]
    return "\n".join(lines)


def percent(value: float) -> str:
    """A share in %, or a dash if it is undefined.

    >>> percent(0.5), percent(float("nan"))
    ('50.00', '-')
    """
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def _class_lines(rows: list[dict[str, Any]]) -> list[str]:
    columns = PER_CLASS | {name: BORDER_COLUMNS[name] for name in BORDER_COLUMNS if name in rows[0]}
    width = max(len("class"), *(len(row["name"]) for row in rows))
    titles = " ".join(f"{title:>9}" for title in columns.values())
    lines = [f"{'class':<{width}} {titles} {'reference px':>13} {'map px':>13}"]
    for row in rows:
        cells = " ".join(f"{percent(row[name]):>9}" for name in columns)
        counts = f"{row['support']:>13} {row['predicted']:>13}"
        lines.append(f"{row['name']:<{width}} {cells} {counts}{_absence(row)}")
    return lines


def _summary_line(figures: dict[str, Any]) -> str:
    return ", ".join(f"{title} {percent(figures[name])}" for name, title in SUMMARY.items())


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
    for each in figures["objects"]:
        shares = [percent(each[name]) for name in ("precision", "recall", "f1")]
        lines.append(
            f"objects of {each['name']}: {each['matched']} of {each['reference']} found, "
            f"{each['map']} mapped: precision {shares[0]}, recall {shares[1]}, F1 {shares[2]}; "
            f"mean IoU of matches {percent(each['mean_iou_of_matches'])}"
        )
    return lines


def _confusion_line(cell: dict[str, Any]) -> str:
    """A confusion in words."""
    return (
        f"{100 * cell['share_of_reference']:.1f} % of {cell['reference']} is mapped as "
        f"{cell['map']} ({cell['pixels']} px)"
    )


def _count_line(figures: dict[str, Any]) -> str:
    dropped = figures["dropped"]
    return (
        f"{figures['pixels']} px counted; dropped: {dropped['without_reference']} px unlabelled in "
        f"the reference, {dropped['without_map']} px without data in the map"
    )


def _absence(row: dict[str, Any]) -> str:
    """A class without a figure is said to be absent, and where."""
    if row["support"]:
        return "" if row["predicted"] else "  not in the map"
    return "  not in the reference" if row["predicted"] else "  in neither"
