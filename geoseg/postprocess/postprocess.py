"""A finished map becomes a better one: ``write(operations(read(map)))``, in a fixed order."""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

import geoseg
from geoseg.errors import InputError, LegendError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.pixel_classes import PixelClasses
from geoseg.labels.reference import RasterReference
from geoseg.labels.tags import CLASS_MAP, read_tags
from geoseg.options import Connectivity
from geoseg.postprocess.components import (
    RegionSurvey,
    StripParts,
    parts_of,
    relabelled,
    sieve,
)
from geoseg.postprocess.options import NEAREST, ClassArea, PostprocessOptions, Rule
from geoseg.postprocess.strips import (
    Change,
    EachStrip,
    Indices,
    MapStrips,
    Stored,
    Strip,
    Tell,
    fill_nearest,
    store,
    strip_rows,
)
from geoseg.prediction.map_writer import MapOutputs, MapReport, MapWriter
from geoseg.raster.atomic import scratch
from geoseg.raster.grid import AreaSize, Grid, Length
from geoseg.raster.reader import RasterReader
from geoseg.raster.storage import block_cache
from geoseg.raster.writer import BLOCK_PX
from geoseg.text import quoted_list


def majority(strips: MapStrips, side: int) -> Iterator[Change]:
    """Give each pixel the commonest class of a square around it.

    A pixel changes only where one class alone is the commonest. Nodata and what lies beyond
    the map do not count; nodata stays.

    Args:
        strips: The map.
        side: Of the square, in pixels; odd.
    """
    return strips.change("majority", partial(_smoothed, side=side))


def _smoothed(strip: Strip, _: Indices, *, side: int) -> Indices:
    half = side // 2
    wide, inner = strip.around(half)
    above = half - inner.row_off
    below = half - (len(wide) - inner.row_stop)
    return commonest(np.pad(wide, ((above, below), (half, half)), constant_values=IGNORE), side)


def commonest(indices: Indices, side: int) -> Indices:
    """The commonest class of the square around each pixel.

    Args:
        indices: (height, width) with half a side more on all sides than is wanted.
        side: Of the square, in pixels; odd.

    Returns:
        (height, width) without the margin; the pixel's own where several are equally common.
    """
    half = side // 2
    own = indices[half : len(indices) - half, half : indices.shape[1] - half]
    winner, most = own.copy(), np.zeros(own.shape, np.int32)
    for index in np.unique(indices[indices != IGNORE]):
        count = _box_sums(indices == index, side)
        winner[count == most] = IGNORE
        winner[count > most] = index
        np.maximum(most, count, out=most)
    return np.where((winner == IGNORE) | (own == IGNORE), own, winner)


def _box_sums(mask: NDArray[np.bool_], side: int) -> NDArray[np.int32]:
    """How many pixels of the square around each are True, without the margin."""
    rows = np.cumsum(mask, axis=0, dtype=np.int32)
    rows[side:] -= rows[:-side].copy()
    cols = np.cumsum(rows[side - 1 :], axis=1, dtype=np.int32)
    cols[:, side:] -= cols[:, :-side].copy()
    return cols[:, side - 1 :]


OUTSIDE, WITHIN = 0, 1
"""Values of the picture in which holes are regions: the class itself, and what may be a hole."""


class PixelRule(NamedTuple):
    """A rule in class indices and pixels."""

    from_class: int
    larger: bool
    pixels: float
    to_class: int


def apply_rules(
    strips: MapStrips, rules: Sequence[PixelRule], connectivity: Connectivity
) -> Iterator[Change]:
    """Give regions of a class that are smaller, or larger, than an area another class.

    Of several rules that hold for a region the first counts; all are held against the map as
    it was.
    """
    survey = RegionSurvey(connectivity)
    for parts in strips.survey("regions", partial(parts_of, connectivity=connectivity)):
        survey.add(parts)
    regions = survey.result()
    classes = regions.values.copy()
    for rule in reversed(rules):
        larger, areas = rule.larger, regions.areas
        holds = areas > rule.pixels if larger else areas < rule.pixels
        classes[holds & (regions.values == rule.from_class)] = rule.to_class
    work = partial(relabelled, connectivity=connectivity)
    yield from strips.change("rules", work, regions.by_strip(classes))


