"""Where trees, bushes and hedges grow."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import shapely
from shapely import Point
from shapely.ops import unary_union

from generator.plan import EXTENT, FIELDS, FRAME, PARK, WOODS, Lot, Plan
from generator.pose import Pose
from generator.tree import Tree

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

SHORTEST_HEDGE = 10.0


@dataclass
class Planting:
    """The trees planted so far and the ground they must keep free."""

    roofs: BaseGeometry
    sealed: BaseGeometry
    rng: np.random.Generator
    trees: list[Tree] = field(default_factory=list)

    def plant(self, tree: Tree, spacing: float) -> None:
        """Plant a tree unless it would touch a roof, stand on paving or crowd others."""
        trunk = Point(tree.x, tree.y)
        if self.roofs.distance(trunk) < 1.35 * tree.radius or self.sealed.contains(trunk):
            return
        for other in self.trees:
            limit = spacing * (tree.radius + other.radius)
            if abs(tree.x - other.x) < limit and abs(tree.y - other.y) < limit:
                return
        self.trees.append(tree)

    def grow(self, x: float, y: float, size: float, spacing: float) -> None:
        """Plant a tree, broad-leaved or conifer, of about the given crown radius."""
        radius = size * self.rng.uniform(0.75, 1.3)
        if self.rng.random() < 0.16:
            height = self.rng.uniform(2.0, 2.6) * radius
            self.plant(Tree(x, y, 0.72 * radius, height, conifer=True), spacing)
        else:
            height = self.rng.uniform(1.45, 1.9) * radius + 0.3
            self.plant(Tree(x, y, radius, height), spacing)

    def scatter(self, area: BaseGeometry, count: int, size: float, spacing: float) -> None:
        """Try to plant a number of trees at random spots of an area."""
        left, bottom, right, top = area.bounds
        shapely.prepare(area)
        for x, y in self.rng.uniform((left, bottom), (right, top), (count, 2)):
            if area.contains(Point(x, y)):
                self.grow(x, y, size, spacing)


def plant_avenue(planting: Planting, plan: Plan) -> None:
    """Line the main road with trees."""
    street = plan.streets[0]
    for distance in np.arange(6, street.line.length, 13):
        for side in (-1, 1):
            if planting.rng.random() < 0.6:
                verge = side * (street.width / 2 + 3.6)
                spot = Pose.on_line(street.line, distance).moved(0, verge)
                planting.grow(spot.x, spot.y, size=2.9, spacing=0.8)


def plant_banks(planting: Planting, plan: Plan) -> None:
    """Let trees and bushes grow along the shore, thick here and thin there."""
    rng, shore = planting.rng, plan.water.boundary
    for distance in np.arange(0, shore.length, 3.2):
        thick = 0.28 + 0.4 * np.sin(distance / 31) * np.sin(distance / 13)
        if rng.random() < thick:
            spot = shore.interpolate(distance)
            x, y = rng.normal((spot.x, spot.y), 2.2)
            planting.grow(x, y, rng.choice([1.3, 2.6, 3.4]), spacing=0.6)


def plant_groves(planting: Planting) -> None:
    """Plant small groups of trees between the fields."""
    land = FRAME.difference(unary_union(FIELDS))
    for x, y in planting.rng.uniform(0, EXTENT, (45, 2)):
        grove = Point(x, y).buffer(planting.rng.uniform(4, 10)).intersection(land)
        if not grove.is_empty:
            planting.scatter(grove, 14, size=2.8, spacing=0.65)


def plant_hedges(planting: Planting, lot: Lot) -> None:
    """Grow hedges along some of the long sides of a garden."""
    rng = planting.rng
    for start, end in pairwise(np.array(lot.garden.exterior.coords)):
        length = np.hypot(*(end - start))
        if length < SHORTEST_HEDGE or rng.random() < 0.55:
            continue
        for step in np.arange(0.5, length, 0.75):
            x, y = start + (end - start) * step / length + rng.normal(0, 0.06, 2)
            planting.plant(Tree(x, y, rng.uniform(0.6, 0.8), rng.uniform(1.5, 2.0)), 0.33)


def plant_gardens(planting: Planting, plan: Plan) -> None:
    """Plant trees, bushes and hedges in the gardens."""
    rng = planting.rng
    for lot in plan.lots:
        inner = lot.garden.buffer(-1)
        if lot.garden.geom_type != "Polygon" or inner.is_empty:
            continue
        if rng.random() < 0.55:
            plant_hedges(planting, lot)
        planting.scatter(inner, int(rng.integers(2, 9)), rng.choice([2.0, 2.8]), spacing=0.8)
        planting.scatter(inner, int(rng.integers(2, 9)), size=0.9, spacing=0.9)


def plant_all(plan: Plan, rng: np.random.Generator) -> list[Tree]:
    """Plant the whole town and list the trees from low to tall, as they are painted."""
    roofs = unary_union(plan.footprints)
    sealed = unary_union([plan.paving, plan.water.buffer(-0.6)])
    shapely.prepare(sealed)
    planting = Planting(roofs, sealed, rng)
    plant_avenue(planting, plan)
    for wood in WOODS:
        planting.scatter(wood, int(wood.area / 1.4), size=3.2, spacing=0.5)
    plant_banks(planting, plan)
    planting.scatter(PARK, 60, size=3.2, spacing=0.75)
    plant_gardens(planting, plan)
    plant_groves(planting)
    planting.scatter(FRAME.difference(unary_union([PARK, *FIELDS])), 260, size=2.6, spacing=0.9)
    return sorted(planting.trees, key=lambda tree: tree.height)
