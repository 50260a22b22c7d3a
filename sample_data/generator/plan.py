"""The plan of the town in metres: streets, water, fields, lots and houses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import CubicSpline
from shapely import LineString, Point, Polygon, box
from shapely.ops import unary_union

from generator.house import House, Roof, Wing
from generator.pose import Pose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shapely.geometry.base import BaseGeometry

EXTENT = 384.0
FRAME = box(0, 0, EXTENT, EXTENT)
PAVEMENT = 1.5
LOT_DEPTH = 31.0
LEAST_VISIBLE = 12.0
CUT_CORNER = Polygon([(-1, -1), (152, -1), (-1, 73)])
MATERIALS = ("red tile", "old red tile", "orange tile", "brown tile", "slate", "anthracite")
MATERIAL_SHARES = (0.27, 0.2, 0.13, 0.14, 0.15, 0.11)

MAIN_ROAD = [(112, 400), (136, 330), (186, 262), (228, 205), (250, 140), (243, 70), (252, -20)]
SIDE_STREETS = [
    [(152, 307), (100, 300), (50, 305), (-15, 284)],
    [(72, 302), (64, 340), (74, 400)],
    [(170, 283), (222, 312), (290, 306), (400, 326)],
    [(250, 312), (246, 350), (258, 400)],
    [(330, 304), (336, 350), (330, 400)],
    [(236, 188), (290, 200), (345, 192), (400, 200)],
    [(290, 306), (281, 260), (290, 200)],
    [(250, 130), (310, 128), (360, 136), (400, 132)],
    [(231, 202), (180, 192), (128, 206), (90, 232), (76, 262), (72, 302)],
    [(241, 46), (190, 42), (130, 68), (70, 96), (-15, 112)],
]
RIVER = [(-15, 214), (50, 186), (98, 140), (150, 104), (205, 90), (262, 86), (320, 60), (400, 66)]
POND = Pose(346, 256, 0.4)
PARK = Polygon([(304, 226), (374, 222), (382, 290), (312, 284)])
HALL = Pose(312, 164, 0.04)
CAR_PARK = Pose(354, 163, 0.04)
SCHOOL = Pose(206, 158, 1.28)
FIELDS = [
    Polygon([(-5, 130), (60, 112), (84, 138), (46, 176), (-5, 196)]),
    Polygon([(60, 112), (128, 82), (140, 100), (84, 138)]),
    Polygon([(258, -5), (330, -5), (322, 44), (262, 66)]),
    Polygon([(330, -5), (390, -5), (390, 50), (322, 44)]),
    Polygon([(160, -5), (240, -5), (236, 14), (150, 16)]),
    Polygon([(-5, 330), (48, 336), (52, 390), (-5, 390)]),
    Polygon([(150, 340), (220, 350), (226, 390), (136, 390)]),
    Polygon([(-5, 222), (60, 204), (62, 240), (-5, 262)]),
]
WOODS = [
    Polygon([(-5, 196), (46, 172), (60, 182), (52, 206), (-5, 226)]),
    Polygon([(140, 345), (178, 318), (214, 345), (210, 372), (150, 390)]),
    Polygon([(270, 64), (322, 36), (336, 52), (330, 74), (276, 84)]),
    Polygon([(100, 150), (150, 116), (172, 132), (122, 172)]),
    Polygon([(352, 74), (390, 72), (390, 104), (350, 98)]),
    Polygon([(84, 60), (160, 6), (176, 14), (120, 58)]),
]


@dataclass(frozen=True)
class Street:
    """A street with its centre line and the width of its carriageway."""

    line: LineString
    width: float
    main: bool = False

    @property
    def carriageway(self) -> Polygon:
        """The asphalt between the kerbs."""
        return self.line.buffer(self.width / 2)

    @property
    def bed(self) -> Polygon:
        """The carriageway with the pavements on both sides."""
        return self.line.buffer(self.width / 2 + PAVEMENT)


@dataclass(frozen=True)
class Lot:
    """A garden plot with a house and the drive that leads to it."""

    garden: BaseGeometry
    house: House
    drive: BaseGeometry
    parking: Pose


@dataclass
class Plan:
    """Everything that stands or lies in the town."""

    streets: list[Street]
    river: BaseGeometry
    pond: BaseGeometry
    lots: list[Lot] = field(default_factory=list)
    houses: list[House] = field(default_factory=list)

    @property
    def water(self) -> BaseGeometry:
        """The river and the pond."""
        return unary_union([self.river, self.pond])

    @property
    def paving(self) -> BaseGeometry:
        """All ground of the road class."""
        drives = [lot.drive for lot in self.lots]
        beds = [street.bed for street in self.streets]
        return unary_union([*beds, *drives, car_park_outline()])

    @property
    def footprints(self) -> list[Polygon]:
        """The outlines of all houses, clipped to the map."""
        return [house.footprint.intersection(FRAME) for house in self.houses]


def car_park_outline() -> Polygon:
    """Outline the supermarket's car park and its exit to the street."""
    return unary_union(
        [CAR_PARK.rectangle(46, 34), CAR_PARK.moved(-6, -22).rectangle(8, 20)],
    )


