"""Houses: their wings, footprints and roofs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from shapely import Polygon, set_precision
from shapely.ops import unary_union

from generator.canvas import Canvas, Cover, Window
from generator.texture import blend, clouds, grain, rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from generator.pose import Pose

CENTIMETRE = 0.01
ROOF_COLOURS = {
    "red tile": rgb(158, 94, 74),
    "old red tile": rgb(136, 88, 72),
    "orange tile": rgb(172, 112, 84),
    "brown tile": rgb(118, 94, 80),
    "slate": rgb(100, 104, 112),
    "anthracite": rgb(78, 78, 82),
    "gravel": rgb(154, 149, 141),
    "bitumen": rgb(112, 112, 116),
    "membrane": rgb(184, 185, 184),
}
SOLAR_PANEL = rgb(38, 46, 72)
SKYLIGHT = rgb(205, 220, 228)


class Roof(Enum):
    """The shape of a roof."""

    GABLE = "gable"
    HIP = "hip"
    FLAT = "flat"


@dataclass(frozen=True)
class Wing:
    """A rectangular part of a house, its ridge along the heading of its pose."""

    pose: Pose
    length: float
    width: float

    @property
    def outline(self) -> Polygon:
        """The wing's rectangle on the ground."""
        return self.pose.rectangle(self.length, self.width)

    def eave_distances(self, window: Window, roof: Roof) -> NDArray[np.float32]:
        """Measure the distance of every pixel to the eaves of each roof face."""
        along, across = self.pose.local(window.x, window.y)
        sides = [self.width / 2 - across, self.width / 2 + across]
        if roof is Roof.HIP:
            sides += [self.length / 2 - along, self.length / 2 + along]
        return np.stack(sides).astype(np.float32)


@dataclass(frozen=True)
class House:
    """A house under one roof."""

    wings: tuple[Wing, ...]
    roof: Roof
    material: str
    eaves: float
    pitch: float
    solar: bool = False

    @property
    def footprint(self) -> Polygon:
        """The outline on the ground, with corners on whole centimetres."""
        return set_precision(unary_union([wing.outline for wing in self.wings]), CENTIMETRE)


def roof_surface(house: House, window: Window) -> tuple[NDArray, NDArray]:
    """Compute the roof's height above the ground and where two faces meet in a ridge."""
    height = np.full(window.shape, -np.inf, np.float32)
    ridge = np.zeros(window.shape, bool)
    for wing in house.wings:
        distances = np.sort(wing.eave_distances(window, house.roof), axis=0)
        rise = house.eaves + house.pitch * distances[0]
        inside = window.mask(wing.outline) if wing is not house.wings[0] else True
        above = (rise > height) & inside
        height = np.where(above, rise, height)
        ridge = np.where(above, distances[1] - distances[0] < 2 * 0.16, ridge)
    return height, ridge


def tiles(house: House, window: Window, rng: np.random.Generator) -> NDArray[np.float32]:
    """Weather a tiled roof: courses of tiles along the eaves and blotches of moss."""
    shape = window.shape
    eave = house.wings[0].eave_distances(window, house.roof).min(axis=0)
    courses = 0.035 * np.sin(2 * np.pi * eave / 0.75)
    blotches = 0.045 * clouds(shape, 14, rng) + 0.025 * grain(shape, rng)
    shade = 1 + courses + blotches + rng.normal(0, 0.07)
    return ROOF_COLOURS[house.material] * shade


def solar_field(house: House, window: Window, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Mark a block of solar panels on the face of the main roof that looks south."""
    wing = house.wings[0]
    along, across = wing.pose.local(window.x, window.y)
    south = -np.sign(np.cos(wing.pose.heading)) or 1.0
    up_face = across * south
    half = wing.length * rng.uniform(0.22, 0.36)
    block = (np.abs(along) < half) & (up_face > 0.7) & (up_face < wing.width / 2 - 0.8)
    joints = (along % 1.1 < 0.13) | (up_face % 1.7 < 0.13)
    return block & ~joints


def paint_chimney(canvas: Canvas, house: House, rng: np.random.Generator) -> None:
    """Put a small chimney beside the ridge of the main wing."""
    wing = house.wings[0]
    spot = wing.pose.moved(wing.length * rng.uniform(-0.3, 0.3), rng.choice([-0.6, 0.6]))
    outline = spot.rectangle(0.8, 0.6)
    window = canvas.window(outline.bounds)
    mask = window.mask(outline)
    top = house.eaves + house.pitch * wing.width / 2 + 0.8
    canvas.paint(window, mask, rgb(128, 98, 88))
    canvas.raise_level(window, mask, top)


def paint_pitched(canvas: Canvas, house: House, rng: np.random.Generator) -> None:
    """Paint a gabled or hipped roof with tiles, ridge, solar panels and chimney."""
    window = canvas.window(house.footprint.bounds)
    mask = window.mask(house.footprint)
    height, ridge = roof_surface(house, window)
    colour = tiles(house, window, rng)
    colour = np.where(ridge, blend(colour, rgb(225, 205, 190), np.full(1, 0.3)), colour)
    if house.solar:
        colour = np.where(solar_field(house, window, rng), SOLAR_PANEL, colour)
    canvas.paint(window, mask, colour)
    canvas.raise_surface(window, mask, height)
    paint_chimney(canvas, house, rng)


def paint_flat(canvas: Canvas, house: House, rng: np.random.Generator) -> None:
    """Paint a flat roof with a parapet, puddle stains and skylights."""
    window = canvas.window(house.footprint.bounds)
    mask = window.mask(house.footprint)
    inner = window.mask(house.footprint.buffer(-0.4))
    stains = 0.03 * clouds(window.shape, 16, rng) + 0.02 * grain(window.shape, rng)
    colour = ROOF_COLOURS[house.material] * (1 + stains)
    along, across = house.wings[0].pose.local(window.x, window.y)
    dome = (np.abs(along % 6 - 3) < 0.7) & (np.abs(across % 5 - 2.5) < 0.7)
    dome &= window.mask(house.footprint.buffer(-1.8))
    colour = np.where(dome, SKYLIGHT, np.where(inner, colour, colour * 1.12))
    canvas.paint(window, mask, colour)
    canvas.raise_level(window, mask, house.eaves + 0.5 * ~inner + 0.4 * dome)


def paint_house(canvas: Canvas, house: House, rng: np.random.Generator) -> None:
    """Paint a house as it shows from above."""
    paint = paint_flat if house.roof is Roof.FLAT else paint_pitched
    paint(canvas, house, rng)


def burn_buildings(cover: NDArray[np.uint8], window: Window, footprints: list[Polygon]) -> None:
    """Set the building class exactly where the footprints cover pixel centres."""
    for footprint in footprints:
        cover[window.mask(footprint)] = Cover.BUILDING
