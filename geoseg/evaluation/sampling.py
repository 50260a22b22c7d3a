"""Points drawn at random within each class of a map, for someone to say what is there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geoseg.core.area_estimates import allocate
from geoseg.core.legend import Legend
from geoseg.core.scores import IGNORE
from geoseg.core.window import Window
from geoseg.errors import EmptyError, InputError
from geoseg.evaluation.class_map import ClassMap
from geoseg.evaluation.compare import Watch
from geoseg.io.points import Points, write_points
from geoseg.io.style import Symbol, vector_qml

MAP_VALUE, MAP_CLASS, REFERENCE = "map_value", "map_class", "reference"
"""Columns of a sample; `REFERENCE` is for the interpreter to fill in."""

SYMBOLS = (
    Symbol(rule=f"coalesce(\"{REFERENCE}\", '') = ''", label="to fill in", color=(255, 196, 0)),
    Symbol(label="filled in", color=(26, 150, 65), opacity=1),
)
"""How QGIS shows the points: none tells what the map says."""


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How many points, and where."""

    points: int = 500
    """All together."""

    min_per_class: int = 30
    """For each class that the map has; a class with fewer pixels gets them all."""

    allocation: Literal["proportional", "equal"] = "proportional"
    """By the classes' area in the map, or the same number for each."""

    seed: int = 0
    """Same map, same seed: same points."""


@dataclass(frozen=True, eq=False)
class Sampling:
    """What was drawn."""

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
    aoi: Path | None = None,
    overwrite: bool = False,
    watch: Watch = lambda blocks, _: blocks,
) -> Sampling:
    """Draw pixels of a class map at random, so many of each class, and write their centres.

    Within a class every pixel has the same chance and none is drawn twice; what has no data
    has none. The points come in random order, so that nobody who looks at them one after the
    other knows what the map says.

    Args:
        path: The class map.
        legend: Its classes.
        output: Vector file to write.
        options: How many points, and where.
        aoi: Polygons; no point lies outside.
        overwrite: Whether to replace an existing file.
        watch: Shows progress over the blocks.

    Raises:
        EmptyError: If the map has no data.
        InputError: If the points are too few.
    """
    rng = np.random.default_rng(options.seed)
    with ClassMap(path, legend, aoi=aoi) as class_map:
        blocks = class_map.blocks()
        counts = np.array(
            [_class_counts(class_map, block, len(legend)) for block in watch(blocks, len(blocks))]
        )
        mapped = counts.sum(axis=0)
        if not mapped.any():
            raise EmptyError(f"{path}: no pixel has data; there is nothing to sample")
        given = _allocate(mapped, options)
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


def _allocate(mapped: NDArray[np.int64], options: SamplingOptions) -> NDArray[np.int64]:
    equal = options.allocation == "equal"
    try:
        return allocate(mapped, options.points, least=options.min_per_class, equal=equal)
    except ValueError as error:
        raise InputError(
            f"{options.points} points are too few: {error}; ask for more with --points, or for "
            f"fewer with --min-per-class"
        ) from error


def _class_counts(class_map: ClassMap, block: Window, classes: int) -> NDArray[np.int64]:
    indices = class_map.read_counted(block)
    return np.bincount(indices[indices != IGNORE], minlength=classes)


def _find(
    class_map: ClassMap,
    blocks: list[Window],
    counts: NDArray[np.int64],
    ranks: list[NDArray[np.int64]],
) -> NDArray[np.int64]:
    """Pixels by their number within their class, counted from block to block in reading order.

    Args:
        class_map: The map.
        blocks: Its blocks.
        counts: (blocks, classes) pixels in each.
        ranks: For each class, sorted numbers of the pixels wanted.

    Returns:
        (n, 3) row, column and class of each.
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
