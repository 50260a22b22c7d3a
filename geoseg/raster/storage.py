"""Access to GDAL: opening, palettes, bands, nodata and masks, and its failures as RasterError."""

import ctypes
import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import rasterio
import rasterio._io
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio._path import _parse_path as parse_path
from rasterio._path import _vsi_path as vsi_path
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.env import get_gdal_config, set_gdal_config
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.windows import Window as RasterioWindow

from geoseg.errors import RasterError
from geoseg.raster import GDAL_DEFAULTS
from geoseg.raster.grid import Grid
from geoseg.raster.paths import (
    REDACTED,
    REMOTE,
    SELF_CONTAINED,
    GdalName,
    gdal_name,
    is_remote,
    parse_name,
    reason_for,
    refuse_special_file,
)
from geoseg.raster.threads import logged
from geoseg.raster.window import Window

if TYPE_CHECKING:
    from geoseg.raster.remote import Sources

Color = tuple[int, int, int]

Bands = tuple[int, ...]
"""Band numbers as in rasterio: from 1."""

INDEX_TYPES = ("uint8", "uint16")
"""Types of palette indices."""

MIN_STRIP_ROWS = 256
"""Least rows of a strip of an image without blocks."""

MIN_CACHE_BYTES = 32_000_000


@contextmanager
def block_cache(size: int) -> Iterator[None]:
    """Let GDAL keep so many bytes of decoded blocks, unless the user has set a size."""
    before = get_gdal_config("GDAL_CACHEMAX")
    if os.environ.get("GDAL_CACHEMAX") == GDAL_DEFAULTS["GDAL_CACHEMAX"]:
        set_gdal_config("GDAL_CACHEMAX", max(size, MIN_CACHE_BYTES))
    try:
        yield
    finally:
        set_gdal_config("GDAL_CACHEMAX", before)


def opened(path: Path) -> Any:
    """A rasterio dataset.

    Raises:
        RasterError: If the file is missing or is no raster.
    """
    path = parse_name(path)
    if not isinstance(path, GdalName):
        refuse_special_file(path)
        if not path.exists():
            raise RasterError(f"{path}: no such file")
    elif REDACTED in path.gdal:
        raise RasterError(f"{path}: signatures and passwords are not recorded; name it anew")
    try:
        dataset = _open(path)
    except RasterError as error:
        from geoseg.raster.virtual import kind_of

        if (fault := kind_of(path)) is not None:
            raise RasterError(f"{path}: {fault}") from error
        raise
    if dataset.driver not in SELF_CONTAINED:
        from geoseg.raster.virtual import refuse_foreign_pixels  # few rasters name other files

        try:
            with reading(path):
                refuse_foreign_pixels(dataset, path)
        except RasterError:
            dataset.close()
            raise
    if dataset.count == 0:
        raise RasterError(
            f"{path}: holds several subdatasets; name one of them: "
            f"{', '.join(map(repr, dataset.subdatasets[:3]))}"
        )
    return dataset


def _open(path: Path) -> Any:
    """Open a raster; on a server, every error that GDAL logs meanwhile counts."""
    name = vsi_path(parse_path(gdal_name(path)))
    if REMOTE.search(name):
        from geoseg.raster.staging import staged_name

        name = staged_name(name)
    if REMOTE.search(name):
        from geoseg.raster.remote import opened_from_server

        return opened_from_server(name, partial(reading, path, strict=True))
    with reading(path):
        return rasterio.open(name)


def file_state(path: Path) -> list[Any]:
    """Path, size and time of a file, by which a change is seen; of one on a server its version.

    The name alone if there is none.
    """
    if path.exists():
        state = path.stat()
        return [str(path.absolute()), state.st_size, state.st_mtime_ns]
    if not is_remote(path):
        return [str(parse_name(path))]
    from geoseg.raster.remote import remote_names, version_of

    return [str(parse_name(path)), *map(version_of, remote_names([gdal_name(path)]))]


def is_older(output: Path, inputs: Iterable[Path]) -> bool:
    """Whether an existing output is older than one of the files that it is made of."""
    made = _changed_at(output)
    return any(_changed_at(each) > made for each in inputs)


def _changed_at(path: Path) -> float:
    """When a file was changed, in seconds since 1970; 0: nobody knows."""
    if not is_remote(path):
        return path.stat().st_mtime if path.exists() else 0
    from geoseg.raster.remote import changed_at

    return changed_at(gdal_name(path))


def sources_of(dataset: Any) -> "Sources | None":
    """What of a raster lies on servers; None: nothing."""
    files = [dataset.name, *(dataset.files if dataset.driver == "VRT" else ())]
    if not any(map(REMOTE.search, files)):
        return None
    from geoseg.raster.remote import Sources, remote_names

    return Sources(remote_names(vsi_path(parse_path(each)) for each in files))


READ_ERRORS = (
    RasterioError,
    CPLE_BaseError,
    OSError,
    SystemError,
    MemoryError,
    ValueError,
    LookupError,
    ArithmeticError,
    NotImplementedError,
)
"""Exceptions of rasterio on damaged files."""

MAX_REASON_LENGTH = 300


