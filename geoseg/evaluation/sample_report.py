"""Estimates from a sample as a table and as a report folder."""

import math
from pathlib import Path
from typing import Any

from geoseg.evaluation.area_estimation import SampleEvaluation
from geoseg.evaluation.metrics import share_of
from geoseg.evaluation.report import matrix_rows, merged_rows, write_csv, write_record
from geoseg.evaluation.text import merged_lines
from geoseg.raster.atomic import staged
from geoseg.raster.folders import EVALUATION

TABLE_LEGEND = "estimates +- half their 95 % interval; accuracies in %"

POLYGON_NOTE = (
    "each polygon counts once, whatever its size, as the map's class of most of its pixels "
    "({:.1f} % of them on average): p_ij = W_i n_ij / n_i, W_i by pixels, n by polygons"
)


def write_sample_report(folder: Path, evaluation: SampleEvaluation, *, overwrite: bool) -> None:
    """Write estimates to a folder.

    It holds ``evaluation.json``, ``classes.csv``, the points in ``counts.csv`` and the error
    matrix of estimated area proportions in ``proportions.csv``; ``merged_classes.csv`` of a
    legend map.

    Args:
        folder: To write.
        evaluation: The estimates.
        overwrite: Whether to replace an earlier report.

    Raises:
        OutputError: If it cannot be written.
    """
    content = evaluation.to_dict()
    with staged(folder, overwrite=overwrite, kind=EVALUATION) as partial:
        partial.mkdir()
        write_record(partial, content)
        write_csv(partial / "classes.csv", content["classes"])
        write_csv(partial / "counts.csv", matrix_rows(content["counts"]))
        write_csv(partial / "proportions.csv", matrix_rows(content["proportions"]))
        if content["merged_classes"]:
            write_csv(partial / "merged_classes.csv", merged_rows(content["merged_classes"]))


def sample_table(evaluation: SampleEvaluation) -> str:
    """Accuracy and area of each class, and overall."""
    record = evaluation.to_dict()
    rows = record["classes"]
    unit, scale = ("ha", "area_ha") if evaluation.pixel_area else ("px", "area_pixels")
    mapped = "mapped_ha" if evaluation.pixel_area else "mapped_pixels"
    width = max(len("class"), *(len(row["name"]) for row in rows))
    titles = ("user's acc.", "producer's acc.", f"mapped {unit}", f"estimated {unit}")
    columns = [14, 16, 14, 26]
    head = " ".join(f"{title:>{size}}" for title, size in zip(titles, columns, strict=True))
    lines = [f"{'class':<{width}} {evaluation.units:>8} {head}"]
    for row in rows:
        cells = (
            _percent(row, "users_accuracy"),
            _percent(row, "producers_accuracy"),
            f"{row[mapped]:,.{_digits(unit, row[mapped])}f}",
            _amount(row, scale, unit),
        )
        told = " ".join(f"{cell:>{size}}" for cell, size in zip(cells, columns, strict=True))
        lines.append(f"{row['name']:<{width}} {row['points']:>8} {told}")
    overall = (
        f"overall accuracy {_percent(record, 'overall_accuracy')} from {record['points']} "
        f"{evaluation.units}; {record['without_reference']} without a reference left out"
    )
    lines += ["", overall]
    if evaluation.trained_share:
        least = "" if evaluation.knows_all_ground else "at least "
        share = f"{least}{share_of(evaluation.trained_share)}"
        honest = "honest: a sample of other ground (--aoi)"
        lines.append(f"{share} of this ground trained the model; {honest}")
    if evaluation.without_map:
        lines.append(f"{evaluation.without_map} in classes of the map that are left out")
    lines += merged_lines(record["merged_classes"] or [])
    if evaluation.units == "polygons":
        lines.append(POLYGON_NOTE.format(100 * evaluation.purity))
    return "\n".join([*lines, TABLE_LEGEND])


def _percent(row: dict[str, Any], name: str) -> str:
    value, half = row[name], row[f"{name}_ci95"]
    if math.isnan(value):
        return "-"
    return f"{100 * value:.1f} +- {'?' if math.isnan(half) else f'{100 * half:.1f}'}"


def _amount(row: dict[str, Any], name: str, unit: str) -> str:
    value, half = row[name], row[f"{name}_ci95"]
    digits = _digits(unit, value)
    told = "?" if math.isnan(half) else f"{half:,.{digits}f}"
    return f"{value:,.{digits}f} +- {told}"


def _digits(unit: str, value: float) -> int:
    """Decimals of an area: two for small ones in hectares."""
    if unit == "px":
        return 0
    return 0 if value >= 1000 else 2  # noqa: PLR2004