def fill_holes(
    strips: MapStrips, around: int, limit: float, connectivity: Connectivity
) -> Iterator[Change]:
    """Give holes in a class that class.

    A hole is ground of any other classes that is surrounded by the class on all sides; what
    touches nodata or the map's edge is none.

    Args:
        strips: The map.
        around: Index of the class.
        limit: Pixels that a hole has less than.
        connectivity: How pixels of the class are connected. Where that is at corners too, holes
            are not.
    """
    how: dict[str, Any] = {"around": around, "connectivity": 4 if connectivity == 8 else 8}  # noqa: PLR2004
    survey = RegionSurvey(how["connectivity"])
    for parts in strips.survey("holes", partial(_hole_parts, **how)):
        survey.add(parts)
    regions = survey.result()
    closed = (regions.values == WITHIN) & ~regions.marked & (regions.areas < limit)
    yield from strips.change("fill holes", partial(_without_holes, **how), regions.by_strip(closed))


def _hole_parts(strip: Strip, *, around: int, connectivity: Connectivity) -> StripParts:
    """What may be holes in a strip; what touches nodata or the map's edge is marked."""
    return StripParts.of(_picture(strip.read(), around), connectivity, _open(strip))


def _without_holes(
    strip: Strip, indices: Indices, *, around: int, connectivity: Connectivity
) -> Indices:
    """A strip whose holes are filled; of its parts is known whether they are holes."""
    hole = relabelled(strip, _picture(indices, around), connectivity)
    return np.where(hole, np.uint8(around), indices)


def _picture(indices: Indices, around: int) -> Indices:
    picture = np.where(indices == around, np.uint8(OUTSIDE), np.uint8(WITHIN))
    picture[indices == IGNORE] = IGNORE
    return picture


def _open(strip: Strip) -> NDArray[np.bool_]:
    """Pixels of a strip that lie at the map's edge or beside nodata, also at a corner."""
    wide, _ = strip.around(1)
    above = int(strip.window.row_off > 0)
    below = int(strip.window.row_stop < strip.grid.height)
    nodata = np.pad(wide == IGNORE, ((1 - above, 1 - below), (1, 1)), constant_values=True)
    along = nodata[:, :-2] | nodata[:, 1:-1] | nodata[:, 2:]
    beside: NDArray[np.bool_] = along[:-2] | along[1:-1] | along[2:]
    return beside


MIN_SIDE_PX = 3
"""Of a square in which a class can be the commonest, in pixels."""


@dataclass(frozen=True)
class Operation:
    """One thing that is done to a map."""

    name: str
    """As on the command line."""

    run: Callable[[MapStrips], Iterator[Change]]
    """All strips of the map, before and after."""


def plan(options: PostprocessOptions, legend: Legend, grid: Grid) -> list[Operation]:
    """The operations that are asked for, in their order.

    Classes are replaced first; then edges are smoothed; regions change by rules, then holes are
    filled; the smallest regions go last, so that none is left.

    Raises:
        LegendError: If a class is not in the legend.
        InputError: If metres are given for a map that has none, or a distance is too short.
    """
    return [
        *_fills(options, legend, grid),
        *_majority(options.majority, grid),
        *_rules(options, legend, grid),
        *_holes(options, legend, grid),
        *_sieve(options, legend, grid),
    ]


