"""Where a map is wrong: the error map and the worst windows, in one pass."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.core.legend import Legend
from geoseg.evaluation.block import Tally
from geoseg.evaluation.compare import Watch, open_pair, pass_by
from geoseg.evaluation.comparison import Comparison, Pair
from geoseg.evaluation.error_legend import ErrorLegend
from geoseg.evaluation.error_map import error_map
from geoseg.evaluation.worst import SIDE, WorstTally, WorstWindow
from geoseg.io.reference import ReferenceOptions


@dataclass(frozen=True, kw_only=True)
class ErrorOptions:
    """What is wanted of a map's errors."""

    error_map: Path | None = None
    """Raster to write."""

    worst: int = 0
    """How many windows are ranked."""

    side: int = SIDE
    """Of these windows, in pixels."""

    overwrite: bool = False
    """Whether an existing raster is replaced."""


def survey_errors(
    pair: Pair,
    comparison: Comparison,
    legend: Legend,
    errors: ErrorLegend,
    wanted: ErrorOptions,
    *,
    options: ReferenceOptions | None = None,
    aoi: Path | None = None,
    ground: Any = None,
    workers: int = 1,
    watch: Watch = lambda blocks, _: blocks,
) -> list[WorstWindow]:
    """Go over a map and its reference again and look where they differ.

    Args:
        pair: The files.
        comparison: What `compare` has counted of them.
        legend: Their classes.
        errors: The classes of error maps.
        wanted: What is to be found.
        options: How the reference is read.
        aoi: Polygons; ground outside does not count.
        ground: GeoSeries; ground outside does not count.
        workers: Threads.
        watch: Shows progress over the blocks.

    Returns:
        The worst windows of the map, most errors first.

    Raises:
        OutputError: If the error map cannot be written.
        GeosegError: What is wrong with the files.
    """
    with (
        open_pair(pair, legend, options=options, aoi=aoi, ground=ground) as (mapped, truth),
        ExitStack() as stack,
    ):
        classes, grid = len(legend), mapped.grid
        worst = WorstTally(pair, grid, classes, most=wanted.worst, side=wanted.side)
        tallies: list[Tally] = [worst] if wanted.worst else []
        if wanted.error_map is not None:
            writer = error_map(
                wanted.error_map, grid, errors, comparison.confusion, overwrite=wanted.overwrite
            )
            tallies.append(stack.enter_context(writer))
        pass_by(mapped, truth, tallies, workers=workers, watch=watch)
    return worst.worst if wanted.worst else []
