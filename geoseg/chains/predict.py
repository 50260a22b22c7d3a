"""An orthophoto becomes a class map: ``write(blend(score(ortho)))``."""

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.chains.models import Models
from geoseg.chains.options import PredictOptions
from geoseg.chains.plan import PredictPlan, column_bands, make_plan
from geoseg.chains.provenance import fingerprint, provenance_of_map
from geoseg.chains.watch import Watch
from geoseg.core.blend import WindowScores, blend
from geoseg.core.window import Window
from geoseg.errors import EmptyError, PartlyReadError
from geoseg.io.gdal import limit_block_cache
from geoseg.io.outputs import staged, write_text
from geoseg.io.placement import sample_values
from geoseg.io.raster import RasterReader
from geoseg.io.tolerant import TolerantReader
from geoseg.io.unfinished import resumable
from geoseg.io.vector import Area
from geoseg.io.window_scores import WindowLayout, keep_windows, read_tags, start_window_folder
from geoseg.model.bundle import ModelBundle
from geoseg.model.segmenter import Runtime
from geoseg.mosaicking import MapOutputs, MapReport, MapWriter
from geoseg.prediction import Ortho, score

BAND_RECORD = "band_width.json"
UNREADABLE = "unreadable.jsonl"


def predict_map(
    path: Path,
    models: Models,
    outputs: MapOutputs,
    *,
    options: PredictOptions,
    windows: Path | None = None,
    watch: Watch[WindowScores] = lambda items, _: items,
) -> MapReport:
    """Predict an orthophoto.

    Args:
        path: The orthophoto.
        models: What scores its windows.
        outputs: Files to write.
        options: How.
        windows: Folder in which every window's scores are kept as well.
        watch: Shows progress.

    Raises:
        BundleError: If the orthophoto is not what the models were made for.
        EmptyError: If it has no data, or none where it is wanted.
        RasterError: If it cannot be read.
        PartlyReadError: If blocks could not be read and are nodata in the map.
        OutputError: If an output cannot be written.
    """
    if not options.resume:
        outputs.refuse_existing()
    with RasterReader(path, options.read) as ortho:
        area = Area.open(options.aoi, ortho.grid) if options.aoi else None
        plan = make_plan(
            ortho, models.bundle, options, area=area, layer_bytes=_layer_bytes(models, outputs)
        )
        limit_block_cache(plan.cache)
        check_input(
            TolerantReader(ortho) if options.on_error == "nodata" else ortho,
            models.bundle,
            resample=options.resample,
        )
        runtime = models.open(plan.lattice.size, plan.network_size)
        made_of = provenance_of_map(path, models, runtime, plan, options)
        inputs = [path, *options.read.stacked, *([options.aoi] if options.aoi else [])]
        if options.resume and (done := _finished_before(outputs, made_of, inputs)):
            return done
        job = _Job(ortho, models.bundle, runtime, plan, options, area, made_of)
        key = fingerprint(path, made_of, plan, options, outputs)
        with (
            resumable(
                outputs.class_map,
                key,
                guarded=outputs.paths,
                resume=options.resume,
                overwrite=outputs.overwrite,
            ) as folder,
            _window_folder(windows, job.layout, overwrite=outputs.overwrite) as kept,
        ):
            report, loss = job.run(folder, outputs, kept, watch)
        if loss:
            raise PartlyReadError(loss)
        return report


def plan_map(path: Path, bundle: ModelBundle, options: PredictOptions) -> PredictPlan:
    """What `predict_map` would do.

    Raises:
        BundleError: If the orthophoto is not what the model was made for.
        RasterError: If it cannot be read.
    """
    with RasterReader(path, options.read) as ortho:
        check_input(ortho, bundle, resample=options.resample)
        area = Area.open(options.aoi, ortho.grid) if options.aoi else None
        return make_plan(ortho, bundle, options, area=area)


def check_input(
    ortho: RasterReader | TolerantReader, bundle: ModelBundle, *, resample: bool
) -> None:
    """See that an orthophoto is what a model was made for.

    Raises:
        BundleError: If bands, GSD or the range of values are others.
    """
    bundle.check_bands(ortho.bands, ortho.path)
    if not resample:
        bundle.check_gsd(ortho.grid.gsd, ortho.path)
    if ortho.dtype.name != bundle.dtype:
        bundle.check_values(sample_values(ortho), ortho.path)


