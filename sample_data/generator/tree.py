"""Trees, bushes and hedges: crowns made of many clumps of leaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generator.canvas import Canvas, Cover
from generator.texture import grain, rgb

FOLIAGE = (
    rgb(86, 112, 58),
    rgb(74, 104, 56),
    rgb(98, 120, 60),
    rgb(66, 92, 54),
    rgb(112, 124, 64),
)
CONIFER = rgb(54, 80, 56)


@dataclass(frozen=True)
class Tree:
    """A crown with its centre, radius and top height in metres."""

    x: float
    y: float
    radius: float
    height: float
    conifer: bool = False


def clumps(tree: Tree, rng: np.random.Generator) -> np.ndarray:
    """Scatter clumps of leaves over the crown: rows of x, y, radius and top height."""
    count = int(2 + 9 * max(tree.radius - 0.8, 0))
    reach = np.sqrt(rng.uniform(0, 1, count)) * 0.78
    turn = rng.uniform(0, 2 * np.pi, count)
    size = tree.radius * rng.uniform(0.2, 0.4, count)
    drop = reach if tree.conifer else reach**2
    top = tree.height * (1 - 0.55 * drop) * rng.uniform(0.93, 1.04, count)
    x = tree.x + tree.radius * reach * np.cos(turn)
    y = tree.y + tree.radius * reach * np.sin(turn)
    core = [[tree.x, tree.y, tree.radius * 0.6, tree.height * 0.95]]
    return np.vstack([np.column_stack([x, y, size, top]), core])


def paint_tree(canvas: Canvas, tree: Tree, rng: np.random.Generator) -> None:
    """Paint one crown over whatever lies lower."""
    reach = 1.25 * tree.radius
    window = canvas.window((tree.x - reach, tree.y - reach, tree.x + reach, tree.y + reach))
    surface = np.full(window.shape, -1.0, np.float32)
    for x, y, radius, top in clumps(tree, rng):
        bulge = 1 - ((window.x - x) ** 2 + (window.y - y) ** 2) / radius**2
        dome = top - 1.1 * radius * (1 - np.sqrt(np.clip(bulge, 0, 1)))
        surface = np.where((bulge > 0) & (dome > surface), dome, surface)
    mask = (surface > 0) & (surface > canvas.height[window.rows, window.cols])
    base = CONIFER if tree.conifer else FOLIAGE[rng.integers(len(FOLIAGE))]
    leaves = base * (1 + rng.normal(0, 0.07) + 0.11 * grain(window.shape, rng))
    canvas.paint(window, mask, leaves, Cover.TREE)
    canvas.raise_surface(window, mask, surface)
