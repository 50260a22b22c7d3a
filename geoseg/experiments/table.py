"""One table of several trainings and evaluations."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from geoseg.core.undefined import without_nan
from geoseg.experiments.records import SUMMARY, Entry

Figure = Literal["iou", "f1", "precision", "recall"]

TITLES = {
    "epochs_done": "done",
    "best_epoch": "best",
    "val_loss": "val loss",
    "overall_accuracy": "OA",
    "balanced_accuracy": "bal. acc.",
    "mean_iou": "mIoU",
    "mean_f1": "mF1",
    "iou": "IoU",
    "f1": "F1",
    "precision": "prec.",
    "recall": "recall",
    "seconds": "time",
}
"""What people call columns."""

IN_PERCENT = {*SUMMARY, "iou", "f1", "precision", "recall"}

SUFFIXES = (".csv", ".json", ".md")
GAP = "  "


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    name: str
    """For programs."""

    title: str
    """For people."""

    cells: tuple[Any, ...]
    """A value for each row; NaN or None where there is none."""

    kind: str
    """``text``, or the figure that it holds."""

    @property
    def texts(self) -> list[str]:
        """The cells for people."""
        return [_text(cell, self.kind) for cell in self.cells]


@dataclass(frozen=True)
class Table:
    """Columns of the same length."""

    columns: tuple[Column, ...]

    def rows(self) -> list[dict[str, Any]]:
        """The values by name, a row for each run; what is undefined is NaN or None."""
        names = [column.name for column in self.columns]
        cells = zip(*(column.cells for column in self.columns), strict=True)
        return [dict(zip(names, row, strict=True)) for row in cells]

    def to_text(self, width: int | None = None) -> str:
        """The table for people.

        Args:
            width: Of the screen, in characters. A wider table is cut into several, one below
                the other, each with the names of the runs. None: it is as wide as it is.
        """
        first, *others = ([column.title, *column.texts] for column in self.columns)
        head = _aligned(first, left=True)
        parts: list[list[str]] = []
        for column, cells in zip(self.columns[1:], others, strict=True):
            block = _aligned(cells, left=column.kind == "text")
            fits = parts and (
                width is None or len(parts[-1][0]) + len(GAP) + len(block[0]) <= width
            )
            base = parts.pop() if fits else head
            lines = [GAP.join(pair) for pair in zip(base, block, strict=True)]
            parts.append(lines)
        return "\n\n".join("\n".join(map(str.rstrip, part)) for part in parts or [head])

    def to_csv(self) -> str:
        """The values, comma-separated; what is undefined is blank."""
        text = io.StringIO()
        names = [column.name for column in self.columns]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        for row in without_nan(self.rows()):
            writer.writerow({key: "" if value is None else value for key, value in row.items()})
        return text.getvalue()

    def to_json(self) -> str:
        """The values; what is undefined is null."""
        return json.dumps(without_nan(self.rows()), indent=1) + "\n"

    def to_markdown(self) -> str:
        """The table for people, in Markdown."""
        texts = [[column.title, *column.texts] for column in self.columns]
        rows = [[cell.replace("|", r"\|") for cell in row] for row in zip(*texts, strict=True)]
        lines = [f"| {' | '.join(row)} |" for row in rows]
        rule = "|".join("---" if column.kind == "text" else "---:" for column in self.columns)
        return "\n".join([lines[0], f"|{rule}|", *lines[1:]]) + "\n"

    def in_format_of(self, suffix: str) -> str:
        """What a file is to hold whose suffix is one of `SUFFIXES`."""
        forms = (self.to_csv, self.to_json, self.to_markdown)
        return dict(zip(SUFFIXES, forms, strict=True))[suffix.lower()]()


def comparison(
    entries: Sequence[Entry], *, per_class: Figure = "iou", best_first: bool = False
) -> Table:
    """Trainings and evaluations side by side.

    Of the options there are those that differ. A training has the figures of its best epoch.

    Args:
        entries: What is compared.
        per_class: Which figure of each class is shown; of trainings there are ``iou`` and
            ``f1``.
        best_first: Sort by mean IoU, what has none last; otherwise they stay as they are.
    """
    if best_first:
        entries = sorted(entries, key=_rank)
    columns = [
        Column("run", "run", tuple(entry.name for entry in entries), "text"),
        Column("kind", "kind", tuple(entry.kind for entry in entries), "text"),
        *_options(entries),
        _column(entries, "epochs_done"),
        _column(entries, "best_epoch"),
        *(_figure(entries, name) for name in ("val_loss", *SUMMARY)),
        *_classes(entries, per_class),
        _column(entries, "seconds"),
        _column(entries, "parameters"),
        Column("unfinished", "unfinished", tuple(entry.unfinished for entry in entries), "text"),
    ]
    kept = [
        column
        for column in columns
        if column.kind == per_class or not all(map(_is_missing, column.cells))
    ]
    if len({entry.kind for entry in entries}) == 1:
        kept = [column for column in kept if column.name != "kind"]
    return Table(tuple(kept))


def _rank(entry: Entry) -> float:
    figure = entry.figures.get("mean_iou", math.nan)
    return math.inf if math.isnan(figure) else -figure


def _options(entries: Sequence[Entry]) -> list[Column]:
    """Options that differ among the trainings."""
    trainings = [entry for entry in entries if entry.kind == "training"]
    names = dict.fromkeys(name for entry in trainings for name in entry.options)
    columns = []
    for name in names:
        if len({repr(entry.options.get(name)) for entry in trainings}) > 1:
            cells = tuple(_plain(entry.options.get(name)) for entry in entries)
            columns.append(Column(name, name.replace("_", "-"), cells, "text"))
    return columns


def _plain(value: Any) -> Any:
    """An option in one cell."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return value


def _column(entries: Sequence[Entry], name: str) -> Column:
    cells = tuple(getattr(entry, name) for entry in entries)
    return Column(name, TITLES.get(name, name), cells, name)


def _figure(entries: Sequence[Entry], name: str) -> Column:
    cells = tuple(entry.figures.get(name, math.nan) for entry in entries)
    return Column(name, TITLES.get(name, name), cells, name)


def _classes(entries: Sequence[Entry], figure: Figure) -> list[Column]:
    names = dict.fromkeys(name for entry in entries for name in entry.classes)
    return [
        Column(
            f"{figure}_{name}",
            f"{TITLES[figure]} {name}",
            tuple(entry.classes.get(name, {}).get(figure, math.nan) for entry in entries),
            figure,
        )
        for name in names
    ]


def _is_missing(cell: Any) -> bool:
    return cell in (None, "") or (isinstance(cell, float) and math.isnan(cell))


def _text(cell: Any, kind: str) -> str:
    """A cell for people.

    >>> _text(0.5, "iou"), _text(3725.0, "seconds"), _text(None, "epochs_done")
    ('50.00', '1:02:05', '-')
    """
    if _is_missing(cell):
        return "-"
    if kind in IN_PERCENT:
        return f"{100 * cell:.2f}"
    if kind == "seconds":
        minutes, seconds = divmod(round(cell), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    if kind == "parameters":
        return f"{cell / 1e6:.2f} M"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _aligned(cells: Sequence[str], *, left: bool) -> list[str]:
    width = max(map(len, cells))
    return [cell.ljust(width) if left else cell.rjust(width) for cell in cells]
