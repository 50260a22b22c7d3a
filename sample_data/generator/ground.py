"""Open ground: meadows, fields, gardens and water."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from generator.canvas import Canvas, Cover, Window
from generator.plan import FIELDS, Plan
from generator.texture import blend, clouds, fractal, grain, rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

LUSH, DRY = rgb(112, 132, 78), rgb(150, 148, 100)
CROPS = (
    rgb(158, 160, 96),
    rgb(104, 134, 68),
    rgb(176, 166, 118),
    rgb(122, 142, 78),
    rgb(134, 146, 90),
    rgb(112, 138, 72),
    rgb(140, 150, 88),
    rgb(164, 160, 108),
)
SHALLOWS, DEEP = rgb(112, 114, 86), rgb(50, 72, 68)
BANK = rgb(126, 120, 88)


def paint_meadow(canvas: Canvas, rng: np.random.Generator) -> None:
    """Cover everything with grass, lush here and dry there."""
    window = canvas.whole()
    dryness = 0.35 + 0.22 * fractal(window.shape, (400, 160, 60), rng)
    tufts = 1 + 0.035 * fractal(window.shape, (24, 8, 4), rng) + 0.03 * grain(window.shape, rng)
    meadow = blend(LUSH, DRY, dryness) * tufts
    canvas.paint(window, np.ones(window.shape, bool), meadow, Cover.GRASS)


def stripes(window: Window, geometry: BaseGeometry, spacing: float) -> NDArray[np.float32]:
    """Draw rows of the given spacing along the longest side of a geometry, from -1 to 1."""
    corners = np.array(geometry.minimum_rotated_rectangle.exterior.coords)
    sides = np.diff(corners, axis=0)
    east, north = sides[np.hypot(*sides.T).argmax()]
    across = (window.y * east - window.x * north) / np.hypot(east, north)
    return np.sin(2 * np.pi * across / spacing).astype(np.float32)


def paint_field(
    canvas: Canvas, outline: BaseGeometry, crop: NDArray, rng: np.random.Generator
) -> None:
    """Paint a mown or sown field with its rows, tramlines and dry patches."""
    window = canvas.window(outline.bounds)
    rows = 0.025 * stripes(window, outline, rng.uniform(2.2, 3.4))
    swaths = 0.03 * np.sign(stripes(window, outline, rng.uniform(9, 14)))
    tramlines = -0.10 * (stripes(window, outline, 15.0) > 0.985)
    shade = 1 + rows + swaths + tramlines + 0.025 * grain(window.shape, rng)
    patches = np.clip(0.25 * fractal(window.shape, (150, 50), rng), 0, 1)
    canvas.paint(window, window.mask(outline), blend(crop * shade, DRY * 1.08, patches))


def paint_garden(canvas: Canvas, garden: BaseGeometry, rng: np.random.Generator) -> None:
    """Give a garden its own shade of lawn, some with the stripes of a mower."""
    window = canvas.window(garden.bounds)
    lawn = rgb(107, 132, 77) * rng.uniform(0.9, 1.1)
    colour = blend(lawn, DRY, np.full((1, 1), rng.uniform(0, 0.7)))
    mowing = 0.035 * np.sign(stripes(window, garden, 1.6)) * (rng.random() < 0.4)
    wear = 0.05 * clouds(window.shape, 20, rng) + 0.03 * grain(window.shape, rng)
    canvas.paint(window, window.mask(garden), colour * (1 + mowing + wear))


def paint_water(canvas: Canvas, water: BaseGeometry, rng: np.random.Generator) -> None:
    """Paint river and pond: soft shore, darker depth, ripples and glints."""
    window = canvas.whole()
    wet = window.mask(water)
    inland = ndimage.distance_transform_edt(~wet).astype(np.float32) * canvas.pixel
    uneven = 0.5 * fractal(window.shape, (40, 16), rng)
    banked = blend(canvas.colour, BANK, 0.75 - (inland - uneven) / 2.6)
    canvas.paint(window, ~wet & (inland < 3), banked)
    depth = ndimage.distance_transform_edt(wet).astype(np.float32) * canvas.pixel
    colour = blend(SHALLOWS, DEEP, np.sqrt(np.clip((depth + uneven) / 6.0, 0, 1)))
    ripples = 0.035 * fractal(window.shape, (60, 10, 4), rng) + 0.03 * grain(window.shape, rng)
    glints = 22 * (rng.random(window.shape, np.float32) > 0.997) * (depth > 1.5)
    canvas.paint(window, wet, colour * (1 + ripples) + glints, Cover.WATER)


def paint_ground(canvas: Canvas, plan: Plan, rng: np.random.Generator) -> None:
    """Paint all open ground of the plan."""
    paint_meadow(canvas, rng)
    for outline, crop in zip(FIELDS, CROPS, strict=True):
        paint_field(canvas, outline, crop, rng)
    for lot in plan.lots:
        paint_garden(canvas, lot.garden, rng)
    paint_water(canvas, plan.water, rng)
