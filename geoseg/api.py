"""The steps as functions of paths: what ``import geoseg`` gives.

Each takes the options of its command as keywords, or as the step's options dataclass, and returns
the report that the command prints. Failures are `geoseg.errors.GeosegError`; what a command warns
of is a `geoseg.errors.GeosegWarning`.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoseg.errors import issue_warning
from geoseg.keywords import build_each, options_from
from geoseg.labels.legend import Legend
from geoseg.labels.tags import CLASS_MAP, SCORES, carried_legend
from geoseg.progress import in_notebook
from geoseg.raster.folders import EVALUATION, MODEL, PATCH_SET, TRAINING, WINDOWS
from geoseg.raster.guard import Output, check_outputs
from geoseg.raster.lists import find_maps, find_rasters, find_references
from geoseg.raster.paths import parse_name
from geoseg.raster.upload import to_buckets

if TYPE_CHECKING:
    from geoseg.evaluation.evaluation import EvaluateOptions, Evaluation
    from geoseg.evaluation.suggestion import SuggestOptions
    from geoseg.model.export import ExportOptions, ExportReport
    from geoseg.model.imports import ImportOptions, ImportReport
    from geoseg.patches.findings import CheckReport
    from geoseg.patches.record import TileOptions
    from geoseg.patches.tile import TileReport
    from geoseg.postprocess.options import PostprocessOptions
    from geoseg.postprocess.postprocess import PostprocessReport
    from geoseg.prediction.array_model import Model
    from geoseg.prediction.map_writer import MapReport
    from geoseg.training.options import TrainOptions
    from geoseg.training.train import TrainReport
    from geoseg.vectorize.labelling import SuggestReport
    from geoseg.vectorize.options import VectorizeOptions
    from geoseg.vectorize.vectorize import VectorizeReport

PathLike = str | os.PathLike[str]

Paths = PathLike | Sequence[PathLike]
"""One file, folder or glob, or several."""


def open_legend(name: PathLike | Legend) -> Legend:
    """The legend of a preset or a TOML file.

    Raises:
        LegendError: If there is neither, or the file is wrong.
    """
    from geoseg.labels.legend_files import load_legend

    return name if isinstance(name, Legend) else load_legend(os.fspath(name))


@to_buckets
def tile(
    orthos: Paths,
    references: Paths,
    output: PathLike,
    *,
    legend: PathLike | Legend | None = None,
    asset: str | None = None,
    reference_asset: str | None = None,
    options: "TileOptions | None" = None,
    overwrite: bool = False,
    **given: Any,
) -> "TileReport":
    """Cut orthophotos and reference maps into a patch set.

    Args:
        orthos: Orthophotos.
        references: One for each, in their order, or one for all.
        output: Folder to write.
        legend: The classes; None: as class maps and polygons of geoseg say.
        asset: Of STAC items, or the column of a CSV; None: the only one with data.
        reference_asset: The same of references; None: as ``asset``.
        options: How; or as keywords, such as ``patch_size=256``.
        overwrite: Whether to replace an existing patch set.
        given: Fields of `TileOptions`.
    """
    from geoseg.patches.record import TileOptions
    from geoseg.patches.tile import pair_by_order, tile

    how = options_from(TileOptions, options, given)
    images = find_rasters(_paths(orthos), asset)
    maps = find_references(
        _paths(references), reference_asset or asset, kinds=[CLASS_MAP], tell=issue_warning
    )
    more = (*how.read.stacked, how.aoi, how.corrections, how.reference.labelled_areas, legend)
    _guard([Output(Path(output), PATCH_SET)], [*images, *maps, *more], overwrite=overwrite)
    pairs, classes = pair_by_order(images, maps), _legend_of(legend, *maps)
    report = tile(pairs, classes, Path(output), options=how, overwrite=overwrite)
    issue_warning(*report.warnings, *report.failures.values())
    return report


def check(patches: PathLike) -> "CheckReport":
    """Find leaks, duplicates, contradictions and odd values in a patch set."""
    from geoseg.patches.check import check

    return check(Path(patches), watch=lambda _: lambda items, _: items)


def train(
    patches: Paths,
    output: PathLike,
    *,
    options: "TrainOptions | None" = None,
    resume: bool = False,
    overwrite: bool = False,
    **given: Any,
) -> "TrainReport":
    """Train a network on a patch set, or on several.

    Args:
        patches: Folder of the patch set, or of each.
        output: Run folder to write, on a disk; the model bundle is ``output/model``.
        options: How; or as keywords, such as ``epochs=20``.
        resume: Go on after the last complete epoch.
        overwrite: Whether to replace an earlier training.
        given: Fields of `TrainOptions`.
    """
    from geoseg.patches.joined import JoinedPatchSet
    from geoseg.training.options import TrainOptions
    from geoseg.training.train import train

    folders, run = _paths(patches), parse_name(output)
    how = options_from(TrainOptions, options, given)
    named = [*folders, how.init_from, how.encoder_weights, *find_rasters(how.unlabelled)]
    _guard([Output(run, TRAINING)], named, overwrite=overwrite or resume)
    return train(
        JoinedPatchSet.open_all(folders),
        run,
        options=how,
        resume=resume,
        overwrite=overwrite,
        quiet=not in_notebook(),
        warn=issue_warning,
    )


@to_buckets
def export(
    model: PathLike,
    output: PathLike,
    *,
    mlm: PathLike | None = None,
    options: "ExportOptions | None" = None,
    overwrite: bool = False,
    **given: Any,
) -> "ExportReport":
    """Write a model as one ONNX file for Deepness (QGIS) and GeoDeep, and prove it.

    Args:
        model: Model bundle or run.
        output: File to write (``.onnx``).
        mlm: STAC item to write too (``.json``).
        options: How; or as keywords, such as ``patch_size=512``.
        overwrite: Whether to replace an existing file.
        given: Fields of `ExportOptions`.
    """
    from geoseg.model.export import ExportOptions, export, one_bundle
    from geoseg.model.mlm import write_onnx_item
    from geoseg.prediction.patches import stitched_comparison

    how, path = options_from(ExportOptions, options, given), Path(output)
    files = [path, *([] if mlm is None else [parse_name(mlm)])]
    _guard([*map(Output, files)], [model, how.patches], overwrite=overwrite)
    bundle = one_bundle(Path(model))
    report = export(bundle, path, options=how, overwrite=overwrite, measure=stitched_comparison)
    for item in files[1:]:
        write_onnx_item(bundle, item, path, size=report.tile_size)
    issue_warning(*report.notes)
    return report


@to_buckets
def import_model(
    source: PathLike,
    output: PathLike,
    *,
    smp: bool = False,
    legend: PathLike | Legend | None = None,
    options: "ImportOptions | None" = None,
    overwrite: bool = False,
    **given: Any,
) -> "ImportReport":
    """Make a model bundle of an ONNX file, or of weights of segmentation-models-pytorch.

    Args:
        source: ONNX file, such as those of Deepness and GeoDeep.
        output: Model bundle to write.
        smp: Whether the source is smp's instead: a folder of save_pretrained or a state dict.
        legend: The classes; None: as options or the file say.
        options: What the source does not say; or as keywords, such as ``gsd=0.25``.
        overwrite: Whether to replace an existing bundle.
        given: Fields of `ImportOptions`.
    """
    from geoseg.model.imports import ImportOptions
    from geoseg.model.onnx_import import import_onnx

    how, folder = options_from(ImportOptions, options, given), Path(output)
    _guard([Output(folder, MODEL)], [source, legend], overwrite=overwrite)
    classes = None if legend is None else open_legend(legend)
    step = import_onnx
    if smp:
        from geoseg.model.smp_import import import_smp as step
    report = step(Path(source), folder, options=how, legend=classes, overwrite=overwrite)
    issue_warning(*report.notes)
    return report


@to_buckets
def predict(
    models: Paths,
    ortho: PathLike,
    output: PathLike,
    *,
    windows: PathLike | None = None,
    cluster: str | None = None,
    overwrite: bool = False,
    **given: Any,
) -> "MapReport":
    """Predict the class map of an orthophoto.

    Args:
        models: Model bundle or run; of several the scores are averaged.
        ortho: The orthophoto.
        output: Class map to write (``.tif``).
        windows: Folder in which every window's scores are kept, for `mosaic`.
        cluster: Workers of Dask that predict it in parts, such as ``local:4``; a script that names
            ``local`` needs ``if __name__ == "__main__":``. Not with ``windows`` or ``part``.
        overwrite: Whether to replace existing files.
        given: Fields of `PredictOptions`, `RuntimeOptions` and `LayerOptions`, such as
            ``overlap=64``, ``precision="fp32"``, ``scores=True``.
    """
    from geoseg.model.ensemble import RuntimeOptions
    from geoseg.prediction.map_writer import LayerOptions
    from geoseg.prediction.plan import PredictOptions
    from geoseg.prediction.predict import predict_map
    from geoseg.prediction.scores import DISAGREEMENT

    how, run, layers = build_each((PredictOptions, RuntimeOptions, LayerOptions), given)
    loaded = _load(models, replace(run, squares=layers.confidence == DISAGREEMENT))
    outputs = layers.outputs(Path(output), overwrite=overwrite, bundle=loaded.bundle)
    folder = None if windows is None else parse_name(windows)
    written = [*map(Output, outputs.files[::-1]), *([Output(folder, WINDOWS)] if folder else [])]
    read = [ortho, how.aoi, *how.read.stacked, *loaded.folders]
    _guard(written, read, overwrite=overwrite or how.resume)
    if cluster is not None:
        from geoseg.cluster.predict import predict_one

        if folder or how.part:
            raise ValueError("a cluster goes with neither windows nor a part")
        return predict_one(cluster, parse_name(ortho), loaded, outputs, how, warn=issue_warning)
    return predict_map(parse_name(ortho), loaded, outputs, options=how, windows=folder)


@to_buckets
def mosaic(
    inputs: Paths,
    output: PathLike,
    *,
    legend: PathLike | Legend | None = None,
    asset: str | None = None,
    overwrite: bool = False,
    **given: Any,
) -> "MapReport":
    """Bring windows, score rasters or class maps together in one map.

    Args:
        inputs: Windows that `predict` has kept, score rasters, or class maps.
        output: Class map to write (``.tif``).
        legend: The classes, their order and values in the map; None: as the files say.
        asset: Of STAC items, or the column of a CSV; None: the only one with data.
        overwrite: Whether to replace existing files.
        given: Fields of `MosaicOptions` and `LayerOptions`, such as ``method="first"``.
    """
    from geoseg.prediction.map_writer import LayerOptions
    from geoseg.prediction.mosaic import MosaicOptions, mosaic

    how, layers = build_each((MosaicOptions, LayerOptions), given)
    paths = find_rasters(_paths(inputs), asset, kinds=[CLASS_MAP, SCORES], tell=issue_warning)
    outputs = layers.outputs(Path(output), overwrite=overwrite)
    _guard([Output(file) for file in outputs.files[::-1]], [*paths, legend], overwrite=overwrite)
    return mosaic(paths, outputs, how, legend=None if legend is None else open_legend(legend))


@to_buckets
def postprocess(
    class_map: PathLike,
    output: PathLike,
    *,
    legend: PathLike | Legend | None = None,
    options: "PostprocessOptions | None" = None,
    overwrite: bool = False,
    **given: Any,
) -> "PostprocessReport":
    """Clean a class map: fill, majority, rules, holes, small regions, in this order.

    Args:
        class_map: The map.
        output: Map to write (``.tif``).
        legend: Its classes, if it does not carry them.
        options: What is done; or as keywords, such as ``min_area=[...]``.
        overwrite: Whether to replace existing files.
        given: Fields of `PostprocessOptions`.
    """
    from geoseg.postprocess.options import PostprocessOptions
    from geoseg.postprocess.postprocess import postprocess_map
    from geoseg.prediction.map_writer import MapOutputs

    outputs = MapOutputs(class_map=Path(output), overwrite=overwrite)
    _guard([Output(file) for file in outputs.files[::-1]], [class_map, legend], overwrite=overwrite)
    how, classes = options_from(PostprocessOptions, options, given), _legend_of(legend, class_map)
    return postprocess_map(parse_name(class_map), classes, outputs, options=how)


@to_buckets
def vectorize(
    class_map: PathLike,
    output: PathLike,
    *,
    legend: PathLike | Legend | None = None,
    options: "VectorizeOptions | None" = None,
    overwrite: bool = False,
    **given: Any,
) -> "VectorizeReport | None":
    """Turn a class map into polygons that share their borders.

    Args:
        class_map: The map.
        output: File to write; its ending decides the format (``.gpkg``, ``.parquet``, ``.fgb``,
            ``.geojson``, ``.geojsonl``). Of a part: a folder.
        legend: Its classes, if it does not carry them.
        options: How; or as keywords, such as ``smooth=True``.
        overwrite: Whether to replace existing files.
        given: Fields of `VectorizeOptions`.
    """
    from geoseg.raster.folders import PART
    from geoseg.vectorize.options import VectorizeOptions
    from geoseg.vectorize.vectorize import outputs_of, vectorize

    how = options_from(VectorizeOptions, options, given)
    source, path = parse_name(class_map), Path(output)
    named = [class_map, legend, how.aoi, how.scores, how.confidence]
    own = [Output(file, PART if how.part else None) for file in outputs_of(path, how)]
    _guard(own, named, overwrite=overwrite or how.resume)
    return vectorize(source, _legend_of(legend, class_map), path, how, overwrite=overwrite)


@to_buckets
def evaluate(
    class_maps: Paths,
    references: Paths,
    output: PathLike | None = None,
    *,
    legend: PathLike | Legend | None = None,
    asset: str | None = None,
    reference_asset: str | None = None,
    options: "EvaluateOptions | None" = None,
    overwrite: bool = False,
    **given: Any,
) -> "Evaluation":
    """Compute metrics of class maps against reference maps.

    Args:
        class_maps: The maps, rasters or polygons.
        references: One for each, in their order; a single map has them all.
        output: Folder of the report; None: nothing is written.
        legend: Their classes, if the maps do not carry them.
        asset: Of STAC items, or the column of a CSV; None: the only one with data.
        reference_asset: The same of references; None: as ``asset``.
        options: How; or as keywords, such as ``boundary=Length(2, "px")``. Maps and windows of
            errors are the command's alone.
        overwrite: Whether to replace an earlier report.
        given: Fields of `EvaluateOptions`.
    """
    from geoseg.evaluation import evaluation as step
    from geoseg.evaluation.compare import compare
    from geoseg.evaluation.report import write_report

    how = options_from(step.EvaluateOptions, options, given)
    meant: dict[str, Any] = {"kinds": [CLASS_MAP], "tell": issue_warning}
    maps = find_maps(_paths(class_maps), asset, **meant)
    truths = find_references(_paths(references), reference_asset or asset, **meant)
    written = [] if output is None else [Output(Path(output), EVALUATION)]
    regions = how.measures.by and how.measures.by.path
    more = (how.aoi, how.patches, how.map.grid, how.reference.labelled_areas, regions, legend)
    _guard(written, [*maps, *truths, *more], overwrite=overwrite)
    classes, measures, reading = _legend_of(legend, maps[0]), how.measures, how.reading()
    counts = {
        pair: compare(pair, classes, reading, measures=measures, workers=how.threads)
        for pair in step.pair_maps(maps, truths, by="order")
    }
    evaluation = step.Evaluation(counts, classes, measures, reading=how.record)
    issue_warning(*step.warnings_of(evaluation), *step.hints_of(evaluation, how.reference))
    if output is not None:
        write_report(Path(output), evaluation, overwrite=overwrite)
    return evaluation


@to_buckets
def suggest(
    class_map: PathLike,
    output: PathLike,
    *,
    legend: PathLike | Legend | None = None,
    options: "SuggestOptions | None" = None,
    overwrite: bool = False,
    **given: Any,
) -> "SuggestReport":
    """Suggest boxes in which labels would teach a model most.

    Args:
        class_map: Map of `predict`, with its confidence or scores beside it.
        output: GeoPackage to write: layers ``boxes`` and ``labels``, to be drawn in.
        legend: Its classes, if it does not carry them.
        options: How; or as keywords, such as ``windows=30``.
        overwrite: Whether to replace an existing file.
        given: Fields of `SuggestOptions`.
    """
    from geoseg.evaluation.suggestion import SuggestOptions, confidence_of
    from geoseg.vectorize.labelling import suggest

    how, path = options_from(SuggestOptions, options, given), parse_name(class_map)
    named = [path, legend, how.aoi, how.ortho, confidence_of(path, how)]
    _guard([Output(Path(output))], named, overwrite=overwrite)
    return suggest(path, _legend_of(legend, path), Path(output), how, overwrite=overwrite)


def load_model(models: Paths, **given: Any) -> "Model":
    """Open a model bundle or run, or several of which scores are averaged.

    Args:
        models: Their folders.
        given: Fields of `RuntimeOptions`: ``runtime``, ``precision``, ``device`` and
            ``test_time_augmentation``.

    Raises:
        BundleError: If one is damaged, or they do not go together.
    """
    from geoseg.model.ensemble import RuntimeOptions
    from geoseg.prediction.array_model import Model

    loaded = _load(models, *build_each((RuntimeOptions,), given))
    return Model(loaded.bundle, loaded)


def _load(models: Paths, options: Any) -> Any:
    from geoseg.model.bundle import ModelBundle, bundle_folders
    from geoseg.model.ensemble import LoadedModels

    folders = [folder for path in _paths(models) for folder in bundle_folders(path)]
    return LoadedModels([ModelBundle.load(each) for each in folders], options)


def _paths(named: Paths) -> list[Path]:
    several = [named] if isinstance(named, str | os.PathLike) else named
    return [parse_name(each) for each in several]


def _guard(outputs: list[Output], inputs: Iterable[Any], *, overwrite: bool) -> None:
    """See that no output is, holds or lies in an input; a legend in memory and None are none."""
    named = [parse_name(each) for each in inputs if isinstance(each, str | os.PathLike)]
    check_outputs(outputs, named, overwrite=overwrite)


def _legend_of(legend: PathLike | Legend | None, *paths: PathLike) -> Legend:
    return carried_legend(*map(parse_name, paths)) if legend is None else open_legend(legend)
