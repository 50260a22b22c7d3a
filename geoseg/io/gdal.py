"""What GDAL knows of a file, in geoseg's terms; its failures as ours."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from geoseg.core.colors import Color
from geoseg.core.window import Window
from geoseg.errors import RasterError
from geoseg.io import DEFAULT_CACHE

Bands = tuple[int, ...]
"""Band numbers as in rasterio: from 1."""

STRIP = 256
"""Least rows of a strip that is read apart from the rest of a picture."""


LEAST_CACHE = 32_000_000
"""Bytes of decoded blocks that GDAL keeps at least."""


def limit_block_cache(size: int) -> None:
    """Let GDAL keep so many bytes of decoded blocks, if it has not read a block yet.

    A size that the user has set in the environment stays.
    """
    if os.environ.get("GDAL_CACHEMAX") == DEFAULT_CACHE:
        os.environ["GDAL_CACHEMAX"] = str(max(size, LEAST_CACHE))


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
    except (RasterioError, CPLE_BaseError, OSError, SystemError, UnicodeError) as error:
        where = "" if window is None else f" in {window}"
        reason = str(error.__cause__ or error).removeprefix(f"{path}: ")
        raise RasterError(f"{path}: cannot be read{where}: {reason}") from error


def rasterio_window(window: Window) -> RasterioWindow:
    """The same window in rasterio's terms."""
    return RasterioWindow(window.col_off, window.row_off, window.width, window.height)


def palette(dataset: Any) -> dict[int, Color] | None:
    """The colours of a one-band raster that has them."""
    dataset = getattr(dataset, "src_dataset", dataset)  # warping loses them
    if dataset.count != 1 or ColorInterp.palette not in dataset.colorinterp:
        return None
    return {value: tuple(color[:3]) for value, color in dataset.colormap(1).items()}


def chosen_bands(dataset: Any, wanted: Bands | None, path: Path) -> Bands:
    """The bands that are wanted, or all but alpha.

    Raises:
        RasterError: If one is not there.
    """
    if wanted is None:
        alpha = {n for n, c in enumerate(dataset.colorinterp, 1) if c == ColorInterp.alpha}
        return tuple(n for n in dataset.indexes if n not in alpha) or (1,)
    if missing := [number for number in wanted if number not in dataset.indexes]:
        raise RasterError(f"{path}: has bands 1..{dataset.count}, not {missing}")
    return wanted


def band_names(dataset: Any, bands: Bands) -> tuple[str, ...]:
    """What the file calls the bands."""
    names = []
    for band in bands:
        color = dataset.colorinterp[band - 1].name
        known = color if color in {"red", "green", "blue", "gray"} else f"band {band}"
        names.append(dataset.descriptions[band - 1] or known)
    return tuple(names)


def block_shape(dataset: Any, band: int) -> tuple[int, int]:
    """Rows and columns of the pieces that can be read apart: the blocks of the file.

    Pictures (PNG, JPEG) name rows, yet are decoded from the first one on each time: strips.
    """
    height, width = dataset.block_shapes[band - 1]
    if width == dataset.width and dataset.driver != "GTiff":
        height *= ceil(STRIP / height)
    return height, width


def mask_source(dataset: Any) -> Literal["alpha", "mask"] | None:
    """Which band hides pixels, if one does."""
    if ColorInterp.alpha in dataset.colorinterp:
        return "alpha"
    flags = dataset.mask_flag_enums[0]
    return "mask" if MaskFlags.per_dataset in flags else None


def read_bands(dataset: Any, bands: Bands, where: Mapping[str, Any]) -> NDArray[Any]:
    """(bands, height, width)."""
    if "out_shape" in where:
        where = {**where, "out_shape": (len(bands), *where["out_shape"])}
    image: NDArray[Any] = dataset.read(list(bands), **where)
    return image


def read_mask(dataset: Any, source: str, where: Mapping[str, Any]) -> NDArray[np.bool_]:
    """(height, width) bool, True where the pixel is shown."""
    if source == "mask":
        return np.asarray(dataset.read_masks(1, **where) > 0)
    alpha = dataset.colorinterp.index(ColorInterp.alpha) + 1
    return np.asarray(dataset.read(alpha, **where) > 0)
