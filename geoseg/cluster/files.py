"""Steps whose unit is a file: evaluations, polygons and postprocessing of many maps."""

import base64
import pickle
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

from geoseg.cluster.connect import connected
from geoseg.cluster.jobs import Job, group_size, report_record
from geoseg.cluster.pool import Pool
from geoseg.errors import GeosegError
from geoseg.evaluation.comparison import EvaluationCounts, Measures, Pair, Reading
from geoseg.labels.legend import Legend
from geoseg.postprocess.options import PostprocessOptions
from geoseg.postprocess.postprocess import PostprocessReport, postprocess_map
from geoseg.prediction.map_writer import MapOutputs
from geoseg.raster.reader import RasterReader
from geoseg.vectorize.options import VectorizeOptions
from geoseg.vectorize.vectorize import VectorizeReport, vectorize

T = TypeVar("T")

JOB_PX = 1 << 18
"""Pixels of a map that count as a window, by which time is limited and jobs are grouped."""

SIZE_UNKNOWN = 64
"""Windows of a map whose pixels are not known, such as one of polygons."""

Progress = Callable[[str, int, int], None]


def each_file(
    name: str,
    items: Mapping[int, T],
    job: Callable[[int, T], Job],
    *,
    step: str,
    warn: Callable[[str], None],
    info: Callable[[str], None],
    progress: Progress = lambda *_: None,
) -> Iterator[tuple[int, Any]]:
    """Do a job for each of several items on a cluster; give each answer, or failure, as it comes.

    Args:
        name: The cluster.
        items: By numbers.
        job: Makes the job of an item; its failure is the item's.
        step: What is being done, for progress.
        warn: Is told of what may spoil the result.
        info: Is told of what the user waits for.
        progress: Is told how many are done.

    Raises:
        ClusterError: If the cluster is lost, or none of its workers can be used.
    """
    failed: list[tuple[int, GeosegError]] = []
    numbers: dict[str, int] = {}

    def jobs() -> Iterator[Job]:
        for number, item in items.items():
            try:
                made = job(number, item)
            except GeosegError as error:
                failed.append((number, error))
            else:
                numbers[made.key] = number
                yield made

    with connected(name) as cluster:
        group = group_size(len(items), cluster.wait_for_workers(info))
        pool = Pool(cluster, None, group=group, warn=warn, info=info)
        for done, (each, answer) in enumerate(pool.run(jobs()), start=1):
            yield numbers[each.key], answer
            progress(step, done, len(items))
    yield from failed


def windows_of(path: Path) -> int:
    """By what the time of a map is limited."""
    with suppress(GeosegError), RasterReader(path, palette_index=True) as reader:
        return ceil(reader.grid.height * reader.grid.width / JOB_PX)
    return SIZE_UNKNOWN


def packed(counts: EvaluationCounts) -> str:
    """Counts as text; of `--intervals` with a row for each block of ground."""
    return base64.b85encode(zlib.compress(pickle.dumps(counts))).decode()


def unpacked(text: str) -> EvaluationCounts:
    """What `packed` was given."""
    counts: EvaluationCounts = pickle.loads(zlib.decompress(base64.b85decode(text)))  # noqa: S301
    return counts


def compare_pair(
    plan: None,  # noqa: ARG001 as all jobs are called
    *,
    pair: Pair,
    legend: Legend,
    reading: Reading,
    measures: Measures,
    threads: int,
) -> str:
    """Count where a map and its references agree."""
    from geoseg.evaluation.compare import compare

    return packed(compare(pair, legend, reading, measures=measures, workers=threads))


def clean_map(
    plan: None,  # noqa: ARG001 likewise
    *,
    path: Path,
    legend: Legend,
    outputs: MapOutputs,
    options: PostprocessOptions,
) -> dict[str, Any]:
    """Postprocess a map. The command has seen that nothing is in the way."""
    own = replace(outputs, overwrite=True)
    return report_record(postprocess_map(path, legend, own, options=options))


def clean_report(answer: Mapping[str, Any]) -> PostprocessReport:
    """The report of `clean_map`."""
    return PostprocessReport(**{**answer, "path": Path(answer["path"])})


def trace_map(
    plan: None,  # noqa: ARG001 likewise
    *,
    path: Path,
    legend: Legend,
    output: Path,
    options: VectorizeOptions,
) -> dict[str, Any] | None:
    """Turn a map into polygons. The command has seen that nothing is in the way."""
    report = vectorize(path, legend, output, options, overwrite=True)
    return None if report is None else report_record(report)


def trace_report(answer: Mapping[str, Any] | None) -> VectorizeReport | None:
    """The report of `trace_map`."""
    if answer is None:
        return None
    known = {**answer, "path": Path(answer["path"]), "notes": tuple(answer["notes"])}
    return VectorizeReport(**known)
