"""What a map was made of: the same for the same input, so without a time."""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import geoseg
from geoseg.chains.models import Models
from geoseg.chains.options import PredictOptions
from geoseg.chains.plan import PredictPlan
from geoseg.core.grid import Grid
from geoseg.core.window import Window
from geoseg.io.training_ground import TAG, content_of
from geoseg.model.segmenter import Runtime
from geoseg.mosaicking import REGION, MapOutputs

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
    """What of the ground of a map trained its models; nothing if that is not known.

    Args:
        models: The models.
        grid: Of the orthophoto.
        region: The map, on the orthophoto's pixels.
        content: Gives what the orthophoto's pixels are known by.
    """
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
    """What the map of an orthophoto is made of; options that were not used are left out.

    Args:
        source: The orthophoto.
        models: What scored it.
        runtime: On which they ran.
        plan: What was planned.
        options: As the user chose them.
        grid: The orthophoto's.
    """
    batch_size = batch_size_of(plan, runtime)
    whole, lattice = plan.whole, plan.lattice
    corner_and_size = [whole.row_off, whole.col_off, whole.height, whole.width]
    chosen = {
        "bands": options.read.bands,
        "nodata": options.read.nodata,
        "stacked": [path.name for path in options.read.stacked],
        "resampled_from": plan.network_size if options.resample else None,
        "aoi": options.aoi and options.aoi.name,
        "aoi_layer": options.aoi_layer,
        "bounds": options.bounds,
        REGION: corner_and_size if whole != lattice.whole else None,
        "batch_size": batch_size if batch_size > 1 else None,
    }
    return provenance_of(source, models, runtime) | {
        "window_size": lattice.size,
        "window_stride": lattice.stride,
        "window_overhang": lattice.overhang,
        "blend": BLENDS[lattice.taper],
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
        "source": _state_of(source),
        "stacked": [_state_of(path) for path in options.read.stacked],
        "aoi": options.aoi and _state_of(options.aoi),
        "region": str(plan.region),
        "on_error": options.on_error,
        "scores": outputs.scores and outputs.score_type,
        "confidence": outputs.confidence and outputs.confidence_kind,
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _state_of(path: Path) -> list[Any]:
    """Path, size and time of a file; of what is no file (a URL) the name alone."""
    if not path.exists():
        return [str(path)]
    state = path.stat()
    return [str(path.absolute()), state.st_size, state.st_mtime_ns]


def _as_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """As it will be read back from a file's tag, so that the two can be compared."""
    read_back: dict[str, Any] = json.loads(json.dumps(content))
    return read_back
