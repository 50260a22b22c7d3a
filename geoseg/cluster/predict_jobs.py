"""What workers do of predictions: windows counted, maps and parts predicted, parts joined."""

import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from geoseg.cluster.division import windows_with_data
from geoseg.cluster.jobs import report_record
from geoseg.cluster.pinned import ModelPlan, Sizes, pinned, pinned_models
from geoseg.labels.tags import read_tags
from geoseg.prediction.map_writer import MapOutputs, MapReport
from geoseg.prediction.mosaic import join_parts
from geoseg.prediction.plan import PredictOptions, make_plan
from geoseg.prediction.predict import open_area, predict_map
from geoseg.raster.reader import RasterReader


def probe(plan: ModelPlan, *, sizes: Sizes) -> dict[str, Any]:
    """How a worker computes windows of a size, for the others to do the same."""
    models = pinned_models(plan, {})
    runtime = models.open(*sizes)
    return {
        "computes": models.computes(sizes[0], runtime),
        "runtime": runtime.name,
        "running": asdict(pinned(plan.running, runtime, len(plan.folders))),
        "notes": [*runtime.notes],
    }


class _NotThereError(Exception):
    """Stops a prediction that would have to begin."""


def look(
    plan: ModelPlan,
    *,
    path: Path,
    outputs: MapOutputs,
    options: PredictOptions,
    expected: Mapping[Sizes, str],
    division: int,  # noqa: ARG001 whose it is
) -> dict[str, Any]:
    """The map, if it is there already; else its windows with data, in each row of windows."""
    if options.resume and outputs.class_map.exists():
        with suppress(_NotThereError):
            return _predict(plan, path, outputs, options, expected, on_start=_stop)
    bundle = pinned_models(plan, expected).bundle
    with RasterReader(path, options.read) as ortho:
        area = open_area(options, ortho.grid)
        planned = make_plan(ortho, bundle, options, area=area)
        return {"counts": windows_with_data(ortho, planned.window_grid, planned.whole, area)}


def _stop(*_: object) -> NoReturn:
    raise _NotThereError


def predict_whole(
    plan: ModelPlan,
    *,
    path: Path,
    outputs: MapOutputs,
    options: PredictOptions,
    expected: Mapping[Sizes, str],
    number: int,  # noqa: ARG001 whose it is
) -> dict[str, Any]:
    """Predict a map."""
    return _predict(plan, path, outputs, options, expected)


def predict_part(
    plan: ModelPlan,
    *,
    path: Path,
    outputs: MapOutputs,
    options: PredictOptions,
    expected: Mapping[Sizes, str],
    division: int,  # noqa: ARG001 likewise
) -> dict[str, Any]:
    """Predict a part of a map."""
    return _predict(plan, path, outputs, options, expected)


def _predict(
    plan: ModelPlan,
    path: Path,
    outputs: MapOutputs,
    options: PredictOptions,
    expected: Mapping[Sizes, str],
    *,
    on_start: Callable[..., None] = lambda *_: None,
) -> dict[str, Any]:
    models = pinned_models(plan, expected)
    report = predict_map(path, models, outputs, options=options, on_start=on_start)
    running = models.running
    return report_record(report) | {"runtime": running.name if running else ""}


def join(
    plan: ModelPlan,  # noqa: ARG001 as all are called
    *,
    folder: Path,
    outputs: MapOutputs,
    division: int,  # noqa: ARG001 likewise
) -> dict[str, Any]:
    """Join the parts of a map, unless that was done and only the answer was lost."""
    paths = sorted(folder.glob("*.tif"))
    if not outputs.class_map.exists() or (outputs.overwrite and paths):
        report = join_parts(paths, outputs)
    else:
        tags = read_tags(outputs.class_map)
        parts = read_tags(paths[0]) if paths else tags
        if any(tags.get(name) != parts.get(name) for name in ("provenance", "thresholds")):
            outputs.refuse_existing()
        report = MapReport(outputs.class_map, tags["pixels"], tags["class_pixels"])
    shutil.rmtree(folder, ignore_errors=True)
    return report_record(report)
