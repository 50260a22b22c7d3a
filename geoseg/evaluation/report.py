"""The report folder: JSON, CSV, polygons and images."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.evaluation.calibration import (
    Reliability,
    ThresholdCounts,
    calibration_rows,
    threshold_rows,
)
from geoseg.evaluation.compare import OpenPair
from geoseg.evaluation.comparison import ErrorWindow, Pair, Reading
from geoseg.evaluation.error_map import ErrorLegend
from geoseg.evaluation.evaluation import Evaluation
from geoseg.evaluation.metrics import METRICS, WINDOW_BOUNDS, in_percent
from geoseg.labels.legend import Legend
from geoseg.labels.lookup import to_hex, visible_bands
from geoseg.labels.style import Stretch, Symbol, class_colors, vector_qml
from geoseg.raster.atomic import staged, without_nan
from geoseg.raster.folders import EVALUATION
from geoseg.raster.polygons import write_outlines
from geoseg.raster.reader import RasterReader, ReadOptions


def draw_calibration(path: Path, reliability: Reliability) -> None:
    """Draw accuracy over top score, and below how many pixels have it."""
    from matplotlib.figure import Figure

    width = 1 / len(reliability.pixels)
    middles = reliability.edges[:-1] + width / 2
    figure = Figure(figsize=(5.2, 6.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.bar(middles, reliability.accuracy, width, color="#9ecae1", edgecolor="white")
    upper.plot(
        [0, 1], [0, 1], "--", color="#555555", linewidth=1, label="scores mean what they say"
    )
    upper.plot(reliability.mean_score, reliability.accuracy, "o-", color="#08519c", markersize=4,
               label=f"the map (ECE {in_percent(reliability.ece)} %)")  # fmt: skip
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of pixels that are right")
    upper.legend(loc="upper left", fontsize=9)
    shares = 100 * reliability.pixels / max(reliability.pixels.sum(), 1)
    lower.bar(middles, shares, width, color="#9ecae1", edgecolor="white")
    lower.set(xlabel="score of the class that scores best", ylabel="% of pixels")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def draw_thresholds(path: Path, thresholds: ThresholdCounts, legend: Legend) -> None:
    """Draw F1 and IoU over thresholds, and precision over recall, for each class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 4.4), layout="constrained")
    f1, iou, curve = figure.subplots(1, 3)
    for index, each in enumerate(legend.classes):
        color = _line_color(each.color)
        f1.plot(thresholds.thresholds, thresholds.f1[index], color=color)
        iou.plot(thresholds.thresholds, thresholds.iou[index], color=color)
        area = in_percent(float(thresholds.average_precision[index]))
        curve.plot(
            thresholds.recall[index],
            thresholds.precision[index],
            color=color,
            label=f"{each.name} ({area})",
        )
    below = "score from which on it is the class"
    f1.set(xlim=(0, 1), ylim=(0, 1), xlabel=below, ylabel="F1")
    iou.set(xlim=(0, 1), ylim=(0, 1), xlabel=below, ylabel="IoU")
    curve.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel="precision")
    curve.legend(loc="lower left", fontsize=8, title="average precision, %", title_fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _line_color(color: Sequence[int]) -> str:
    """A class's colour, darkened until a thin line of it shows on white."""
    red, green, blue = color
    light = (0.3 * red + 0.59 * green + 0.11 * blue) / 255
    factor = min(0.7 / light, 1) if light else 1
    return to_hex((int(red * factor), int(green * factor), int(blue * factor)))


MAX_CONFUSIONS = 6
"""Confusions whose colours the image names."""

MAX_WINDOWS = 20
"""Error windows in the image."""

PANEL_INCHES = 2.6
"""Side of an error window in the image."""

Picture = NDArray[np.uint8]

Panels = dict[str, Picture]
"""What is shown of an error window, by title."""


def read_panels(
    windows: Sequence[ErrorWindow],
    legend: Legend,
    errors: ErrorLegend,
    *,
    orthos: Mapping[Pair, Path],
    reading: Reading | None = None,
) -> list[Panels]:
    """Images of each error window, by title.

    Raises:
        GeosegError: If a file cannot be read or does not fit the others.
    """
    colors = class_colors(legend)
    shown = list(enumerate(windows[:MAX_WINDOWS]))
    found: dict[int, Panels] = {}
    for pair in dict.fromkeys(each.pair for _, each in shown):
        own = {rank: each for rank, each in shown if each.pair == pair}
        with OpenPair(pair, legend, reading) as opened:
            for rank, each in own.items():
                block = opened.block(each.window)
                wrong = errors.values(block.reference, block.mapped)
                found[rank] = {
                    "reference": colors[block.all_reference],
                    "map": colors[block.all_mapped],
                    "errors": class_colors(errors.legend)[wrong],
                }
        if pair in orthos:
            images = _read_ortho(orthos[pair], [*own.values()])
            for rank, image in zip(own, images, strict=True):
                found[rank] = {"orthophoto": image, **found[rank]}
    return [found[rank] for rank in sorted(found)]


def draw_quicklooks(
    path: Path,
    windows: Sequence[ErrorWindow],
    panels: Sequence[Panels],
    legend: Legend,
    errors: ErrorLegend,
) -> None:
    """Draw a row for each window."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    titles = max((list(each) for each in panels), key=len)
    size = (PANEL_INCHES * len(titles), (PANEL_INCHES + 0.25) * len(panels) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(panels), len(titles), squeeze=False)
    for rank, (row, own, each) in enumerate(zip(grid, panels, windows, strict=False), 1):
        for axes, title in zip(row, titles, strict=True):
            axes.set_axis_off()
            if title in own:
                axes.imshow(own[title], interpolation="nearest")
            axes.set_title(title if rank == 1 else "", fontsize=9)
        share = each.errors / each.confusion.total
        label = f"{rank}: {each.pair.name}, {100 * share:.0f} % wrong"
        row[0].text(0, -0.04, label, transform=row[0].transAxes, va="top", fontsize=8)
    told = [*legend.classes, *errors.legend.classes[len(legend) :][:MAX_CONFUSIONS]]
    keys = [Patch(facecolor=to_hex(each.color), label=each.name) for each in told]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(titles), frameon=False)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _read_ortho(path: Path, windows: Sequence[ErrorWindow]) -> Iterator[Picture]:
    """(height, width, 3) the orthophoto in windows of one map."""
    grid = windows[0].grid
    with ExitStack() as stack:
        reader = stack.enter_context(RasterReader(path))
        same = (reader.grid.height, reader.grid.width) == (grid.height, grid.width)
        if not (same or reader.grid.is_georeferenced):
            raise InputError(f"{path}: has neither the pixels of the map nor a place on the ground")
        if reader.grid.is_georeferenced and reader.grid != grid:
            reader = stack.enter_context(
                RasterReader(path, ReadOptions(on=grid, resampling="bilinear"))
            )
        for each in windows:
            image, valid = reader.read(each.window)
            shown = visible_bands(image, reader.band_names)
            if shown.dtype != np.uint8 and valid.any():
                shown = Stretch.of(shown[:, valid])(shown)
            yield np.where(valid, shown, 255).astype(np.uint8).transpose(1, 2, 0)


RECORD = EVALUATION.record

WINDOW_SYMBOL = Symbol(label="often wrong", color=(227, 26, 28))
"""How QGIS shows error windows."""


def write_report(
    folder: Path, evaluation: Evaluation, *, overwrite: bool, panels: Sequence[Panels] = ()
) -> None:
    """Write an evaluation to a folder.

    It holds ``evaluation.json``, ``classes.csv``, ``confusion.csv``, ``confusion.png``,
    ``objects.csv`` if objects were matched, ``maps.csv`` for several maps, ``regions.csv``,
    ``worst`` (``.csv``, ``.gpkg``, ``.png``) of error windows, ``calibration`` and
    ``thresholds`` (``.csv``, ``.png``) of scores, and ``merged_classes.csv`` of a legend map.
    Confidence intervals have columns of their own: ``_low`` and ``_high``.

    Raises:
        OutputError: If it cannot be written.
    """
    content = evaluation.to_dict()
    bounds = content["confidence"] or {}
    with staged(folder, overwrite=overwrite, kind=EVALUATION) as partial:
        partial.mkdir()
        write_record(partial, content)
        tables = {
            "classes": bounded(content["classes"], bounds.get("classes")),
            "confusion": matrix_rows(content["confusion"]),
            "objects": bounded(content["objects"], bounds.get("objects")),
            "maps": _map_rows(content["maps"]),
            "regions": region_rows(content["regions"]) if content["regions"] else [],
            "worst": content["worst"],
            "merged_classes": merged_rows(content["merged_classes"] or []),
        }
        draw_confusion(partial / "confusion.png", content["confusion"])
        if content["worst"]:
            _write_worst(partial, evaluation, content["worst"], panels)
        if (scores := evaluation.pooled.scores) is not None:
            tables["calibration"] = calibration_rows(scores.reliability)
            tables["thresholds"] = threshold_rows(scores.thresholds, evaluation.legend)
            draw_calibration(partial / "calibration.png", scores.reliability)
            draw_thresholds(partial / "thresholds.png", scores.thresholds, evaluation.legend)
        write_tables(partial, tables)


def _write_worst(
    folder: Path,
    evaluation: Evaluation,
    rows: Sequence[Mapping[str, Any]],
    panels: Sequence[Panels],
) -> None:
    """``worst.gpkg`` of maps that have a place, and ``worst.png``."""
    places = [(each.grid, each.window) for each in evaluation.error_windows]
    if all(grid.is_georeferenced for grid, _ in places):
        columns = {
            name: [row[name] for row in rows] for name in rows[0] if name not in WINDOW_BOUNDS
        }
        style = vector_qml([WINDOW_SYMBOL], points=False, label='"rank"')
        write_outlines(folder / "worst.gpkg", places, columns, overwrite=False, style=style)
    if panels:
        errors = ErrorLegend.of(evaluation.legend, evaluation.pooled.confusion)
        path = folder / "worst.png"
        draw_quicklooks(path, evaluation.error_windows, panels, evaluation.legend, errors)


def write_record(folder: Path, content: Mapping[str, Any]) -> None:
    """Write ``evaluation.json``, by which the folder is known; what is undefined is null."""
    text = json.dumps(without_nan(content), indent=1) + "\n"
    (folder / RECORD).write_text(text, encoding="utf-8", newline="\n")


def draw_confusion(path: Path, confusion: Mapping[str, Any]) -> None:
    """Draw a confusion matrix: each row in % of its reference class."""
    from matplotlib.figure import Figure

    counts = np.array(confusion["counts"], float)
    support = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100 * counts, support, out=np.full(counts.shape, np.nan), where=support > 0)
    names = confusion["names"]
    side = 2.6 + 0.62 * len(names)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("class map")
    axes.set_ylabel("reference")
    for row, col in np.ndindex(shares.shape):
        if not np.isnan(shares[row, col]):
            color = "white" if shares[row, col] > 50 else "black"  # noqa: PLR2004 dark ground
            label = f"{shares[row, col]:.1f}"
            axes.text(col, row, label, ha="center", va="center", color=color, fontsize=9)
    figure.colorbar(image, label="% of the reference class", shrink=0.8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def matrix_rows(confusion: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of a table with a row for each class of the reference."""
    names = confusion["names"]
    return [
        {"reference \\ map": name, **dict(zip(names, counts, strict=True))}
        for name, counts in zip(names, confusion["counts"], strict=True)
    ]


def bounded(
    rows: Sequence[Mapping[str, Any]], bounds: Sequence[Mapping[str, Any]] | None
) -> list[dict[str, Any]]:
    """Rows with the intervals of their metrics, if there are any, in columns of their own.

    >>> bounded([{"name": "tree", "iou": 0.5}], [{"name": "tree", "iou": [0.4, 0.6]}])
    [{'name': 'tree', 'iou': 0.5, 'iou_low': 0.4, 'iou_high': 0.6}]
    """
    if bounds is None:
        return [dict(row) for row in rows]
    return [
        dict(row)
        | {
            f"{name}_{side}": bound
            for name, both in own.items()
            if name != "name"
            for side, bound in zip(("low", "high"), both, strict=True)
        }
        for row, own in zip(rows, bounds, strict=True)
    ]


def region_rows(regions: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each region; the last one is the ground outside all and has no name."""
    return [
        {
            "region": row["name"],
            **{key: row[key] for key in row if key not in ("name", "classes")},
            **_class_columns(row),
        }
        for row in (*regions["rows"], {"name": "", **regions["outside"]})
    ]


def _class_columns(row: Mapping[str, Any]) -> dict[str, float]:
    """IoU and Dice of each class in columns of their own."""
    return {
        f"{title}_{each['name']}": each[name]
        for title, name in (("iou", "iou"), ("dice", "f1"))
        for each in row["classes"]
    }


def merged_rows(classes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each class that a legend map has made, and for what it leaves out."""
    return [
        {
            "class": each["name"] or "",
            "map": " + ".join(each["map"]),
            "reference": " + ".join(each["reference"]),
        }
        for each in classes
    ]


def _map_rows(maps: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    names = ("pixels", *(each.name for each in METRICS["summary"]))
    return [
        {"map": name, **{key: own[key] for key in names}, **_class_columns(own)}
        for name, own in maps.items()
    ]


def write_tables(folder: Path, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the tables that have rows as CSV; what is undefined is blank."""
    for name, rows in tables.items():
        if rows:
            with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                table.writeheader()
                table.writerows(without_nan(list(rows)))
