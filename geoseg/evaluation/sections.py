"""Parts of the text on an evaluation that are there on request: bounds, regions, windows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from geoseg.core.columns import laid_out, sentence
from geoseg.evaluation.lines import in_percent

FEW = 10
"""Windows that are told; the table of the report folder has all."""


def confidence_lines(
    bounds: Mapping[str, Any],
    columns: Mapping[str, str],
    summary: Mapping[str, str],
    width: int | None,
) -> list[str]:
    """Bounds of all figures of classes, and of the summary.

    Args:
        bounds: What `confidence_of` gives.
        columns: Titles of the figures of classes.
        summary: What the figures of the whole map are called.
        width: Of a line, in characters.
    """
    told = {title: f"{title} {interval(bounds[name])}" for name, title in summary.items()}
    rows = [
        {
            "class": row["name"],
            **{title: interval(row[name]) for name, title in columns.items()},
        }
        for row in bounds["classes"]
    ]
    how = (
        f"{100 * bounds['level']:g} % intervals, from {bounds['blocks']} blocks of "
        f"{bounds['block']} drawn again {bounds['resamples']} times (seed {bounds['seed']}):"
    )
    lines = [*sentence(how, width), *laid_out(rows, width)]
    lines += sentence(", ".join(told.values()), width)
    if boundary := bounds["boundary"]:
        means = [interval(boundary[name]) for name in ("mean_iou", "mean_f1")]
        lines += sentence(f"mean boundary IoU {means[0]}, mean boundary F1 {means[1]}", width)
    if eroded := bounds["eroded"]:
        told = {title: f"{title} {interval(eroded[name])}" for name, title in summary.items()}
        lines += sentence(f"eroded: {', '.join(told.values())}", width)
    return lines


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


def interval(bounds: Sequence[float]) -> str:
    """Bounds in %.

    >>> interval([0.5, 0.625])
    '50.0..62.5'
    """
    if math.isnan(bounds[0]):
        return "-"
    return f"{100 * bounds[0]:.1f}..{100 * bounds[1]:.1f}"
