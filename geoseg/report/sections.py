"""Sections of a page on what `geoseg evaluate` and `geoseg train` left in their folders."""

import csv
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from geoseg.errors import InputError
from geoseg.raster.paths import refuse_links_out
from geoseg.raster.records import read_record, understanding
from geoseg.report.charts import Chart, chart
from geoseg.report.inputs import BUNDLE, EVALUATION, RUN

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


HEADLINES = ("overall_accuracy", "balanced_accuracy", "kappa", "mean_iou", "mean_f1")
"""Figures of the whole map that stand above all others."""

TOLD_ELSEWHERE = ("classes.csv", "confusion.csv", "objects.csv", "history.csv")
"""Tables of a folder that its record or curves tell of."""

PNG = b"\x89PNG"
"""How a PNG begins."""

DRAWN_ELSEWHERE = ("confusion.png", "curves.png")
"""Pictures of a folder that a page draws itself."""

MOST_ROWS = 200
"""Rows of a table that a page shows."""

THRESHOLDS = "thresholds.csv"
"""A table of many rows for each class; a page shows some of each."""


class Figure(NamedTuple):
    """A figure that stands above others."""

    title: str
    """What it is."""

    value: str
    """As people read it."""

    interval: str = ""
    """Between which bounds it lies, if that is known."""


class Picture(NamedTuple):
    """A picture in a page."""

    title: str
    """What it shows."""

    data_uri: str
    """The file as text."""


class Cell(NamedTuple):
    """A cell of a confusion matrix."""

    pixels: str
    """How many."""

    of_reference: float | None
    """Share of the pixels of the reference's class."""

    of_map: float | None
    """Share of the pixels of the map's class."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A confusion matrix for a page."""

    names: list[str]
    """Of the classes."""

    rows: list[list[Cell]]
    """A row for each class of the reference."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page with figures."""

    title: str
    """The folder."""

    kind: str
    """evaluation, training or model."""

    headlines: list[Figure]
    """Above all others."""

    notes: list[str]
    """In words."""

    matrix: Matrix | None = None
    """How classes are confused."""

    charts: list[Chart]
    """Curves."""

    tables: list[Table]
    """Tables."""

    pictures: list[Picture]
    """Pictures that lie in the folder."""

    record: dict[str, Any]
    """What it was made of."""


def evaluation_section(folder: Path) -> Section:
    """What `geoseg evaluate` found.

    Raises:
        InputError: If the folder cannot be read.
    """
    with understanding(folder / EVALUATION):
        return _of_evaluation(folder)


def run_section(folder: Path) -> Section:
    """How a training went.

    Raises:
        InputError: If the folder cannot be read.
    """
    with understanding(folder / RUN):
        return _of_run(folder)


def bundle_section(folder: Path) -> Section:
    """What a model is.

    Raises:
        InputError: If the folder cannot be read.
    """
    with understanding(folder / BUNDLE):
        return _of_bundle(folder)


def _of_evaluation(folder: Path) -> Section:
    record = read_record(folder / EVALUATION)
    confidence = record.get("confidence") or {}
    tables = []
    for name in ("classes", "objects"):
        if rows := record.get(name):
            tables.append(table_of(name.capitalize(), rows))
        if bounds := confidence.get(name):
            title = f"{100 * confidence['level']:g} % intervals of the {name}"
            tables.append(table_of(title, bounds))
    if scores := record.get("scores"):
        tables.append(table_of("Scores", scores["classes"]))
    return Section(
        title=folder.name,
        kind="evaluation",
        headlines=_headlines(record, HEADLINES, confidence),
        notes=_notes(record),
        matrix=_matrix(record.get("confusion")),
        charts=[],
        tables=[*tables, *_other_tables(folder)],
        pictures=_pictures(folder),
        record={
            key: record[key] for key in ("inputs", "reading", "merged_classes") if record.get(key)
        },
    )


def _of_run(folder: Path) -> Section:
    record = read_record(folder / RUN)
    history = read_csv(folder / "history.csv") if (folder / "history.csv").is_file() else []
    bundle = folder / "model"
    model = read_record(bundle / BUNDLE) if (bundle / BUNDLE).is_file() else {}
    best = model.get("training", {}).get("best_epoch") or {}
    headlines = _headlines(best, ("epoch", "val_miou", "val_loss", "train_loss"))
    headlines = [each._replace(title=f"best {each.title}") for each in headlines]
    return Section(
        title=folder.name,
        kind="training",
        headlines=[*headlines, Figure("epochs", str(len(history)))],
        notes=[] if model else ["There is no model yet: the training has not finished an epoch."],
        charts=_curves(history),
        tables=[table_of("Epochs", history), *_other_tables(folder)] if history else [],
        pictures=_pictures(folder),
        record={"run": record, "model": _without(model, "training")},
    )


def _of_bundle(folder: Path) -> Section:
    record = read_record(folder / BUNDLE)
    best = record.get("training", {}).get("best_epoch") or {}
    return Section(
        title=folder.name,
        kind="model",
        headlines=_headlines(best, ("epoch", "val_miou", "val_loss")),
        notes=[],
        charts=[],
        tables=[],
        pictures=[],
        record={"model": record},
    )


def _headlines(
    record: Mapping[str, Any], names: Sequence[str], intervals: Mapping[str, Any] | None = None
) -> list[Figure]:
    known = intervals or {}
    return [
        Figure(
            words(name),
            told(record[name], name),
            told(known[name], name) if known.get(name) else "",
        )
        for name in names
        if name in record
    ]


