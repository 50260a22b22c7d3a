"""What a map was made of: the same for the same input, so without a time."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import geoseg
from geoseg.labels.legend import Legend
from geoseg.labels.style import sidecars, write_sidecars
from geoseg.labels.tags import CONFIDENCE, SCORES, read_tags
from geoseg.model.segmenter import Models, Runtime
from geoseg.patches.training_ground import TAG, content_of
from geoseg.prediction.map_writer import (
    REGION,
    MapOutputs,
    MapReport,
    layer_formats,
    partly_read,
    raster_styles,
)
from geoseg.prediction.plan import PredictOptions, PredictPlan
from geoseg.raster.atomic import write_text
from geoseg.raster.grid import Grid
from geoseg.raster.storage import file_state, is_older
from geoseg.raster.window import Window

BLENDS = {
    "hann": "mean of class probabilities, Hann weights",
    "ramp": "mean of class probabilities, linear weights",
    "flat": "mean of class probabilities, equal weights",
}


def provenance_of(source: Path, models: Models, runtime: Runtime) -> dict[str, Any]:
    """What any prediction is made of, but for `training_ground_of` its map."""
    return {
        "geoseg": geoseg.__version__,
        "source": source.name,
        **models.record,
        "runtime": runtime.name,
        "versions": dict(runtime.versions),
    }


def training_ground_of(
    models: Models, grid: Grid, region: Window, content: Callable[[], str | None]
) -> dict[str, Any]:
    """What of the ground of a map trained its models; nothing if that is not known."""
    ground = models.training_ground
    return {} if ground is None else {TAG: ground.on(grid, region, content)}


def provenance_of_map(
    source: Path,
    models: Models,
    runtime: Runtime,
    plan: PredictPlan,
    options: PredictOptions,
    *,
    grid: Grid,
) -> dict[str, Any]:
    """What the map of an orthophoto is made of; options that were not used are left out."""
    batch_size = batch_size_of(plan, runtime)
    whole, window_grid = plan.whole, plan.window_grid
    corner_and_size = [whole.row_off, whole.col_off, whole.height, whole.width]
    chosen = {
        "bands": options.read.bands,
        "nodata": options.read.nodata,
        "stacked": [path.name for path in options.read.stacked],
        "resampled_from": plan.network_size if options.resample else None,
        "aoi": options.aoi and options.aoi.name,
        "aoi_layer": options.aoi_layer,
        "bounds": options.bounds,
        REGION: corner_and_size if whole != window_grid.whole else None,
        "batch_size": batch_size if batch_size > 1 else None,
    }
    return provenance_of(source, models, runtime) | {
        "window_size": window_grid.size,
        "window_stride": window_grid.stride,
        "window_overhang": window_grid.overhang,
        "blend": BLENDS[window_grid.taper],
        **{name: value for name, value in _as_json(chosen).items() if value not in (None, [])},
        **_as_json(training_ground_of(models, grid, whole, partial(content_of, source))),
    }


def batch_size_of(plan: PredictPlan, runtime: Runtime) -> int:
    """Windows that are scored at a time: no more than the map has."""
    return min(plan.batch_size or runtime.batch_size, plan.most_at_a_time)


def fingerprint(
    source: Path,
    provenance: Mapping[str, Any],
    plan: PredictPlan,
    options: PredictOptions,
    outputs: MapOutputs,
) -> str:
    """Hash of all that decides the bytes of a map, by which an interrupted one is known."""
    about = {
        "provenance": provenance,
        "source": file_state(source),
        "stacked": [file_state(path) for path in options.read.stacked],
        "aoi": options.aoi and file_state(options.aoi),
        "region": str(plan.region),
        **({"computes": options.part_rows.computes} if options.part_rows else {}),
        "on_error": options.on_error,
        "scores": outputs.scores and outputs.score_type,
        "confidence": outputs.confidence and outputs.confidence_kind,
        **({"thresholds": outputs.threshold_tag} if outputs.thresholds else {}),
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _as_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """As it will be read back from a file's tag, so that the two can be compared."""
    read_back: dict[str, Any] = json.loads(json.dumps(content))
    return read_back


def _existing(outputs: MapOutputs) -> list[Path]:
    """All rasters, the class map last, here or in the bucket that they go to; none if one lacks."""
    if all(each.exists() for each in outputs.paths):
        return outputs.paths
    from geoseg.raster.bucket import is_there  # of what is resumed alone
    from geoseg.raster.upload import object_of

    urls = [url for each in outputs.paths if (url := object_of(each)) is not None]
    are_there = len(urls) == len(outputs.paths) and all(map(is_there, reversed(urls)))
    return [*urls] if are_there else []  # the class map, sent last, is asked for first


def _are_made_of(
    paths: Sequence[Path], outputs: MapOutputs, made_of: Mapping[str, Any], legend: Legend
) -> bool:
    """Whether layers beside a map are of the same scores as it would be, and of the wanted kind."""
    shared = {name: value for name, value in made_of.items() if name != "thresholds"}
    formats = layer_formats(legend, outputs, shared)
    wanted = [
        _as_json(formats[kind].tags or {}) for kind in (SCORES, CONFIDENCE) if kind in formats
    ]
    told = map(read_tags, paths)
    return all(own.items() <= tags.items() for own, tags in zip(wanted, told, strict=True))


def find_existing_map(
    outputs: MapOutputs, made_of: Mapping[str, Any], made_from: Sequence[Path], legend: Legend
) -> MapReport | None:
    """The report of a map that is there already and was made of the same.

    Sidecars that are gone are written again.

    Args:
        outputs: The files that are wanted.
        made_of: What the map would be made of, and the part that it is, as its tags say.
        made_from: Files that must not be newer.
        legend: The model's.

    Raises:
        PartlyReadError: If blocks could not be read when it was made.
        RasterError: If what is there is no raster.
    """
    found = _existing(outputs)
    if not found:
        return None
    *layers, path = found
    tags = read_tags(path)
    if any(tags.get(name) != value for name, value in made_of.items()) or is_older(path, made_from):
        return None
    if not _are_made_of(layers, outputs, made_of, legend):
        return None
    counts = {name: tags["class_pixels"][name] for name in legend.names}
    if path != outputs.class_map:  # in a bucket, where it was sent after all others
        outputs = replace(outputs, sidecars=False)
    if outputs.sidecars and not all(each.exists() for each in sidecars(path)):
        write_sidecars(path, legend, np.array(list(counts.values())))
    if outputs.sidecars:
        for style, text in raster_styles(legend, outputs).items():
            if not style.exists():
                write_text(style, text)
    if lost := tags.get("unreadable_pixels"):
        raise partly_read(path, lost, "found in an earlier run")
    return MapReport(outputs.class_map, tags["pixels"], counts)