def smooth(points: Sequence[tuple[float, float]]) -> LineString:
    """Lead a smooth line through the points."""
    knots = np.array(points, float)
    steps = np.hypot(*np.diff(knots, axis=0).T)
    distance = np.concatenate([[0], np.cumsum(steps)])
    return LineString(CubicSpline(distance, knots)(np.arange(0, distance[-1], 1.5)))


def meander(line: LineString) -> BaseGeometry:
    """Widen a line to a river of changing width."""
    distances = np.arange(0, line.length, 1.0)
    radii = 9.5 + 1.8 * np.sin(distances / 23) + 0.9 * np.sin(distances / 7.3)
    spots = [line.interpolate(d).buffer(r) for d, r in zip(distances, radii, strict=True)]
    return unary_union(spots)


def pond_outline() -> Polygon:
    """Draw the pond in the park, an uneven ellipse."""
    turn = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    reach = 1 + 0.13 * np.sin(2 * turn + 1) + 0.08 * np.sin(3 * turn) + 0.03 * np.sin(7 * turn)
    spots = [
        POND.moved(20 * r * np.cos(t), 14 * r * np.sin(t)) for r, t in zip(reach, turn, strict=True)
    ]
    return Polygon([(spot.x, spot.y) for spot in spots])


def draw_house(pose: Pose, room: float, rng: np.random.Generator) -> House:
    """Design a house whose long side, along the pose, fits the room."""
    length = min(rng.uniform(9.5, 14.5), room)
    width = rng.uniform(7.8, min(length, 10.0))
    roof = Roof(rng.choice(["gable", "hip", "flat"], p=[0.62, 0.27, 0.11]))
    wings = [Wing(pose, length, width)]
    if rng.random() < 0.28 and length > 11:
        side_width = rng.uniform(5.2, 0.8 * width)
        reach = rng.uniform(3.0, 5.0)
        end = rng.choice([-1, 1]) * (length - side_width) / 2
        corner = pose.moved(end, (width / 2 + reach) / 2, np.pi / 2)
        wings.append(Wing(corner, width / 2 + reach, side_width))
    material = str(rng.choice(MATERIALS, p=MATERIAL_SHARES))
    if roof is Roof.FLAT:
        material = str(rng.choice(["gravel", "bitumen", "membrane"]))
    eaves = float(rng.choice([3.2, 4.2, 5.6]))
    pitch = rng.uniform(0.55, 0.95) if roof is Roof.GABLE else rng.uniform(0.45, 0.65)
    solar = roof is Roof.GABLE and abs(np.cos(pose.heading)) > 0.6 and rng.random() < 0.28
    return House(tuple(wings), roof, material, eaves, pitch, solar)


def draw_lot(street: Street, distance: float, frontage: float, rng: np.random.Generator) -> Lot:
    """Design the lot on the left of a street (right if the frontage is negative)."""
    side, width = np.sign(frontage), abs(frontage)
    kerb = street.width / 2
    turn = 0.0 if side > 0 else np.pi
    front = Pose.on_line(street.line, distance).moved(0, side * (kerb + PAVEMENT), turn)
    garden = front.moved(0, LOT_DEPTH / 2).rectangle(width - 0.4, LOT_DEPTH)
    setback, flank = rng.uniform(4, 8), rng.choice([-1, 1])
    beside = -flank * 1.9
    turned = rng.random() < 0.22
    heading = (np.pi / 2 if turned else 0.0) + rng.normal(0, 0.015)
    spot = front.moved(beside, setback + (6 if turned else 4.8), heading)
    house = draw_house(spot, width - 6.6, rng)
    lane = front.moved(flank * (width / 2 - 2.1), (setback + 6 - PAVEMENT) / 2, np.pi / 2)
    drive = lane.rectangle(setback + 6 + PAVEMENT, 3.2)
    parking = lane.moved(rng.uniform(-0.5, 2), 0, rng.choice([0, np.pi]))
    return Lot(garden, house, drive, parking)


