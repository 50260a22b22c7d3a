"""Class maps of many orthophotos, or of large ones in parts, by the workers of a cluster."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from geoseg.cluster.connect import Cluster, connected
from geoseg.cluster.division import divide, part_count
from geoseg.cluster.jobs import Job, group_size
from geoseg.cluster.pinned import ModelPlan, Sizes
from geoseg.cluster.pool import Pool
from geoseg.errors import GeosegError, OutputExistsError, PartlyReadError
from geoseg.model.ensemble import LoadedModels, RuntimeOptions
from geoseg.options import part_mark
from geoseg.prediction.map_writer import MapOutputs, MapReport
from geoseg.prediction.plan import PartRows, PredictOptions, PredictPlan, make_plan
from geoseg.prediction.predict import open_area
from geoseg.raster.atomic import RESUME_HINT, resume_dirs, write_text, writing
from geoseg.raster.reader import RasterReader
from geoseg.raster.records import parse_json
from geoseg.raster.storage import file_state
from geoseg.raster.writer import BLOCK_PX

JOBS = "geoseg.cluster.predict_jobs"
"""The module of what workers do."""

DIVISION = "division.json"
"""In the hidden folder of a map's parts: what they are parts of, and their rows."""

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many of how many."""


class PredictedMap(NamedTuple):
    """A map, and what computed it."""

    report: MapReport
    runtime: str


@dataclass
class _Division:
    """A map whose parts are being predicted."""

    number: int
    path: Path
    outputs: MapOutputs
    folder: Path
    waiting: int = 0
    parts: int = 0
    known: dict[str, Any] = field(default_factory=dict)
    failures: list[GeosegError] = field(default_factory=list)


class ClusterPrediction:
    """Predicts maps on a cluster, byte for byte as `predict_map` does here."""

    def __init__(
        self,
        cluster: Cluster,
        models: LoadedModels,
        options: PredictOptions,
        *,
        warn: Callable[[str], None],
        info: Callable[[str], None],
        progress: Progress = lambda *_: None,
    ) -> None:
        self._cluster = cluster
        self._bundle = models.bundle
        self._plan = ModelPlan(tuple(models.folders), models.options, models.record)
        self._options = options
        self._warn, self._info, self._progress = warn, info, progress
        self._expected: dict[Sizes, str] = {}
        self._divisions: dict[int, _Division] = {}
        self._told: set[str] = set()
        self._share = 1.0

    def run(
        self, wanted: Mapping[int, tuple[Path, MapOutputs]]
    ) -> Iterator[tuple[int, PredictedMap | GeosegError]]:
        """Predict maps; give each, or its failure, as it is done.

        Args:
            wanted: Orthophotos and outputs, by numbers.

        Raises:
            ClusterError: If the cluster is lost, or none of its workers can be used.
        """
        workers = self._cluster.wait_for_workers(self._info)
        self._share = workers / len(wanted)
        pool = self._pool = self._new_pool(group_size(len(wanted), workers))
        for job, answer in pool.run(self._jobs(wanted)):
            yield from self._taken(job, answer)
            if len(wanted) == 1:
                self._tell_of_parts(job)

    def _tell_of_parts(self, job: Job) -> None:
        division = self._divisions.get(job.arguments.get("division", -1))
        if division is not None and division.parts:
            finished = division.parts - division.waiting
            self._progress(division.path.name, finished, division.parts)

    def _new_pool(self, group: int) -> Pool:
        return Pool(self._cluster, self._plan, group=group, warn=self._warn, info=self._info)

    def _jobs(self, wanted: Mapping[int, tuple[Path, MapOutputs]]) -> Iterator[Job]:
        """What is done first of each orthophoto."""
        for number, (path, outputs) in wanted.items():
            try:
                plan = self._planned(path)
            except GeosegError:  # a worker will say it, or see more than is seen here
                yield self._whole(number, path, outputs, None)
                continue
            self._compare_workers(plan)
            begun = self._options.resume and resume_dirs(outputs.class_map)
            if begun or self._parts_of(plan) == 1:
                yield self._whole(number, path, outputs, plan)
            else:
                division = _Division(number, path, outputs, parts_folder(outputs.class_map))
                self._divisions[number] = division
                arguments = self._arguments(path, outputs) | {"division": number}
                yield Job(f"{path}: windows with data", f"{JOBS}:look", arguments)

    def _planned(self, path: Path) -> PredictPlan:
        with RasterReader(path, self._options.read) as ortho:
            area = open_area(self._options, ortho.grid)
            return make_plan(ortho, self._bundle, self._options, area=area)

    def _parts_of(self, plan: PredictPlan) -> int:
        """How many parts a map is divided into."""
        rows = len(plan.window_grid.rows(plan.whole))
        blocks = -(-plan.whole.height // BLOCK_PX)
        return part_count(rows, plan.most_at_a_time, blocks, self._share)

    def _compare_workers(self, plan: PredictPlan) -> None:
        """Have a worker compute what others are compared by, once for windows of a size."""
        sizes = (plan.window_grid.size, plan.network_size, plan.batch_size)
        if sizes in self._expected:
            return
        job = Job(f"model for windows of {sizes[0]} px", f"{JOBS}:probe", {"sizes": sizes})
        [(_, answer)] = self._new_pool(1).run([job])
        if isinstance(answer, GeosegError):
            raise answer
        self._expected[sizes] = answer["computes"]
        if not self._told:  # the plan of all pools from here on
            running = RuntimeOptions(**answer["running"])
            self._plan = replace(self._plan, running=running)
            self._pool.plan = self._plan
        for said in (f"predicting with {answer['runtime']}", *answer["notes"]):
            if said not in self._told:
                self._told.add(said)
                self._info(said)

    def _whole(self, number: int, path: Path, outputs: MapOutputs, plan: PredictPlan | None) -> Job:
        """A map in one piece. What is there of it stems from this call, or may be gone on with."""
        options = replace(self._options, resume=self._options.resume or not outputs.overwrite)
        arguments = self._arguments(path, outputs) | {"number": number, "options": options}
        windows = 1 if plan is None else plan.most_at_a_time
        return Job(str(path), f"{JOBS}:predict_whole", arguments, windows)

    def _arguments(self, path: Path, outputs: MapOutputs) -> dict[str, Any]:
        expected = dict(self._expected)
        return {"path": path, "outputs": outputs, "options": self._options, "expected": expected}

    def _taken(self, job: Job, answer: Any) -> Iterator[tuple[int, PredictedMap | GeosegError]]:
        """Take an answer: a map that is done, or a step towards one."""
        division = self._divisions.get(job.arguments.get("division", -1))
        if division is None:
            yield job.arguments["number"], _as_map(answer)
            return
        try:
            found = self._gone_on(division, job, answer)
        except GeosegError as error:
            found = error
        if found is not None:
            del self._divisions[division.number]
            yield division.number, _as_map(found)

    def _gone_on(self, division: _Division, job: Job, answer: Any) -> Any:
        """Do what follows in a map that is divided; None, or what the map comes to.

        Raises:
            OutputExistsError: If another one is unfinished and may not be replaced.
        """
        if isinstance(answer, dict) and "counts" in answer:
            self._send_parts(division, answer["counts"])
            return None
        if not job.work.endswith(":predict_part"):
            return answer if isinstance(answer, GeosegError) else answer | division.known
        division.waiting -= 1
        if not isinstance(answer, GeosegError):
            division.known["runtime"] = answer["runtime"]
        elif not isinstance(answer, PartlyReadError):  # that part is written
            division.failures.append(answer)
        if division.waiting:
            return None
        if not division.failures:
            self._pool.add(self._join(division))
            return None
        division.failures[0].add_note(RESUME_HINT)
        return division.failures[0]

    def _send_parts(self, division: _Division, counts: list[int]) -> None:
        """Divide a map, or go on with how it was divided, and add its parts.

        Raises:
            OutputExistsError: If another one is unfinished and may not be replaced.
        """
        plan = self._planned(division.path)
        outputs, options = division.outputs, self._options
        sizes = (plan.window_grid.size, plan.network_size, plan.batch_size)
        computes = self._expected[sizes]
        rows = divide(plan.window_grid, plan.whole, counts, self._parts_of(plan))
        about = self._about(division, plan, computes)
        rows = _agreed(division, about, rows, resume=options.resume)
        division.parts = division.waiting = len(rows)
        for index, (first, stop) in enumerate(rows, start=1):
            mark = part_mark((index, len(rows)))
            part = part_outputs(outputs, division.folder / f"{outputs.class_map.stem}_{mark}.tif")
            where = PartRows(first, stop, computes)
            own = replace(options, part=(index, len(rows)), part_rows=where, resume=True)
            arguments = self._arguments(division.path, part)
            arguments |= {"division": division.number, "options": own}
            key = f"{division.path}: part {index} of {len(rows)}"
            region = replace(plan.whole, row_off=plan.whole.row_off + first, height=stop - first)
            windows = plan.window_grid.window_count(region)
            self._pool.add(Job(key, f"{JOBS}:predict_part", arguments, windows))

    def _about(self, division: _Division, plan: PredictPlan, computes: str) -> str:
        """What decides the parts of a map, besides their rows."""
        outputs = division.outputs
        decided = {
            "source": file_state(division.path),
            "model": self._plan.record,
            "options": repr(replace(self._options, resume=False, memory=None)),
            "whole": str(plan.whole),
            "computes": computes,
            "layers": [str(outputs.scores and outputs.score_type), outputs.confidence_kind],
            "thresholds": outputs.threshold_tag,
        }
        text = json.dumps(decided, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _join(self, division: _Division) -> Job:
        arguments = {
            "division": division.number,
            "folder": division.folder,
            "outputs": division.outputs,
        }
        return Job(f"{division.path}: joining its parts", f"{JOBS}:join", arguments, division.parts)


def predict_one(
    name: str,
    path: Path,
    models: LoadedModels,
    outputs: MapOutputs,
    options: PredictOptions,
    *,
    warn: Callable[[str], None],
) -> MapReport:
    """Predict an orthophoto on a cluster.

    Args:
        name: The cluster.
        path: The orthophoto.
        models: What scores its windows.
        outputs: Files to write.
        options: How.
        warn: Is told of what may spoil the result.

    Raises:
        GeosegError: If it fails.
    """
    with connected(name) as cluster:
        prediction = ClusterPrediction(cluster, models, options, warn=warn, info=lambda _: None)
        [(_, found)] = prediction.run({0: (path, outputs)})
    if isinstance(found, GeosegError):
        raise found
    return found.report


def _as_map(found: Any) -> PredictedMap | GeosegError:
    if isinstance(found, GeosegError):
        return found
    report = MapReport(Path(found["path"]), found["pixels"], found["class_pixels"])
    return PredictedMap(report, found["runtime"])


def parts_folder(class_map: Path) -> Path:
    """The hidden folder in which the parts of a map are made."""
    return class_map.with_name(f".{class_map.name}.parts")


def part_outputs(outputs: MapOutputs, class_map: Path) -> MapOutputs:
    """The same layers of a part of a map."""

    def beside(layer: str, path: Path | None) -> Path | None:
        return path and class_map.with_name(f"{class_map.stem}_{layer}.tif")

    return replace(
        outputs,
        class_map=class_map,
        scores=beside("scores", outputs.scores),
        confidence=beside("confidence", outputs.confidence),
        sidecars=False,
        overwrite=True,
    )


def _agreed(
    division: _Division, about: str, rows: list[tuple[int, int]], *, resume: bool
) -> list[tuple[int, int]]:
    """Rows of the parts, as they were when the map was begun; and a folder for them.

    Raises:
        OutputExistsError: If parts are there that may be neither used nor replaced.
    """
    folder, target = division.folder, division.outputs.class_map
    known = _read(folder / DIVISION)
    same = known.get("about") == about
    if resume and same:
        return [(first, stop) for first, stop in known["rows"]]
    if not division.outputs.overwrite and any(folder.glob("*.tif")):
        way = (
            "continue with --resume"
            if same
            else "it was started with another model, options or source, or on processors that "
            "compute otherwise"
        )
        raise OutputExistsError(f"{target}: is unfinished; {way}, or start over with --overwrite")
    for each in (folder, *resume_dirs(target)):
        shutil.rmtree(each, ignore_errors=True)
    with writing(target):
        folder.mkdir(parents=True)
        write_text(folder / DIVISION, json.dumps({"about": about, "rows": rows}, indent=1))
    return rows


def _read(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
