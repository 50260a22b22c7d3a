"""Tell what a path is by what is there."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geoseg.errors import InputError
from geoseg.informing.about import About, Table
from geoseg.informing.folders import (
    about_bundle,
    about_check,
    about_evaluation,
    about_patch_set,
    about_run,
)
from geoseg.informing.rasters import about_raster
from geoseg.io.legends import load_legend
from geoseg.io.paths import RASTER_SUFFIXES
from geoseg.io.records import understanding
from geoseg.io.vector import is_vector
from geoseg.io.vector_facts import LayerFacts, vector_facts

FOLDERS = {
    "patches.json": about_patch_set,
    "geoseg.json": about_bundle,
    "evaluation.json": about_evaluation,
    "check.json": about_check,
}
"""Folders of geoseg by the record that they hold."""

RUN = "run.json"


def inform(path: Path, *, defaults: Mapping[str, Any]) -> About:
    """What a file or folder is.

    Args:
        path: Orthophoto, map, scores, polygons, legend, patch set, bundle, run, evaluation.
        defaults: Options of `geoseg train`, to tell those of a run that differ.

    Raises:
        GeosegError: If it is missing, damaged, or nothing that geoseg knows.
    """
    if path.is_dir():
        for record, about in FOLDERS.items():
            if (path / record).is_file():
                with understanding(path / record):
                    return about(path)
        if (path / RUN).is_file():
            with understanding(path / RUN):
                return about_run(path, defaults=defaults)
        return _about_vector(path) if is_vector(path) else _about_folder(path)
    if path.suffix.lower() == ".toml":
        return _about_legend(path)
    return _about_vector(path) if is_vector(path) else about_raster(path)


def _about_folder(path: Path) -> About:
    kinds = Counter(each.suffix.lower() for each in path.iterdir() if each.is_file())
    rasters = {suffix: count for suffix, count in kinds.items() if suffix in RASTER_SUFFIXES}
    if not rasters:
        raise InputError(
            f"{path}: a folder in which geoseg knows nothing: no patch set, model, training, "
            f"evaluation, and no raster"
        )
    windows = (path / "windows.json").is_file()
    told = ", ".join(f"{count} {suffix}" for suffix, count in rasters.items())
    return About(
        path=path,
        kind="windows of scores" if windows else "folder of rasters",
        lines={"files": told, "look": "at one of them with `geoseg info FILE`"},
        facts={"files": dict(kinds)},
    )


def _about_legend(path: Path) -> About:
    legend = load_legend(str(path))
    rows = [
        (
            str(each.value),
            each.name,
            "#{:02x}{:02x}{:02x}".format(*each.color),
            ", ".join(map(str, each.source_values))
            + ("" if each.alternative is None else f" or else {each.alternative}"),
        )
        for each in legend.classes
    ]
    return About(
        path=path,
        kind="legend",
        lines={
            "classes": str(len(legend)),
            "background": legend.background or "",
            "unlabelled": ", ".join(map(str, legend.ignore)),
        },
        facts={"legend": legend.to_dict()},
        tables=[Table(head=("value", "name", "colour", "read from"), rows=rows)],
    )


def _about_vector(path: Path) -> About:
    layers = vector_facts(path)
    rows = [(each.name, str(each.features), each.geometry, each.crs or "none") for each in layers]
    columns = {
        f"column {name}": ", ".join(f"{value} ({count})" for value, count in values.items())
        for each in layers
        for name, values in each.classes.items()
    }
    return About(
        path=path,
        kind="vector file",
        lines={"layers": str(len(layers)), **columns},
        facts={"layers": [vars(each) for each in layers]},
        tables=[Table(head=("layer", "rows", "geometry", "CRS"), rows=rows)],
        hints=[hint for each in layers for hint in _hints(each)],
    )


def _hints(layer: LayerFacts) -> list[str]:
    hints = []
    if layer.crs is None:
        hints.append(f"{layer.name}: no CRS, it is taken to be that of the orthophoto")
    if layer.features and "Polygon" not in layer.geometry and layer.geometry != "Unknown":
        hints.append(f"{layer.name}: holds {layer.geometry}, references are polygons")
    return hints
