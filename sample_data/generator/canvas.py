"""The layers a scene is painted on: colour, surface height, slope and land cover."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np
from rasterio.features import rasterize
from rasterio.transform import Affine, from_origin

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

PIXELS_FOR_SLOPE = 2


class Cover(IntEnum):
    """The land cover classes of the legend."""

    BUILDING = 1
    ROAD = 2
    GRASS = 3
    TREE = 4
    WATER = 5
    CAR = 6


@dataclass(frozen=True)
class Window:
    """A rectangle of the canvas with the map coordinates of its pixel centres."""

    rows: slice
    cols: slice
    x: NDArray
    y: NDArray
    transform: Affine

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start

    def mask(self, geometry: BaseGeometry) -> NDArray[np.bool_]:
        """Mark the pixels whose centre lies in the geometry."""
        if geometry.is_empty or 0 in self.shape:
            return np.zeros(self.shape, bool)
        burnt = rasterize([geometry], self.shape, transform=self.transform, dtype="uint8")
        return burnt.astype(bool)


class Canvas:
    """A square of ground in metres, x to the east and y to the north from its lower left."""

    def __init__(self, extent: float, pixel: float) -> None:
        """Lay out empty layers for `extent` metres of ground at the given pixel size."""
        self.extent, self.pixel = extent, pixel
        self.side = round(extent / pixel)
        shape = (self.side, self.side)
        self.colour = np.zeros((3, *shape), np.float32)
        self.height = np.zeros(shape, np.float32)
        self.slope = np.zeros((2, *shape), np.float32)
        self.cover = np.full(shape, Cover.GRASS, np.uint8)

    def window(self, bounds: tuple[float, float, float, float]) -> Window:
        """Cut the window that holds the bounds (left, bottom, right, top), clipped."""
        left, bottom, right, top = bounds
        first_col = min(max(floor(left / self.pixel) - 1, 0), self.side)
        last_col = max(min(ceil(right / self.pixel) + 1, self.side), first_col)
        first_row = min(max(floor((self.extent - top) / self.pixel) - 1, 0), self.side)
        last_row = max(min(ceil((self.extent - bottom) / self.pixel) + 1, self.side), first_row)
        origin = (first_col * self.pixel, self.extent - first_row * self.pixel)
        x = origin[0] + (np.arange(last_col - first_col) + 0.5) * self.pixel
        y = origin[1] - (np.arange(last_row - first_row) + 0.5) * self.pixel
        return Window(
            slice(first_row, last_row),
            slice(first_col, last_col),
            x[np.newaxis, :],
            y[:, np.newaxis],
            from_origin(*origin, self.pixel, self.pixel),
        )

    def whole(self) -> Window:
        """Cut the window that is the whole canvas."""
        return self.window((0, 0, self.extent, self.extent))

    def paint(
        self,
        window: Window,
        mask: NDArray[np.bool_],
        colour: NDArray,
        cover: Cover | None = None,
    ) -> None:
        """Lay a colour, and a land cover if one is given, on the masked pixels."""
        np.copyto(self.colour[:, window.rows, window.cols], colour, where=mask)
        if cover is not None:
            self.cover[window.rows, window.cols][mask] = cover

    def raise_surface(self, window: Window, mask: NDArray[np.bool_], height: NDArray) -> None:
        """Lay a sloping surface on the masked pixels."""
        if min(window.shape) < PIXELS_FOR_SLOPE:
            return
        south, east = np.gradient(height, self.pixel)
        self.height[window.rows, window.cols][mask] = height[mask]
        self.slope[0, window.rows, window.cols][mask] = east[mask]
        self.slope[1, window.rows, window.cols][mask] = -south[mask]

    def raise_level(self, window: Window, mask: NDArray[np.bool_], height: NDArray | float) -> None:
        """Lay a level surface on the masked pixels, in steps if the height varies."""
        np.copyto(self.height[window.rows, window.cols], height, where=mask, casting="same_kind")
        self.slope[:, window.rows, window.cols][:, mask] = 0
