"""What folders say of trainings and evaluations."""

import csv
import io
import json
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Any, Literal

from geoseg.errors import InputError
from geoseg.raster import folders
from geoseg.raster.atomic import without_nan
from geoseg.raster.paths import check_component
from geoseg.raster.records import read_record

RUN, EVALUATION = folders.TRAINING.record, folders.EVALUATION.record

SWEEP = folders.SWEEP.record

RECORDS = (RUN, EVALUATION, SWEEP)

SUMMARY = ("overall_accuracy", "balanced_accuracy", "kappa", "mean_iou", "mean_f1")
"""Figures of an evaluation."""

PER_CLASS = ("iou", "f1", "precision", "recall")
"""Figures of a class."""

HISTORY = "history.csv"

WRONG = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, csv.Error)
"""What values of other types or sizes than ours raise."""

DIVERGENCE = "divergence"
"""What run.json says has ended a training whose weights were no numbers any more."""

Row = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A training or an evaluation."""

    name: str
    """Short and unique among those compared."""

    kind: Literal["training", "evaluation"]
    """What it is."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """What it was told, by name."""

    figures: Mapping[str, float] = field(default_factory=dict)
    """Of the best epoch, or of the maps."""

    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Figures of each class; what is undefined is NaN."""

    epochs_done: int | None = None
    """How many are complete."""

    best_epoch: int | None = None
    """Whose figures these are, and whose model is kept."""

    seconds: float | None = None
    """That the epochs took."""

    parameters: int | None = None
    """Numbers that the network has."""

    unfinished: str = ""
    """What is missing; empty: nothing."""


def read_entries(named: Sequence[Path]) -> list[Entry]:
    """The trainings and evaluations of the folders that a user names.

    A folder of a sweep, of folds, or of runs gives all that it holds; a pattern what matches.

    Raises:
        InputError: If a folder holds none, or a record is damaged.
    """
    folders = list(dict.fromkeys(folder for path in named for folder in _expanded(path)))
    names = short_names(folders)
    return [_entry(folder, name) for folder, name in zip(folders, names, strict=True)]


def read_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """What the record of a sweep says of its runs, by the names of their folders.

    Raises:
        InputError: If it is damaged, or a run would lie outside of the folder.
    """
    path = folder / SWEEP
    runs = read_record(path).get("runs", {})
    if not isinstance(runs, dict) or not all(isinstance(run, dict) for run in runs.values()):
        raise InputError(f"{path}: is damaged: its runs are no table")
    return {check_component(name, path): run for name, run in runs.items()}


def short_names(folders: Sequence[Path]) -> list[str]:
    """The last parts of paths, as many as tell them apart.

    >>> short_names([Path("a/run"), Path("b/run")])
    ['a/run', 'b/run']
    """
    parts = [folder.absolute().parts for folder in folders]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(each[-depth:]) for each in parts]
        if len(set(names)) == len(names):
            break
    return names if folders else []


def _expanded(path: Path) -> list[Path]:
    if not path.exists() and any(mark in str(path) for mark in "*?["):
        found = [Path(match) for match in sorted(glob(str(path), recursive=True))]  # noqa: PTH207
        folders = [each for each in found if _is_record(each)]
        if not folders:
            raise InputError(f"{path}: matches no run and no evaluation")
        return [folder for each in folders for folder in _expanded(each)]
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    if (path / SWEEP).is_file():
        held = [path / name for name in read_runs(path)]
        held = [each for each in held if _is_record(each)]
    elif _is_record(path) and not read_record(_record(path)).get("folds"):
        return [path]
    else:
        held = sorted(each for each in path.iterdir() if _is_record(each))
    if not held:
        raise InputError(f"{path}: holds no run of `geoseg train` and no `geoseg evaluate -o`")
    return [folder for each in held for folder in _expanded(each)]


def _is_record(folder: Path) -> bool:
    return any((folder / name).is_file() for name in RECORDS)


def _record(folder: Path) -> Path:
    return next(folder / name for name in RECORDS if (folder / name).is_file())


def _entry(folder: Path, name: str) -> Entry:
    path = _record(folder)
    record, rows = read_record(path), _history(folder / HISTORY)
    try:
        if path.name == EVALUATION:
            return _evaluation(record, name)
        return _training(record, rows, name)
    except WRONG as error:
        raise InputError(f"{path}: is not as geoseg writes it: {error!r}") from error


def _evaluation(record: Mapping[str, Any], name: str) -> Entry:
    classes = {
        row["name"]: {figure: number(row.get(figure)) for figure in PER_CLASS}
        for row in record["classes"]
    }
    figures = {figure: number(record.get(figure)) for figure in SUMMARY}
    return Entry(name=name, kind="evaluation", figures=figures, classes=classes)


def _training(record: Mapping[str, Any], rows: Sequence[Row], name: str) -> Entry:
    options = dict(record["options"])
    best = best_row(rows, options.get("monitor", "loss"))
    ious = {
        column.removeprefix("iou_"): number(value)
        for column, value in best.items()
        if column.startswith("iou_")
    }
    titles = {"val_miou": "mean_iou", "val_loss": "val_loss", "train_loss": "train_loss"}
    return Entry(
        name=name,
        kind="training",
        options=options | {"patches": record["patches"]},
        figures={title: number(best[key]) for key, title in titles.items() if key in best},
        classes={each: {"iou": iou, "f1": 2 * iou / (1 + iou)} for each, iou in ious.items()},
        epochs_done=len(rows),
        best_epoch=int(float(best["epoch"])) if best else None,
        seconds=sum(float(row["seconds"]) for row in rows),
        parameters=None if (count := record.get("parameters")) is None else operator.index(count),
        unfinished=_unfinished(record.get("ended"), options, rows),
    )


def _unfinished(ended: str | None, options: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """What a training has done before it diverged or was interrupted, or until now."""
    if ended == DIVERGENCE:
        return f"diverged after {len(rows)} epochs"
    if ended:
        return ""
    if not rows:
        return "no epoch is complete"
    most = options.get("epochs")
    return f"{len(rows)} of {most} epochs" if most else f"{len(rows)} epochs"


def best_row(rows: Sequence[Row], monitor: str) -> Row:
    """The epoch whose model is kept; the last if there is no validation; {} if there is none.

    Args:
        rows: Of history.csv.
        monitor: ``loss`` or ``miou``: which validation figure decides.
    """
    sign = -1 if monitor == "miou" else 1

    def rank(row: Row) -> float:
        value = sign * number(row.get(f"val_{monitor}", -float(row["epoch"]) * sign))
        return value if math.isfinite(value) else math.inf

    return min(rows, key=rank, default={})


def _history(path: Path) -> list[Row]:
    """The rows of history.csv; none if it is not there.

    Raises:
        InputError: If a figure is none.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            figures = {name: number(value) for name, value in row.items()}
            if not (math.isfinite(figures["epoch"]) and math.isfinite(figures["seconds"])):
                raise ValueError(f"epoch {row['epoch']}, seconds {row['seconds']}")
    except (*WRONG, OSError) as error:
        raise InputError(f"{path}: is not as geoseg writes it: {error!r}") from error
    return rows


def number(value: Any) -> float:
    """A figure as it was written; what is undefined is NaN.

    >>> number("0.5"), number(""), number(None)
    (0.5, nan, nan)
    """
    return math.nan if value in ("", None) else float(value)


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