class _GdalMessages(logging.Handler):
    """Log handler that collects GDAL's errors per thread and keeps them off the terminal."""

    DAMAGE = re.compile(r"(Corrupt JPEG data(?!: \d+ extraneous)|Premature end of JPEG)")
    """Warnings of decoders that have invented pixels."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep an error."""
        said = record.getMessage()
        if record.levelno >= logging.ERROR or self.DAMAGE.search(said):
            self.failures.append(said)

    @property
    def failures(self) -> list[str]:
        """Errors of this thread."""
        if not hasattr(self._local, "failures"):
            self._local.failures = []
        return cast(list[str], self._local.failures)

    @contextmanager
    def apart(self) -> Iterator[list[str]]:
        """Errors during the block only."""
        before, self._local.failures = self.failures, []
        try:
            yield self._local.failures
        finally:
            self._local.failures = before


_gdal_messages = _GdalMessages()

logging.getLogger("rasterio").addHandler(_gdal_messages)


def _silence_libtiff() -> None:
    """Keep libtiff from printing errors, which GDAL reports anyway.

    GDAL handles the errors of each file, but not those of its own read and write callbacks
    (``_tiffWriteProc``), which libtiff prints. On Linux and macOS libtiff's functions are reachable
    through rasterio's library; elsewhere nothing changes.
    """
    with suppress(OSError, AttributeError):
        handler = ctypes.CDLL(rasterio._io.__file__).TIFFSetErrorHandler  # noqa: SLF001
        handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        handler(None)


_silence_libtiff()


@contextmanager
def reading(path: Path, window: Window | None = None, *, strict: bool = False) -> Iterator[None]:
    """Turn failures of GDAL and the system into a `RasterError` with path and window.

    While a window is read, or if `strict`, every error that GDAL logs counts as a failure, even
    if it goes on: the pixels are then invented.
    """
    try:
        with logged(), _gdal_messages.apart() as failures:
            yield
            if failures and (strict or window is not None):
                raise RasterError(_reason(path, window, failures[0]))
    except READ_ERRORS as error:
        raise RasterError(_reason(path, window, str(error.__cause__ or error))) from error


def _reason(path: Path, window: Window | None, said: str) -> str:
    """The failure, on one line."""
    where = "" if window is None else f" in {window}"
    reason = reason_for(said, path) or "GDAL gives no reason"
    return f"{path}: cannot be read{where}: {reason[:MAX_REASON_LENGTH].rstrip('.')}"


def rasterio_window(window: Window) -> RasterioWindow:
    """The same window in rasterio's terms."""
    return RasterioWindow(window.col_off, window.row_off, window.width, window.height)


def grid_of(dataset: Any) -> Grid:
    """The grid of a raster; without a geotransform the CRS is dropped, as it places nothing."""
    placed = dataset.transform != Affine.identity()
    return Grid(dataset.crs if placed else None, dataset.transform, dataset.height, dataset.width)


def missing_place(dataset: Any) -> str | None:
    """Georeference other than a geotransform, and how to apply it; None: there is none."""
    if dataset.transform != Affine.identity():
        return None
    points, _ = dataset.gcps
    if points:
        count = len(points)
        return f"is georeferenced by {count} ground control points only; apply them with `gdalwarp`"
    if dataset.rpcs:
        return (
            "is georeferenced by a camera model only (RPC); apply it with `gdalwarp -rpc` and a "
            "terrain model (-to RPC_DEM)"
        )
    if dataset.crs:
        return "has a CRS but no geotransform; set it with `gdal_edit.py -a_ullr`"
    return None


def palette(dataset: Any) -> dict[int, Color] | None:
    """The palette of a one-band raster, or None."""
    dataset = getattr(dataset, "src_dataset", dataset)  # warping loses them
    if dataset.count != 1:
        return None
    table = _color_table(dataset)
    return {value: (red, green, blue) for value, (red, green, blue, _) in table.items()} or None


def _color_table(dataset: Any) -> dict[int, tuple[int, int, int, int]]:
    """Red, green, blue and alpha by index; empty without a palette."""
    if ColorInterp.palette not in dataset.colorinterp or dataset.dtypes[0] not in INDEX_TYPES:
        return {}
    try:
        colors: dict[int, tuple[int, int, int, int]] = dataset.colormap(1)
    except ValueError:  # a palette without a table
        return {}
    return colors


def chosen_bands(dataset: Any, wanted: Bands | None, path: Path) -> Bands:
    """The bands asked for, or all but alpha.

    Raises:
        RasterError: If one does not exist.
    """
    if any(dtype.startswith("complex") for dtype in dataset.dtypes):
        raise RasterError(
            f"{path}: holds complex numbers; write their amplitude first, "
            f"for example with `gdal_calc.py --calc 'abs(A)'`"
        )
    if wanted is None:
        alpha = {n for n, c in enumerate(dataset.colorinterp, 1) if c == ColorInterp.alpha}
        return tuple(n for n in dataset.indexes if n not in alpha) or (1,)
    if missing := [number for number in wanted if number not in dataset.indexes]:
        raise RasterError(f"{path}: has bands 1..{dataset.count}, not {missing}")
    return wanted


