"""The report folder: JSON, CSV and the confusion matrix as a picture."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.core.undefined import without_nan
from geoseg.evaluation.curves import draw_calibration, draw_thresholds
from geoseg.evaluation.figures import Evaluation
from geoseg.evaluation.quicklooks import Panels, draw_quicklooks
from geoseg.evaluation.score_figures import calibration_rows, threshold_rows
from geoseg.evaluation.worst import BOUNDS
from geoseg.io.folders import EVALUATION
from geoseg.io.outlines import write_outlines
from geoseg.io.outputs import staged
from geoseg.io.style import Symbol, vector_qml

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
