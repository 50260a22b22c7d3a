"""Sections of a page: tables and metrics of the folders that geoseg writes."""

import io
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from geoseg.errors import InputError
from geoseg.evaluation.metrics import TITLES, titles
from geoseg.raster.folders import refuse_links_out
from geoseg.raster.records import read_record, understanding
from geoseg.report.runs import BUNDLE, EVALUATION, HISTORY, RUN, complete_epochs, read_csv

SHOWN_TABLES = ("classes.csv", "confusion.csv", "objects.csv", HISTORY)
"""Tables of a folder whose content a section shows from the record."""

SHOWN_IMAGES = ("confusion.png", "curves.png")
"""Images of a folder that a page draws itself."""

PNG_MAGIC = b"\x89PNG"
"""First bytes of a PNG."""

MAX_ROWS = 200
"""Rows of a table that a page shows."""

THRESHOLDS = "thresholds.csv"
"""A table of many rows for each class; a page shows some of each."""

CHART_INCHES = (4.4, 2.7)

MAX_MARKED_EPOCHS = 100
"""Epochs of a curve whose points are marked; a single point is nothing but its mark."""


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
    """A table of a page, its cells as people read them."""

    title: str
    columns: list[str]
    rows: list[list[str]]

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


class Headline(NamedTuple):
    """A metric that stands above others, as people read it."""

    title: str
    value: str
    interval: str = ""


class Image(NamedTuple):
    """An image inside the page."""

    title: str
    data_uri: str


class Cell(NamedTuple):
    """A cell of a confusion matrix: its pixels, and their share of both classes."""

    pixels: str
    of_reference: float | None
    of_map: float | None