def run_operations(
    strips: MapStrips, operations: Sequence[Operation], folder: Path, changed: dict[str, int]
) -> Generator[Change]:
    """Strips of the map as the last operation leaves them.

    Between two operations the map lies on disk.

    Args:
        strips: The map.
        operations: At least one.
        folder: For maps in between.
        changed: Is told of the pixels that each operation has changed.

    Raises:
        OutputError: If there is no space.
    """
    stored: Stored | None = None
    try:
        for number, operation in enumerate(operations[:-1]):
            changes = _counted(operation, strips, changed)
            following = store(changes, folder / f"stage_{number}.tif", strips.grid)
            if stored is not None:
                stored.remove()
            stored = following
            strips = replace(strips, source=stored)
        yield from _counted(operations[-1], strips, changed)
    finally:
        if stored is not None:
            stored.remove()


def _counted(operation: Operation, strips: MapStrips, changed: dict[str, int]) -> Iterator[Change]:
    changed[operation.name] = 0
    for change in operation.run(strips):
        changed[operation.name] += change.pixels
        yield change


def _fills(options: PostprocessOptions, legend: Legend, grid: Grid) -> Iterator[Operation]:
    table = np.arange(256, dtype=np.uint8)
    moved = [fill for fill in options.fill if fill.by != NEAREST]
    for fill in moved:
        table[_index(fill.replaced, legend)] = _index(fill.by, legend)
    if moved:
        yield Operation(f"fill {_listed(moved)}", lambda strips: _looked_up(strips, table))
    if nearest := [fill for fill in options.fill if fill.by == NEAREST]:
        classes = [_index(fill.replaced, legend) for fill in nearest]
        name, reach = f"fill {_listed(nearest)}", math.inf
        if options.max_distance is not None:
            reach = options.max_distance.in_pixels(grid)
            name += f" within {options.max_distance}"
        yield Operation(name, lambda strips: fill_nearest(strips, classes, reach))


def _majority(side: Length | None, grid: Grid) -> Iterator[Operation]:
    if side is None:
        return
    pixels = int(side.in_pixels(grid)) // 2 * 2 + 1
    if pixels < MIN_SIDE_PX:
        raise InputError(f"{side} is less than 2 px, and a square of one pixel smooths nothing")
    yield Operation(f"majority {side}", lambda strips: majority(strips, pixels))


def _rules(options: PostprocessOptions, legend: Legend, grid: Grid) -> Iterator[Operation]:
    rules = [_in_pixels(rule, legend, grid) for rule in options.rules]
    if rules:
        yield Operation(
            f"rule {_listed(options.rules)}",
            lambda strips: apply_rules(strips, rules, options.connectivity),
        )


def _holes(options: PostprocessOptions, legend: Legend, grid: Grid) -> Iterator[Operation]:
    for number, area in _areas(options.fill_holes, legend).items():
        yield _hole(number, area, options, legend, grid)


def _hole(
    number: int, area: AreaSize, options: PostprocessOptions, legend: Legend, grid: Grid
) -> Operation:
    limit = area.in_pixels(grid)
    return Operation(
        f"fill-holes {legend.names[number]}={area}",
        lambda strips: fill_holes(strips, number, limit, options.connectivity),
    )


def _sieve(options: PostprocessOptions, legend: Legend, grid: Grid) -> Iterator[Operation]:
    areas = _areas(options.min_area, legend)
    limits = {number: area.in_pixels(grid) for number, area in areas.items()}
    if limits:
        yield Operation(
            f"min-area {_listed(options.min_area)}",
            lambda strips: sieve(strips, limits, options.connectivity),
        )


def _areas(wanted: Sequence[ClassArea], legend: Legend) -> dict[int, AreaSize]:
    """The area of each class; its own goes before that of all."""
    areas: dict[int, AreaSize] = {}
    for each in sorted(wanted, key=lambda each: each.name is not None):
        numbers = range(len(legend)) if each.name is None else [_index(each.name, legend)]
        areas |= dict.fromkeys(numbers, each.area)
    return areas


def _in_pixels(rule: Rule, legend: Legend, grid: Grid) -> PixelRule:
    area = rule.area.in_pixels(grid)
    return PixelRule(_index(rule.name, legend), rule.larger, area, _index(rule.into, legend))


