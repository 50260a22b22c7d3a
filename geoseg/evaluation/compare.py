"""Compare a class map with its reference, block by block."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import EmptyError
from geoseg.evaluation.class_map import BLOCK_COLUMNS, BLOCK_ROWS, ClassMap
from geoseg.evaluation.comparison import (
    Block,
    Counter,
    EvaluationCounts,
    Measures,
    Pair,
    Reading,
    RowCounter,
)
from geoseg.evaluation.counters import (
    BorderCounter,
    ErodedCounter,
    LabelConflictCounter,
    PairCounter,
    PixelCounter,
    RegionCounter,
    ScoreCounter,
    TrainedCounter,
    open_regions,
)
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.reference import References
from geoseg.raster.grid import Grid
from geoseg.raster.polygons import NumberedPolygons, on_grid
from geoseg.raster.storage import block_cache
from geoseg.raster.threads import map_in_order, reading_pool
from geoseg.raster.window import Window, blocks

if TYPE_CHECKING:
    from geoseg.evaluation.calibration import ScoreMap
    from geoseg.evaluation.matching import Matches
    from geoseg.labels.polygon_classes import PolygonClasses

STRIP_PIXELS = 1 << 20
"""Pixels of a strip, as wide as the map, in which objects are labelled at a time."""

Watch = Callable[[Iterable[Window], int], Iterable[Window]]
"""Shows progress: passes the blocks on and knows how many there are."""


class OpenPair(ClassMap):
    """A class map and its references, open for reading on the map's grid.

    Raises:
        GeosegError: If a file cannot be read or does not fit the others.
    """

    def __init__(self, pair: Pair, legend: Legend, reading: Reading | None = None) -> None:
        how = reading or Reading()
        super().__init__(
            pair.class_map,
            legend,
            aoi=how.aoi,
            ground=how.ground,
            drawn=how.map,
            references=pair.references,
        )
        with ExitStack() as stack:
            stack.callback(super().close)
            self.references = References(
                pair.references,
                legend=legend,
                grid=self.grid,
                options=how.options,
                may_be_elsewhere=pair.may_be_elsewhere,
            )
            stack.pop_all()

    def block(self, window: Window, halo: int = 0) -> Block:
        """A block of the map, read with so many pixels around it."""
        wide = window.grown(halo).clip(self.grid.height, self.grid.width) or window
        return Block(
            window=window,
            read=wide,
            all_reference=self.references.read(wide),
            all_mapped=self.read(wide),
            outside=self.outside(window),
        )

    def close(self) -> None:
        """Release files."""
        self.references.close()
        super().close()


def compare(
    pair: Pair,
    legend: Legend,
    reading: Reading | None = None,
    *,
    measures: Measures | None = None,
    workers: int = 1,
    watch: Watch = lambda blocks, _: blocks,
) -> EvaluationCounts:
    """Count where a class map and its reference agree, on the map's grid.

    The counts do not depend on the number of threads (`workers`).

    Raises:
        EmptyError: If no pixel is known to both.
        LegendError: If objects of a class that is not in the legend are to be matched.
        GeosegError: If a file cannot be read or does not fit the others.
    """
    from geoseg.patches.training_ground import TrainedGround

    measures = measures or Measures()
    objects = measures.object_classes(legend)
    with ExitStack() as stack:
        opened = stack.enter_context(OpenPair(pair, legend, reading))
        grid = opened.grid
        scores = None
        if pair.scores is not None:
            from geoseg.evaluation.calibration import ScoreMap

            scores = stack.enter_context(ScoreMap(pair.scores, legend, grid))
        trained = TrainedGround.of_map(pair.class_map, grid)
        counters = _counters(pair, opened, measures, len(legend))
        counters += [ScoreCounter(scores)] if scores else []
        counters += [TrainedCounter(len(legend), trained)] if trained else []
        run_counters(opened, counters, workers=workers, watch=watch)
        matches = match_objects(opened, measures, objects, scores, watch=watch) if objects else {}
        notes = dict.fromkeys((*opened.notes, *opened.references.notes))
        meanings = tuple(opened.references.meanings)
    counts = EvaluationCounts(
        **{name: value for each in counters for name, value in each.compute().items()},
        objects={index: each.counts for index, each in matches.items()} or None,
        by_block=_by_block(counters, matches, measures, grid) if measures.intervals else None,
        unknown_ground=int(trained is None or not trained.is_complete),
        notes=tuple(notes),
        meanings=meanings,
    )
    if not counts.confusion.total:
        raise EmptyError(
            f"{pair.class_map}: no pixel is known to both the map and {pair.reference}"
        )
    return counts


def _counters(pair: Pair, opened: OpenPair, measures: Measures, classes: int) -> list[Counter]:
    """The counters of pixels; those with rows count by spatial block if there are intervals."""
    grid = opened.grid
    boundary, erode = (
        each.in_pixels(grid) if each else 0 for each in (measures.boundary, measures.erode)
    )
    with_rows: list[RowCounter] = [BorderCounter(classes, boundary)] if boundary else []
    with_rows += [ErodedCounter(classes, erode)] if erode else []
    counters: list[Counter] = [PixelCounter(classes), *with_rows]
    if measures.intervals:
        from geoseg.evaluation.bootstrap import SpatialBlocks, SpatialCounter

        spatial = SpatialBlocks.of(grid, measures.spatial_block)
        with_rows = [PairCounter(classes), *with_rows]
        counters = [counters[0], *(SpatialCounter(each, spatial) for each in with_rows)]
    if measures.by:
        counters.append(RegionCounter(classes, open_regions(measures.by, grid)))
    return [*counters, *([LabelConflictCounter(opened.references)] if pair.further else [])]


def _by_block(
    counters: Sequence[Counter], matches: Mapping[int, "Matches"], measures: Measures, grid: Grid
) -> dict[str, Any]:
    """What confidence intervals are drawn from, by field of `EvaluationCounts`."""
    from geoseg.evaluation.bootstrap import BlockObjects, SpatialBlocks, SpatialCounter

    rows: dict[str, Any] = {
        each.field: each.rows for each in counters if isinstance(each, SpatialCounter)
    }
    spatial = SpatialBlocks.of(grid, measures.spatial_block)
    return rows | ({"objects": BlockObjects.of(matches, spatial)} if matches else {})


def run_counters(
    opened: OpenPair,
    counters: Sequence[Counter],
    *,
    workers: int = 1,
    watch: Watch = lambda blocks, _: blocks,
) -> None:
    """Pass all blocks of a map and its reference to counters, in reading order."""
    halo = max((counter.halo for counter in counters), default=0)

    def count(window: Window) -> list[Any]:
        block = opened.block(window, halo)
        return [counter.count(block) for counter in counters]

    cache = block_cache((workers + 1) * 2 * BLOCK_ROWS * opened.grid.width)
    windows = opened.blocks()
    with cache, reading_pool(workers) as pool:
        todo = watch(windows, len(windows))
        for counted in map_in_order(pool, count, todo, ahead=workers + 1):
            for counter, each in zip(counters, counted, strict=True):
                counter.add(each)


def match_objects(
    opened: OpenPair,
    measures: Measures,
    classes: Sequence[int],
    scores: "ScoreMap | None" = None,
    *,
    watch: Watch = lambda blocks, _: blocks,
) -> dict[int, "Matches"]:
    """Match objects of the map with those of the reference, by class index.

    Objects of the map are connected pixels, those of the reference too, or polygons. Only pixels
    that both know belong to objects: unlabelled ground, nodata and the edge of an area cut them.
    If both are polygons their areas are matched, and ground without one is not unknown.

    Args:
        opened: The map and its reference.
        measures: What an object is.
        classes: Indices of the classes whose objects are matched.
        scores: Scores of the map; an object's score is the mean of its class's over its pixels.
        watch: Shows progress over rows of blocks.

    Raises:
        GeosegError: If a file cannot be read or does not fit the others.
    """
    from geoseg.evaluation.matching import ObjectMatcher

    own = opened.polygons
    drawn = measures.reference_objects == "polygons"
    by_area = measures.reference_objects != "components" and opened.references.are_polygons
    if own is not None and by_area:
        return {index: _match_areas(opened, own, index) for index in classes}
    polygons = {index: opened.references.polygons_of(index) for index in classes if drawn}
    mapped_polygons = (
        {}
        if own is None
        else {
            index: NumberedPolygons(own.objects_of(index).shapes, opened.grid) for index in classes
        }
    )
    matchers = {
        index: ObjectMatcher(
            numbered=drawn, map_numbered=own is not None, connectivity=measures.connectivity
        )
        for index in classes
    }
    height, width = opened.grid.height, opened.grid.width
    slabs = list(blocks(height, width, rows=BLOCK_ROWS, cols=width))
    for slab in watch(slabs, len(slabs)):
        mapped, reference, scored = _read_slab(opened, slab, classes, scores)
        known = (mapped != IGNORE) & (reference != IGNORE)
        for strip in blocks(slab.height, width, rows=max(STRIP_PIXELS // width, 1), cols=width):
            rows = strip.slices
            place = strip.moved(slab.row_off, 0)
            for index, matcher in matchers.items():
                truth: Any = known[rows] & (reference[rows] == index)
                found_there: Any = known[rows] & (mapped[rows] == index)
                if drawn:
                    truth = polygons[index].read(place)
                    truth.local[~known[rows]] = 0
                if own is not None:
                    found_there = mapped_polygons[index].read(place)
                    found_there.local[~known[rows]] = 0
                matcher.add(truth, found_there, scored[index][rows] if scores else None)
    found = {index: matcher.matches() for index, matcher in matchers.items()}
    for index, each in polygons.items():
        counts = found[index].counts
        counts = replace(counts, left_out=each.on_grid - counts.reference)
        found[index] = found[index]._replace(counts=counts)
    return found


def _match_areas(opened: OpenPair, own: "PolygonClasses", index: int) -> "Matches":
    """Match polygons of the map with those of the reference."""
    from geoseg.evaluation.matching import CountedGround, match_polygons

    references, grid = opened.references, opened.grid
    objects = own.objects_of(index)
    shapes, parts = shapely.get_parts(
        np.asarray(on_grid(objects.shapes, grid, opened.path).values), return_index=True
    )
    unlabelled = np.asarray(on_grid(own.objects_of(IGNORE).shapes, grid, opened.path).values)
    areas = [*opened.areas, *([references.labelled] if references.labelled else [])]
    ground = CountedGround(
        grid,
        [each.shapes for each in areas],
        np.concatenate([references.polygons_of(IGNORE).shapes, unlabelled]),
    )
    scores = None if objects.scores is None else objects.scores[parts]
    return match_polygons(references.polygons_of(index).shapes, shapes, ground, scores)


def _read_slab(
    opened: OpenPair, slab: Window, classes: Sequence[int], scores: "ScoreMap | None"
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], dict[int, NDArray[np.float32]]]:
    """Rows of the map and the reference, and scores of some classes, read in blocks."""
    mapped, reference = np.empty((2, slab.height, slab.width), np.uint8)
    scored = {index: np.empty(mapped.shape, np.float32) for index in classes if scores}
    for part in blocks(slab.height, slab.width, rows=BLOCK_ROWS, cols=BLOCK_COLUMNS):
        block = opened.block(part.moved(slab.row_off, 0))
        mapped[part.slices], reference[part.slices] = block.mapped, block.reference
        if scores:
            image = scores.read(block.window).image
            for index, own in scored.items():
                own[part.slices] = image[index]
    return mapped, reference, scored
