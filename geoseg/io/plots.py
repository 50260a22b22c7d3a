"""Plots: polygons on a raster's grid, each a unit of a sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from geoseg.core.grid import Grid
from geoseg.core.window import Window


@dataclass(frozen=True, eq=False)
class Plots:
    """Polygons and their columns."""

    shapes: NDArray[Any]
    """(n,) geometries in the grid's CRS."""

    columns: Mapping[str, Sequence[Any]]
    """Values of each column, None where there is none."""

    grid: Grid
    """Of the raster."""

    def __len__(self) -> int:
        return len(self.shapes)

    def window(self, number: int) -> Window | None:
        """The pixels around a plot; None if it lies beside the raster."""
        around = self.grid.window_around(shapely.bounds(self.shapes[number]))
        return around.clip(self.grid.height, self.grid.width)

    def read(self, number: int, window: Window, *, touched: bool = False) -> NDArray[np.bool_]:
        """(height, width) bool, True for the pixels of a plot.

        Args:
            number: Which plot.
            window: Inside the raster.
            touched: Whether these are the pixels that it touches, and not only those whose
                centre it covers.
        """
        inside: NDArray[np.uint8] = rasterize(
            [self.shapes[number]],
            out_shape=(window.height, window.width),
            transform=self.grid.part(window).transform,
            all_touched=touched,
            dtype="uint8",
        )
        return inside == 1
