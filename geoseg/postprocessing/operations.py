"""Operations on a map, in their fixed order, one after the other."""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from geoseg.core.columns import listed
from geoseg.core.distance import Distance
from geoseg.core.grid import Grid
from geoseg.core.legend import Legend
from geoseg.errors import InputError, LegendError
from geoseg.postprocessing.majority import majority
from geoseg.postprocessing.nearest import fill_nearest
from geoseg.postprocessing.options import NEAREST, Area, ClassArea, PostprocessOptions, Rule
from geoseg.postprocessing.relabel import PixelRule, apply_rules, fill_holes
from geoseg.postprocessing.sieve import sieve
from geoseg.postprocessing.strips import Change, Indices, MapStrips, Stored, store

LEAST_SIDE = 3
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
        changed[operation.name] += int(np.count_nonzero(change.before != change.after))
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


def _majority(side: Distance | None, grid: Grid) -> Iterator[Operation]:
    if side is None:
        return
    pixels = int(side.in_pixels(grid)) // 2 * 2 + 1
    if pixels < LEAST_SIDE:
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
    number: int, area: Area, options: PostprocessOptions, legend: Legend, grid: Grid
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


def _areas(wanted: Sequence[ClassArea], legend: Legend) -> dict[int, Area]:
    """The area of each class; its own goes before that of all."""
    areas: dict[int, Area] = {}
    for each in sorted(wanted, key=lambda each: each.name is not None):
        numbers = range(len(legend)) if each.name is None else [_index(each.name, legend)]
        areas |= dict.fromkeys(numbers, each.area)
    return areas


def _in_pixels(rule: Rule, legend: Legend, grid: Grid) -> PixelRule:
    area = rule.area.in_pixels(grid)
    return PixelRule(_index(rule.name, legend), rule.larger, area, _index(rule.into, legend))


def _looked_up(strips: MapStrips, table: Indices) -> Iterator[Change]:
    for _, window, indices in strips.read("fill"):
        yield Change(window, indices, table[indices])


def _index(name: str, legend: Legend) -> int:
    if name not in legend.names:
        raise LegendError(
            f"no class {name!r} in the legend; its classes are {listed(legend.names)}"
        )
    return legend.names.index(name)


def _listed(items: Sequence[object]) -> str:
    return " ".join(map(str, items))
