"""Rasters on the grid of another one, at any scale."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from geoseg.errors import EmptyError, GridMismatchError
from geoseg.raster.grid import Grid, cover, missing_transform, window_on
from geoseg.raster.reader import Pixels, RasterFile, ReadOptions
from geoseg.raster.window import Window


class AlignedRaster:
    """A raster read on a grid: as it is where the pixels coincide, else resampled (nearest).

    A file without a georeference is on the grid if it has the same size.

    Raises:
        EmptyError: If the raster does not overlap the grid.
        GridMismatchError: If the pixels do not coincide and resampling is off or impossible.
        RasterError: If the file cannot be read.
    """

    def __init__(
        self,
        path: Path,
        grid: Grid,
        options: ReadOptions | None = None,
        *,
        resample: bool = False,
        palette_index: bool = False,
    ) -> None:
        """Open.

        Args:
            path: The raster.
            grid: Grid to read it on.
            options: Bands, nodata and resampling.
            resample: Whether to resample it if the pixels do not coincide.
            palette_index: Whether a palette image gives its indices rather than its colours.
        """
        self.path = path
        self._file = RasterFile(path, options or ReadOptions(), palette_index=palette_index)
        self.extent = self._window = grid.window
        own = self._file.grid
        without_place = not own.is_georeferenced or (resample and not grid.is_georeferenced)
        if without_place and (own.height, own.width) == (grid.height, grid.width):
            return
        extent: Window | None
        try:
            self._window = own.window_of(grid)
            part = self._window.clip(own.height, own.width)
            extent = part and part.relative_to(self._window)
        except GridMismatchError as error:
            self._file.close()
            if not resample or not own.is_georeferenced or not grid.is_georeferenced:
                raise GridMismatchError(f"{path}: {_why_not(own, grid, error)}") from error
            options = replace(options or ReadOptions(), on=grid)
            self._file = RasterFile(path, options, palette_index=palette_index)
            extent = window_on(grid, own)
        if extent is None:
            self._file.close()
            raise EmptyError(f"{path}: does not overlap the raster it belongs to")
        self.extent = extent

    @property
    def bands(self) -> int:
        """Number of bands."""
        return self._file.bands

    def read(self, window: Window, step: int = 1) -> Pixels:
        """Pixels of a window of the grid; not valid beyond the raster's edge.

        Args:
            window: Window of the grid.
            step: Pixels of the grid per pixel read, along each axis; overviews are used.

        Raises:
            RasterError: If the file cannot be read there.
        """
        own = self._file.grid
        wanted = window.moved(self._window.row_off, self._window.col_off)
        inside = wanted.clip(own.height, own.width)
        shape = window.shrunk(step)
        if inside == wanted:
            return self._file.read(inside, (shape.height, shape.width))
        image = np.zeros((self._file.bands, shape.height, shape.width), self._file.dtype)
        valid = np.zeros((shape.height, shape.width), np.bool_)
        if inside is not None:
            part = inside.relative_to(wanted).shrunk(step)
            pixels = self._file.read(inside, (part.height, part.width))
            image[:, *part.slices] = pixels.image
            valid[part.slices] = pixels.valid
        return Pixels(image, valid)

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def _why_not(own: Grid, grid: Grid, error: GridMismatchError) -> str:
    if why := missing_transform(own.crs, grid.crs):
        return why
    how = "resample it with --resample" if own.is_georeferenced else "georeference it"
    return f"not on the grid of the raster it belongs to: {error}; {how}"


def share_ground(one: Grid, other: Grid) -> bool:
    """Whether two rasters overlap; without a georeference, whether they have the same size."""
    if not one.is_georeferenced or not other.is_georeferenced:
        return (one.height, one.width) == (other.height, other.width)
    try:
        window = other.window_of(cover(one, other))
    except GridMismatchError:
        return False
    return window.clip(other.height, other.width) is not None
