"""Stratified samples of a class map: drawing points, and the map's class at each unit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError, InputError
from geoseg.evaluation.class_map import ClassMap
from geoseg.evaluation.compare import Watch
from geoseg.labels.confusion import Floats
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.style import Symbol, vector_qml
from geoseg.options import CALL, aoi_option, option, seed_option
from geoseg.patches.training_ground import TrainedGround
from geoseg.raster.polygons import Plots, Points, write_points
from geoseg.raster.window import Window, blocks

PLOT_BLOCK_SIDE = 2048
"""Side of the blocks in which a large plot is read, in pixels."""

NO_POINTS = Points(np.empty(0, np.int64), np.empty(0, np.int64), {})
"""No points."""


class MapClasses(NamedTuple):
    """Classes of the map at the units of a sample."""

    classes: NDArray[np.uint8]
    """(n,) class indices; `IGNORE` where the map has none."""

    shares: NDArray[np.float64]
    """(n,) share of the unit that has this class, or one that is merged with it."""


def look_up(
    class_map: ClassMap,
    sample: Points | Plots,
    classes: int,
    trained: TrainedGround | None,
    watch: Watch,
) -> tuple[NDArray[np.int64], MapClasses, int]:
    """Pixels of each class in the map, its class at each point, and pixels that trained its model.

    Of polygons only the pixels of the map are counted; see `majorities`.
    """
    mapped, seen = np.zeros(classes, np.int64), 0
    points = sample if isinstance(sample, Points) else NO_POINTS
    found = np.full(len(points.rows), IGNORE, np.uint8)
    blocks = class_map.blocks()
    for block in watch(blocks, len(blocks)):
        labels = class_map.read_counted(block)
        mapped += np.bincount(labels[labels != IGNORE], minlength=classes)
        if trained is not None:
            seen += int(np.count_nonzero(trained.read(block) & (labels != IGNORE)))
        rows, cols = points.rows - block.row_off, points.cols - block.col_off
        here = (rows >= 0) & (rows < block.height) & (cols >= 0) & (cols < block.width)
        found[here] = labels[rows[here], cols[here]]
    return mapped, MapClasses(found, np.ones(len(found))), seen


def majorities(class_map: ClassMap, plots: Plots, class_of: NDArray[np.int64]) -> MapClasses:
    """The class of most pixels of each plot, the first of equals.

    ``class_of`` (classes,) says with which class those of the map are merged.
    """
    classes = len(class_of)
    votes = np.array([_votes(class_map, plots, number, classes) for number in range(len(plots))])
    most, total = votes.argmax(axis=1), votes.sum(axis=1)
    same = class_of[most][:, None] == class_of
    found = np.where(total > 0, most, IGNORE).astype(np.uint8)
    return MapClasses(found, (votes * same).sum(axis=1) / np.maximum(total, 1))


def _votes(class_map: ClassMap, plots: Plots, number: int, classes: int) -> NDArray[np.int64]:
    """(classes,) pixels of a plot; of those that it touches if it covers no pixel's centre."""
    votes = np.zeros(classes, np.int64)
    if (around := plots.window(number)) is None:
        return votes
    parts = [
        part.moved(around.row_off, around.col_off)
        for part in blocks(around.height, around.width, rows=PLOT_BLOCK_SIDE, cols=PLOT_BLOCK_SIDE)
    ]
    covers = any(plots.read(number, part).any() for part in parts)
    for part in parts:
        labels = class_map.read_counted(part)
        own = plots.read(number, part, touched=not covers) & (labels != IGNORE)
        votes += np.bincount(labels[own], minlength=classes)
    return votes


def allocate(
    mapped: NDArray[np.int64], points: int, *, least: int, equal: bool
) -> NDArray[np.int64]:
    """Number of points that each class of a map gets.

    Shares that would be smaller than ``least`` are raised to it, and the others share what is
    left by their pixels (or equally). No class gets more points than it has pixels.

    Args:
        mapped: (classes,) pixels of each class.
        points: How many there are to be.
        least: For each class that the map has.
        equal: Whether all classes get the same.

    Raises:
        InputError: If there are fewer points than ``least`` asks for.

    >>> allocate(np.array([900, 90, 10, 0]), 100, least=20, equal=False).tolist()
    [70, 20, 10, 0]
    """
    given = np.minimum(mapped, least)
    if given.sum() > points:
        raise InputError(
            f"{points} points are too few: {least} for each class takes {given.sum()} points; ask "
            f"for more with --points, or for fewer with --min-per-class"
        )
    weights = np.where(mapped > 0, 1, 0) if equal else mapped
    free = mapped > given
    while free.any():
        rest = points - given[~free].sum()
        shares = rest * weights / weights[free].sum()
        low, high = free & (shares <= given), free & (shares >= mapped)
        if not (low | high).any():
            given[free] = _rounded(shares[free], int(rest))
            break
        given[high] = mapped[high]
        free &= ~(high if high.any() else low)
    return given


