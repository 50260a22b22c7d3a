"""An orthophoto becomes a class map: ``write(blend(score(ortho)))``."""

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import astuple, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from geoseg.errors import BundleError, EmptyError, InputError, PartlyReadError, issue_warning
from geoseg.labels.lookup import find_bands, misplaced_bands
from geoseg.model.bundle import ModelBundle
from geoseg.model.segmenter import (
    Models,
    Runtime,
    Scene,
    check_bands,
    check_gsd,
    check_values,
    doubts_of_scene,
    scene_of,
)
from geoseg.prediction.blend import WindowGrid, WindowScores, blend
from geoseg.prediction.map_writer import MapOutputs, MapReport, MapWriter, partly_read
from geoseg.prediction.plan import Load, PredictOptions, PredictPlan, column_bands, make_plan
from geoseg.prediction.provenance import (
    batch_size_of,
    find_existing_map,
    fingerprint,
    provenance_of_map,
)
from geoseg.prediction.score import Ortho, score
from geoseg.prediction.scores import DISAGREEMENT
from geoseg.progress import notebook_progress
from geoseg.raster.atomic import RESUME_HINT, resume_dir, writing
from geoseg.raster.doubts import doubts_of
from geoseg.raster.grid import Grid
from geoseg.raster.paths import is_remote
from geoseg.raster.reader import RasterReader
from geoseg.raster.storage import block_cache
from geoseg.raster.threads import core_count
from geoseg.raster.tolerant import TolerantReader, sample_values
from geoseg.raster.window import Window
from geoseg.text import short_list

if TYPE_CHECKING:
    from geoseg.raster.polygons import AreaOfInterest

SCENE_PATCHES = 16
"""Ground of an orthophoto, in patches, from which on it is compared with the training's: less may
well show nothing but roofs or forest."""


def open_area(options: PredictOptions, grid: Grid) -> "AreaOfInterest | None":
    """The ground that is wanted; None: all of it.

    Raises:
        EmptyError: If the AOI holds no polygon, or none that lies on the orthophoto.
        VectorError: If it cannot be read, or has several layers and none is named.
    """
    path = options.aoi
    if path is None:
        return None
    from geoseg.raster.polygons import AreaOfInterest
    from geoseg.raster.vector import read_polygons

    advice = "name one with --aoi-layer"
    polygons = read_polygons(path, layer=options.aoi_layer, advice=advice).geometries
    return AreaOfInterest(polygons, grid, path=path)


T = TypeVar("T")

Watch = Callable[[Iterable[T], int], Iterable[T]]
"""Shows progress: gives the items on and knows how many there will be."""

Keep = Callable[[Iterable[WindowScores]], Iterable[WindowScores]]
"""Gives windows on once their scores are kept."""

COLUMN_BANDS_FILE = "band_width.json"

UNREADABLE = "unreadable.jsonl"

KEPT_OF_THE_MAP = "finished parts of the map are kept; without --windows, continue with --resume"
"""Told of a failure where the windows were to be kept too."""


