"""Random fields that give flat colours the look of real surfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SPLINE_CELL = 6
LOST_TO_SMOOTHING = np.float32(1.35)


def clouds(shape: tuple[int, int], cell: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw smooth noise of about unit deviation whose blobs are some `cell` pixels wide."""
    knots = rng.standard_normal([side // cell + 4 for side in shape], np.float32)
    field = ndimage.zoom(knots, cell, order=3 if cell >= SPLINE_CELL else 1)
    return LOST_TO_SMOOTHING * field[cell : cell + shape[0], cell : cell + shape[1]]


def fractal(
    shape: tuple[int, int], cells: Sequence[int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Add up smooth noise of several blob widths to about unit deviation."""
    layers = sum((clouds(shape, cell, rng) for cell in cells), np.zeros(shape, np.float32))
    return layers / np.float32(np.sqrt(len(cells)))


def grain(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw noise of unit deviation that is independent from pixel to pixel."""
    return rng.standard_normal(shape, dtype=np.float32)


def blend(first: NDArray, second: NDArray, weight: NDArray) -> NDArray[np.float32]:
    """Mix two colours (three bands) by a weight from 0 (first) to 1 (second)."""
    return (first + (second - first) * np.clip(weight, 0, 1)).astype(np.float32)


def rgb(red: float, green: float, blue: float) -> NDArray[np.float32]:
    """Write a colour so that it broadcasts over (bands, height, width)."""
    return np.array([red, green, blue], dtype=np.float32).reshape(3, 1, 1)