def garage_of(lot: Lot) -> House:
    """Design the flat garage at the end of a lot's drive."""
    corners = np.array(lot.drive.exterior.coords)[:4]
    end = (corners[0] + corners[3]) / 2
    forward = corners[0] - corners[1]
    heading = float(np.arctan2(forward[1], forward[0]))
    spot = Pose(float(end[0]), float(end[1]), heading).moved(2.9, 0)
    return House((Wing(spot, 6.0, 3.2),), Roof.FLAT, "gravel", 2.6, 0.0)


@dataclass
class Settlement:
    """The town while it grows, with the ground that is no longer free."""

    plan: Plan
    built: BaseGeometry
    gardens: BaseGeometry

    def has_room(self, house: House) -> bool:
        """Tell whether a house would stand on free ground and well inside the map."""
        outline = house.footprint
        return outline.intersection(FRAME).area > LEAST_VISIBLE and not outline.intersects(
            self.built
        )

    def build(self, house: House, distance: float) -> None:
        """Build a house and keep others at a distance."""
        self.plan.houses.append(house)
        self.built = self.built.union(house.footprint.buffer(distance))

    def settle(self, lot: Lot, rng: np.random.Generator) -> None:
        """Take a lot: lay out its garden and build its house and perhaps a garage."""
        garden = lot.garden.difference(self.gardens)
        self.gardens = self.gardens.union(lot.garden)
        self.plan.lots.append(replace(lot, garden=garden))
        self.build(lot.house, 3)
        garage = garage_of(lot)
        if rng.random() < 0.5 and self.has_room(garage):
            self.build(garage, 1)


def clear_ground(plan: Plan) -> Settlement:
    """Keep streets, water, fields, woods and public places free of houses."""
    beds = unary_union([street.bed for street in plan.streets])
    public = [HALL.rectangle(42, 40), CAR_PARK.rectangle(50, 40), SCHOOL.rectangle(50, 44), PARK]
    open_land = [area.buffer(-3) for area in FIELDS + WOODS]
    wet, cut = plan.water.buffer(8), CUT_CORNER.buffer(3)
    built = unary_union([beds.buffer(1.5), wet, cut, *public, *open_land])
    return Settlement(plan, built, unary_union([beds, plan.water.buffer(4), *public]))


def settle(plan: Plan, rng: np.random.Generator) -> None:
    """Line the streets with lots wherever there is room."""
    settlement = clear_ground(plan)
    for street, side in product(plan.streets, (1, -1)):
        distance = 14.0
        while distance < street.line.length - 8:
            frontage = rng.uniform(18, 24)
            lot = draw_lot(street, distance, side * frontage, rng)
            if settlement.has_room(lot.house):
                settlement.settle(lot, rng)
                distance += frontage
            else:
                distance += 5


def public_buildings() -> list[House]:
    """Design the supermarket and the school."""
    market = House((Wing(HALL, 34, 26),), Roof.FLAT, "membrane", 6.5, 0.0)
    school = House(
        (Wing(SCHOOL, 40, 13), Wing(SCHOOL.moved(-13, 10, np.pi / 2), 20, 12)),
        Roof.HIP,
        "slate",
        7.0,
        0.5,
    )
    return [market, school]


def draw_plan(rng: np.random.Generator) -> Plan:
    """Draw the whole town."""
    streets = [Street(smooth(MAIN_ROAD), 8.0, main=True)]
    streets += [Street(smooth(points), 5.6) for points in SIDE_STREETS]
    plan = Plan(streets, meander(smooth(RIVER)), pond_outline())
    plan.houses += public_buildings()
    settle(plan, rng)
    return plan


def kerb_distance(plan: Plan, pose: Pose) -> float:
    """Measure how far a pose is from the nearest carriageway."""
    here = Point(pose.x, pose.y)
    return min(street.line.distance(here) - street.width / 2 for street in plan.streets)
