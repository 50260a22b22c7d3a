"""Writing the pixels of patches: GeoTIFF with their own georeference, or PNG."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from geoseg.core.grid import Grid
from geoseg.core.legend import Legend
from geoseg.core.scores import IGNORE
from geoseg.core.window import Window
from geoseg.errors import InputError
from geoseg.io.outputs import writing
from geoseg.io.patch_record import Storage
from geoseg.io.raster import Pixels
from geoseg.io.style import colormap
from geoseg.io.writer import RasterFormat, create

PNG_TYPES = ("uint8", "uint16")
PNG_BANDS = (1, 3)


def refuse_unfit_for_png(bands: int, dtype: str) -> None:
    """PNG holds one or three bands of 8 or 16 bits without a sign.

    Raises:
        InputError: If the pixels are others.
    """
    if bands not in PNG_BANDS or dtype not in PNG_TYPES:
        raise InputError(
            f"PNG holds 1 or 3 bands of uint8 or uint16, not {bands} of {dtype}; choose bands "
            f"with --bands, or write GeoTIFF"
        )


def write_image(
    path: Path, pixels: Pixels, grid: Grid, *, storage: Storage, nodata: float | None
) -> None:
    """Write the pixels of a patch; what is not valid reads as not valid again.

    Args:
        path: File to write.
        pixels: (bands, size, size) and (size, size).
        grid: The patch's own.
        storage: Kind of file.
        nodata: The orthophoto's value without data, if it has one.

    Raises:
        OutputError: If the file cannot be written.
    """
    image, valid = pixels
    if storage == "png":
        alpha = np.where(valid, np.iinfo(image.dtype).max, 0).astype(image.dtype)
        bands = image if valid.all() else np.concatenate([image, alpha[None]])
        _write_png(path, bands)
        return
    if nodata is not None and not valid.all():
        image = np.where(valid, image, image.dtype.type(nodata))
    kind = RasterFormat(bands=len(image), dtype=image.dtype.name, nodata=nodata)
    photometric = {"photometric": "rgb"} if len(image) == 3 else {}  # noqa: PLR2004
    with writing(path), _create_patch(path, grid, kind, **photometric) as dataset:
        dataset.write(image)
        if nodata is None and not valid.all():
            dataset.write_mask(valid)


def write_mask(
    path: Path, mask: NDArray[np.uint8], grid: Grid, *, storage: Storage, legend: Legend
) -> None:
    """Write the classes of a patch as a class map: values of the legend, 255 unlabelled.

    Args:
        path: File to write.
        mask: (size, size) class indices.
        grid: The patch's own.
        storage: Kind of file.
        legend: The classes.

    Raises:
        OutputError: If the file cannot be written.
    """
    values = legend.decode_map(mask)[None]
    if storage == "png":
        _write_png(path, values, colormap(legend))
        return
    kind = RasterFormat(nodata=IGNORE, colormap=colormap(legend))
    with writing(path), _create_patch(path, grid, kind) as dataset:
        dataset.write(values)


def padded(pixels: Pixels, size: int) -> Pixels:
    """A patch that hangs over the right and bottom edge, filled up with what is not valid.

    Args:
        pixels: (bands, height, width) and (height, width), at most ``size`` a side.
        size: Side of a patch, in pixels.
    """
    image, valid = pixels
    rows, cols = size - valid.shape[0], size - valid.shape[1]
    if not rows and not cols:
        return pixels
    around = ((0, rows), (0, cols))
    return Pixels(np.pad(image, ((0, 0), *around), mode="symmetric"), np.pad(valid, around))


def _create_patch(path: Path, grid: Grid, kind: RasterFormat, **options: Any) -> Any:
    """One strip: patches are read whole. Zstandard is much faster than deflate."""
    integers = not kind.dtype.startswith("float")
    return create(
        path,
        grid,
        replace(kind, tags=None),
        tiled=False,
        blockysize=grid.height,
        compress="zstd",
        zstd_level=1,
        predictor=2 if integers and kind.colormap is None else 1,
        **options,
    )


def _write_png(path: Path, bands: NDArray[Any], colors: Any = None) -> None:
    whole = Window(row_off=0, col_off=0, height=bands.shape[1], width=bands.shape[2])
    profile = {
        "driver": "PNG",
        "count": len(bands),
        "dtype": bands.dtype,
        "height": whole.height,
        "width": whole.width,
    }
    with (
        writing(path),
        rasterio.Env(GDAL_PAM_ENABLED=False),
        rasterio.open(path, "w", **profile) as dataset,
    ):
        dataset.write(bands)
        if colors:
            dataset.write_colormap(1, colors)
