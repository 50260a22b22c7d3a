"""One raster file: its pixels on its own grid or on another, and where they are valid."""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.vrt import WarpedVRT

from geoseg.core.grid import Grid, no_way
from geoseg.core.window import Window
from geoseg.errors import GeosegWarning, RasterError
from geoseg.io.gdal import (
    Bands,
    MaskSource,
    band_names,
    block_shape,
    chosen_bands,
    distrust,
    grid_of,
    mask_source,
    masked_view,
    missing_place,
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
        with reading(path):
            dataset = self._handles.own
            self.grid = grid_of(dataset)
            if missing := missing_place(dataset):
                warnings.warn(
                    f"{path}: {missing}; until then it is a picture without a place",
                    GeosegWarning,
                    stacklevel=2,
                )
            self.palette = palette(dataset)
            self._colors = (
                None
                if self.palette is None or palette_index
                else _table(self.palette, dataset.dtypes[0])
            )
            self.numbers = chosen_bands(dataset, options.bands, path)
            types = [np.dtype(dataset.dtypes[band - 1]) for band in self.numbers]
            self.dtype = np.result_type(*types)
            nodata = self._nodata(dataset, self.numbers)
            self.nodata = nodata[0] if len(set(nodata)) == 1 else None
            if not _possible(self.nodata, self.dtype):
                warnings.warn(
                    f"{path}: no pixel can be {self.nodata:g}, for its values are {self.dtype}: "
                    f"this nodata value hides nothing",
                    GeosegWarning,
                    stacklevel=2,
                )
                self.nodata, nodata = None, [None] * len(nodata)
            self._empty = _by_value(nodata, types)
            self._mask = self._mask_source(dataset)
            self.band_names = band_names(dataset, self.numbers)
            self.colors = tuple(dataset.colorinterp[band - 1].name for band in self.numbers)
            self.block_shape = block_shape(dataset, self.numbers[0])

    @property
    def bands(self) -> int:
        """How many bands a read gives."""
        return len(self.numbers) if self._colors is None else 3

    @property
    def may_have_invalid_pixels(self) -> bool:
        """Whether a pixel inside the raster can be not valid."""
        return bool(self._empty) or self._mask is not None or self.dtype.kind == "f"

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
                image = read_bands(dataset, self.numbers, where, self.dtype)
                shown = self._mask and read_mask(dataset, self._mask, self.numbers, where)
                distrust.check(dataset, self.numbers, window)
        except RasterError:
            distrust.note(self._handles.own)
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
        warped = self._warped(stack, dataset, self._options.on)
        stack.callback(warped.close)
        return warped

    def _warped(self, stack: ExitStack, dataset: Any, grid: Grid) -> WarpedVRT:
        if why := no_way(dataset.crs, grid.crs):
            raise RasterError(f"{self.path}: {why}")
        mixable = palette(dataset) is None  # there is nothing between two indices
        with reading(self.path):
            if mixable and self._needs_view(dataset):
                dataset = rasterio.open(masked_view(dataset, self._options.nodata))
                stack.callback(dataset.close)
                nodata = None
            else:
                (nodata, *_) = self._nodata(dataset, dataset.indexes)
                if nodata is None and np.dtype(dataset.dtypes[0]).kind == "f":
                    nodata = np.nan
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

    def _needs_view(self, dataset: Any) -> bool:
        """Whether GDAL would mix pixels without data into others: it knows one rule for all bands.

        Of floats it sees either NaN or the nodata value.
        """
        if ColorInterp.alpha in dataset.colorinterp:
            return False
        nodata = self._nodata(dataset, dataset.indexes)
        mask = self._options.nodata is None and mask_source(dataset, dataset.indexes)
        if np.result_type(*dataset.dtypes).kind == "f":
            return dataset.count > 1 or bool(mask) or nodata != [None]
        some_alone = dataset.count > 1 and any(value is not None and value < 0 for value in nodata)
        return mask == "masks" or len(set(nodata)) > 1 or some_alone

    def _mask_source(self, dataset: Any) -> MaskSource | None:
        """Which band hides pixels; what is resampled has an alpha for what lies outside."""
        given = self._options.nodata
        if given is not None and self._options.on is None:
            return None
        has_alpha = self._options.on and ColorInterp.alpha in dataset.src_dataset.colorinterp
        if given not in (None, "none") and has_alpha:
            return None
        return mask_source(dataset, self.numbers)

    def _nodata(self, dataset: Any, bands: Bands) -> list[float | None]:
        """The value without data of each band; None also for NaN, which never is data."""
        if self._options.nodata is not None:
            value = None if self._options.nodata == "none" else self._options.nodata
            return [value] * len(bands)
        own = [dataset.nodatavals[band - 1] for band in bands]
        return [None if value is None or np.isnan(value) else value for value in own]


def _possible(nodata: float | None, dtype: np.dtype[Any]) -> bool:
    """Whether a value of a type can be the nodata value."""
    if nodata is None or dtype.kind not in "iu":
        return True
    limits = np.iinfo(dtype)
    return limits.min <= nodata <= limits.max and float(nodata).is_integer()


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


def _with_data(image: NDArray[Any], empty: Sequence[tuple[Any, Sequence[int]]]) -> Any:
    """Where every band is finite, and no nodata value stands.

    Args:
        image: (bands, height, width).
        empty: Nodata values, each with the bands that must all hold it.

    Returns:
        (height, width) bool.
    """
    valid: Any = None
    if image.dtype.kind == "f":
        valid = np.isfinite(image[0])
        for band in image[1:]:
            valid &= np.isfinite(band)
    for value, bands in empty:
        found = image[bands[0]] != value
        for band in bands[1:]:
            if found.all():
                break
            found |= image[band] != value
        valid = found if valid is None else np.logical_and(valid, found, out=valid)
    return np.ones(image.shape[1:], np.bool_) if valid is None else valid


def _by_value(
    nodata: Sequence[float | None], types: Sequence[np.dtype[Any]]
) -> list[tuple[Any, Sequence[int]]]:
    """Nodata values, each with the bands that must all hold it for a pixel to be hidden.

    >>> _by_value([0, 0, -9999], [np.dtype("int16")] * 3)
    [(np.int16(0), [0, 1]), (np.int16(-9999), [2])]
    """
    together: dict[Any, list[int]] = {}
    found: list[tuple[Any, Sequence[int]]] = []
    for band, (value, dtype) in enumerate(zip(nodata, types, strict=True)):
        if value is None:
            continue
        like = _like(value, np.result_type(*types))
        if _hides_alone(value, dtype):
            found.append((like, [band]))
        else:
            together.setdefault(like, []).append(band)
    return [*together.items(), *found]


def _hides_alone(value: float | None, dtype: np.dtype[Any]) -> bool:
    """Whether a nodata value in one band hides the pixel: it cannot be a brightness there."""
    return dtype.kind == "f" or (value is not None and value < 0)


def _like(value: float, dtype: np.dtype[Any]) -> Any:
    """A value as one of the type, if the type has it: comparing is much faster then."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(value)
    if dtype.kind in "iu" and float(value).is_integer():
        limits = np.iinfo(dtype)
        return dtype.type(int(value)) if limits.min <= value <= limits.max else value
    return value


def _table(colors: dict[int, Any], dtype: str) -> NDArray[np.uint8]:
    """(n, 3) the colour of each index that a type holds; black where the palette has none."""
    table = np.zeros((np.iinfo(dtype).max + 1, 3), np.uint8)
    for value, color in colors.items():
        if value < len(table):
            table[value] = color
    return table
