"""Paved ground: carriageways, pavements, markings, the bridge, drives and the car park."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from shapely.ops import substring, unary_union

from generator.canvas import Canvas, Cover
from generator.plan import CAR_PARK, PAVEMENT, Plan, Street, car_park_outline
from generator.pose import Pose
from generator.texture import clouds, fractal, grain, rgb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from shapely import LineString
    from shapely.geometry.base import BaseGeometry

ASPHALT, CONCRETE = rgb(116, 116, 117), rgb(166, 162, 154)
KERB, PAINT = rgb(190, 187, 180), rgb(222, 222, 216)
PAVERS = (rgb(162, 152, 142), rgb(150, 146, 142), rgb(172, 160, 142), rgb(140, 124, 114))
BAY_WIDTH, BAY_DEPTH = 2.7, 5.2


def pave(
    canvas: Canvas, area: BaseGeometry, colour: NDArray, wear: float, rng: np.random.Generator
) -> None:
    """Pave an area with a worn material."""
    window = canvas.window(area.bounds)
    worn = 1 + wear * clouds(window.shape, 24, rng) + 0.025 * grain(window.shape, rng)
    canvas.paint(window, window.mask(area), colour * worn, Cover.ROAD)


def mark(canvas: Canvas, area: BaseGeometry, colour: NDArray = PAINT) -> None:
    """Paint a marking on pavement that is already there."""
    window = canvas.window(area.bounds)
    canvas.paint(window, window.mask(area), colour, Cover.ROAD)


def dashes(line: LineString, dash: float, gap: float) -> BaseGeometry:
    """Cut a line into dashes."""
    starts = np.arange(0, line.length - dash, dash + gap)
    return unary_union([substring(line, s, s + dash) for s in starts])


def carriageway_wear(canvas: Canvas, area: BaseGeometry, rng: np.random.Generator) -> NDArray:
    """Compute the brightness of old asphalt: stains, patches of repair and fine gravel."""
    window = canvas.window(area.bounds)
    stains = 0.045 * fractal(window.shape, (160, 50, 12), rng)
    repairs = -0.10 * (clouds(window.shape, 70, rng) > 1.9)
    return 1 + stains + repairs + 0.03 * grain(window.shape, rng)


def paint_tracks(canvas: Canvas, street: Street) -> None:
    """Brighten the wheel tracks and draw the dark seam along the middle of a street."""
    window = canvas.window(street.carriageway.bounds)
    lane = street.width / 4
    tracks = unary_union(
        [street.line.offset_curve(o).buffer(0.35) for o in (-lane - 0.8, -lane + 0.8, lane - 0.8)]
    )
    here = canvas.colour[:, window.rows, window.cols]
    canvas.paint(window, window.mask(tracks), here * 1.035)
    canvas.paint(window, window.mask(street.line.buffer(0.1)), here * 0.86)


def paint_streets(canvas: Canvas, streets: list[Street], rng: np.random.Generator) -> None:
    """Paint pavements, kerbs and asphalt of the whole network, then the markings."""
    asphalt = unary_union([street.carriageway for street in streets])
    pave(canvas, unary_union([street.bed for street in streets]), CONCRETE, 0.03, rng)
    mark(canvas, asphalt.buffer(0.22), KERB)
    window = canvas.window(asphalt.bounds)
    colour = ASPHALT * carriageway_wear(canvas, asphalt, rng)
    canvas.paint(window, window.mask(asphalt), colour, Cover.ROAD)
    for street in streets:
        paint_tracks(canvas, street)
        if street.main:
            paint_markings(canvas, street, asphalt)


def paint_markings(canvas: Canvas, street: Street, asphalt: BaseGeometry) -> None:
    """Paint the dashed centre line and zebra crossings of a main road."""
    mark(canvas, dashes(street.line, 3.0, 4.5).buffer(0.13, cap_style="flat"))
    for distance in (95.0, 205.0, 268.0):
        crossing = Pose.on_line(street.line, distance)
        bars = [
            crossing.moved(0, offset).rectangle(3.4, 0.5) for offset in np.arange(-3.4, 3.5, 0.97)
        ]
        mark(canvas, unary_union(bars).intersection(asphalt))


def paint_bridge(canvas: Canvas, street: Street, water: BaseGeometry) -> None:
    """Raise a parapet on both sides of the street where it crosses water."""
    span = street.line.intersection(water.buffer(3))
    for offset in (-1, 1):
        reach = offset * (street.width / 2 + PAVEMENT - 0.25)
        parapet = span.offset_curve(reach).buffer(0.3, cap_style="flat")
        mark(canvas, parapet, rgb(196, 190, 180))
        window = canvas.window(parapet.bounds)
        canvas.raise_level(window, window.mask(parapet), 1.3)


def bays() -> Iterator[Pose]:
    """Walk over the parking bays of the car park, each facing its lane."""
    for row in (-14.0, -3.0, 2.6, 13.6):
        facing_up = row in (-14.0, 2.6)
        for place in np.arange(-20, 20.1, BAY_WIDTH):
            if row == -14.0 and -12 < place < 0:
                continue
            yield CAR_PARK.moved(place, row, np.pi / 2 if facing_up else -np.pi / 2)


def paint_car_park(canvas: Canvas, rng: np.random.Generator) -> None:
    """Pave the car park and draw its bays."""
    pave(canvas, car_park_outline().buffer(0.25), KERB, 0.02, rng)
    pave(canvas, car_park_outline(), ASPHALT * 0.93, 0.05, rng)
    for bay in bays():
        for edge in (-BAY_WIDTH / 2, BAY_WIDTH / 2):
            mark(canvas, bay.moved(0, edge).rectangle(BAY_DEPTH, 0.16))


def paint_paving(canvas: Canvas, plan: Plan, rng: np.random.Generator) -> None:
    """Paint all ground of the road class."""
    for lot in plan.lots:
        pave(canvas, lot.drive, PAVERS[rng.integers(len(PAVERS))], 0.03, rng)
    paint_car_park(canvas, rng)
    paint_streets(canvas, plan.streets, rng)
    paint_bridge(canvas, plan.streets[0], plan.water)