def _notes(record: Mapping[str, Any]) -> list[str]:
    notes = []
    if "pixels" in record:
        dropped = {"without_reference": 0, "without_map": 0} | record.get("dropped", {})
        notes += [*_extent_notes(record), *_ground_notes(record)]
        notes.append(
            f"{record['pixels']:,} px counted; dropped: {dropped['without_reference']:,} px "
            f"unlabelled in the reference, {dropped['without_map']:,} px without data in the map."
        )
    if "points" in record:
        left_out = record.get("without_reference", 0)
        notes.append(f"{record['points']:,} points; {left_out:,} without a reference left out.")
    notes += [
        f"{100 * each['share_of_reference']:.1f} % of {each['reference']} is mapped as "
        f"{each['map']} ({each['pixels']:,} px)."
        for each in record.get("top_confusions", [])
    ]
    if confidence := record.get("confidence"):
        notes.append(
            f"{100 * confidence['level']:g} % intervals: {confidence['method']}; "
            f"{confidence['blocks']} blocks of {confidence['block']}, drawn "
            f"{confidence['resamples']:,} times."
        )
    for name in ("boundary", "eroded"):
        if part := record.get(name):
            figures = {key: part[key] for key in ("distance", "mean_iou", "mean_f1") if key in part}
            notes.append(f"{name.capitalize()}: {told(figures)}.")
    return notes


def _extent_notes(record: Mapping[str, Any]) -> list[str]:
    """Over how many classes and which share of the map it was counted, if the record says so."""
    if (share := record.get("share_of_map")) is None:
        return []
    counted, classes = record["classes_counted"], len(record["classes"])
    return [f"Counted over {counted} of {classes} classes and {100 * share:.3g} % of the map."]


def _ground_notes(record: Mapping[str, Any]) -> list[str]:
    """How much of the ground trained the model, and the figures of the rest, if that is known."""
    ground = record.get("training_ground")
    if not ground or not ground["share"]:
        return []
    rest, least = ground.get("elsewhere"), "" if ground["is_complete"] else "At least "
    note = f"{least}{100 * ground['share']:.3g} % of this ground trained the model"
    if rest is None:  # of a sample
        return [f"{note}."]
    if not rest["pixels"]:
        return [f"{note}: there are no figures of other ground."]
    figures = (f"{words(name)} {told(rest[name], name)}" for name in HEADLINES)
    return [f"{note}; on the other {rest['pixels']:,} px: {', '.join(figures)}."]


def _matrix(confusion: Mapping[str, Any] | None) -> Matrix | None:
    if not confusion:
        return None
    counts = confusion["counts"]
    columns = [sum(column) for column in zip(*counts, strict=True)]
    rows = [
        [
            Cell(f"{count:,}", _share(count, sum(row)), _share(count, columns[col]))
            for col, count in enumerate(row)
        ]
        for row in counts
    ]
    return Matrix(names=list(confusion["names"]), rows=rows)


def _share(count: float, total: float) -> float | None:
    return count / total if total else None


def _curves(history: Sequence[Mapping[str, Any]]) -> list[Chart]:
    if not history:
        return []
    epochs = [float(row.get("epoch") or number) for number, row in enumerate(history, 1)]
    groups = {
        "Loss": [name for name in history[0] if name.endswith("loss")],
        "Validation IoU": [name for name in history[0] if is_share(name)],
        "Learning rate": [name for name in history[0] if name == "lr"],
    }
    drawn = (
        chart(title, "epoch", epochs, {words(name): _numbers(history, name) for name in names})
        for title, names in groups.items()
    )
    return [each for each in drawn if each is not None]


def _numbers(rows: Sequence[Mapping[str, Any]], name: str) -> list[float | None]:
    values = [row.get(name) for row in rows]
    return [float(value) if isinstance(value, int | float) else None for value in values]


def _other_tables(folder: Path) -> list[Table]:
    tables = []
    for path in sorted(folder.glob("*.csv")):
        if path.name not in TOLD_ELSEWHERE and (rows := read_csv(path)):
            title, shown = words(path.stem).capitalize(), rows
            if len(rows) > MOST_ROWS:
                by_class = path.name == THRESHOLDS
                shown = _thinned(rows) if by_class else rows[:MOST_ROWS]
                which = f"{len(shown)}" if by_class else f"the first {len(shown)}"
                title += f" ({which} of {len(rows)} rows; all are in {path.name})"
            tables.append(table_of(title, shown))
    return tables


def _thinned(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of each class that lie evenly apart, the first and the last among them."""
    of_class: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        of_class.setdefault(row["class"], []).append(row)
    most = max(MOST_ROWS // len(of_class), 2)
    thinned = []
    for own in of_class.values():
        count = min(len(own), most)
        thinned += [own[n * (len(own) - 1) // max(count - 1, 1)] for n in range(count)]
    return thinned


def _pictures(folder: Path) -> list[Picture]:
    pictures = []
    for path in sorted(folder.glob("*.png")):
        if path.name in DRAWN_ELSEWHERE:
            continue
        refuse_links_out(path)
        try:
            picture = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error}") from error
        if not picture.startswith(PNG):
            raise InputError(f"{path}: is no PNG, and is not shown; remove it")
        content = b64encode(picture).decode()
        pictures.append(Picture(words(path.stem), f"data:image/png;base64,{content}"))
    return pictures


def _without(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != key}
