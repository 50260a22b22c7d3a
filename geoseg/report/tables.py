"""Tables of a page, and values as a page writes them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from geoseg.evaluation.metrics import TITLES

SHARES = {
    *("iou", "f1", "dice", "precision", "recall", "accuracy", "kappa", "share"),
    *("ap", "ap50", "ece", "mce", "score"),
}
"""Words in the names of metrics that are written in %."""

WORDS = {
    "iou": "IoU",
    "miou": "mean IoU",
    "f1": "F1",
    "ci95": "± 95 %",
    "lr": "learning rate",
    "ap": "AP",
    "ap50": "AP50",
    "mce": "MCE",
    "ece": "ECE",
    "gsd": "GSD",
    "crs": "CRS",
    "ha": "(ha)",
}
"""Words in the names of metrics that a page writes differently."""

WINDOW_COLUMNS = ("row_off", "col_off", "height", "width")
"""Columns that give a window of the map, in pixels."""

BOUNDS_COLUMNS = ("x_min", "y_min", "x_max", "y_max")
"""Columns that give the same window in units of the CRS; the map shows it, tables leave it out."""

MIN_GROUPED_NUMBER = 1000
"""Numbers from here on are written with separators."""


class Table(NamedTuple):
    """A table of a page."""

    title: str
    """Caption."""

    columns: list[str]
    """Heads of the columns."""

    rows: list[list[str]]
    """Cells as people read them."""

    numeric: list[bool]
    """Whether each column holds numbers."""

    places: list[dict[str, Any] | None]
    """Window of each row on the map, if it names one."""


def table_of(title: str, records: Sequence[Mapping[str, Any]]) -> Table:
    """A table with a column for each key of the first record."""
    keys = [key for key in (records[0] if records else ()) if key not in BOUNDS_COLUMNS]
    return Table(
        title,
        columns=[words(key) for key in keys],
        rows=[[as_text(each.get(key), key) for key in keys] for each in records],
        numeric=[all(_is_number(each.get(key)) for each in records) for key in keys],
        places=[_place(each) for each in records],
    )


def as_text(value: Any, name: str = "") -> str:
    """A value for people; shares in %, what is undefined as a dash.

    >>> as_text(0.25, "iou"), as_text(0.25, "loss"), as_text(12345), as_text(None)
    ('25.00 %', '0.25', '12,345', '-')
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{words(str(key))} {as_text(each, key)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        between = " to " if _is_interval(value) else ", "
        return between.join(as_text(each, name) for each in value)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, float):
        if is_share(name):
            return f"{100 * value:.2f} %"
        return f"{value:,.1f}" if abs(value) >= MIN_GROUPED_NUMBER else f"{value:.4g}"
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if is_count else str(value)


def is_share(name: str) -> bool:
    """Whether a metric is written in %.

    >>> is_share("boundary_iou"), is_share("mapped_pixels")
    (True, False)
    """
    return name in TITLES or not SHARES.isdisjoint(name.lower().removeprefix("val_m").split("_"))


def words(name: str) -> str:
    """The name of a metric as people write it.

    >>> words("boundary_iou"), words("mean_f1")
    ('boundary IoU', 'mean F1')
    """
    return TITLES.get(name) or " ".join(WORDS.get(word, word) for word in name.split("_"))


def _is_interval(value: Sequence[Any]) -> bool:
    return len(value) == 2 and all(isinstance(each, float) for each in value)  # noqa: PLR2004


def _is_number(value: Any) -> bool:
    if isinstance(value, list):
        return _is_interval(value)
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _place(record: Mapping[str, Any]) -> dict[str, Any] | None:
    if not all(isinstance(record.get(key), int) for key in WINDOW_COLUMNS):
        return None
    return {key: record[key] for key in (*WINDOW_COLUMNS, "map") if key in record}
