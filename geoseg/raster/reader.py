"""Raster reader: pixels in windows, and where they are valid."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from geoseg.errors import RasterError, issue_warning
from geoseg.options import option, parse_bands, parse_nodata
from geoseg.raster.grid import Grid, missing_transform, same_crs
from geoseg.raster.paths import unique_names
from geoseg.raster.storage import (
    Bands,
    MaskSource,
    band_names,
    block_shape,
    chosen_bands,
    grid_of,
    is_possible_nodata,
    mask_source,
    missing_place,
    nodata_rules,
    opened,
    palette,
    rasterio_window,
    read_mask,
    reading,
    sources_of,
    vrt_failures,
)
from geoseg.raster.threads import Handles
from geoseg.raster.window import Window

INPUT = "Input"
"""Help group of the options for reading rasters."""


class Pixels(NamedTuple):
    """Result of a read."""

    image: NDArray[Any]
    """(bands, height, width)."""

    valid: NDArray[np.bool_]
    """(height, width), True where the pixel counts."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Bands, nodata and resampling of a raster."""

    bands: Bands | None = option(
        None,
        group=INPUT,
        names=("--bands", "-b"),
        metavar="1,2,3",
        parse=parse_bands,
        shown="all but alpha",
        help="Bands to use, from 1.",
    )
    nodata: float | Literal["none"] | None = option(
        None,
        group=INPUT,
        metavar="VALUE|none",
        parse=parse_nodata,
        shown="as the file says",
        help="Value without data, or none.",
    )
    stacked: tuple[Path, ...] = option(
        (),
        group=INPUT,
        names=("--with",),
        help="Raster whose bands follow the orthophoto's, such as a surface model; of any CRS and "
        "resolution, resampled (bilinear) onto the orthophoto. Repeat for more.",
    )
    on: Grid | None = None
    """Grid to resample onto; None: the raster's own."""

    resampling: Literal["nearest", "bilinear", "average"] = "nearest"
    """Resampling method onto `on`."""


