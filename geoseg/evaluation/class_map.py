"""A class map as class indices, and the ground of it that counts."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.core.legend import Legend
from geoseg.core.scores import IGNORE
from geoseg.core.window import Window, blocks
from geoseg.io.raster import RasterReader
from geoseg.io.reference import open_class_map
from geoseg.io.vector import Area

ROWS, COLUMNS = 512, 4096
"""The block that is read at a time, in pixels."""


class ClassMap:
    """A class map open for reading in windows.

    Raises:
        GeosegError: What is wrong with the files.
    """

    def __init__(
        self, path: Path, legend: Legend, *, aoi: Path | None = None, ground: Any = None
    ) -> None:
        """Open.

        Args:
            path: Raster of the legend's map values, or of colours.
            legend: Its classes.
            aoi: Polygons; ground outside does not count.
            ground: GeoSeries; ground outside does not count.
        """
        self.path = path
        with RasterReader(path, palette_index=True) as reader:
            self.grid = reader.grid
        self._areas = [Area.open(aoi, self.grid)] if aoi else []
        self._areas += [Area(ground, self.grid)] if ground is not None else []
        self._map = open_class_map(path, legend=legend, grid=self.grid)

    @property
    def notes(self) -> list[str]:
        """What the user should know, of what was read."""
        return self._map.notes

    def blocks(self) -> list[Window]:
        """Windows that cover the map without overlap."""
        return list(blocks(self.grid.height, self.grid.width, rows=ROWS, cols=COLUMNS))

    def read(self, window: Window) -> NDArray[np.uint8]:
        """(height, width) class indices, also of ground that does not count; 255 without data."""
        return self._map.read(window)

    def read_counted(self, window: Window) -> NDArray[np.uint8]:
        """(height, width) class indices; 255 without data or where the ground does not count."""
        indices = self._map.read(window)
        if (outside := self.outside(window)) is not None:
            indices[outside] = IGNORE
        return indices

    def outside(self, window: Window) -> NDArray[np.bool_] | None:
        """(height, width) bool, True where the ground does not count; None: it all counts."""
        if not self._areas:
            return None
        return ~np.logical_and.reduce([area.read(window) for area in self._areas])

    def close(self) -> None:
        """Release files."""
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
