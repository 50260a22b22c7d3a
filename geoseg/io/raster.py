"""Reading rasters in windows: values, and where they are valid."""

import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.vrt import WarpedVRT

from geoseg.core.grid import Grid
from geoseg.core.window import Window
from geoseg.errors import RasterError
from geoseg.io.gdal import (
    Bands,
    band_names,
    chosen_bands,
    mask_source,
    opened,
    palette,
    rasterio_window,
    read_bands,
    read_mask,
    reading,
)


class Pixels(NamedTuple):
    """What every read returns."""

    image: NDArray[Any]
    """(bands, height, width)."""

    valid: NDArray[np.bool_]
    """(height, width), True where the pixel counts."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How a raster is to be understood."""

    bands: Bands | None = None
    """Which bands, in which order; None: all but alpha."""

    nodata: float | Literal["none"] | None = None
    """Value without data; "none": every value is data; None: as the file says."""

    on: Grid | None = None
    """Resample onto this grid."""

    resampling: Literal["nearest", "bilinear", "average"] = "nearest"
    """How, if `on` is given."""


class RasterReader:
    """A raster open for reading in windows, from any number of threads.

    Not valid is a pixel that the mask band or alpha hides, that is NaN in any band, or
    that holds the nodata value: in all bands of an integer raster (where the value may be
    a legal brightness of one of them), in any band of a float raster. A palette picture
    gives its colours unless `palette_index` is asked for.

    Raises:
        RasterError: If the file is missing, is no raster, or lacks a band asked for.
    """

    def __init__(
        self, path: Path, options: ReadOptions | None = None, *, palette_index: bool = False
    ) -> None:
        self.path = path
        self.options = options or ReadOptions()
        self._handles: list[Any] = []
        self._local = threading.local()
        self._lock = threading.Lock()
        dataset = self._dataset
        self.grid = Grid(dataset.crs, dataset.transform, dataset.height, dataset.width)
        self.palette = palette(dataset)
        self._expand = self.palette is not None and not palette_index
        self.file_bands = chosen_bands(dataset, self.options.bands, path)
        self.dtype = np.dtype(dataset.dtypes[self.file_bands[0] - 1])
        self.nodata = self._nodata(dataset)
        self._mask = mask_source(dataset) if self.options.nodata is None else None
        self.band_names = band_names(dataset, self.file_bands)

    @property
    def bands(self) -> int:
        """How many bands a read gives."""
        return 3 if self._expand else len(self.file_bands)

    @property
    def may_have_invalid_pixels(self) -> bool:
        """Whether a pixel inside the raster can be not valid."""
        return self.nodata is not None or self._mask is not None or self.dtype.kind == "f"

    def read(self, window: Window) -> Pixels:
        """Pixels of a window.

        Beyond the raster's edge the picture goes on as its own reflection and is not valid.

        Raises:
            RasterError: If the file cannot be read there, or has no pixel there.
        """
        inside = self._inside(window)
        return _pad(self._read_inside(inside), inside, window)

    def read_floats(self, window: Window) -> Pixels:
        """Pixels of a window as networks take them: float32, NaN where there is no data.

        Beyond the raster's edge stands its reflection, as in `read`; NaN is reflected too.

        Raises:
            RasterError: If the file cannot be read there, or has no pixel there.
        """
        inside = self._inside(window)
        image, valid = self._read_inside(inside)
        image = image.astype(np.float32)
        image[:, ~valid] = np.nan
        return _pad(Pixels(image, valid), inside, window)

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
        """Pixels of a window inside the raster, shrunk to a shape by leaving pixels out."""
        where: dict[str, Any] = {"window": rasterio_window(window)}
        if shape is not None:
            where["out_shape"] = shape
        with reading(self.path, window):
            image = read_bands(self._dataset, self.file_bands, where)
            shown = self._mask and read_mask(self._dataset, self._mask, where)
        valid = np.ones(image.shape[1:], np.bool_) if shown is None else shown
        if self.nodata is not None:
            without = image == self.nodata
            valid &= ~(without.any(axis=0) if self.dtype.kind == "f" else without.all(axis=0))
        if self.dtype.kind == "f":
            valid &= ~np.isnan(image).any(axis=0)
        if self._expand:
            image = self._colors[image[0]].transpose(2, 0, 1)
        return Pixels(image, valid)

    @property
    def _colors(self) -> NDArray[np.uint8]:
        table = np.zeros((256, 3), np.uint8)
        for value, color in (self.palette or {}).items():
            table[value] = color
        return table

    @property
    def _dataset(self) -> Any:
        """This thread's own handle: GDAL's are not to be shared."""
        if not hasattr(self._local, "dataset"):
            dataset = opened(self.path)
            with self._lock:
                self._handles.append(dataset)
            if self.options.on is not None:
                dataset = self._warped(dataset, self.options.on)
                with self._lock:
                    self._handles.insert(0, dataset)
            self._local.dataset = dataset
        return self._local.dataset

    def _warped(self, dataset: Any, grid: Grid) -> WarpedVRT:
        nodata = self._nodata(dataset)
        with reading(self.path):
            return WarpedVRT(
                dataset,
                src_crs=dataset.crs or grid.crs,
                crs=grid.crs,
                transform=grid.transform,
                height=grid.height,
                width=grid.width,
                resampling=Resampling[self.options.resampling],
                src_nodata=nodata,
                nodata=nodata,
                add_alpha=nodata is None and ColorInterp.alpha not in dataset.colorinterp,
            )

    def _nodata(self, dataset: Any) -> float | None:
        if self.options.nodata == "none":
            return None
        if self.options.nodata is not None:
            return self.options.nodata
        nodata: float | None = dataset.nodata
        return None if nodata is None or np.isnan(nodata) else nodata

    def close(self) -> None:
        """Close the handles of all threads."""
        for dataset in self._handles:
            dataset.close()
        self._handles.clear()
        self._local = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _pad(pixels: Pixels, inside: Window, window: Window) -> Pixels:
    """Reflect what lies inside a raster over the parts of a window that do not."""
    if inside == window:
        return pixels
    rows = (inside.row_off - window.row_off, window.row_stop - inside.row_stop)
    cols = (inside.col_off - window.col_off, window.col_stop - inside.col_stop)
    image = np.pad(pixels.image, ((0, 0), rows, cols), mode="symmetric")
    return Pixels(image, np.pad(pixels.valid, (rows, cols), constant_values=False))