def _looked_up(strips: MapStrips, table: Indices) -> Iterator[Change]:
    return strips.change("fill", partial(_replaced, table=table))


def _replaced(_: Strip, indices: Indices, *, table: Indices) -> Indices:
    return table[indices]


def _index(name: str, legend: Legend) -> int:
    if name not in legend.names:
        raise LegendError(
            f"no class {name!r} in the legend; its classes are {quoted_list(legend.names)}"
        )
    return legend.names.index(name)


def _listed(items: Sequence[object]) -> str:
    return " ".join(map(str, items))


class OpenMap(RasterReference):
    """A class map that is read in strips."""

    def __init__(self, path: Path, legend: Legend, grid: Grid) -> None:
        super().__init__(PixelClasses.of_map(path, legend), grid=grid)
        self._made_of = path, legend, grid

    def __reduce__(self) -> tuple[type[Self], tuple[Path, Legend, Grid]]:
        return type(self), self._made_of


CACHED_ROWS = 3 * BLOCK_PX
"""Rows of the map of which GDAL keeps the blocks, so that strips find them there."""

KEPT_TAGS = ("provenance", "unreadable_pixels")
"""What the new map says as the old one did."""


Dividing = Callable[[Path], EachStrip]
"""Given a working folder, gives what calls a function with each strip."""


@dataclass(frozen=True)
class PostprocessReport(MapReport):
    """What was written, and what was done."""

    changed: dict[str, int]
    """Pixels that each operation has changed, in their order."""


def postprocess_map(
    path: Path,
    legend: Legend,
    outputs: MapOutputs,
    *,
    options: PostprocessOptions,
    tell: Tell = lambda *_: None,
    rows: int | None = None,
    dividing: Dividing = lambda _: map,
) -> PostprocessReport:
    """Apply operations to a class map.

    Args:
        path: The class map; values as the legend says, or colours.
        legend: Its classes.
        outputs: The map to write.
        options: What is done.
        tell: Is told of progress.
        rows: Of a strip that is computed at a time; the result does not depend on it.
        dividing: What does the strips.

    Raises:
        EmptyError: If the map has no pixel with a class.
        LegendError: If the map has values without a class, or options name no class of it.
        InputError: If metres are given for a map that has none.
        RasterError: If the map cannot be read.
        OutputError: If the output cannot be written.
    """
    outputs.refuse_existing()
    with RasterReader(path, palette_index=True) as reader:
        grid = reader.grid
    operations = plan(options, legend, grid)
    source = OpenMap(path, legend, grid)
    changed: dict[str, int] = {}
    cache = block_cache(CACHED_ROWS * grid.width)
    with closing(source), scratch(outputs.class_map) as folder, cache:
        strips = MapStrips(source, grid, rows or strip_rows(grid.width), tell, dividing(folder))
        changes = run_operations(strips, operations, folder, changed)
        tags = _tags(path, operations, options)
        whole = grid.window
        writer = MapWriter(
            folder, region=whole, grid=grid, legend=legend, outputs=outputs, tags=tags
        )
        with closing(changes):
            writer.paint(((w, {CLASS_MAP: after[None]}) for w, after, _ in changes), whole)
        report = writer.finish()
    return PostprocessReport(report.path, report.pixels, report.class_pixels, changed)


def _tags(path: Path, operations: list[Operation], options: PostprocessOptions) -> dict[str, Any]:
    """What the new map says of itself: what the old one did, and what was done to it."""
    old = read_tags(path)
    kept = {name: old[name] for name in KEPT_TAGS if name in old}
    step = {
        "geoseg": geoseg.__version__,
        "map": path.name,
        "operations": [operation.name for operation in operations],
        "connectivity": options.connectivity,
    }
    provenance = dict(kept.get("provenance", {}))
    provenance["postprocessing"] = [*provenance.get("postprocessing", []), step]
    return kept | {"provenance": provenance}