def predict_map(
    path: Path,
    models: Models,
    outputs: MapOutputs,
    *,
    options: PredictOptions,
    windows: Path | None = None,
    watch: Watch[WindowScores] | None = None,
    on_start: Callable[[PredictPlan, Runtime], None] = lambda _plan, _runtime: None,
) -> MapReport:
    """Predict an orthophoto.

    Args:
        path: The orthophoto.
        models: What scores its windows.
        outputs: Files to write.
        options: How.
        windows: Folder in which every window's scores are kept as well.
        watch: Shows progress; None: a bar, in a notebook.
        on_start: Is told what will be done, before it is.

    Raises:
        BundleError: If the orthophoto is not what the models were made for.
        EmptyError: If it has no data, or none where it is wanted.
        RasterError: If it cannot be read.
        PartlyReadError: If blocks could not be read and are nodata in the map.
        OutputError: If an output cannot be written.
    """
    if windows is not None and outputs.has_squares:
        raise InputError(f"{windows}: confidence {DISAGREEMENT!r} does not go with kept windows")
    if not options.resume:
        outputs.refuse_existing()
    with open_ortho(path, models.bundle, options) as ortho:
        options = replace(options, read=ortho.options)
        area = open_area(options, ortho.grid)
        layers = _layer_sizes(models.bundle, outputs)
        planned = partial(make_plan, ortho, models.bundle, options, area=area, **layers)
        plan = planned()
        tolerant = options.on_error == "nodata"
        reader = TolerantReader(ortho) if tolerant else ortho
        scene = check_input(reader, models.bundles, options=options)
        for doubt in [] if tolerant else doubts_of(path, options.read):
            issue_warning(doubt)
        runtime = models.open(plan.window_grid.size, plan.network_size, plan.batch_size)
        load = Load(batch_size_of(plan, runtime), runtime.streams)
        plan = replace(planned(load=load), scene=scene)
        job = _Job(path, ortho, models, runtime, plan, options, area)
        if options.resume and (done := job.found(outputs)):
            return done
        on_start(plan, runtime)
        with (
            block_cache(plan.cache),
            resume_dir(
                outputs.class_map,
                fingerprint(path, job.provenance, plan, options, outputs),
                guarded=outputs.files,
                resume=options.resume,
                overwrite=outputs.overwrite,
                note=RESUME_HINT if windows is None else KEPT_OF_THE_MAP,
            ) as folder,
            job.window_folder(windows, overwrite=outputs.overwrite) as keep,
        ):
            watch = watch or notebook_progress(path.name)
            report, loss = job.run(folder, outputs, keep, watch)
        if loss:
            raise loss
        return report


def plan_map(
    path: Path,
    bundles: Sequence[ModelBundle],
    options: PredictOptions,
    outputs: MapOutputs | None = None,
) -> PredictPlan:
    """What `predict_map` would do, as far as it is known before a runtime is.

    Args:
        path: The orthophoto.
        bundles: Each of the models.
        options: How it is predicted.
        outputs: Files to write; None: the class map.

    Raises:
        BundleError: If the orthophoto is not what the model was made for.
        RasterError: If it cannot be read.
    """
    bundle = bundles[0]
    with open_ortho(path, bundle, options) as ortho:
        options = replace(options, read=ortho.options)
        scene = check_input(ortho, bundles, options=options)
        planned = partial(make_plan, ortho, bundle, options, area=open_area(options, ortho.grid))
        if outputs is not None:
            planned = partial(planned, **_layer_sizes(bundle, outputs))
        streams = core_count()
        return replace(planned(load=Load(planned().batch_size or 1, streams)), scene=scene)


@contextmanager
def open_ortho(path: Path, bundle: ModelBundle, options: PredictOptions) -> Iterator[RasterReader]:
    """An orthophoto; unless the user has named bands, with the model's chosen by name.

    Raises:
        BundleError: If some of the model's bands are in other places, and not all are found.
        RasterError: If the orthophoto cannot be read.
    """
    with ExitStack() as stack:
        ortho = stack.enter_context(RasterReader(path, options.read))
        if options.read.bands is None and (bands := _named_bands(ortho, bundle)):
            stack.close()
            read = replace(options.read, bands=bands)
            ortho = stack.enter_context(RasterReader(path, read))
        yield ortho


def _named_bands(ortho: RasterReader, bundle: ModelBundle) -> tuple[int, ...] | None:
    """Bands of an orthophoto by the names of the model's, with a warning.

    Where the file has them in another order, or others besides; else None.
    """
    own = len(ortho.band_numbers)
    stacked = ortho.band_names[own:]
    wanted = bundle.band_names[: bundle.bands - len(stacked)]
    if ortho.palette or not wanted or stacked != bundle.band_names[len(wanted) :]:
        return None
    named = (ortho.band_names[:own], ortho.band_colors)
    found = next((each for names in named if (each := find_bands(names, wanted))), None)
    if found is None:
        if misplaced := misplaced_bands(ortho.band_names[:own], wanted):
            raise BundleError(
                f"{ortho.path}: its bands are {short_list(ortho.band_names)}, the model takes "
                f"{short_list(bundle.band_names)}: {short_list(misplaced)} in other places; "
                f"name them in the model's order with --bands"
            )
        return None
    bands = tuple(ortho.band_numbers[place] for place in found)
    if bands == tuple(ortho.band_numbers):
        return None
    numbers = ",".join(map(str, bands))
    issue_warning(
        f"{ortho.path}: bands {numbers} are taken, which are the model's {', '.join(wanted)} by "
        f"name; --bands chooses others"
    )
    return bands


