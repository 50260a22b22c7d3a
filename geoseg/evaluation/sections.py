"""Parts of the text on an evaluation that are there on request: regions, windows."""

from collections.abc import Mapping, Sequence
from typing import Any

from geoseg.core.columns import laid_out, sentence
from geoseg.evaluation.lines import in_percent

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
