"""Legend maps: tables of the classes of a map and of a reference that mean the same."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.core.legend import Legend, as_text
from geoseg.core.legend_map import Correspondence, MergedLegend, merge_legends
from geoseg.errors import LegendError
from geoseg.io.records import parse_json

KEYS = ("from", "to", "name")
"""Columns: class of the map, class of the reference and, if wanted, what both are called."""


@dataclass(frozen=True)
class LegendMap:
    """A table of the classes of a map and of a reference that mean the same."""

    path: Path
    """The file."""

    rows: tuple[Correspondence, ...]
    """Its rows."""

    reference: Legend | None = None
    """The classes of the reference, if they are known."""

    def merged(self, own: Legend) -> MergedLegend:
        """The classes that a map and its reference have in common.

        Raises:
            LegendError: If the table does not fit the legends.
        """
        try:
            return merge_legends(self.rows, own, self.reference)
        except LegendError as error:
            raise LegendError(f"{self.path}: {error}") from error


def load_legend_map(path: Path) -> list[Correspondence]:
    """The rows of a CSV file, or of a list of objects in JSON.

    Raises:
        LegendError: If there is no such file, or if it holds anything else.
    """
    if not path.is_file():
        raise LegendError(f"{path}: no such file")
    try:
        text = path.read_text(encoding="utf-8-sig")
        records = parse_json(text) if path.suffix.lower() == ".json" else _table(text)
        rows = _rows(records)
    except (ValueError, csv.Error) as error:  # UnicodeDecodeError and JSONDecodeError are such
        raise LegendError(f"{path}: not a table in CSV or JSON: {error}") from error
    except OSError as error:
        raise LegendError(f"{path}: cannot be read: {error.strerror}") from error
    except LegendError as error:
        raise LegendError(f"{path}: {error}") from error
    if not rows:
        raise LegendError(f"{path}: holds no rows")
    return rows


def _table(text: str) -> Iterable[Any]:
    """Records of a CSV file, with whatever separates its columns."""
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    return csv.DictReader(text.splitlines(), delimiter=separator, skipinitialspace=True)


def _rows(records: Any) -> list[Correspondence]:
    if isinstance(records, int | float | str | dict | None):
        raise LegendError("not a list of objects with from and to")
    rows = []
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict) or not {"from", "to"} <= set(record):
            raise LegendError(f"row {number} has no columns from and to")
        if unknown := [key for key in record if key not in KEYS]:
            raise LegendError(f"row {number} has columns {unknown}; known are {list(KEYS)}")
        texts = ["" if record.get(key) is None else as_text(record[key]) for key in KEYS]
        if any(texts):
            rows.append(Correspondence(*texts))
    return rows
