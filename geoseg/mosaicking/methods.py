"""How several scenes that say something of one pixel are brought together."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.core.blend import WindowScores
from geoseg.core.window import Window

Method = Literal["blend", "max", "first", "last", "majority"]


class Layer(NamedTuple):
    """What one scene says of a part of a block."""

    part: Window
    """Counted from the block's corner."""

    scores: NDArray[np.float32]
    """(classes, height, width); for a class map 1 or 0."""

    valid: NDArray[np.bool_]
    """(height, width)."""

    distance: NDArray[np.float32]
    """(height, width) to the scene's edge, in pixels."""


Combine = Callable[[Window, Sequence[Layer], int], WindowScores]
"""Block, layers in the order of the scenes, and number of classes in; finished scores out."""


def blend_layers(block: Window, layers: Sequence[Layer], classes: int) -> WindowScores:
    """Mean of the scores, weighted by the distance to each scene's edge."""
    return _mean(block, layers, classes, [layer.distance for layer in layers])


def majority(block: Window, layers: Sequence[Layer], classes: int) -> WindowScores:
    """Share of the scenes that say each class; of equals the class of lower index wins."""
    return _mean(block, layers, classes, [np.ones_like(layer.distance) for layer in layers])


def last(block: Window, layers: Sequence[Layer], classes: int) -> WindowScores:
    """What the last scene with data says."""
    scores = np.zeros((classes, block.height, block.width), np.float32)
    valid = np.zeros((block.height, block.width), np.bool_)
    for layer in layers:
        rows, cols = layer.part.slices
        np.copyto(scores[:, rows, cols], layer.scores, where=layer.valid)
        valid[rows, cols] |= layer.valid
    return WindowScores(block, scores, valid)


def first(block: Window, layers: Sequence[Layer], classes: int) -> WindowScores:
    """What the first scene with data says."""
    return last(block, layers[::-1], classes)


def most_certain(block: Window, layers: Sequence[Layer], classes: int) -> WindowScores:
    """What the scene with the highest top score says; of equals the first."""
    top = np.full((block.height, block.width), -1, np.float32)
    ranked = []
    for layer in layers:
        rows, cols = layer.part.slices
        own = np.where(layer.valid, layer.scores.max(axis=0), np.float32(-1))
        better = own > top[rows, cols]
        ranked.append(layer._replace(valid=better))
        np.maximum(top[rows, cols], own, out=top[rows, cols])
    return last(block, ranked, classes)


METHODS: dict[Method, Combine] = {
    "blend": blend_layers,
    "max": most_certain,
    "first": first,
    "last": last,
    "majority": majority,
}


def _mean(
    block: Window, layers: Sequence[Layer], classes: int, weights: Sequence[NDArray[np.float32]]
) -> WindowScores:
    total = np.zeros((classes, block.height, block.width), np.float32)
    weight = np.zeros((block.height, block.width), np.float32)
    for layer, own in zip(layers, weights, strict=True):
        rows, cols = layer.part.slices
        counted = np.where(layer.valid, own, np.float32(0))
        total[:, rows, cols] += layer.scores * counted
        weight[rows, cols] += counted
    valid = weight > 0
    weight[~valid] = 1
    return WindowScores(block, total / weight, valid)
