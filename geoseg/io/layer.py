"""One raster file: its pixels on its own grid or on another, and where they are valid."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

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
    block_shape,
    chosen_bands,
    mask_source,
    opened,
    palette,
    rasterio_window,
    read_bands,
    read_mask,
    reading,
)
from geoseg.io.handles import Handles


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

    stacked: tuple[Path, ...] = ()
    """Rasters whose bands, all but alpha, follow; resampled (bilinear) onto this one's grid."""


class Layer:
    """A raster file open for reading in windows, from any number of threads.

    Raises:
        RasterError: If the file is missing, is no raster, or lacks a band asked for.
    """

    def __init__(self, path: Path, options: ReadOptions, *, palette_index: bool = False) -> None:
        self.path = path
        self._options = options
        self._handles = Handles(self._open)
        dataset = self._handles.own
        self.grid = Grid(dataset.crs, dataset.transform, dataset.height, dataset.width)
        self.palette = palette(dataset)
        self._colors = None if self.palette is None or palette_index else _table(self.palette)
        self.numbers = chosen_bands(dataset, options.bands, path)
        self.dtype = np.dtype(dataset.dtypes[self.numbers[0] - 1])
        self.nodata = self._nodata(dataset)
        self._empty = None if self.nodata is None else _like(self.nodata, self.dtype)
        self._mask = self._mask_source(dataset)
        self.band_names = band_names(dataset, self.numbers)
        self.block_shape = block_shape(dataset, self.numbers[0])

    @property
    def bands(self) -> int:
        """How many bands a read gives."""
        return len(self.numbers) if self._colors is None else 3

    @property
    def may_have_invalid_pixels(self) -> bool:
        """Whether a pixel inside the raster can be not valid."""
        return self._empty is not None or self._mask is not None or self.dtype.kind == "f"

    def read(self, window: Window, shape: tuple[int, int] | None = None) -> Pixels:
        """Pixels of a window inside the raster, shrunk to a shape by leaving pixels out.

        Raises:
            RasterError: If the file cannot be read there.
        """
        where: dict[str, Any] = {"window": rasterio_window(window)}
        if shape is not None:
            where["out_shape"] = shape
        try:
            with reading(self.path, window):
                dataset = self._handles.own
                image = read_bands(dataset, self.numbers, where)
                shown = self._mask and read_mask(dataset, self._mask, where)
        except RasterError:
            self._handles.drop()  # a VRT reads 0 where it has failed before
            raise
        valid = _with_data(image, self._empty)
        if shown is not None:
            valid &= shown
        if self._colors is not None:
            image = self._colors[image[0]].transpose(2, 0, 1)
        return Pixels(image, valid)

    def close(self) -> None:
        """Close the handles of all threads."""
        self._handles.close()

    def _open(self, stack: ExitStack) -> Any:
        dataset = opened(self.path)
        stack.callback(dataset.close)
        if self._options.on is None:
            return dataset
        warped = self._warped(dataset, self._options.on)
        stack.callback(warped.close)
        return warped

    def _warped(self, dataset: Any, grid: Grid) -> WarpedVRT:
        nodata = self._nodata(dataset)
        mixable = palette(dataset) is None  # there is nothing between two indices
        with reading(self.path):
            return WarpedVRT(
                dataset,
                src_crs=dataset.crs or grid.crs,
                crs=grid.crs,
                transform=grid.transform,
                height=grid.height,
                width=grid.width,
                resampling=Resampling[self._options.resampling if mixable else "nearest"],
                src_nodata=nodata,
                nodata=nodata,
                add_alpha=nodata is None and ColorInterp.alpha not in dataset.colorinterp,
            )

    def _mask_source(self, dataset: Any) -> Literal["alpha", "mask"] | None:
        """Which band hides pixels; what is resampled has an alpha for what lies outside."""
        if self._options.nodata is None:
            return mask_source(dataset)
        outside = self._options.on is not None and self._options.nodata == "none"
        return mask_source(dataset) if outside else None

    def _nodata(self, dataset: Any) -> float | None:
        if self._options.nodata == "none":
            return None
        if self._options.nodata is not None:
            return self._options.nodata
        nodata: float | None = dataset.nodata
        return None if nodata is None or np.isnan(nodata) else nodata


def as_floats(pixels: Pixels) -> Pixels:
    """Pixels as networks take them: float32, NaN where there is no data."""
    image, valid = pixels
    if valid.all():
        return Pixels(_float32(image), valid)
    if not valid.any():
        return Pixels(np.full(image.shape, np.nan, np.float32), valid)
    image = _float32(image)
    np.copyto(image, np.nan, where=~valid)
    return Pixels(image, valid)


def _float32(image: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # nodata may be beyond
        return image.astype(np.float32, copy=False)


def _with_data(image: NDArray[Any], empty: Any) -> NDArray[np.bool_]:
    """Where every band is finite, and not every band (of floats: no band) holds the nodata value.

    Args:
        image: (bands, height, width).
        empty: The nodata value, if there is one.

    Returns:
        (height, width).
    """
    if image.dtype.kind == "f":
        valid = np.isfinite(image[0])
        for band in image[1:]:
            valid &= np.isfinite(band)
        if empty is not None:
            for band in image:
                valid &= band != empty
        return valid
    if empty is None:
        return np.ones(image.shape[1:], np.bool_)
    valid = image[0] != empty
    for band in image[1:]:
        if valid.all():
            break
        valid |= band != empty
    return valid


def _like(value: float, dtype: np.dtype[Any]) -> Any:
    """A value as one of the type, if the type has it: comparing is much faster then."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(value)
    if dtype.kind in "iu" and float(value).is_integer():
        limits = np.iinfo(dtype)
        return dtype.type(int(value)) if limits.min <= value <= limits.max else value
    return value


def _table(colors: dict[int, Any]) -> NDArray[np.uint8]:
    """(256, 3) the colour of each index."""
    table = np.zeros((256, 3), np.uint8)
    for value, color in colors.items():
        table[value] = color
    return table