def _rounded(shares: Floats, total: int) -> NDArray[np.int64]:
    """Whole numbers near the shares that sum to the total; the largest remainders go up.

    >>> _rounded(np.array([1.5, 2.2, 1.3]), 5).tolist()
    [2, 2, 1]
    """
    whole = np.floor(shares).astype(np.int64)
    upwards = np.argsort(whole - shares, kind="stable")[: total - int(whole.sum())]
    whole[upwards] += 1
    return whole


MAP_VALUE, MAP_CLASS, REFERENCE = "map_value", "map_class", "reference"
"""Columns of a sample; `REFERENCE` is for the interpreter to fill in."""

SYMBOLS = (
    Symbol(rule=f"coalesce(\"{REFERENCE}\", '') = ''", label="to fill in", color=(255, 196, 0)),
    Symbol(label="filled in", color=(26, 150, 65), opacity=1),
)
"""How QGIS shows the points; their colours do not reveal the map's class."""


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """Options of a sample."""

    points: int = option(500, min=1, group=CALL, help="Points all together.")
    min_per_class: int = option(
        30, min=0, group=CALL, help="Points that each class of the map gets at least."
    )
    allocation: Literal["proportional", "equal"] = option(
        "proportional", group=CALL, help="By the classes' area, or the same number for each."
    )
    seed: int = seed_option(CALL)
    aoi: Path | None = aoi_option(CALL)


@dataclass(frozen=True, eq=False)
class Sampling:
    """Counts of a sample."""

    points: NDArray[np.int64]
    """(classes,) points."""

    mapped: NDArray[np.int64]
    """(classes,) pixels in the map."""


def sample_points(
    path: Path,
    legend: Legend,
    output: Path,
    *,
    options: SamplingOptions,
    overwrite: bool = False,
    watch: Watch = lambda blocks, _: blocks,
) -> Sampling:
    """Draw pixels of a class map at random, so many of each class, and write their centres.

    Within a class every pixel has the same chance and none is drawn twice; pixels without
    data are not drawn. The points come in random order, so that their order does not reveal the
    class of the map.

    Raises:
        EmptyError: If the map has no data.
        InputError: If the points are too few.
    """
    rng = np.random.default_rng(options.seed)
    with ClassMap(path, legend, aoi=options.aoi) as class_map:
        blocks = class_map.blocks()
        counts = np.array(
            [_class_counts(class_map, block, len(legend)) for block in watch(blocks, len(blocks))]
        )
        mapped = counts.sum(axis=0)
        if not mapped.any():
            raise EmptyError(f"{path}: no pixel has data; there is nothing to sample")
        equal = options.allocation == "equal"
        given = allocate(mapped, options.points, least=options.min_per_class, equal=equal)
        ranks = [
            np.sort(rng.choice(n, k, replace=False)) for n, k in zip(mapped, given, strict=True)
        ]
        drawn = _find(class_map, blocks, counts, ranks)
        rows, cols, indices = rng.permutation(drawn).T
        columns: dict[str, list[Any]] = {
            "id": list(range(1, len(indices) + 1)),
            MAP_VALUE: [legend.classes[index].value for index in indices],
            MAP_CLASS: [legend.names[index] for index in indices],
            REFERENCE: [""] * len(indices),
        }
        style = vector_qml(SYMBOLS, points=True, label='"id"')
        points = Points(rows, cols, columns)
        write_points(output, points, class_map.grid, overwrite=overwrite, style=style)
    return Sampling(given, mapped)


def _class_counts(class_map: ClassMap, block: Window, classes: int) -> NDArray[np.int64]:
    indices = class_map.read_counted(block)
    return np.bincount(indices[indices != IGNORE], minlength=classes)


def _find(
    class_map: ClassMap,
    blocks: list[Window],
    counts: NDArray[np.int64],
    ranks: list[NDArray[np.int64]],
) -> NDArray[np.int64]:
    """(n, 3) row, column and class of pixels, by their numbers within their class (`ranks`).

    They are counted from block to block, in reading order; `counts` is (blocks, classes).
    """
    found = [np.empty((0, 3), np.int64)]
    first = np.cumsum(counts, axis=0) - counts
    for block, starts, sizes in zip(blocks, first, counts, strict=True):
        wanted = [
            (index, numbers[(numbers >= start) & (numbers < start + size)] - start)
            for index, (numbers, start, size) in enumerate(zip(ranks, starts, sizes, strict=True))
        ]
        if not any(len(numbers) for _, numbers in wanted):
            continue
        labels = class_map.read_counted(block)
        for index, numbers in wanted:
            if len(numbers):
                rows, cols = np.divmod(np.flatnonzero(labels == index)[numbers], block.width)
                places = (rows + block.row_off, cols + block.col_off, np.full(len(rows), index))
                found.append(np.stack(places, axis=1))
    return np.concatenate(found)
