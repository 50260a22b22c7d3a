"""Sunlight, shadows and the camera."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin, tan
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from generator.texture import rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from generator.canvas import Canvas

SUNLIGHT = rgb(0.63, 0.61, 0.57)
SKYLIGHT = rgb(0.37, 0.39, 0.43)
STEEPEST = 1.6
BRIGHTEST = 1.3
SHADOW_BIAS = 0.12


@dataclass(frozen=True)
class Sun:
    """The direction to the sun in degrees, azimuth clockwise from north."""

    azimuth: float
    elevation: float


def sunlit(canvas: Canvas, sun: Sun) -> NDArray[np.bool_]:
    """Find the pixels that no higher surface hides from the sun."""
    lit = np.ones_like(canvas.height, bool)
    reach = float(canvas.height.max()) / tan(radians(sun.elevation))
    for distance in np.arange(1, reach / canvas.pixel):
        down = round(-cos(radians(sun.azimuth)) * distance)
        right = round(sin(radians(sun.azimuth)) * distance)
        rise = distance * canvas.pixel * tan(radians(sun.elevation)) + SHADOW_BIAS
        here = (_clip(-down, canvas.side), _clip(-right, canvas.side))
        there = (_clip(down, canvas.side), _clip(right, canvas.side))
        lit[here] &= canvas.height[there] <= canvas.height[here] + rise
    return lit


def _clip(shift: int, side: int) -> slice:
    """Cut the rows or columns that still lie on the canvas after a shift."""
    return slice(max(shift, 0), side + min(shift, 0))


def facing(slope: NDArray[np.float32], sun: Sun) -> NDArray[np.float32]:
    """Compute how squarely a slope faces the sun, with 1 for level ground."""
    east, north = np.clip(slope, -STEEPEST, STEEPEST)
    azimuth, elevation = radians(sun.azimuth), radians(sun.elevation)
    level = sin(elevation)
    towards = level - cos(elevation) * (east * sin(azimuth) + north * cos(azimuth))
    return np.clip(towards / np.sqrt(1 + east**2 + north**2) / level, 0, BRIGHTEST)


def openness(canvas: Canvas, radius: float) -> NDArray[np.float32]:
    """Estimate how much sky a pixel sees among its higher neighbours, at most 1."""
    around = ndimage.gaussian_filter(canvas.height, radius / canvas.pixel, truncate=2)
    return 1 / (1 + 0.13 * np.clip(around - canvas.height, 0, None))


def illuminate(canvas: Canvas, sun: Sun) -> NDArray[np.float32]:
    """Light the painted colours by sun and sky."""
    direct = facing(canvas.slope, sun) * sunlit(canvas, sun)
    return canvas.colour * (SUNLIGHT * direct + SKYLIGHT * openness(canvas, 1.2))


def expose(light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Photograph the light: lens blur, haze, uneven illumination and sensor noise."""
    image = ndimage.gaussian_filter(light, (0, 0.5, 0.5))
    down, right = np.meshgrid(*[np.linspace(-1, 1, n) for n in image.shape[1:]], indexing="ij")
    image *= 1.02 + 0.03 * right - 0.025 * down - 0.03 * (down**2 + right**2)
    image = rgb(9, 11, 15) + 0.98 * image
    image += rng.standard_normal(image.shape, dtype=np.float32) * (0.7 + 0.006 * image)
    return np.clip(np.rint(image), 1, 255).astype(np.uint8)
