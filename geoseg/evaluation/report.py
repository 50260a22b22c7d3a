"""The report folder: JSON, CSV and the confusion matrix as a picture."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.evaluation.calibration import ScoreCounts, calibration_rows, threshold_rows
from geoseg.evaluation.compare import open_pair, read_block
from geoseg.evaluation.comparison import Pair
from geoseg.evaluation.error_map import BOUNDS, ErrorLegend, WorstWindow
from geoseg.evaluation.metrics import Evaluation
from geoseg.evaluation.text import in_percent
from geoseg.labels.legend import Legend
from geoseg.labels.lookup import to_hex, visible_bands
from geoseg.labels.style import Symbol, vector_qml
from geoseg.raster.atomic import staged, without_nan
from geoseg.raster.folders import EVALUATION
from geoseg.raster.grid import Grid
from geoseg.raster.points import write_outlines
from geoseg.raster.reader import RasterReader, ReadOptions
from geoseg.raster.window import Window


def draw_calibration(
    path: Path, counts: ScoreCounts, bounds: Sequence[Mapping[str, Any]] | None = None
) -> None:
    """Draw accuracy over top score, and below how many pixels have it.

    Args:
        path: Picture to write.
        counts: The pixels.
        bounds: Of the accuracy of each bin, if they are known.
    """
    from matplotlib.figure import Figure

    reliability = counts.reliability
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
    if bounds is not None:
        low, high = np.array([each["accuracy"] for each in bounds]).T
        upper.vlines(reliability.mean_score, low, high, color="#08519c", linewidth=1)
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of pixels that are right")
    upper.legend(loc="upper left", fontsize=9)
    lower.bar(middles, 100 * reliability.pixels / max(counts.pixels, 1), width, color="#9ecae1",
              edgecolor="white")  # fmt: skip
    lower.set(xlabel="score of the class that scores best", ylabel="% of pixels")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def draw_thresholds(
    path: Path,
    counts: ScoreCounts,
    legend: Legend,
    bounds: Mapping[str, NDArray[np.float64]] | None = None,
) -> None:
    """Draw F1 and IoU over thresholds, and precision over recall, for each class.

    Args:
        path: Picture to write.
        counts: The pixels.
        legend: The classes.
        bounds: (2, classes, LEVELS) of each figure, if they are known.
    """
    from matplotlib.figure import Figure

    thresholds = counts.thresholds
    figure = Figure(figsize=(12.5, 4.4), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, name, title in zip(axes, ("f1", "iou"), ("F1", "IoU"), strict=False):
        for index, each in enumerate(legend.classes):
            values = getattr(thresholds, name)[index]
            color = _line_color(each.color)
            axis.plot(thresholds.thresholds, values, color=color, label=each.name)
            if bounds is not None:
                low, high = bounds[name][:, index]
                axis.fill_between(
                    thresholds.thresholds, low, high, color=color, alpha=0.2, linewidth=0
                )
        axis.set(
            xlim=(0, 1), ylim=(0, 1), xlabel="score from which on it is the class", ylabel=title
        )
    for index, each in enumerate(legend.classes):
        precision, recall = thresholds.precision[index], thresholds.recall[index]
        area = in_percent(float(thresholds.average_precision[index]))
        axes[2].plot(
            recall, precision, color=_line_color(each.color), label=f"{each.name} ({area})"
        )
    axes[2].set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel="precision")
    axes[2].legend(loc="lower left", fontsize=8, title="average precision, %", title_fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _line_color(color: Sequence[int]) -> str:
    """A class's colour, darkened until a thin line of it shows on white."""
    red, green, blue = color
    light = (0.3 * red + 0.59 * green + 0.11 * blue) / 255
    factor = min(0.7 / light, 1) if light else 1
    return to_hex((int(red * factor), int(green * factor), int(blue * factor)))


TOLD = 6
"""Confusions whose colours are named."""

MOST = 20
"""Windows that a picture shows."""

INCHES = 2.6
"""Side of a window's picture."""

STRETCH = (2, 98)
"""Percentiles of each band that become black and white, unless the band is 8 bit already."""

UNKNOWN_COLOR = (255, 255, 255)
"""Of pixels without a class."""

Picture = NDArray[np.uint8]

Panels = dict[str, Picture]