def band_names(dataset: Any, bands: Bands) -> tuple[str, ...]:
    """Names of bands: description, colour or number."""
    names = []
    for band in bands:
        color = dataset.colorinterp[band - 1].name
        known = color if color in {"red", "green", "blue", "gray"} else f"band {band}"
        names.append(dataset.descriptions[band - 1] or known)
    return tuple(names)


def block_shape(dataset: Any, band: int) -> tuple[int, int]:
    """Rows and columns of the file's blocks.

    PNG and JPEG report single rows, but are decoded from the start each time: taller strips.
    """
    height, width = dataset.block_shapes[band - 1]
    if width == dataset.width and dataset.driver != "GTiff":
        height *= ceil(MIN_STRIP_ROWS / height)
    return height, width


def lossy_compression(dataset: Any) -> str | None:
    """The name of a file's lossy compression, such as ``JPEG``; None if it is lossless."""
    facts = dataset.tags(ns="IMAGE_STRUCTURE")
    name = str(facts.get("COMPRESSION", ""))
    lossy = dataset.driver == "JPEG" or "JPEG" in name.upper().replace("JPEG2000", "")
    lossy |= facts.get("COMPRESSION_REVERSIBILITY", "").startswith("LOSSY")
    return (name or str(dataset.driver)) if lossy else None


def has_transparent_255(dataset: Any) -> bool:
    """Whether 255 is transparent in the palette, as in PNG masks of geoseg."""
    colors = _color_table(dataset)
    return 255 in colors and colors[255][3] == 0  # noqa: PLR2004


def is_possible_nodata(nodata: float | None, dtype: np.dtype[Any]) -> bool:
    """Whether pixels of a type can have a nodata value."""
    if nodata is None or dtype.kind not in "iu":
        return True
    limits = np.iinfo(dtype)
    return limits.min <= nodata <= limits.max and float(nodata).is_integer()


def nodata_rules(
    nodata: Sequence[float | None], types: Sequence[np.dtype[Any]]
) -> list[tuple[Any, Sequence[int]]]:
    """Nodata values, each with the bands that must all hold it for a pixel to be invalid.

    >>> nodata_rules([0, 0, -9999], [np.dtype("int16")] * 3)
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
    """Whether nodata in one band suffices: it cannot be a brightness there."""
    return dtype.kind == "f" or (value is not None and value < 0)


def _like(value: float, dtype: np.dtype[Any]) -> Any:
    """A value converted to a type, if it fits: comparisons are much faster then."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(value)
    if dtype.kind in "iu" and float(value).is_integer():
        limits = np.iinfo(dtype)
        return dtype.type(int(value)) if limits.min <= value <= limits.max else value
    return value


MaskSource = Literal["alpha", "mask", "masks"]
"""Source of the mask: an alpha band, a mask of the whole raster, or one mask per band."""


def mask_source(dataset: Any, bands: Bands) -> MaskSource | None:
    """The source of the mask of some bands, or None."""
    if ColorInterp.alpha in dataset.colorinterp:
        return "alpha"
    flags = [dataset.mask_flag_enums[band - 1] for band in bands]
    if any(not each for each in flags):  # neither of all bands, nor alpha, nor by nodata
        return "masks"
    return "mask" if any(MaskFlags.per_dataset in each for each in flags) else None


class VrtFailures:
    """Whether a VRT has failed in this process, after which GDAL may silently give zeros.

    GDAL remembers files that it could not open, for all VRTs that refer to them, and from the
    second read on gives zeros without an error.
    """

    def __init__(self) -> None:
        self._failed = False

    def note(self, dataset: Any) -> None:
        """Record that a dataset has failed."""
        self._failed |= dataset.driver == "VRT"

    def check(self, dataset: Any, bands: Bands, window: Window) -> None:
        """Check by checksums, for which GDAL reports failures, that a window can be read.

        Raises:
            OSError: If it cannot.
        """
        if self._failed and dataset.driver == "VRT":
            try:
                for band in bands:
                    dataset.checksum(band, rasterio_window(window))
            except RasterioIOError as error:
                raise OSError("a file that it refers to cannot be opened") from error


vrt_failures = VrtFailures()


def read_mask(
    dataset: Any, source: MaskSource, bands: Bands, where: Mapping[str, Any]
) -> NDArray[np.bool_]:
    """(height, width) bool, True where no mask of the bands hides the pixel."""
    if source == "alpha":
        alpha = dataset.colorinterp.index(ColorInterp.alpha) + 1
        return np.asarray(dataset.read(alpha, **where) > 0)
    shown = [dataset.read_masks(band, **where) > 0 for band in _masked(dataset, source, bands)]
    return np.asarray(np.logical_and.reduce(shown))


def _masked(dataset: Any, source: MaskSource, bands: Bands) -> Bands:
    """The bands whose masks are read; one if they share it."""
    flags = {band: dataset.mask_flag_enums[band - 1] for band in bands}
    if source == "mask":
        return next((band,) for band, each in flags.items() if MaskFlags.per_dataset in each)
    return tuple(band for band, each in flags.items() if not each or MaskFlags.per_dataset in each)