class Matrix(NamedTuple):
    """A confusion matrix with a row for each class of the reference."""

    names: list[str]
    rows: list[list[Cell]]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page with the metrics of a folder."""

    title: str
    kind: str
    headlines: list[Headline]
    notes: list[str] = field(default_factory=list)
    matrix: Matrix | None = None
    charts: list[Image] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    record: dict[str, Any]


def evaluation_section(folder: Path) -> Section:
    """Results of `geoseg evaluate`.

    Raises:
        InputError: If the folder cannot be read.
    """
    record = read_record(folder / EVALUATION)
    with understanding(folder / EVALUATION):
        return Section(
            title=folder.name,
            kind="evaluation",
            headlines=_headlines(record, tuple(titles("summary")), record.get("confidence") or {}),
            notes=_notes(record),
            matrix=_matrix(record.get("confusion")),
            tables=[*_metric_tables(record), *_other_tables(folder)],
            images=_images(folder),
            record={
                key: record[key]
                for key in ("inputs", "reading", "merged_classes")
                if record.get(key)
            },
        )


def run_section(folder: Path) -> Section:
    """Course of a training.

    Raises:
        InputError: If the folder cannot be read.
    """
    record, history = read_record(folder / RUN), read_csv(folder / HISTORY)
    bundle = folder / "model" / BUNDLE
    model = read_record(bundle) if bundle.is_file() else {}
    with understanding(folder / RUN):
        best = model.get("training", {}).get("best_epoch") or {}
        headlines = _headlines(best, ("epoch", "val_miou", "val_loss", "train_loss"))
        headlines = [each._replace(title=f"best {each.title}") for each in headlines]
        return Section(
            title=folder.name,
            kind="training",
            headlines=[*headlines, Headline("epochs", str(complete_epochs(history)))],
            notes=[] if model else ["There is no model yet: no epoch is complete."],
            charts=_curves(history) if history else [],
            tables=[table_of("Epochs", history), *_other_tables(folder)] if history else [],
            images=_images(folder),
            record={
                "run": record,
                "model": {key: value for key, value in model.items() if key != "training"},
            },
        )


def bundle_section(folder: Path) -> Section:
    """A model.

    Raises:
        InputError: If the folder cannot be read.
    """
    record = read_record(folder / BUNDLE)
    with understanding(folder / BUNDLE):
        best = record.get("training", {}).get("best_epoch") or {}
        return Section(
            title=folder.name,
            kind="model",
            headlines=_headlines(best, ("epoch", "val_miou", "val_loss")),
            record={"model": record},
        )


def _headlines(
    record: Mapping[str, Any], names: Sequence[str], intervals: Mapping[str, Any] | None = None
) -> list[Headline]:
    known = {name: as_text(each, name) for name, each in (intervals or {}).items() if each}
    return [
        Headline(words(name), as_text(record[name], name), known.get(name, ""))
        for name in names
        if name in record
    ]


def _metric_tables(record: Mapping[str, Any]) -> list[Table]:
    """Metrics of classes, objects and scores, each followed by its confidence intervals."""
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
    return tables


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
            metrics = {key: part[key] for key in ("distance", "mean_iou", "mean_f1") if key in part}
            notes.append(f"{name.capitalize()}: {as_text(metrics)}.")
    return notes


def _extent_notes(record: Mapping[str, Any]) -> list[str]:
    """Number of classes and share of the map that were counted, if recorded."""
    if (share := record.get("share_of_map")) is None:
        return []
    counted, classes = record["classes_counted"], len(record["classes"])
    return [f"Counted over {counted} of {classes} classes and {100 * share:.3g} % of the map."]


def _ground_notes(record: Mapping[str, Any]) -> list[str]:
    """Share of the ground that trained the model, and the metrics of the rest, if known."""
    ground = record.get("training_ground")
    if not ground or not ground["share"]:
        return []
    rest, least = ground.get("elsewhere"), "" if ground["is_complete"] else "At least "
    note = f"{least}{100 * ground['share']:.3g} % of this ground trained the model"
    if rest is None:  # of a sample
        return [f"{note}."]
    if not rest["pixels"]:
        return [f"{note}: there are no metrics of other ground."]
    metrics = (
        f"{words(name)} {as_text(rest[name], name)}" for name in titles("summary") if name in rest
    )
    return [f"{note}; on the other {rest['pixels']:,} px: {', '.join(metrics)}."]


def _matrix(confusion: Mapping[str, Any] | None) -> Matrix | None:
    if not confusion:
        return None
    counts = confusion["counts"]
    columns = [sum(column) for column in zip(*counts, strict=True)]
    rows = [
        [
            Cell(f"{count:,}", _share(count, sum(row)), _share(count, column))
            for count, column in zip(row, columns, strict=True)
        ]
        for row in counts
    ]
    return Matrix(names=list(confusion["names"]), rows=rows)


def _share(count: float, total: float) -> float | None:
    return count / total if total else None


def _curves(history: Sequence[Mapping[str, Any]]) -> list[Image]:
    epochs = [float(row.get("epoch") or number) for number, row in enumerate(history, 1)]
    groups = {
        "Loss": [name for name in history[0] if name.endswith("loss")],
        "Validation IoU": [name for name in history[0] if is_share(name)],
        "Learning rate": [name for name in history[0] if name == "lr"],
    }
    charts = []
    for title, names in groups.items():
        values = [[row.get(name) for row in history] for name in names]
        curves = [[v if isinstance(v, int | float) else math.nan for v in own] for own in values]
        known = {
            words(name): own
            for name, own in zip(names, curves, strict=True)
            if any(map(math.isfinite, own))
        }
        if known:
            charts.append(_chart(title, epochs, known))
    return charts


def _chart(title: str, epochs: Sequence[float], curves: Mapping[str, Sequence[float]]) -> Image:
    """Curves over epochs, as SVG that depends on nothing but the numbers."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=CHART_INCHES, layout="constrained")
    axes = figure.subplots()
    for name, values in curves.items():
        axes.plot(
            epochs, values, label=name, marker="." if len(epochs) <= MAX_MARKED_EPOCHS else None
        )
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    file = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "geoseg", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return Image(title, data_uri("image/svg+xml", file.getvalue()))


def data_uri(mime: str, content: bytes) -> str:
    """A file inside a page."""
    return f"data:{mime};base64,{b64encode(content).decode()}"


def _other_tables(folder: Path) -> list[Table]:
    tables = []
    for path in sorted(folder.glob("*.csv")):
        if path.name not in SHOWN_TABLES and (rows := read_csv(path)):
            title, shown = words(path.stem).capitalize(), rows
            if len(rows) > MAX_ROWS:
                by_class = path.name == THRESHOLDS
                shown = _thinned(rows) if by_class else rows[:MAX_ROWS]
                which = f"{len(shown)}" if by_class else f"the first {len(shown)}"
                title += f" ({which} of {len(rows)} rows; all are in {path.name})"
            tables.append(table_of(title, shown))
    return tables


def _thinned(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of each class, evenly spaced, with the first and the last."""
    of_class: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        of_class.setdefault(row["class"], []).append(row)
    most = max(MAX_ROWS // len(of_class), 2)
    thinned = []
    for own in of_class.values():
        count = min(len(own), most)
        thinned += [own[n * (len(own) - 1) // max(count - 1, 1)] for n in range(count)]
    return thinned


def _images(folder: Path) -> list[Image]:
    images = []
    for path in sorted(folder.glob("*.png")):
        if path.name in SHOWN_IMAGES:
            continue
        refuse_links_out(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error}") from error
        if not content.startswith(PNG_MAGIC):
            raise InputError(f"{path}: is no PNG, and is not shown; remove it")
        images.append(Image(words(path.stem), data_uri("image/png", content)))
    return images
