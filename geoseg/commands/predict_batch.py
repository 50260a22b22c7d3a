"""The maps that one call of ``geoseg predict`` makes: where they go, and what is said of them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import chain, takewhile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import typer

from geoseg.commands.arguments import check
from geoseg.commands.batch import FAILURES, Batch
from geoseg.commands.console import Console, echo, print_json
from geoseg.errors import GeosegError, NoPolygonError, OutputError
from geoseg.options import part_mark
from geoseg.raster.atomic import refuse_unfinished
from geoseg.raster.folders import WINDOWS
from geoseg.raster.guard import Output
from geoseg.raster.paths import RASTER_SUFFIXES, TIFF_SUFFIXES, VECTOR_SUFFIXES
from geoseg.raster.upload import object_of, send
from geoseg.text import in_bytes, subject

if TYPE_CHECKING:
    from geoseg.model.bundle import ModelBundle
    from geoseg.model.ensemble import LoadedModels
    from geoseg.model.segmenter import Runtime
    from geoseg.patches.patch_set import PatchSet
    from geoseg.patches.record import Split
    from geoseg.prediction.map_writer import LayerOptions, MapOutputs, MapReport
    from geoseg.prediction.plan import PredictOptions, PredictPlan


FILE_SUFFIX = re.compile(r"\.[a-z]{2,4}")
"""Suffixes such as .txt and .json; that of maps.v2 or maps.2024 is part of a folder's name."""