def read_panels(
    windows: Sequence[WorstWindow],
    legend: Legend,
    errors: ErrorLegend,
    *,
    orthos: Mapping[Pair, Path],
    **reading: Any,
) -> list[Panels]:
    """What is to be seen of each window, by title.

    Args:
        windows: The worst first; the first `MOST` are read.
        legend: The classes.
        errors: The classes of error maps.
        orthos: The orthophotos of maps, as far as there are any.
        reading: How the reference is read: arguments of `open_pair`.

    Raises:
        GeosegError: What is wrong with the files.
    """
    shown = windows[:MOST]
    found: dict[int, Panels] = {}
    for pair in dict.fromkeys(each.pair for each in shown):
        with open_pair(pair, legend, **reading) as (mapped, truth):
            for rank, each in enumerate(shown):
                if each.pair != pair:
                    continue
                block = read_block(mapped, truth, each.window)
                wrong = errors.values(block.reference, block.mapped)
                found[rank] = {
                    "reference": _painted(block.all_reference, legend),
                    "map": _painted(block.all_mapped, legend),
                    "errors": _painted(wrong, errors.legend),
                }
        if pair in orthos:
            own = [rank for rank, each in enumerate(shown) if each.pair == pair]
            pictures = _read_ortho(orthos[pair], shown[own[0]].grid, [shown[n].window for n in own])
            for rank, picture in zip(own, pictures, strict=True):
                found[rank] = {"orthophoto": picture, **found[rank]}
    return [found[rank] for rank in sorted(found)]


def draw_quicklooks(
    path: Path,
    windows: Sequence[WorstWindow],
    panels: Sequence[Panels],
    legend: Legend,
    errors: ErrorLegend,
) -> None:
    """Draw a row for each window.

    Args:
        path: PNG file to write.
        windows: The worst first.
        panels: From `read_panels`.
        legend: The classes.
        errors: The classes of error maps.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    titles = max((list(each) for each in panels), key=len)
    size = (INCHES * len(titles), (INCHES + 0.25) * len(panels) + 0.6)
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
    told = [*legend.classes, *errors.legend.classes[len(legend) :][:TOLD]]
    keys = [Patch(facecolor=to_hex(each.color), label=each.name) for each in told]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(titles), frameon=False)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _painted(indices: NDArray[np.uint8], legend: Legend) -> Picture:
    """(height, width, 3) colours of class indices."""
    table = np.full((256, 3), UNKNOWN_COLOR, np.uint8)
    table[: len(legend)] = [each.color for each in legend.classes]
    return table[indices]


def _read_ortho(path: Path, grid: Grid, windows: Sequence[Window]) -> Iterator[Picture]:
    """(height, width, 3) the orthophoto in windows of a map's grid."""
    with ExitStack() as stack:
        reader = stack.enter_context(RasterReader(path))
        same = (reader.grid.height, reader.grid.width) == (grid.height, grid.width)
        if not (same or reader.grid.is_georeferenced):
            raise InputError(f"{path}: has neither the pixels of the map nor a place on the ground")
        if reader.grid.is_georeferenced and reader.grid != grid:
            reader = stack.enter_context(
                RasterReader(path, ReadOptions(on=grid, resampling="bilinear"))
            )
        for window in windows:
            image, valid = reader.read(window)
            yield _stretched(visible_bands(image, reader.band_names), valid).transpose(1, 2, 0)


def _stretched(visible: NDArray[Any], valid: NDArray[np.bool_]) -> Picture:
    """(3, height, width) bytes; white without data."""
    if visible.dtype != np.uint8 and valid.any():
        low, high = np.percentile(visible[:, valid], STRETCH, axis=1)[..., None, None]
        visible = (255 * ((visible - low) / np.maximum(high - low, 1e-9)).clip(0, 1)).astype("u1")
    return np.where(valid, visible, UNKNOWN_COLOR[0]).astype(np.uint8)


RECORD = EVALUATION.record

WORST = Symbol(label="often wrong", color=(227, 26, 28))
"""How QGIS shows windows that are often wrong."""


