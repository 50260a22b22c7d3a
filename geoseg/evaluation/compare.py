"""Hold a class map against its reference, in blocks."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError, InputError
from geoseg.evaluation.block import COLUMNS, ROWS, Block, Tally
from geoseg.evaluation.comparison import ClassMap, Comparison, Measures, Pair
from geoseg.evaluation.counters import ConflictTally, TrainedTally, squares_of, tallies_of
from geoseg.evaluation.matching import Matches, Numbered, ObjectMatcher
from geoseg.evaluation.score_map import ScoreMap
from geoseg.evaluation.spatial_blocks import ObjectSquares
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.reference import Reference, ReferenceOptions
from geoseg.labels.references import References
from geoseg.patches.training_ground import TrainedGround
from geoseg.postprocess.components import CONNECTIVITY, Connectivity
from geoseg.raster.paths import match_by_name, match_by_order, unique_names
from geoseg.raster.polygons import Labels, NumberedPolygons
from geoseg.raster.storage import limit_block_cache
from geoseg.raster.threads import keep_freed_memory, map_in_order
from geoseg.raster.window import Window, blocks

PIXELS = 1 << 20
"""Of a strip, which is as wide as the map, that is labelled at a time."""


def match_objects(
    mapped: ClassMap,
    truth: Reference,
    classes: Sequence[int],
    *,
    polygons: Mapping[int, NumberedPolygons] | None = None,
    scores: ScoreMap | None = None,
    connectivity: Connectivity = CONNECTIVITY,
    watch: Callable[[Iterable[Window], int], Iterable[Window]] = lambda rows, _: rows,
) -> dict[int, Matches]:
    """Objects of a class in the map and in the reference that are the same.

    Those of the map are connected pixels, those of the reference too, or polygons. Only pixels
    that both know belong to objects: unlabelled ground, nodata and the edge of an area cut them.

    Args:
        mapped: The map.
        truth: The reference.
        classes: Indices of the classes whose objects are wanted.
        polygons: The reference's objects of each of these classes, if they are polygons.
        scores: Of the map; an object's score is the mean of its class's over its pixels.
        connectivity: Whether pixels that touch only at a corner are connected.
        watch: Shows progress over rows.

    Raises:
        GeosegError: What is wrong with the files.
    """
    if not classes:
        return {}
    drawn = polygons or {}
    matchers = {
        index: ObjectMatcher(Numbered() if index in drawn else None, connectivity)
        for index in classes
    }
    height, width = mapped.grid.height, mapped.grid.width
    slabs = list(blocks(height, width, rows=ROWS, cols=width))
    for slab in watch(slabs, len(slabs)):
        found, reference, scored = _read(mapped, truth, slab, classes, scores)
        known = (found != IGNORE) & (reference != IGNORE)
        for strip in blocks(slab.height, width, rows=max(PIXELS // width, 1), cols=width):
            few = strip.slices
            for index, matcher in matchers.items():
                objects = (
                    _kept(drawn[index], strip.moved(slab.row_off, 0), known[few])
                    if index in drawn
                    else known[few] & (reference[few] == index)
                )
                own = scored[index][few] if scores else None
                matcher.add(objects, known[few] & (found[few] == index), own)
    found_all = {index: matcher.matches() for index, matcher in matchers.items()}
    return {
        index: _left_out(each, drawn[index]) if index in drawn else each
        for index, each in found_all.items()
    }


def _left_out(matches: Matches, polygons: NumberedPolygons) -> Matches:
    """The same, with those polygons counted that have no pixel that counts."""
    counts = matches.counts
    return matches._replace(counts=replace(counts, left_out=polygons.on_grid - counts.reference))


def _read(
    mapped: ClassMap,
    truth: Reference,
    slab: Window,
    classes: Sequence[int],
    scores: ScoreMap | None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], dict[int, NDArray[np.float32]]]:
    """Rows of the map and of the reference, and the scores of some classes, part by part."""
    shape = (slab.height, slab.width)
    found, reference = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    scored = {index: np.empty(shape, np.float32) for index in classes if scores}
    for part in blocks(slab.height, slab.width, rows=ROWS, cols=COLUMNS):
        window, place = part.moved(slab.row_off, 0), part.slices
        found[place], reference[place] = mapped.read_counted(window), truth.read(window)
        if scores:
            image = scores.read(window).image
            for index, own in scored.items():
                own[place] = image[index]
    return found, reference, scored


def _kept(polygons: NumberedPolygons, strip: Window, known: NDArray[np.bool_]) -> Labels:
    """The polygons of a strip, where pixels count."""
    labels = polygons.read(strip)
    labels.local[~known] = 0
    return labels


Watch = Callable[[Iterable[Window], int], Iterable[Window]]
"""Shows progress: gives the blocks on and knows how many there are."""


def pair_maps(
    maps: Sequence[Path],
    references: Sequence[Path],
    *,
    by: Literal["order", "name", "all"],
    scores: Sequence[Path] = (),
) -> list[Pair]:
    """Class maps with their references.

    Args:
        maps: Class maps.
        references: Rasters or polygons. A single map has them all.
        by: ``order``: the first of the first, and so on. ``name``: that with its name.
            ``all``: each map has all of them.
        scores: Of each map, in the same order, if they are to be judged.

    Raises:
        InputError: If they do not match.
    """
    if scores and len(scores) != len(maps):
        raise InputError(f"{len(maps)} maps and {len(scores)} rasters of scores: give one for each")
    if by == "all" or (by == "order" and len(maps) == 1):
        found = [references] * len(maps)
    else:
        match = match_by_name if by == "name" else match_by_order
        found = [[each] for each in match(maps, references)]
    judged: Sequence[Path | None] = scores or [None] * len(maps)
    return [
        Pair(name, path, own[0], further=tuple(own[1:]), scores=raster)
        for name, path, own, raster in zip(unique_names(maps), maps, found, judged, strict=True)
    ]


@contextmanager
def open_pair(
    pair: Pair,
    legend: Legend,
    *,
    options: ReferenceOptions | None = None,
    aoi: Path | None = None,
    ground: Any = None,
) -> Iterator[tuple[ClassMap, References]]:
    """A class map and its references on the map's grid.

    Args:
        pair: The files.
        legend: Their classes.
        options: How the reference is read.
        aoi: Polygons; ground outside does not count.
        ground: GeoSeries; ground outside does not count.

    Raises:
        GeosegError: What is wrong with the files.
    """
    with ClassMap(pair.class_map, legend, aoi=aoi, ground=ground) as mapped:
        truth = References(
            pair.references,
            legend=legend,
            grid=mapped.grid,
            options=options,
            may_be_elsewhere=pair.may_be_elsewhere,
        )
        with closing(truth):
            yield mapped, truth


def compare(
    pair: Pair,
    legend: Legend,
    *,
    options: ReferenceOptions | None = None,
    measures: Measures | None = None,
    aoi: Path | None = None,
    ground: Any = None,
    workers: int = 1,
    watch: Watch = lambda blocks, _: blocks,
) -> Comparison:
    """Hold a class map against its reference, on the map's grid.

    Args:
        pair: The files.
        legend: Their classes.
        options: How the reference is read.
        measures: What is measured besides the figures of pixels.
        aoi: Polygons; ground outside does not count.
        ground: GeoSeries; ground outside does not count.
        workers: Threads; the counts do not depend on how many.
        watch: Shows progress over the blocks.

    Raises:
        EmptyError: If no pixel is known to both.
        GeosegError: What is wrong with the files.
    """
    measures = measures or Measures()
    with (
        open_pair(pair, legend, options=options, aoi=aoi, ground=ground) as (mapped, truth),
        _open_scores(pair, legend, mapped) as scores,
    ):
        squares = squares_of(measures, mapped.grid)
        tallies = tallies_of(measures, mapped.grid, len(legend), squares=squares, scores=scores)
        tallies += [ConflictTally(truth)] if pair.further else []
        trained = TrainedGround.of_map(pair.class_map, mapped.grid)
        tallies += [TrainedTally(trained, len(legend))] if trained else []
        pass_by(mapped, truth, tallies, workers=workers, watch=watch)
        counted = {name: found for tally in tallies for name, found in tally.result().items()}
        polygons = {i: truth.polygons_of(i) for i in measures.objects if measures.polygons}
        matches = match_objects(
            mapped,
            truth,
            measures.objects,
            polygons=polygons,
            scores=scores,
            connectivity=measures.connectivity,
            watch=watch,
        )
        counted["notes"] = tuple(dict.fromkeys((*mapped.notes, *truth.notes)))
        counted["meanings"] = tuple(truth.meanings)
    if squares is not None:
        counted["squares"] = replace(
            counted["squares"],
            regions=counted.pop("region_squares", {}),
            objects={index: ObjectSquares.of(each, squares) for index, each in matches.items()},
        )
    objects = {index: each.counts for index, each in matches.items()}
    is_known = trained is not None and trained.is_complete
    comparison = Comparison(**counted, objects=objects or None, unknown_ground=int(not is_known))
    if not comparison.confusion.total:
        raise EmptyError(
            f"{pair.class_map}: no pixel is known to both the map and {pair.reference}"
        )
    return comparison


def _open_scores(
    pair: Pair, legend: Legend, mapped: ClassMap
) -> AbstractContextManager[ScoreMap | None]:
    return ScoreMap(pair.scores, legend, mapped.grid) if pair.scores else nullcontext()


def pass_by(
    mapped: ClassMap,
    truth: Reference,
    tallies: Sequence[Tally],
    *,
    workers: int = 1,
    watch: Watch = lambda blocks, _: blocks,
) -> None:
    """Show all blocks of a map and its reference to tallies, in reading order.

    Args:
        mapped: The map.
        truth: The reference, on the map's grid.
        tallies: What is counted.
        workers: Threads.
        watch: Shows progress over the blocks.
    """
    halo = max((ceil(tally.halo) for tally in tallies), default=0)

    def look(window: Window) -> list[Any]:
        block = read_block(mapped, truth, window, halo)
        return [tally.look(block) for tally in tallies]

    keep_freed_memory()
    limit_block_cache((workers + 1) * 2 * ROWS * mapped.grid.width)
    todo = mapped.blocks()
    with ThreadPoolExecutor(workers) as pool:
        for looked in map_in_order(pool, look, watch(todo, len(todo)), ahead=workers + 1):
            for tally, each in zip(tallies, looked, strict=True):
                tally.add(each)


def read_block(mapped: ClassMap, truth: Reference, window: Window, halo: int = 0) -> Block:
    """A block of a map and its reference.

    Args:
        mapped: The map.
        truth: The reference, on the map's grid.
        window: Inside the map.
        halo: Pixels around it that are to be seen, too.
    """
    wide = window.grown(halo).clip(mapped.grid.height, mapped.grid.width) or window
    return Block(
        window=window,
        read=wide,
        all_reference=truth.read(wide),
        all_mapped=mapped.read(wide),
        outside=mapped.outside(window),
    )