def check_input(
    ortho: RasterReader | TolerantReader, bundles: Sequence[ModelBundle], *, options: PredictOptions
) -> Scene:
    """See that an orthophoto is what models were made for, and warn if it looks otherwise.

    Returns:
        How far its bands lie from those in training; unknown of small ones, and of files on
        servers, of which no more is read than the map needs.

    Raises:
        BundleError: If bands, GSD or the range of values are others.
    """
    bundle = bundles[0]
    if options.read.stacked and ortho.bands != bundle.bands:
        raise BundleError(
            f"{ortho.path}: has {ortho.bands} bands with those of --with "
            f"({short_list(ortho.band_names)}), the model takes {bundle.bands} "
            f"({short_list(bundle.band_names)}); choose the orthophoto's own with --bands"
        )
    check_bands(bundle, ortho.bands, ortho.path)
    if not options.resample:
        check_gsd(bundle, ortho.grid.gsd, ortho.path)
    others = [each for each in bundles if ortho.dtype.name != each.dtype]
    pixels = 0 if is_remote(ortho.path) else ortho.grid.height * ortho.grid.width
    is_large = pixels >= SCENE_PATCHES * max(each.patch_size for each in bundles) ** 2
    is_known = is_large and any("statistics" in each.training for each in bundles)
    if not (others or is_known):
        return {}
    sample = sample_values(ortho)
    for each in others:
        check_values(each, sample, ortho.path)
    scene = scene_of(bundles, sample) if is_known else {}
    for doubt in doubts_of_scene(scene):
        issue_warning(f"{ortho.path}: {doubt}")
    return scene


