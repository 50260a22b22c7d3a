"""Tables for a page: cells already written as people read them."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from geoseg.errors import InputError
from geoseg.io.paths import refuse_links_out

SHARES = (
    *("iou", "f1", "dice", "precision", "recall", "accuracy", "kappa", "share"),
    *("ap", "ap50", "ece", "mce", "score"),
)
"""Words in the names of figures that are told in %."""

NAMES = {
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
"""Parts of names that are written otherwise."""

PLACE = ("row_off", "col_off", "height", "width")
"""Columns that say where on a map something is, in pixels."""

BOUNDS = ("x_min", "y_min", "x_max", "y_max")
"""Columns that say the same in units of the CRS; the map tells them, and a table does not."""

LARGE = 1000
"""From here on, numbers are told with separators."""


class Table(NamedTuple):
    """A table of a page."""

    title: str
    """What it tells."""

    columns: list[str]
    """Head of each column."""

    rows: list[list[str]]
    """Cells as people read them."""

    numeric: list[bool]
    """Whether each column holds numbers."""

    places: list[dict[str, Any] | None]
    """Of each row, where on the map it is, if it says so."""


def table_of(title: str, records: Sequence[Mapping[str, Any]]) -> Table:
    """A table with a column for each key of the first record."""
    keys = [key for key in (records[0] if records else ()) if key not in BOUNDS]
    cells = [[told(each.get(key), key) for key in keys] for each in records]
    numeric = [all(_is_number(each.get(key)) for each in records) for key in keys]
    return Table(
        title, [words(key) for key in keys], cells, numeric, [_place(each) for each in records]
    )


def read_csv(path: Path) -> list[dict[str, Any]]:
    """The rows of a table; numbers as numbers, what is blank as None.

    Raises:
        InputError: If it cannot be read, or is a link to what lies elsewhere.
    """
    refuse_links_out(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                {key: _parsed(value) for key, value in row.items() if key is not None}
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def told(value: Any, name: str = "") -> str:
    """A value for people; shares in %, what is undefined as a dash.

    >>> told(0.25, "iou"), told(0.25, "loss"), told(12345), told(None)
    ('25.00 %', '0.25', '12,345', '-')
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{words(str(key))} {told(each, key)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        between = " to " if _is_interval(value) else ", "
        return between.join(told(each, name) for each in value)
    if isinstance(value, float):
        return _told_float(value, name)
    if value is None:
        return "-"
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if is_count else str(value)


def _told_float(value: float, name: str) -> str:
    if not math.isfinite(value):
        return "-"
    if is_share(name):
        return f"{100 * value:.2f} %"
    return f"{value:,.1f}" if abs(value) >= LARGE else f"{value:.4g}"


def _is_interval(value: Sequence[Any]) -> bool:
    return len(value) == 2 and all(isinstance(each, float) for each in value)  # noqa: PLR2004


def is_share(name: str) -> bool:
    """Whether a figure is told in %.

    >>> is_share("boundary_iou"), is_share("mapped_pixels")
    (True, False)
    """
    return not set(SHARES).isdisjoint(name.lower().removeprefix("val_m").split("_"))


def words(name: str) -> str:
    """The name of a figure as people write it.

    >>> words("boundary_iou"), words("mean_f1")
    ('boundary IoU', 'mean F1')
    """
    return " ".join(NAMES.get(word, word) for word in name.split("_"))


def _parsed(value: str | None) -> Any:
    if value is None or not value:
        return None
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _is_number(value: Any) -> bool:
    if isinstance(value, list):
        return _is_interval(value)
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _place(record: Mapping[str, Any]) -> dict[str, Any] | None:
    if not all(isinstance(record.get(key), int) for key in PLACE):
        return None
    return {key: record[key] for key in (*PLACE, "map") if key in record}
