"""Where cars drive and park."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from shapely.ops import unary_union

from generator.car import LENGTH, WIDTH
from generator.plan import Plan, Street, kerb_distance
from generator.pose import Pose
from generator.street import bays

if TYPE_CHECKING:
    from collections.abc import Iterator


def on_street(street: Street, rng: np.random.Generator) -> Iterator[Pose]:
    """Let cars drive on the right of a street and park along its kerb."""
    distance = rng.uniform(10, 30)
    while distance < street.line.length - 10:
        parked = not street.main and rng.random() < 0.7
        side = rng.choice([-1, 1])
        offset = street.width / 2 - 1.05 if parked else street.width / 4
        turn = (0.0 if side < 0 else np.pi) + rng.normal(0, 0.02)
        yield Pose.on_line(street.line, distance).moved(0, side * offset, turn)
        distance += rng.uniform(7, 40) if parked else rng.uniform(16, 50)


def all_cars(plan: Plan, rng: np.random.Generator) -> list[Pose]:
    """Place all cars of the town, none of them inside another or inside a building."""
    roofs = unary_union(plan.footprints)
    cars = [bay.moved(0, rng.normal(0, 0.12)) for bay in bays() if rng.random() < 0.55]
    for street in plan.streets:
        cars += on_street(street, rng)
    drives = [lot.parking for lot in plan.lots if rng.random() < 0.5]
    cars += [pose for pose in drives if kerb_distance(plan, pose) > LENGTH / 2]
    placed: list[Pose] = []
    for car in cars:
        others = (np.hypot(car.x - other.x, car.y - other.y) for other in placed)
        if min(others, default=np.inf) > 2.4 and not roofs.intersects(car.rectangle(LENGTH, WIDTH)):
            placed.append(car)
    return placed