@dataclass(frozen=True)
class _Job:
    """All that is needed to predict an orthophoto."""

    path: Path
    ortho: RasterReader
    models: Models
    runtime: Runtime
    plan: PredictPlan
    options: PredictOptions
    area: "AreaOfInterest | None"

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What the map will be made of."""
        return provenance_of_map(
            self.path, self.models, self.runtime, self.plan, self.options, grid=self.ortho.grid
        )

    def found(self, outputs: MapOutputs) -> MapReport | None:
        """The report of a map that is there already.

        Raises:
            PartlyReadError: If blocks could not be read when it was made.
        """
        aoi = [self.options.aoi] if self.options.aoi else []
        inputs = [self.path, *self.options.read.stacked, *aoi]
        made_of = {"provenance": self.provenance, **self._part_tags()}
        made_of["thresholds"] = outputs.threshold_tag
        return find_existing_map(outputs, made_of, inputs, self.models.bundle.legend)

    def run(
        self, folder: Path, outputs: MapOutputs, keep: Keep | None, watch: Watch[WindowScores]
    ) -> tuple[MapReport, PartlyReadError | None]:
        """Predict what is not finished yet in a folder, and put the map together.

        Returns:
            The report, and what is to be said of blocks that could not be read.
        """
        writer = MapWriter(
            folder,
            region=self.plan.region,
            grid=self.ortho.grid.part(self.plan.region),
            legend=self.models.bundle.legend,
            outputs=outputs,
            tags={"provenance": self.provenance} | self._part_tags(),
        )
        reader = TolerantReader(self.ortho, folder / UNREADABLE)
        ortho = reader if self.options.on_error == "nodata" else self.ortho
        for band in column_bands(self.plan.region, _band_width(self.plan, folder)):
            if rest := writer.unfinished(band):
                window_grid = self.plan.window_grid
                with closing(self._scores(ortho, rest)) as scored:
                    parts = watch(scored, window_grid.window_count(rest))
                    if keep is not None:
                        parts = keep(parts)
                    cells = blend(parts, window_grid, rest)
                    if outputs.has_squares and self.models.views == 1:
                        cells = _without_unshared(cells, window_grid)
                    writer.write(cells, rest)
        lost = reader.failed_pixels
        try:
            report = writer.finish(
                may_be_empty=self.options.part is not None, tags=self._loss_tags(reader)
            )
        except EmptyError:
            where = " where the map is wanted" if self.plan.region != self.ortho.grid.window else ""
            raise EmptyError(f"{self.ortho.path}: has no pixel with data{where}") from None
        return report, partly_read(report.path, lost, reader.first_error) if lost else None

    def window_folder(
        self, folder: Path | None, *, overwrite: bool
    ) -> AbstractContextManager[Keep | None]:
        """A folder for the scores of the windows that pass, if they are to be kept."""
        if folder is None:
            return nullcontext()
        from geoseg.prediction.window_scores import WindowLayout, window_folder

        layout = WindowLayout(
            grid=self.ortho.grid,
            window_grid=self.plan.window_grid,
            legend=self.models.bundle.legend,
            provenance=self.provenance,
        )
        return window_folder(folder, layout, overwrite=overwrite)

    def _scores(self, ortho: Ortho, rest: Window) -> Generator[WindowScores]:
        try:
            yield from score(
                ortho,
                self.runtime,
                self.plan.window_grid.windows(rest),
                batch_size=batch_size_of(self.plan, self.runtime),
                streams=self.runtime.streams,
                ground=self.area,
            )
        except BundleError as error:
            raise BundleError(f"{self.path}: {error}") from error

    def _loss_tags(self, reader: TolerantReader) -> dict[str, Any] | None:
        """What could not be read. A part names the blocks, as others may name the same."""
        if not reader.failed:
            return None
        places = [list(astuple(block)) for block in reader.failed]
        blocks = {"unreadable_blocks": places} if self.options.part else {}
        return {"unreadable_pixels": reader.failed_pixels, **blocks}

    def _part_tags(self) -> dict[str, Any]:
        """What a part says of the whole."""
        if self.options.part is None:
            return {}
        index, count = self.options.part
        whole = self.ortho.grid.part(self.plan.whole)
        rows = self.options.part_rows
        return {
            "part": {
                "index": index,
                "count": count,
                "row_off": self.plan.region.row_off - self.plan.whole.row_off,
                "height": whole.height,
                "transform": list(whole.transform[:6]),
                **({"rows": rows.stop - rows.first, "computes": rows.computes} if rows else {}),
            }
        }


def _without_unshared(
    cells: Iterable[WindowScores], window_grid: WindowGrid
) -> Iterator[WindowScores]:
    """Cells with NaN for the squares of pixels that only one window shows: nothing can disagree."""
    for cell in cells:
        cell.scores[-1][~window_grid.shared(cell.window)] = np.nan
        yield cell


def _band_width(plan: PredictPlan, folder: Path) -> int:
    """As it was when the prediction began: memory may have been freed or taken since."""
    record = folder / COLUMN_BANDS_FILE
    if not record.exists():
        partial = record.with_suffix(".partial")
        with writing(record):  # nobody else has the folder
            partial.write_text(json.dumps(plan.band_width), encoding="utf-8")
            partial.replace(record)
    return int(json.loads(record.read_text(encoding="utf-8")))


def _layer_sizes(bundle: ModelBundle, outputs: MapOutputs) -> dict[str, Any]:
    """Bytes of all outputs per pixel, and bands of the scores."""
    classes = len(bundle.legend)
    score = {"uint8": 1, "float32": 4}[outputs.score_type] if outputs.scores else 0
    layer_bytes = 1 + score * classes + (outputs.confidence is not None)
    return {"layer_bytes": layer_bytes, "score_bands": classes + outputs.has_squares}
