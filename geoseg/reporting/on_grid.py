"""A raster file read on another's grid, at any scale."""

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from geoseg.core.grid import Grid
from geoseg.core.window import Window
from geoseg.errors import EmptyError, GridMismatchError
from geoseg.io.layer import Layer, Pixels, ReadOptions
from geoseg.io.placement import cover


class OnGrid:
    """A raster file read on a grid: as it is where the pixels fall on each other.

    Else it is resampled (nearest). A file without georeference lies on the grid if it is of
    the same size.

    Raises:
        EmptyError: If the two share no ground.
        GridMismatchError: If one of the two has no CRS and they do not line up.
        RasterError: If the file cannot be read.
    """

    def __init__(
        self,
        path: Path,
        grid: Grid,
        options: ReadOptions | None = None,
        *,
        palette_index: bool = False,
    ) -> None:
        options = options or ReadOptions()
        self._file = Layer(path, options, palette_index=palette_index)
        self._place = grid.window
        own = self._file.grid
        if not own.is_georeferenced or not grid.is_georeferenced:
            if (own.height, own.width) != (grid.height, grid.width):
                self._refuse(
                    path, f"{own.width} x {own.height} px, not {grid.width} x {grid.height}"
                )
            return
        if own.crs and grid.crs and not share_ground(own, grid):
            self._file.close()
            raise EmptyError(f"{path}: shares no ground with what it is to be shown with")
        try:
            self._place = own.window_of(grid)
        except GridMismatchError as error:
            if own.crs is None or grid.crs is None:
                self._refuse(path, str(error))
            self._file.close()
            options = replace(options, on=grid)
            self._file = Layer(path, options, palette_index=palette_index)

    def _refuse(self, path: Path, reason: str) -> NoReturn:
        self._file.close()
        raise GridMismatchError(
            f"{path}: cannot be shown with the others: {reason}; georeference it"
        )

    @property
    def bands(self) -> int:
        """How many bands a read gives."""
        return self._file.bands

    def read(self, window: Window, step: int) -> Pixels:
        """One pixel for each square of ``step`` pixels; not valid beyond the file's edge.

        Overviews are used if the file has them.

        Raises:
            RasterError: If the file cannot be read there.
        """
        own = self._file.grid
        frame = shrunk(window, step)
        wanted = window.moved(self._place.row_off, self._place.col_off)
        inside = wanted.clip(own.height, own.width)
        if inside == wanted:
            return self._file.read(wanted, (frame.height, frame.width))
        image = np.zeros((self._file.bands, frame.height, frame.width), self._file.dtype)
        valid = np.zeros((frame.height, frame.width), np.bool_)
        if inside is not None:
            part = shrunk(inside.relative_to(wanted), step)
            pixels = self._file.read(inside, (part.height, part.width))
            image[:, *part.slices] = pixels.image
            valid[part.slices] = pixels.valid
        return Pixels(image, valid)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def share_ground(one: Grid, other: Grid) -> bool:
    """Whether two rasters overlap; without georeference, whether they are of the same size."""
    if not one.is_georeferenced or not other.is_georeferenced:
        return (one.height, one.width) == (other.height, other.width)
    try:
        place = other.window_of(cover(one, other))
    except GridMismatchError:
        return False
    return place.clip(other.height, other.width) is not None


def shrunk(window: Window, step: int) -> Window:
    """A window counted in squares of ``step`` pixels; those that it cuts belong to it.

    >>> shrunk(Window(row_off=8, col_off=0, height=9, width=4), 4)
    Window(row_off=2, col_off=0, height=3, width=1)
    """
    row_off, col_off = window.row_off // step, window.col_off // step
    return Window(
        row_off=row_off,
        col_off=col_off,
        height=-(-window.row_stop // step) - row_off,
        width=-(-window.col_stop // step) - col_off,
    )
