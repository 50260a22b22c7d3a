"""What a class map has at the units of a sample: points, or polygons."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.core.scores import IGNORE
from geoseg.core.window import blocks
from geoseg.evaluation.class_map import ClassMap
from geoseg.evaluation.compare import Watch
from geoseg.io.plots import Plots
from geoseg.io.points import Points
from geoseg.io.training_ground import TrainedGround

BLOCK = 2048
"""Side of the parts in which a large plot is read, in pixels."""

NOWHERE = Points(np.empty(0, np.int64), np.empty(0, np.int64), {})
"""No points."""


class Seen(NamedTuple):
    """What the map has at the units of a sample."""

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
) -> tuple[NDArray[np.int64], Seen, int]:
    """Pixels of each class in the map, its class at each point, and pixels that trained its model.

    Args:
        class_map: Open.
        sample: Of polygons only the pixels of the map are counted; see `majorities`.
        classes: How many the map has.
        trained: What of the map's ground trained its model, if that is known.
        watch: Shows progress over the blocks.
    """
    mapped, seen = np.zeros(classes, np.int64), 0
    points = sample if isinstance(sample, Points) else NOWHERE
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
    return mapped, Seen(found, np.ones(len(found))), seen


def majorities(class_map: ClassMap, plots: Plots, class_of: NDArray[np.int64]) -> Seen:
    """The class of most pixels of each plot, the first of equals.

    Args:
        class_map: The map.
        plots: The polygons.
        class_of: (classes,) with which class those of the map are merged.
    """
    classes = len(class_of)
    votes = np.array([_votes(class_map, plots, number, classes) for number in range(len(plots))])
    most, total = votes.argmax(axis=1), votes.sum(axis=1)
    same = class_of[most][:, None] == class_of
    found = np.where(total > 0, most, IGNORE).astype(np.uint8)
    return Seen(found, (votes * same).sum(axis=1) / np.maximum(total, 1))


def _votes(class_map: ClassMap, plots: Plots, number: int, classes: int) -> NDArray[np.int64]:
    """(classes,) pixels of a plot; of those that it touches if it covers no pixel's centre."""
    votes = np.zeros(classes, np.int64)
    if (around := plots.window(number)) is None:
        return votes
    parts = [
        part.moved(around.row_off, around.col_off)
        for part in blocks(around.height, around.width, rows=BLOCK, cols=BLOCK)
    ]
    covers = any(plots.read(number, part).any() for part in parts)
    for part in parts:
        labels = class_map.read_counted(part)
        own = plots.read(number, part, touched=not covers) & (labels != IGNORE)
        votes += np.bincount(labels[own], minlength=classes)
    return votes
