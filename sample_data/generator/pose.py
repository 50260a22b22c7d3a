"""Where a thing stands and which way it faces."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, cos, sin
from typing import TYPE_CHECKING

import numpy as np
from shapely import LineString, Polygon

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Pose:
    """A position in metres and a heading in radians, counter-clockwise from east."""

    x: float
    y: float
    heading: float

    @classmethod
    def on_line(cls, line: LineString, distance: float) -> Pose:
        """Stand on a line at the given distance, looking along it."""
        here = line.interpolate(distance)
        behind, ahead = line.interpolate(max(distance - 1, 0)), line.interpolate(distance + 1)
        return cls(here.x, here.y, atan2(ahead.y - behind.y, ahead.x - behind.x))

    def moved(self, along: float, across: float, turn: float = 0.0) -> Pose:
        """Step forward and to the left, then turn."""
        c, s = cos(self.heading), sin(self.heading)
        return Pose(
            self.x + along * c - across * s,
            self.y + along * s + across * c,
            self.heading + turn,
        )

    def local(self, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
        """Express map coordinates as distances along and across the heading."""
        c, s = cos(self.heading), sin(self.heading)
        dx, dy = x - self.x, y - self.y
        return c * dx + s * dy, c * dy - s * dx

    def rectangle(self, length: float, width: float) -> Polygon:
        """Draw the rectangle centred here with its length along the heading."""
        corners = [(0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5), (0.5, -0.5)]
        points = [self.moved(u * length, v * width) for u, v in corners]
        return Polygon([(np.round(p.x, 2), np.round(p.y, 2)) for p in points])
