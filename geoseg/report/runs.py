"""Records and tables of trainings and evaluations, read from their folders and compared."""

import csv
import io
import json
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Any, Literal, NamedTuple

from geoseg.errors import InputError
from geoseg.evaluation.metrics import TITLES as METRIC_TITLES
from geoseg.evaluation.metrics import titles
from geoseg.raster import folders
from geoseg.raster.atomic import without_nan
from geoseg.raster.folders import refuse_links_out
from geoseg.raster.paths import check_component
from geoseg.raster.records import read_record, understanding
from geoseg.text import format_table

RUN, EVALUATION = folders.TRAINING.record, folders.EVALUATION.record

SWEEP, BUNDLE = folders.SWEEP.record, folders.MODEL.record

RECORDS = (RUN, EVALUATION, SWEEP)

HISTORY = "history.csv"

SUMMARY = tuple(titles("summary"))
"""Metrics of an evaluation."""

PER_CLASS = ("iou", "f1", "precision", "recall")
"""Metrics of a class."""

DIVERGENCE = "divergence"
"""What run.json gives as the end of a training whose weights were no longer numbers."""

Row = dict[str, Any]
"""A row of a CSV file, by column."""


def read_csv(path: Path) -> list[Row]:
    """The rows of a CSV file: numbers as numbers, blank cells as None; none if it is missing.

    Raises:
        InputError: If it cannot be read, is damaged, or is a link out of its folder.
    """
    if not path.is_file():
        return []
    refuse_links_out(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            rows = [{key: _parsed(value) for key, value in row.items()} for row in table]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: is damaged: {error}") from error
    if any(None in row for row in rows):
        raise InputError(f"{path}: is damaged: a row has more cells than the first one")
    return rows


def _parsed(text: Any) -> Any:
    if not text:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except (TypeError, ValueError):
            continue
    return text


def read_history(folder: Path) -> list[Row]:
    """The epochs of a training, from its history.csv; none if it is missing.

    Raises:
        InputError: If it is damaged, or a metric is no number.
    """
    path = folder / HISTORY
    rows = read_csv(path)
    with understanding(path):
        for row in rows:
            metrics = {name: to_float(value) for name, value in row.items()}
            if not (math.isfinite(metrics["epoch"]) and math.isfinite(metrics["seconds"])):
                raise ValueError(f"epoch {row['epoch']}, seconds {row['seconds']}")
    return rows


def to_float(value: Any) -> float:
    """A metric of a record; what is undefined is NaN.

    >>> to_float(0.5), to_float(None)
    (0.5, nan)
    """
    return math.nan if value is None else float(value)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A training or an evaluation."""

    name: str
    """Short name, unique among those compared."""

    kind: Literal["training", "evaluation"]
    options: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Metrics of each class; NaN if undefined."""

    epochs_done: int | None = None
    best_epoch: int | None = None

    seconds: float | None = None
    """Time of all epochs."""

    parameters: int | None = None
    unfinished: str = ""
    """Reason why it is incomplete; empty if it is complete."""


def read_entries(named: Sequence[Path]) -> list[Entry]:
    """The trainings and evaluations in folders.

    A folder of a sweep, of folds or of runs stands for all in it, a pattern for all matches.

    Raises:
        InputError: If a folder holds none, or a record is damaged.
    """
    found = list(dict.fromkeys(folder for path in named for folder in _expanded(path)))
    return [_entry(*each) for each in zip(found, short_names(found), strict=True)]


def read_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """The runs of a sweep by the names of their folders, from its record.

    Raises:
        InputError: If it is damaged, or a run would lie outside of the folder.
    """
    path = folder / SWEEP
    runs = read_record(path).get("runs", {})
    if not isinstance(runs, dict) or not all(isinstance(run, dict) for run in runs.values()):
        raise InputError(f"{path}: is damaged: its runs are no table")
    return {check_component(name, path): run for name, run in runs.items()}


def short_names(folders: Sequence[Path]) -> list[str]:
    """The last parts of paths, as many as make them unique.

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
    record = read_record(path)
    with understanding(path):
        if path.name == EVALUATION:
            return _evaluation(record, name)
        return _training(record, read_history(folder), name)


def _evaluation(record: Mapping[str, Any], name: str) -> Entry:
    classes = {
        row["name"]: {metric: to_float(row.get(metric)) for metric in PER_CLASS}
        for row in record["classes"]
    }
    metrics = {name: to_float(record.get(name)) for name in SUMMARY}
    return Entry(name=name, kind="evaluation", metrics=metrics, classes=classes)


def _training(record: Mapping[str, Any], rows: Sequence[Row], name: str) -> Entry:
    options = dict(record["options"])
    best = best_row(rows, options.get("monitor", "loss"))
    ious = {
        column.removeprefix("iou_"): to_float(value)
        for column, value in best.items()
        if column.startswith("iou_")
    }
    names = {"val_miou": "mean_iou", "val_loss": "val_loss", "train_loss": "train_loss"}
    return Entry(
        name=name,
        kind="training",
        options=options | {"patches": _named(record["patches"])},
        metrics={title: to_float(best[key]) for key, title in names.items() if key in best},
        classes={each: {"iou": iou, "f1": 2 * iou / (1 + iou)} for each, iou in ious.items()},
        epochs_done=complete_epochs(rows),
        best_epoch=int(float(best["epoch"])) if best else None,
        seconds=sum(float(row["seconds"]) for row in rows),
        parameters=None if (count := record.get("parameters")) is None else operator.index(count),
        unfinished=_unfinished(record.get("ended"), options, rows),
    )


def _named(folders: Any) -> str:
    """The patch sets of a training: one, or several."""
    return ", ".join(map(str, folders)) if isinstance(folders, list) else str(folders)


def _unfinished(ended: str | None, options: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """How far an incomplete training has come; empty if it is complete."""
    if ended == DIVERGENCE:
        return f"diverged after {complete_epochs(rows)} epochs"
    if ended:
        return ""
    if not (done := complete_epochs(rows)):
        return "no epoch is complete"
    most = options.get("epochs")
    return f"{done} of {most} epochs" if most else f"{done} epochs"


def complete_epochs(rows: Sequence[Row]) -> int:
    """Number of the last epoch; epoch 0 is the model that a training has begun with."""
    return int(float(rows[-1]["epoch"])) if rows else 0


def best_row(rows: Sequence[Row], monitor: str) -> Row:
    """The epoch whose model is kept; the last if there is no validation; {} if there is none."""
    sign = -1 if monitor == "miou" else 1

    def rank(row: Row) -> float:
        value = sign * to_float(row.get(f"val_{monitor}", -float(row["epoch"]) * sign))
        return value if math.isfinite(value) else math.inf

    return min(rows, key=rank, default={})


Metric = Literal["iou", "f1", "precision", "recall"]

TITLES = METRIC_TITLES | {
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
"""Titles of columns."""

IN_PERCENT = {*SUMMARY, *PER_CLASS}

SUFFIXES = (".csv", ".json", ".md")

BAR = r"\|"
"""A bar inside a cell of Markdown."""

COLUMNS_BEFORE_CLASSES = ("epochs_done", "best_epoch", "val_loss", *SUMMARY)
"""Columns between the options and the metrics of classes."""

ENTRY_COLUMNS = ("kind", "epochs_done", "best_epoch", "seconds", "parameters", "unfinished")
"""Fields of an entry that are columns."""


class Column(NamedTuple):
    """A column of the table: its name for programs, and its title for people."""

    name: str
    title: str

    kind: str
    """``text``, or the metric in the cells."""


@dataclass(frozen=True)
class Table:
    """A row for each training and evaluation."""

    columns: Sequence[Column]

    rows: Sequence[Mapping[str, Any]]
    """Values by column; NaN or None if undefined."""

    @property
    def _texts(self) -> list[dict[str, str]]:
        """Cells of each row by title, as people read them."""
        return [{c.title: _text(row[c.name], c.kind) for c in self.columns} for row in self.rows]

    def to_text(self, width: int | None = None) -> str:
        """The table for people.

        Args:
            width: Width of the screen, in characters. A wider table is cut into several, one
                below the other, each with the names of the runs. None: no limit.
        """
        left = {column.title for column in self.columns if column.kind == "text"}
        return "\n".join(format_table(self._texts, width, left=left, least=0, gap="  "))

    def to_csv(self) -> str:
        """The values, comma-separated; blank if undefined."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [column.name for column in self.columns], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._records())
        return text.getvalue()

    def to_json(self) -> str:
        """The values; null if undefined."""
        return json.dumps(self._records(), indent=1) + "\n"

    def to_markdown(self) -> str:
        """The table for people, in Markdown."""
        rows = [[column.title for column in self.columns], *(row.values() for row in self._texts)]
        lines = [f"| {' | '.join(cell.replace('|', BAR) for cell in row)} |" for row in rows]
        rule = "|".join("---" if column.kind == "text" else "---:" for column in self.columns)
        return "\n".join([lines[0], f"|{rule}|", *lines[1:]]) + "\n"

    def in_format_of(self, suffix: str) -> str:
        """Content of a file, by its suffix, which is one of `SUFFIXES`."""
        forms = (self.to_csv, self.to_json, self.to_markdown)
        return dict(zip(SUFFIXES, forms, strict=True))[suffix.lower()]()

    def _records(self) -> Any:
        """The rows with the columns that are shown, without NaN."""
        names = [column.name for column in self.columns]
        return without_nan([{name: row[name] for name in names} for row in self.rows])


def comparison(
    entries: Sequence[Entry], *, per_class: Metric = "iou", best_first: bool = False
) -> Table:
    """Trainings and evaluations side by side.

    Options are shown if they differ. Metrics of a training are those of its best epoch.

    Args:
        entries: Trainings and evaluations.
        per_class: Metric of each class; trainings have ``iou`` and ``f1``.
        best_first: Whether to sort by mean IoU; entries without one come last.
    """
    if best_first:
        entries = sorted(entries, key=_rank)
    given = [entry.options for entry in entries if entry.kind == "training"]
    options = [name for name in _names(given) if len({repr(own.get(name)) for own in given}) > 1]
    classes = _names(entry.classes for entry in entries)
    of_class = {f"{per_class}_{name}": name for name in classes}
    columns = [
        *(Column(name, name, "text") for name in ("run", "kind")),
        *(Column(name, name.replace("_", "-"), "text") for name in options),
        *(Column(name, TITLES.get(name, name), name) for name in COLUMNS_BEFORE_CLASSES),
        *(Column(key, f"{TITLES[per_class]} {name}", per_class) for key, name in of_class.items()),
        *(Column(name, TITLES.get(name, name), name) for name in ("seconds", "parameters")),
        Column("unfinished", "unfinished", "text"),
    ]
    rows = [
        {
            **dict.fromkeys(COLUMNS_BEFORE_CLASSES, math.nan),
            **{field: getattr(entry, field) for field in ENTRY_COLUMNS},
            "run": entry.name,
            **{name: _in_one_cell(entry.options.get(name)) for name in options},
            **entry.metrics,
            **{
                key: entry.classes.get(n, {}).get(per_class, math.nan)
                for key, n in of_class.items()
            },
        }
        for entry in entries
    ]
    one_kind = len({entry.kind for entry in entries}) == 1
    return Table(
        columns=[
            column
            for column in columns
            if (column.kind == per_class or not all(_is_missing(row[column.name]) for row in rows))
            and not (one_kind and column.name == "kind")
        ],
        rows=rows,
    )


def _rank(entry: Entry) -> float:
    iou = entry.metrics.get("mean_iou", math.nan)
    return math.inf if math.isnan(iou) else -iou


def _names(tables: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for table in tables for name in table))


def _in_one_cell(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else value


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