def write_report(
    folder: Path, evaluation: Evaluation, *, overwrite: bool, panels: Sequence[Panels] = ()
) -> None:
    """Write figures to a folder.

    It holds ``evaluation.json``, ``classes.csv``, ``confusion.csv``, ``confusion.png``,
    ``objects.csv`` if objects were matched, ``maps.csv`` for several maps, ``regions.csv``,
    ``worst`` (``.csv``, ``.gpkg``, ``.png``) of windows that are often wrong, ``calibration`` and
    ``thresholds`` (``.csv``, ``.png``) of scores, and ``merged_classes.csv`` of a legend map.
    Bounds of figures, if they are wanted, have columns of their own: ``_low`` and ``_high``.

    Args:
        folder: To write.
        evaluation: What is to be told.
        overwrite: Whether to replace an earlier report.
        panels: Pictures of the worst windows, if there are any.

    Raises:
        OutputError: If it cannot be written.
    """
    content = evaluation.to_dict()
    bounds = content["confidence"] or {}
    with staged(folder, overwrite=overwrite, kind=EVALUATION) as partial:
        partial.mkdir()
        write_record(partial, content)
        write_csv(partial / "classes.csv", class_rows(content))
        write_csv(partial / "confusion.csv", matrix_rows(content["confusion"]))
        if content["objects"]:
            write_csv(partial / "objects.csv", bounded(content["objects"], bounds.get("objects")))
        if content["maps"]:
            write_csv(partial / "maps.csv", _map_rows(content["maps"]))
        if content["regions"]:
            write_csv(
                partial / "regions.csv", region_rows(content["regions"], bounds.get("regions"))
            )
        if content["worst"]:
            _write_worst(partial, evaluation, content["worst"], panels)
        draw_confusion(partial / "confusion.png", content["confusion"])
        _write_scores(partial, evaluation, bounds.get("scores"))
        if content["merged_classes"]:
            write_csv(partial / "merged_classes.csv", merged_rows(content["merged_classes"]))


def _write_worst(
    folder: Path,
    evaluation: Evaluation,
    rows: Sequence[Mapping[str, Any]],
    panels: Sequence[Panels],
) -> None:
    """``worst.csv``, ``worst.gpkg`` of maps that have a place, and ``worst.png``."""
    write_csv(folder / "worst.csv", rows)
    places = [(each.grid, each.window) for each in evaluation.worst]
    if all(grid.is_georeferenced for grid, _ in places):
        columns = {name: [row[name] for row in rows] for name in rows[0] if name not in BOUNDS}
        style = vector_qml([WORST], points=False, label='"rank"')
        write_outlines(folder / "worst.gpkg", places, columns, overwrite=False, style=style)
    if panels:
        path = folder / "worst.png"
        draw_quicklooks(path, evaluation.worst, panels, evaluation.legend, evaluation.error_legend)


def _write_scores(folder: Path, evaluation: Evaluation, bounds: Mapping[str, Any] | None) -> None:
    """``calibration`` and ``thresholds``, if there are scores."""
    if (scores := evaluation.pooled.scores) is None:
        return
    legend, of_curves = evaluation.legend, evaluation.curve_bounds
    of_bins = bounds["bins"] if bounds else None
    write_csv(folder / "calibration.csv", bounded(calibration_rows(scores), of_bins))
    write_csv(folder / "thresholds.csv", list(threshold_rows(scores, legend, of_curves)))
    draw_calibration(folder / "calibration.png", scores, of_bins)
    draw_thresholds(folder / "thresholds.png", scores, legend, of_curves)


def write_record(folder: Path, content: Mapping[str, Any]) -> None:
    """Write all figures as JSON, by which the folder is known; what is undefined is null."""
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


def class_rows(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each class; bounds of its figures, if there are any, have columns of their own."""
    confidence = content["confidence"]
    return bounded(content["classes"], confidence["classes"] if confidence else None)


def bounded(
    rows: Sequence[Mapping[str, Any]], bounds: Sequence[Mapping[str, Any]] | None
) -> list[dict[str, Any]]:
    """Rows with the bounds of their figures, if there are any, in columns of their own.

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


def region_rows(
    regions: Mapping[str, Any], bounds: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """A row for each region; the last one is of the ground outside of all and has no name."""
    flat, of_flat = (
        [_flat(row) for row in (*each["rows"], each["outside"])] if each else None
        for each in (regions, bounds)
    )
    names = [*(row["name"] for row in regions["rows"]), ""]
    rows = bounded(flat or [], of_flat)
    return [{"region": name, **row} for name, row in zip(names, rows, strict=True)]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a region, or their bounds, with those of classes beside the others."""
    return {
        **{key: row[key] for key in row if key not in ("name", "classes")},
        **{f"iou_{each['name']}": each["iou"] for each in row["classes"]},
        **{f"dice_{each['name']}": each["f1"] for each in row["classes"]},
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
    figures = ("pixels", "overall_accuracy", "kappa", "mean_iou", "mean_f1")
    return [
        {
            "map": name,
            **{figure: own[figure] for figure in figures},
            **{f"iou_{row['name']}": row["iou"] for row in own["classes"]},
            **{f"dice_{row['name']}": row["f1"] for row in own["classes"]},
        }
        for name, own in maps.items()
    ]


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table; what is undefined is blank."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows({key: _blank(value) for key, value in row.items()} for row in rows)


def _blank(value: Any) -> Any:
    return "" if isinstance(value, float) and math.isnan(value) else value