class PredictBatch:
    """Orthophotos, and the maps that they are to become."""

    def __init__(
        self,
        paths: Sequence[Path],
        models: "LoadedModels",
        options: "PredictOptions",
        layers: "LayerOptions",
        output: Path,
        *,
        windows: Path | None,
        overwrite: bool,
        retry_failed: bool,
        console: Console,
        cluster: str | None = None,
        index: Path | None = None,
    ) -> None:
        self._paths = paths
        self._cluster = cluster
        self._models = models
        self._options = options
        self._windows = windows
        self._index = index
        self._overwrite = overwrite
        self._console = console
        targets = _targets(paths, output, options.part)
        how: dict[str, Any] = {"overwrite": overwrite, "bundle": models.bundle}
        self._outputs = [layers.outputs(target, **how) for target in targets]
        self._record = None if _is_tiff(output) else output / FAILURES
        self._retry_failed = retry_failed
        self._told: str | None = None
        self._runtimes: dict[Path, str | None] = {}

    def tell_plans(self, *, json: bool) -> None:
        """Say what would be done.

        Raises:
            GeosegError: If it cannot be done.
        """
        self._check_outputs()
        batch = Batch(self._console)
        found = dict(batch.run(self._jobs(), self._plan, name=lambda job: str(job[0])))
        plans = {path: found[path] for path in self._paths if path in found}
        if json:
            print_json({str(path): plan.summary for path, plan in plans.items()})
        else:
            for path, plan in plans.items():
                echo(f"{path}: {_sentence(plan)}")
                self._tell_scene(path, plan)
        batch.finish()

    def _plan(self, job: "tuple[Path, MapOutputs]") -> "tuple[Path, PredictPlan]":
        """What would be done with an orthophoto, for which the network is opened as well."""
        from geoseg.prediction.predict import plan_map

        path, outputs = job
        plan = plan_map(path, self._models.bundles, self._options, outputs)
        self._models.open(plan.window_grid.size, plan.network_size, plan.batch_size)
        if not (self._options.resume or outputs.overwrite):
            refuse_unfinished(outputs.class_map)
        return path, plan

    def _jobs(self) -> "list[tuple[Path, MapOutputs]]":
        """Orthophotos and outputs, by the size of their windows: a network is opened for each."""
        jobs = list(zip(self._paths, self._outputs, strict=True))
        if not self._several or self._cluster:  # workers open networks of their own
            return jobs
        return sorted(jobs, key=lambda job: self._window_size(job[0]))

    def _window_size(self, path: Path) -> int:
        """Side of the windows in the network; 0 if there is an error, to be told in its turn."""
        from geoseg.prediction.plan import scale_and_size
        from geoseg.raster.reader import RasterReader

        with suppress(GeosegError), RasterReader(path, self._options.read) as ortho:
            return scale_and_size(ortho, self._models.bundle, self._options)[1]
        return 0

    def _check_outputs(self) -> None:
        """See that the outputs may be written."""
        outputs = [Output(file) for each in self._outputs for file in each.files[::-1]]
        if self._windows is not None:
            names = [each.class_map.stem for each in self._outputs] if self._several else ["."]
            outputs += [Output(self._windows / name, WINDOWS) for name in names]
        outputs += map(Output, self._index_files())
        read = [self._paths, self._options.read.stacked, self._options.aoi, self._models.folders]
        check(outputs, read, overwrite=self._overwrite or self._options.resume)

    def run(self, *, json: bool) -> None:
        """Predict all, and say how it went.

        Raises:
            GeosegError: If something went wrong.
        """
        self._check_outputs()
        batch = Batch(
            self._console,
            record=self._record,
            resume=self._options.resume,
            retry_failed=self._retry_failed,
        )
        outside: list[str] = []

        def pass_over(job: "tuple[Path, MapOutputs]", error: NoPolygonError, others: Any) -> None:
            """An orthophoto outside of the AOI, if others are inside, is no failure."""
            if not others:
                raise error
            outside.append(job[0].name)

        found: list[MapReport | None] = batch.run(
            self._jobs(),
            self._predict,
            name=lambda job: str(job[0]),
            once_more=pass_over,
            together=self._predict_on_cluster if self._cluster else None,
        )
        places = {each.class_map: place for place, each in enumerate(self._outputs)}
        reports = [report for report in found if report is not None]
        reports.sort(key=lambda report: places[report.path])
        if self._index is not None and reports:
            self._write_index([each.path for each in reports])
        if outside:
            self._console.info(
                f"{subject(outside, 'orthophotos')} outside of the AOI: no map is made"
            )
        for note in self._models.notes:
            self._console.info(note)
        if json:
            _print_maps(reports, self._runtimes)
        for each in () if json else reports:
            echo(f"{each.path}: {each.pixels} px, {each.valid_share:.1%} valid; {each.shares}")
        batch.finish()

    def _index_files(self) -> list[Path]:
        """The files of the index that is wanted, if any."""
        if self._index is None:
            return []
        from geoseg.prediction.map_index import index_files

        if any(object_of(each.class_map) for each in self._outputs):
            raise typer.BadParameter("is of maps on disks, not in buckets", param_hint="--index")
        try:
            return index_files(self._index, [each.class_map for each in self._outputs])
        except OutputError as error:
            raise typer.BadParameter(str(error), param_hint="--index") from None

    def _write_index(self, maps: Sequence[Path]) -> None:
        from geoseg.prediction.map_index import write_index

        overwrite = self._overwrite or self._options.resume
        legend = self._models.bundle.legend
        if left_out := write_index(self._index or Path(), maps, legend, overwrite=overwrite):
            missing = subject([each.name for each in left_out], "maps")
            self._console.warn(f"{missing} without a CRS and not in {self._index}")

    def _predict(self, job: "tuple[Path, MapOutputs]") -> "MapReport":
        from geoseg.prediction.predict import predict_map

        path, outputs = job
        folder = self._windows
        started, scored = perf_counter(), 0

        def begun(plan: "PredictPlan", runtime: "Runtime") -> None:
            if runtime.name != self._told:
                self._told = runtime.name
                self._console.info(f"predicting with {runtime.name}")
            self._console.debug(
                f"{path}: {_sentence(plan)}; {runtime.name}, {runtime.streams} at a time"
            )
            self._tell_scene(path, plan)

        def watch(parts: Iterable[Any], total: int) -> Iterator[Any]:
            nonlocal scored
            for part in self._console.progress(path.name)(parts, total):
                scored += 1
                yield part

        report = predict_map(
            path,
            self._models,
            outputs,
            options=self._options,
            windows=folder and (folder / outputs.class_map.stem if self._several else folder),
            watch=watch,
            on_start=begun,
        )
        send(outputs.files)
        self._runtimes[report.path] = _name_of(self._models.running)
        seconds = perf_counter() - started
        self._console.debug(f"{path}: {scored} windows with data scored in {seconds:.1f} s")
        return report

    def _tell_scene(self, path: Path, plan: "PredictPlan") -> None:
        """Compare each band with the training's."""
        for models, bands in plan.scene.items():
            for band in bands:
                self._console.debug(": ".join(filter(None, (str(path), models, str(band)))))

    def _predict_on_cluster(
        self, jobs: "Mapping[int, tuple[Path, MapOutputs]]"
    ) -> "Iterator[tuple[int, MapReport | GeosegError]]":
        from geoseg.cluster.connect import connected
        from geoseg.cluster.predict import ClusterPrediction

        console = self._console
        with connected(self._cluster or "") as cluster, console.steps() as steps:
            prediction = ClusterPrediction(
                cluster,
                self._models,
                self._options,
                warn=console.warn,
                info=console.info,
                progress=steps.tell,
            )
            for done, (number, found) in enumerate(prediction.run(jobs), start=1):
                if isinstance(found, GeosegError):
                    yield number, found
                else:
                    self._runtimes[found.report.path] = found.runtime
                    send(jobs[number][1].files)
                    yield number, found.report
                if len(jobs) > 1:
                    steps.tell("predict", done, len(jobs))

    @property
    def _several(self) -> bool:
        return len(self._paths) > 1


