"""Reading rasters in windows: values, and where they are valid."""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from geoseg.core.window import Window
from geoseg.errors import RasterError
from geoseg.io.gdal import Bands
from geoseg.io.layer import Layer, Pixels, ReadOptions, as_floats
from geoseg.io.stacking import open_stacked, stacked_band_names

__all__ = ["Pixels", "RasterReader", "ReadOptions", "reflected"]


class RasterReader:
    """A raster open for reading in windows, from any number of threads.

    Not valid is a pixel that a mask band or alpha hides, that is NaN in any band, or
    that holds the nodata value: in any band of floats or of a negative value, else in all
    bands of that nodata value (which may be a legal brightness of one of them). Bands may
    have other nodata values and masks. A palette picture gives its colours unless
    `palette_index` is asked for.

    The bands of stacked rasters follow the raster's own, and a pixel is valid where it is
    in all of them. All are float32 then, unless all rasters are of one type.

    Raises:
        RasterError: If a file is missing, is no raster, or lacks a band asked for, or if a
            stacked raster does not overlap.
    """

    def __init__(
        self, path: Path, options: ReadOptions | None = None, *, palette_index: bool = False
    ) -> None:
        self.path = path
        self.options = options or ReadOptions()
        self._own = own = Layer(path, self.options, palette_index=palette_index)
        self._layers = [own]
        self.grid = own.grid
        self.palette = own.palette
        try:
            for each in self.options.stacked:
                self._layers.append(open_stacked(each, own.grid, path))
        except RasterError:
            self.close()
            raise
        stacked = self._layers[1:]
        types = {layer.dtype for layer in self._layers}
        self.bands = sum(layer.bands for layer in self._layers)
        self.band_names = (*own.band_names, *stacked_band_names(stacked))
        self.dtype = own.dtype if len(types) == 1 else np.dtype(np.float32)
        self.nodata = None if stacked else own.nodata

    @property
    def band_numbers(self) -> Bands:
        """Numbers of its own bands in the file, from 1."""
        return self._own.numbers

    @property
    def band_colors(self) -> tuple[str, ...]:
        """What GDAL takes its own bands for, by number: ``red``, ``undefined``."""
        return self._own.colors

    @property
    def may_have_invalid_pixels(self) -> bool:
        """Whether a pixel inside the raster can be not valid."""
        return any(layer.may_have_invalid_pixels for layer in self._layers)

    @property
    def block_shape(self) -> tuple[int, int]:
        """Rows and columns of the blocks of the file that can be read apart."""
        return self._own.block_shape

    def read(self, window: Window) -> Pixels:
        """Pixels of a window.

        Beyond the raster's edge the picture goes on as its own reflection and is not valid.

        Raises:
            RasterError: If the file cannot be read there, or has no pixel there.
        """
        inside = self._inside(window)
        return reflected(self._read_inside(inside), inside, window)

    def read_floats(self, window: Window) -> Pixels:
        """Pixels of a window as networks take them: float32, NaN where there is no data.

        Beyond the raster's edge stands its reflection, as in `read`; NaN is reflected too.

        Raises:
            RasterError: If the file cannot be read there, or has no pixel there.
        """
        inside = self._inside(window)
        return reflected(as_floats(self._read_inside(inside)), inside, window)

    def read_overview(self, side: int) -> Pixels:
        """The whole raster, shrunk by leaving pixels out until no side is longer.

        Args:
            side: Longest side, in pixels.

        Raises:
            RasterError: If the file cannot be read.
        """
        shrink = min(side / max(self.grid.height, self.grid.width), 1)
        height, width = (
            max(round(length * shrink), 1) for length in (self.grid.height, self.grid.width)
        )
        return self._read_inside(self.grid.window, (height, width))

    def _inside(self, window: Window) -> Window:
        inside = window.clip(self.grid.height, self.grid.width)
        if inside is None:
            raise RasterError(f"{self.path}: {window} lies outside the raster")
        return inside

    def _read_inside(self, window: Window, shape: tuple[int, int] | None = None) -> Pixels:
        """Pixels of a window inside the raster, of all layers."""
        parts = [layer.read(window, shape) for layer in self._layers]
        if len(parts) == 1:
            return parts[0]
        images, valid = zip(*parts, strict=True)
        with np.errstate(over="ignore"):  # nodata of 64 bits
            image = np.concatenate(images, dtype=self.dtype, casting="same_kind")
        return Pixels(image, np.logical_and.reduce(valid))

    def close(self) -> None:
        """Close the handles of all threads."""
        for layer in self._layers:
            layer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def reflected(pixels: Pixels, inside: Window, window: Window) -> Pixels:
    """Reflect what lies inside a raster over the parts of a window that do not.

    Args:
        pixels: Of the part inside.
        inside: The part of the window inside the raster.
        window: What is wanted.
    """
    if inside == window:
        return pixels
    rows = (inside.row_off - window.row_off, window.row_stop - inside.row_stop)
    cols = (inside.col_off - window.col_off, window.col_stop - inside.col_stop)
    image = np.pad(pixels.image, ((0, 0), rows, cols), mode="symmetric")
    return Pixels(image, np.pad(pixels.valid, (rows, cols), constant_values=False))
