"""Cars: body, cabin and windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from generator.canvas import Canvas, Cover
from generator.texture import rgb

if TYPE_CHECKING:
    from generator.pose import Pose

LENGTH, WIDTH = 4.5, 1.9
PAINTS = (
    rgb(228, 229, 231),
    rgb(176, 180, 184),
    rgb(52, 54, 58),
    rgb(92, 95, 100),
    rgb(44, 64, 110),
    rgb(158, 36, 36),
    rgb(84, 128, 168),
    rgb(200, 190, 165),
)
POPULARITY = (0.25, 0.2, 0.17, 0.13, 0.08, 0.09, 0.05, 0.03)
GLASS = rgb(36, 42, 50)


def paint_car(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """Paint a car that stands at the pose and faces along its heading."""
    outline = pose.rectangle(LENGTH - 0.7, WIDTH - 0.7).buffer(0.35)
    window = canvas.window(outline.bounds)
    mask = window.mask(outline)
    along, across = pose.local(window.x, window.y)
    narrow = np.abs(across) < WIDTH / 2 - 0.22
    windscreen = (along > 0.35) & (along < 1.05) & narrow
    rear_window = (along > -1.95) & (along < -1.5) & narrow
    side_windows = (along > -1.5) & (along < 0.6) & (np.abs(across) > WIDTH / 2 - 0.3)
    paint = PAINTS[rng.choice(len(PAINTS), p=POPULARITY)] * rng.uniform(0.93, 1.05)
    roof = (along > -1.5) & (along < 0.35)
    colour = np.where(windscreen | rear_window | side_windows, GLASS, paint * (0.93 + 0.1 * roof))
    canvas.paint(window, mask, colour, Cover.CAR)
    canvas.raise_level(window, mask, np.where((along > -1.9) & (along < 0.9), 1.5, 0.9))
