"""The pixels on which a page shows rasters: shrunk to a size, halved level by level, tiled."""

from dataclasses import dataclass
from math import ceil
from typing import Self

from geoseg.core.grid import Grid
from geoseg.core.window import Window

TILE = 512
"""Side of a tile, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where all layers of a scene are shown: a raster's grid, and a pyramid of tiles over it.

    Level 0 is the finest. A pixel of level n stands for a square of ``shrink * 2**n`` pixels
    of the grid, so tiles begin at whole pixels at all levels.
    """

    grid: Grid
    """Of the raster that the scene is about."""

    shrink: int = 1
    """Pixels of the grid along a side of a pixel of level 0."""

    @classmethod
    def about(cls, grid: Grid, size: int) -> Self:
        """A frame whose longest side is about a size: less than 1.5 times it.

        Args:
            grid: Of the raster.
            size: In pixels.
        """
        return cls(grid=grid, shrink=max(round(max(grid.height, grid.width) / size), 1))

    @property
    def levels(self) -> int:
        """How many levels it takes until one tile holds everything.

        >>> from affine import Affine
        >>> Frame(grid=Grid(None, Affine.identity(), 1025, 600)).levels  # 1025, 513, 257
        3
        """
        tiles = max(self.tiles(0))
        return (tiles - 1).bit_length() + 1

    def step(self, level: int) -> int:
        """Pixels of the grid along a side of a level's pixel."""
        return self.shrink << level

    def shape(self, level: int) -> tuple[int, int]:
        """Rows and columns of a level, in its pixels."""
        step = self.step(level)
        return ceil(self.grid.height / step), ceil(self.grid.width / step)

    def tiles(self, level: int) -> tuple[int, int]:
        """Rows and columns of a level, in tiles."""
        height, width = self.shape(level)
        return ceil(height / TILE), ceil(width / TILE)

    def window(self, level: int, row: int, col: int) -> Window | None:
        """The pixels of the grid that a tile shows; None if there is no such tile.

        Args:
            level: Of the pyramid.
            row: Of the tile, in tiles.
            col: Of the tile, in tiles.
        """
        if not 0 <= level < self.levels or row < 0 or col < 0:
            return None
        side = TILE * self.step(level)
        place = Window(row_off=row * side, col_off=col * side, height=side, width=side)
        return place.clip(self.grid.height, self.grid.width)