@dataclass(frozen=True)
class _Job:
    """All that is needed to predict an orthophoto."""

    ortho: RasterReader
    bundle: ModelBundle
    runtime: Runtime
    plan: PredictPlan
    options: PredictOptions
    area: Area | None
    provenance: dict[str, Any]

    def run(
        self, folder: Path, outputs: MapOutputs, kept: Path | None, watch: Watch[WindowScores]
    ) -> tuple[MapReport, str | None]:
        """Predict what is not finished yet in a folder, and put the map together.

        Returns:
            The report, and what could not be read.
        """
        writer = MapWriter(
            folder,
            region=self.plan.region,
            grid=self.ortho.grid.part(self.plan.region),
            legend=self.bundle.legend,
            outputs=outputs,
            tags={"provenance": self.provenance} | self._part_tags(),
        )
        reader = TolerantReader(self.ortho, folder / UNREADABLE)
        ortho = reader if self.options.on_error == "nodata" else self.ortho
        for band in column_bands(self.plan.region, _band_width(self.plan, folder)):
            if rest := writer.unfinished(band):
                lattice = self.plan.lattice
                with closing(self._scores(ortho, rest)) as scored:
                    parts = watch(scored, lattice.window_count(rest))
                    if kept is not None:
                        parts = keep_windows(parts, kept, self.layout)
                    writer.write(blend(parts, lattice, rest), rest)
        lost = reader.failed_pixels
        try:
            report = writer.finish(
                may_be_empty=self.options.part is not None,
                tags={"unreadable_pixels": lost} if lost else None,
            )
        except EmptyError:
            where = " where the map is wanted" if self.plan.region != self.ortho.grid.window else ""
            raise EmptyError(f"{self.ortho.path}: has no pixel with data{where}") from None
        return report, _partly_read(report.path, lost, reader.first_error) if lost else None

    @property
    def layout(self) -> WindowLayout:
        """What windows that are kept say of the map."""
        return WindowLayout(
            grid=self.ortho.grid,
            lattice=self.plan.lattice,
            legend=self.bundle.legend,
            provenance=self.provenance,
        )

    def _scores(self, ortho: Ortho, rest: Window) -> Generator[WindowScores]:
        return score(
            ortho,
            self.runtime,
            self.plan.lattice.windows(rest),
            batch_size=self.options.batch_size or self.runtime.batch_size,
            streams=self.runtime.streams,
            ground=self.area,
        )

    def _part_tags(self) -> dict[str, Any]:
        """What a part says of the whole."""
        if self.options.part is None:
            return {}
        index, count = self.options.part
        whole = self.ortho.grid.part(self.plan.whole)
        return {
            "part": {
                "index": index,
                "count": count,
                "row_off": self.plan.region.row_off - self.plan.whole.row_off,
                "height": whole.height,
                "transform": list(whole.transform[:6]),
            }
        }


@contextmanager
def _window_folder(
    windows: Path | None, layout: WindowLayout, *, overwrite: bool
) -> Iterator[Path | None]:
    """A folder for the scores of windows, if they are to be kept."""
    if windows is None:
        yield None
        return
    with staged(windows, overwrite=overwrite) as folder:
        start_window_folder(folder, layout)
        yield folder


def _band_width(plan: PredictPlan, folder: Path) -> int:
    """As it was when the prediction began: memory may have been freed or taken since."""
    record = folder / BAND_RECORD
    if not record.exists():
        write_text(record, json.dumps(plan.band_width))
    return int(json.loads(record.read_text(encoding="utf-8")))


def _layer_bytes(models: Models, outputs: MapOutputs) -> int:
    """Bytes of all outputs per pixel."""
    score = {"uint8": 1, "float32": 4}[outputs.score_type] if outputs.scores else 0
    return 1 + score * len(models.bundle.legend) + (outputs.confidence is not None)


def _finished_before(
    outputs: MapOutputs, provenance: Mapping[str, Any], made_from: Sequence[Path]
) -> MapReport | None:
    """The report of a map that is there already and was made of the same."""
    path = outputs.class_map
    if not all(each.exists() for each in outputs.paths):
        return None
    if any(each.exists() and each.stat().st_mtime > path.stat().st_mtime for each in made_from):
        return None
    tags = read_tags(path)
    if tags.get("provenance") != provenance:
        return None
    if lost := tags.get("unreadable_pixels"):
        raise PartlyReadError(_partly_read(path, lost, "found in an earlier run"))
    return MapReport(path, tags["pixels"], tags["class_pixels"])


def _partly_read(path: Path, pixels: int, reason: str | None) -> str:
    return f"{path}: written, but {pixels} px could not be read and have no data in it: {reason}"