class RasterFile:
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
                issue_warning(f"{path}: {missing}; until then it is read without georeference")
            self.palette = palette(dataset)
            self._colors = (
                None
                if self.palette is None or palette_index
                else _table(self.palette, dataset.dtypes[0])
            )
            self.numbers = chosen_bands(dataset, options.bands, path)
            types = [np.dtype(dataset.dtypes[band - 1]) for band in self.numbers]
            self.dtype = np.result_type(*types)
            self._has_one_type = len(set(types)) == 1
            nodata = self._nodata(dataset, self.numbers)
            self.nodata = nodata[0] if len(set(nodata)) == 1 else None
            if not is_possible_nodata(self.nodata, self.dtype):
                issue_warning(
                    f"{path}: nodata {self.nodata:g} is impossible for {self.dtype} pixels and is "
                    f"ignored"
                )
                self.nodata, nodata = None, [None] * len(nodata)
            self._nodata_rules = nodata_rules(nodata, types)
            self._mask = self._mask_source(dataset)
            self.band_names = band_names(dataset, self.numbers)
            self.colors = tuple(dataset.colorinterp[band - 1].name for band in self.numbers)
            self.block_shape = block_shape(dataset, self.numbers[0])
            self._sources = sources_of(getattr(dataset, "src_dataset", dataset))

    @property
    def bands(self) -> int:
        """Number of bands of a read."""
        return len(self.numbers) if self._colors is None else 3

    @property
    def may_have_invalid_pixels(self) -> bool:
        """Whether pixels inside the raster may be invalid."""
        return bool(self._nodata_rules) or self._mask is not None or self.dtype.kind == "f"

    def read(self, window: Window, shape: tuple[int, int] | None = None) -> Pixels:
        """Pixels of a window inside the raster, decimated to a shape if one is given.

        Raises:
            RasterError: If the file cannot be read there.
        """
        if self._sources is None:
            return self._read(window, shape)
        return self._sources.read(partial(self._read, window, shape), again=self._handles.drop)

    def _read(self, window: Window, shape: tuple[int, int] | None) -> Pixels:
        where: dict[str, Any] = {"window": rasterio_window(window)}
        if shape not in (None, (window.height, window.width)):
            where["out_shape"] = shape
        dataset = self._handles.own
        try:
            with reading(self.path, window):
                if self._has_one_type:
                    image = dataset.read(list(self.numbers), **where)
                else:
                    bands = (dataset.read(band, **where) for band in self.numbers)
                    image = np.stack([band.astype(self.dtype, copy=False) for band in bands])
                shown = self._mask and read_mask(dataset, self._mask, self.numbers, where)
                vrt_failures.check(dataset, self.numbers, window)
        except RasterError:
            vrt_failures.note(dataset)
            self._handles.drop()  # a VRT reads 0 where it has failed before
            raise
        valid: Any = shown
        for has_data in _data_masks(image, self._nodata_rules):  # in place: new arrays cost time
            valid = has_data if valid is None else np.logical_and(valid, has_data, out=valid)
        if valid is None:
            valid = np.ones(image.shape[1:], np.bool_)
        if self._colors is not None:
            image = self._colors[image[0]].transpose(2, 0, 1)
        return Pixels(image, valid)

    def close(self) -> None:
        """Close the handles of all threads."""
        self._handles.close()
        if self._sources is not None:
            self._sources.close()

    def _open(self, stack: ExitStack) -> Any:
        dataset = opened(self.path)
        stack.callback(dataset.close)
        if self._options.on is None:
            return dataset
        warped = self._warped(stack, dataset, self._options.on)
        stack.callback(warped.close)
        return warped

    def _warped(self, stack: ExitStack, dataset: Any, grid: Grid) -> WarpedVRT:
        if why := missing_transform(dataset.crs, grid.crs):
            raise RasterError(f"{self.path}: {why}")
        mixable = palette(dataset) is None  # indices cannot be interpolated
        with reading(self.path):
            if mixable and self._needs_view(dataset):
                from geoseg.raster.virtual import masked_view

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
        """Whether resampling by GDAL would mix nodata into other pixels.

        GDAL has one nodata rule for all bands, and for floats either NaN or the nodata value.
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
        """Source of the mask; resampled rasters have an alpha for what lies outside."""
        given = self._options.nodata
        if given is not None and self._options.on is None:
            return None
        has_alpha = self._options.on and ColorInterp.alpha in dataset.src_dataset.colorinterp
        if given not in (None, "none") and has_alpha:
            return None
        return mask_source(dataset, self.numbers)

    def _nodata(self, dataset: Any, bands: Bands) -> list[float | None]:
        """Nodata value of each band; None also for NaN, which is always invalid."""
        if self._options.nodata is not None:
            value = None if self._options.nodata == "none" else self._options.nodata
            return [value] * len(bands)
        own = [dataset.nodatavals[band - 1] for band in bands]
        return [None if value is None or np.isnan(value) else value for value in own]


def _data_masks(
    image: NDArray[Any], rules: Sequence[tuple[Any, Sequence[int]]]
) -> Iterator[NDArray[np.bool_]]:
    """Yield masks (height, width) that must all be True where a pixel is valid."""
    if image.dtype.kind == "f":
        yield from map(np.isfinite, image)
    for value, bands in rules:  # hidden where all of the bands hold the value
        has_data = image[bands[0]] != value
        for band in bands[1:]:
            if has_data.all():
                break
            has_data |= image[band] != value
        yield has_data


def as_floats(pixels: Pixels) -> Pixels:
    """Convert to what networks take: float32, NaN where there is no data."""
    image, valid = pixels
    if not valid.any():
        return Pixels(np.full(image.shape, np.nan, np.float32), valid)
    with np.errstate(over="ignore"):  # nodata may be beyond float32
        image = image.astype(np.float32, copy=False)
    if not valid.all():
        np.copyto(image, np.nan, where=~valid)
    return Pixels(image, valid)


def _table(colors: dict[int, Any], dtype: str) -> NDArray[np.uint8]:
    """(n, 3) colour of each index of a type; black where the palette has none."""
    table = np.zeros((np.iinfo(dtype).max + 1, 3), np.uint8)
    for value, color in colors.items():
        if value < len(table):
            table[value] = color
    return table


def open_stacked(path: Path, grid: Grid, ortho: Path) -> RasterFile:
    """A raster, resampled (bilinear) onto the grid of an orthophoto.

    Without a CRS it is assumed to have that of the orthophoto.

    Raises:
        RasterError: If it cannot be read, or does not overlap the orthophoto.
    """
    own = RasterFile(path, ReadOptions())
    own.close()
    if own.grid.crs is not None and grid.crs is None:
        raise RasterError(
            f"{path}: cannot be stacked on {ortho}, which has no CRS; georeference it"
        )
    if not _meet(own.grid, grid, path):
        raise RasterError(
            f"{path}: does not overlap {ortho}, on which it is stacked; are the CRS right?"
        )
    return RasterFile(path, ReadOptions(on=grid, resampling="bilinear"))


def stacked_band_names(layers: Sequence[RasterFile]) -> tuple[str, ...]:
    """Band names of stacked rasters: the file name, with the band name if there are several."""
    names = []
    for layer, file in zip(layers, unique_names([layer.path for layer in layers]), strict=True):
        several = layer.bands > 1
        names += [f"{file} {band}" if several else file for band in layer.band_names]
    return tuple(names)


def _meet(own: Grid, grid: Grid, path: Path) -> bool:
    """Whether two grids overlap; without georeference, whether they have the same size."""
    if not own.is_georeferenced and not grid.is_georeferenced:
        return (own.height, own.width) == (grid.height, grid.width)
    bounds = grid.bounds
    if why := missing_transform(own.crs, grid.crs):
        raise RasterError(f"{path}: {why}")
    if own.crs is not None and not same_crs(own.crs, grid.crs):
        with reading(path):
            bounds = transform_bounds(grid.crs, own.crs, *bounds)
    left, bottom, right, top = bounds
    x_min, y_min, x_max, y_max = own.bounds
    return left < x_max and x_min < right and bottom < y_max and y_min < top


class RasterReader:
    """A raster open for reading in windows, from any number of threads.

    A pixel is invalid where a mask band or alpha hides it, where any band is NaN, and where
    it holds the nodata value: in any band for floats and negative values, else in all bands
    with that nodata value (which may be a legal brightness in one of them). Nodata values and
    masks may differ between bands. A palette image gives colours unless `palette_index` is set.

    Bands of stacked rasters follow the raster's own; a pixel is valid where all rasters are.
    The result is float32 unless all rasters have the same type.

    Raises:
        RasterError: If a file is missing, is no raster, or lacks a band asked for, or if a
            stacked raster does not overlap.
    """

    def __init__(
        self, path: Path, options: ReadOptions | None = None, *, palette_index: bool = False
    ) -> None:
        self.path = path
        self.options = options or ReadOptions()
        self._own = own = RasterFile(path, self.options, palette_index=palette_index)
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
        """Numbers of its own bands in the file (from 1)."""
        return self._own.numbers

    @property
    def band_colors(self) -> tuple[str, ...]:
        """GDAL's colour interpretation of its own bands: ``red``, ``undefined``."""
        return self._own.colors

    @property
    def may_have_invalid_pixels(self) -> bool:
        """Whether pixels inside the raster may be invalid."""
        return any(layer.may_have_invalid_pixels for layer in self._layers)

    @property
    def block_shape(self) -> tuple[int, int]:
        """Rows and columns of the file's blocks."""
        return self._own.block_shape

    def read(self, window: Window) -> Pixels:
        """Pixels of a window; beyond the raster's edge they are its reflection and invalid.

        Raises:
            RasterError: If the file cannot be read there, or has no pixel there.
        """
        inside = self._inside(window)
        return reflected(self._read_inside(inside), inside, window)

    def read_floats(self, window: Window) -> Pixels:
        """Pixels of a window for networks: float32, NaN where there is no data.

        Beyond the raster's edge they are its reflection, as in `read`, NaN included.

        Raises:
            RasterError: If the file cannot be read there, or has no pixel there.
        """
        inside = self._inside(window)
        return reflected(as_floats(self._read_inside(inside)), inside, window)

    def read_overview(self, side: int) -> Pixels:
        """The whole raster, decimated until no side is longer than ``side``.

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
        """Pixels of a window inside the raster, stacked bands included."""
        parts = [layer.read(window, shape) for layer in self._layers]
        if len(parts) == 1:
            return parts[0]
        images, valid = zip(*parts, strict=True)
        with np.errstate(over="ignore"):  # nodata of 64 bits
            image = np.concatenate(images, dtype=self.dtype, casting="same_kind")
        return Pixels(image, np.logical_and.reduce(valid))

    def close(self) -> None:
        """Close the handles of all threads.

        Raises:
            ChangedError: If a file has changed on its server meanwhile.
        """
        with ExitStack() as stack:
            for layer in self._layers:
                stack.callback(layer.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def reflected(pixels: Pixels, inside: Window, window: Window) -> Pixels:
    """Pad pixels by reflection to a window that overhangs the raster."""
    if inside == window:
        return pixels
    rows = (inside.row_off - window.row_off, window.row_stop - inside.row_stop)
    cols = (inside.col_off - window.col_off, window.col_stop - inside.col_stop)
    image = np.pad(pixels.image, ((0, 0), rows, cols), mode="symmetric")
    return Pixels(image, np.pad(pixels.valid, (rows, cols), constant_values=False))
