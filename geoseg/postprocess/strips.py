"""A map of class indices, read and written in strips of rows."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.raster.atomic import writing
from geoseg.raster.grid import Grid
from geoseg.raster.reader import RasterReader
from geoseg.raster.storage import rasterio_window
from geoseg.raster.window import Window, blocks
from geoseg.raster.writer import RasterFormat, create

STRIP_PIXELS = 2_000_000
"""Of a strip that is computed at a time."""

MIN_STRIP_ROWS = 32
"""Of a strip, however wide the map."""

STORED_ROWS = 64
"""Rows of the blocks in which a map between two operations is stored."""

Indices = NDArray[np.uint8]
"""(height, width) class indices; 255 without data."""

Tell = Callable[[str, int, int], None]
"""Is told of progress: what is done, how many strips of how many."""


class Source(Protocol):
    """Whatever gives class indices."""

    def read(self, window: Window) -> Indices:
        """(height, width) class indices; 255 without data."""
        ...


class Change(NamedTuple):
    """A strip of the map before and after an operation."""

    window: Window
    before: Indices
    after: Indices


@dataclass(frozen=True)
class MapStrips:
    """A map in strips; the same strips in every pass."""

    source: Source
    grid: Grid
    rows: int
    """Of a strip; the last may have fewer."""

    tell: Tell = lambda *_: None

    @property
    def windows(self) -> list[Window]:
        """The strips, from the top down."""
        return list(blocks(self.grid.height, self.grid.width, rows=self.rows, cols=self.grid.width))

    def read(self, label: str) -> Iterator[tuple[int, Window, Indices]]:
        """Number, window and pixels of every strip: one pass over the map.

        Args:
            label: What is being done, for people.
        """
        windows = self.windows
        for number, window in enumerate(windows):
            yield number, window, self.source.read(window)
            self.tell(label, number + 1, len(windows))

    def around(self, window: Window, halo: int) -> tuple[Indices, Window]:
        """A strip with so many rows above and below as the map has, and the strip within it."""
        grown = Window(
            row_off=window.row_off - halo,
            col_off=0,
            height=window.height + 2 * halo,
            width=window.width,
        )
        wide = grown.clip(self.grid.height, self.grid.width) or window
        return self.source.read(wide), window.relative_to(wide)


def strip_rows(width: int) -> int:
    """Rows of a strip of a map so many pixels wide."""
    return max(STRIP_PIXELS // width, MIN_STRIP_ROWS)


class Stored:
    """A map between two operations, on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = RasterReader(path)

    def read(self, window: Window) -> Indices:
        """(height, width) class indices; 255 without data.

        Raises:
            RasterError: If it cannot be read.
        """
        image: NDArray[Any] = self._reader.read(window).image
        return image[0]

    def remove(self) -> None:
        """Release the file and its space."""
        self._reader.close()
        self._path.unlink()


def store(strips: Iterable[Change], path: Path, grid: Grid) -> Stored:
    """Write a map down, to be read again by the next operation.

    Raises:
        OutputError: If there is no space.
    """
    kind = RasterFormat(overviews="mode")
    options = {"tiled": False, "blockysize": STORED_ROWS, "compress": "zstd", "zstd_level": 1}
    with writing(path), create(path, grid, kind, **options) as dataset:
        for window, _, after in strips:
            dataset.write(after, 1, window=rasterio_window(window))
    return Stored(path)