def find_models(model: Path, inputs: list[Path]) -> "tuple[list[ModelBundle], list[Path]]":
    """The bundles that are named first, and what comes after them.

    Raises:
        BadParameter: If nothing does.
        BundleError: If one is missing or damaged.
    """
    from geoseg.model.bundle import RECORD, ModelBundle, bundle_folders

    more = list(takewhile(lambda path: (bundle_folders(path)[0] / RECORD).is_file(), inputs))
    folders = chain.from_iterable(map(bundle_folders, (model, *more)))
    bundles = [ModelBundle.load(folder) for folder in folders]
    rest = inputs[len(more) :]
    if not rest:
        raise typer.BadParameter("models are named, but no orthophoto")
    return bundles, rest


def predict_set(
    patch_set: "PatchSet",
    models: "LoadedModels",
    output: Path,
    console: Console,
    *,
    split: "Split | None",
    batch_size: int | None,
    overwrite: bool,
    json: bool,
) -> None:
    """Predict the patches of a set, and say how it went.

    Raises:
        BadParameter: If the output is called as a file.
        GeosegError: If something went wrong.
    """
    from geoseg.prediction.patches import patch_maps, predict_patches

    if _is_tiff(output) or _is_other_file(output):
        raise typer.BadParameter(
            f"{output}: name a folder for the maps of patches", param_hint="--output"
        )
    maps = [Output(path) for path in patch_maps(patch_set, output, split)]
    check(maps, [patch_set.folder, models.folders], overwrite=overwrite)
    reports = predict_patches(
        patch_set,
        models,
        output,
        split=split,
        batch_size=batch_size,
        overwrite=overwrite,
        watch=console.progress("predict"),
    )
    name = _name_of(models.running)
    console.info(f"predicted with {name}")
    for note in models.notes:
        console.info(note)
    if json:
        _print_maps(reports, dict.fromkeys((each.path for each in reports), name))
    else:
        echo(f"{output}: {len(reports)} patches")


def _name_of(runtime: "Runtime | None") -> str | None:
    return None if runtime is None else runtime.name


def _targets(paths: Sequence[Path], output: Path, part: tuple[int, int] | None) -> list[Path]:
    """The class map of each orthophoto."""
    from geoseg.raster.paths import unique_names

    if _is_other_file(output):
        raise typer.BadParameter(
            f"{output}: maps are written as GeoTIFF; end the name in .tif, or name a folder",
            param_hint="--output",
        )
    if _is_tiff(output) and len(paths) > 1:
        raise typer.BadParameter(f"--output {output}: name a folder for {len(paths)} orthophotos")
    targets = [output / f"{name}.tif" for name in unique_names(paths)]
    if _is_tiff(output):
        targets = [output]
    if part is None:
        return targets
    mark = part_mark(part)
    return [each.with_name(f"{each.stem}_{mark}.tif") for each in targets]


def _is_tiff(output: Path) -> bool:
    return output.suffix.lower() in TIFF_SUFFIXES


def _is_other_file(output: Path) -> bool:
    """Whether a path is called as a file of another format, and no folder of that name is there."""
    suffix = output.suffix.lower()
    known = suffix in {*RASTER_SUFFIXES, *VECTOR_SUFFIXES} or FILE_SUFFIX.fullmatch(suffix)
    return bool(known) and not _is_tiff(output) and not output.is_dir()


def _sentence(plan: "PredictPlan") -> str:
    """What is to be done, for people."""
    bands = f" in {len(plan.bands)} bands of columns" if len(plan.bands) > 1 else ""
    grid = plan.window_grid
    return (
        f"{plan.windows} windows of {grid.size} px at stride {grid.stride}{bands}, "
        f"{plan.pixels:,} px of map, about {in_bytes(plan.memory)} of memory besides the "
        f"network"
    )


def _print_maps(reports: Sequence[Any], runtimes: Mapping[Path, str | None]) -> None:
    """Reports as JSON, each with what has computed it."""
    print_json(
        [
            asdict(report) | {"path": str(report.path), "runtime": runtimes[report.path]}
            for report in reports
        ]
    )
