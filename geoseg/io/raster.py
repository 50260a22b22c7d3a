"""Reading rasters in windows: values, and where they are valid."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window as RasterioWindow

from geoseg.core.grid import Grid
from geoseg.core.legend import Color
from geoseg.core.window import Window
from geoseg.errors import GridMismatchError, RasterError

Bands = tuple[int, ...]
"""Band numbers as in rasterio: from 1."""


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
        self.palette = _palette(dataset)
        self._expand = self.palette is not None and not palette_index
        self.file_bands = _chosen_bands(dataset, self.options.bands, path)
        self.dtype = np.dtype(dataset.dtypes[self.file_bands[0] - 1])
        self.nodata = self._nodata(dataset)
        self._mask = _mask_source(dataset) if self.options.nodata is None else None
        self.band_names = _band_names(dataset, self.file_bands)
        self.block_shape = dataset.block_shapes[0]

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
            image = _read_bands(self._dataset, self.file_bands, where)
            shown = self._mask and _read_mask(self._dataset, self._mask, where)
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


class WindowReader:
    """A window of a raster that reads like a raster of its own; it may hang over the edge."""

    def __init__(self, reader: RasterReader, window: Window) -> None:
        self.reader = reader
        self.path = reader.path
        self.window = window
        self.grid = reader.grid.part(window)

    def read(self, window: Window) -> Pixels:
        """Pixels of a window, counted from this window's corner."""
        return self.reader.read(window.moved(self.window.row_off, self.window.col_off))

    def read_floats(self, window: Window) -> Pixels:
        """As `RasterReader.read_floats`, counted from this window's corner."""
        return self.reader.read_floats(window.moved(self.window.row_off, self.window.col_off))


def opened(path: Path) -> Any:
    """A rasterio dataset.

    Raises:
        RasterError: If the file is missing or is no raster.
    """
    if "://" not in str(path) and not str(path).startswith("/vsi") and not path.exists():
        raise RasterError(f"{path}: no such file")
    with reading(path):
        dataset = rasterio.open(path)
    if dataset.count == 0:
        raise RasterError(
            f"{path}: holds several rasters and none of its own; name one of them: "
            f"{', '.join(dataset.subdatasets[:3])}"
        )
    return dataset


@contextmanager
def reading(path: Path, window: Window | None = None) -> Iterator[None]:
    """Turn failures of GDAL and the system into a `RasterError` that says where."""
    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        where = "" if window is None else f" in {window}"
        reason = str(error.__cause__ or error).removeprefix(f"{path}: ")
        raise RasterError(f"{path}: cannot be read{where}: {reason}") from error


def sample_values(reader: RasterReader, side: int = 256) -> NDArray[Any]:
    """(n,) valid values of windows spread over a raster, to judge its range by.

    Args:
        reader: An open raster.
        side: Of each window, in pixels.
    """
    height, width = reader.grid.height, reader.grid.width
    values = []
    for row_off in np.linspace(0, max(height - side, 0), 4).astype(int):
        for col_off in np.linspace(0, max(width - side, 0), 4).astype(int):
            window = Window(row_off=row_off, col_off=col_off, height=side, width=side)
            image, valid = reader.read(window.clip(height, width) or window)
            values.append(image[:, valid].ravel())
    return np.concatenate(values)


def cover(grid: Grid, lattice: Grid) -> Grid:
    """The smallest grid on the pixels of another one that holds all of a grid.

    Args:
        grid: What is to be covered.
        lattice: Gives CRS and pixels.

    Raises:
        GridMismatchError: If one of them has no CRS and the other has.
    """
    if grid.crs == lattice.crs:
        bounds = grid.bounds
    elif grid.crs and lattice.crs:
        bounds = transform_bounds(grid.crs, lattice.crs, *grid.bounds, densify_pts=21)
    else:
        raise GridMismatchError("a raster without georeference cannot be resampled onto another")
    x_min, y_min, x_max, y_max = bounds
    corners = [~lattice.transform @ (x, y) for x in (x_min, x_max) for y in (y_min, y_max)]
    cols, rows = zip(*corners, strict=True)
    hair = 1e-3  # of a pixel: what lies on a border is not beyond it
    col_off, row_off = floor(min(cols) + hair), floor(min(rows) + hair)
    return lattice.part(
        Window(
            row_off=row_off,
            col_off=col_off,
            height=max(ceil(max(rows) - hair) - row_off, 1),
            width=max(ceil(max(cols) - hair) - col_off, 1),
        )
    )


def rasterio_window(window: Window) -> RasterioWindow:
    """The same window in rasterio's terms."""
    return RasterioWindow(window.col_off, window.row_off, window.width, window.height)


def _pad(pixels: Pixels, inside: Window, window: Window) -> Pixels:
    """Reflect what lies inside a raster over the parts of a window that do not."""
    if inside == window:
        return pixels
    rows = (inside.row_off - window.row_off, window.row_stop - inside.row_stop)
    cols = (inside.col_off - window.col_off, window.col_stop - inside.col_stop)
    image = np.pad(pixels.image, ((0, 0), rows, cols), mode="symmetric")
    return Pixels(image, np.pad(pixels.valid, (rows, cols), constant_values=False))


def _palette(dataset: Any) -> dict[int, Color] | None:
    """The colours of a one-band raster that has them."""
    dataset = getattr(dataset, "src_dataset", dataset)  # warping loses them
    if dataset.count != 1 or ColorInterp.palette not in dataset.colorinterp:
        return None
    return {value: tuple(color[:3]) for value, color in dataset.colormap(1).items()}


def _chosen_bands(dataset: Any, wanted: Bands | None, path: Path) -> Bands:
    if wanted is None:
        alpha = {n for n, c in enumerate(dataset.colorinterp, 1) if c == ColorInterp.alpha}
        return tuple(n for n in dataset.indexes if n not in alpha) or (1,)
    if missing := [number for number in wanted if number not in dataset.indexes]:
        raise RasterError(f"{path}: has bands 1..{dataset.count}, not {missing}")
    return wanted


def _band_names(dataset: Any, bands: Bands) -> tuple[str, ...]:
    names = []
    for band in bands:
        color = dataset.colorinterp[band - 1].name
        known = color if color in {"red", "green", "blue", "gray"} else f"band {band}"
        names.append(dataset.descriptions[band - 1] or known)
    return tuple(names)


def _mask_source(dataset: Any) -> Literal["alpha", "mask"] | None:
    """Which band hides pixels, if one does."""
    if ColorInterp.alpha in dataset.colorinterp:
        return "alpha"
    flags = dataset.mask_flag_enums[0]
    return "mask" if MaskFlags.per_dataset in flags else None


def _read_bands(dataset: Any, bands: Bands, where: Mapping[str, Any]) -> NDArray[Any]:
    """(bands, height, width)."""
    if "out_shape" in where:
        where = {**where, "out_shape": (len(bands), *where["out_shape"])}
    image: NDArray[Any] = dataset.read(list(bands), **where)
    return image


def _read_mask(dataset: Any, source: str, where: Mapping[str, Any]) -> NDArray[np.bool_]:
    if source == "mask":
        return np.asarray(dataset.read_masks(1, **where) > 0)
    alpha = dataset.colorinterp.index(ColorInterp.alpha) + 1
    return np.asarray(dataset.read(alpha, **where) > 0)
