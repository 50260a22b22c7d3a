"""What is to be known of a raster file before anything is done with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags

from geoseg.core.grid import Grid
from geoseg.core.window import Window
from geoseg.io.gdal import opened, reading
from geoseg.io.raster import Pixels, RasterReader, ReadOptions

SAMPLE_SIDE = 1024
"""Longest side of the overview from which figures are computed, in pixels."""

CHEAP = 25_000_000
"""A raster of fewer pixels is read whole if it has no overviews."""

PLACES = 5
"""Otherwise so many squares along each axis are read."""

SQUARE = 256
"""Their side, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """One band of a file."""

    name: str
    """The file's description, or what GDAL takes it for."""

    dtype: str
    """numpy's name of its type."""

    role: str
    """GDAL's colour interpretation."""

    nodata: float | None
    """Value without data."""

    low: float
    """Smallest value of the sample; NaN without data."""

    mean: float
    """Mean of the sample."""

    high: float
    """Largest value of the sample."""


@dataclass(frozen=True, kw_only=True)
class RasterFacts:
    """A raster file."""

    path: Path
    """The file."""

    driver: str
    """GDAL's name of the format."""

    grid: Grid
    """Where it lies."""

    bands: tuple[Band, ...]
    """All, alpha too."""

    mask: str | None
    """What hides pixels: ``alpha``, ``mask band``, ``nodata``; None: nothing does."""

    has_palette: bool
    """Whether the values are indices into colours."""

    block_shape: tuple[int, int]
    """Rows and columns of what is read at a time."""

    overviews: tuple[int, ...]
    """By what factors they are smaller."""

    is_cog: bool
    """Whether it says that it is a cloud-optimised GeoTIFF."""

    compression: str | None
    """Of the pixels."""

    file_bytes: int | None
    """Size of the file; None if it is none."""

    valid_share: float
    """Share of the sample with data, 0..1."""

    is_sampled: bool
    """Whether the figures are those of a part of the raster."""

    values: tuple[int, ...]
    """Values of the sample's first band, if these are a few whole numbers."""

    value_shares: tuple[float, ...]
    """Share of each in the sample's valid pixels."""

    @property
    def is_tiled(self) -> bool:
        """Whether a window can be read without whole rows."""
        return self.block_shape[1] < self.grid.width or self.grid.width <= 2 * SQUARE


def raster_facts(path: Path) -> RasterFacts:
    """Look at a raster; of a large one only overviews or some squares are read.

    Raises:
        RasterError: If it is missing or cannot be read.
    """
    with opened(path) as dataset, reading(path):
        grid = Grid(dataset.crs, dataset.transform, dataset.height, dataset.width)
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        overviews = tuple(dataset.overviews(1))
        roles = [each.name for each in dataset.colorinterp]
        known: dict[str, Any] = {
            "driver": dataset.driver,
            "grid": grid,
            "mask": _mask(dataset),
            "has_palette": ColorInterp.palette in dataset.colorinterp,
            "block_shape": tuple(dataset.block_shapes[0]),
            "overviews": overviews,
            "is_cog": structure.get("LAYOUT") == "COG",
            "compression": structure.get("COMPRESSION"),
        }
        columns = list(
            zip(dataset.descriptions, dataset.dtypes, roles, dataset.nodatavals, strict=True)
        )
    image, valid, is_sampled = _sample(path, len(columns), cheap=bool(overviews))
    values, shares = _few_values(image[0][valid])
    return RasterFacts(
        path=path,
        bands=tuple(
            _band(column, number, pixels[valid])
            for number, (column, pixels) in enumerate(zip(columns, image, strict=True), 1)
        ),
        file_bytes=path.stat().st_size if path.is_file() else None,
        valid_share=float(valid.mean()),
        is_sampled=is_sampled,
        values=values,
        value_shares=shares,
        **known,
    )


def _mask(dataset: Any) -> str | None:
    if ColorInterp.alpha in dataset.colorinterp:
        return "alpha"
    flags = dataset.mask_flag_enums[0]
    if MaskFlags.per_dataset in flags:
        return "mask band"
    return "nodata" if MaskFlags.nodata in flags else None


def _band(column: tuple[Any, ...], number: int, pixels: NDArray[Any]) -> Band:
    description, dtype, role, nodata = column
    finite = pixels[np.isfinite(pixels)]
    figures = (finite.min(), finite.mean(), finite.max()) if finite.size else (np.nan,) * 3
    low, mean, high = map(float, figures)
    return Band(
        name=description or (f"band {number}" if role == "undefined" else role),
        dtype=dtype,
        role=role,
        nodata=nodata,
        low=low,
        mean=mean,
        high=high,
    )


def _sample(path: Path, bands: int, *, cheap: bool) -> tuple[NDArray[Any], NDArray[np.bool_], bool]:
    """Pixels of all bands, (bands, height, width) and (height, width); whether they are a part."""
    every = ReadOptions(bands=tuple(range(1, bands + 1)))
    with RasterReader(path, every, palette_index=True) as reader:
        grid = reader.grid
        if cheap or grid.height * grid.width <= CHEAP:
            image, valid = reader.read_overview(SAMPLE_SIDE)
            return image, valid, max(grid.height, grid.width) > SAMPLE_SIDE
        parts = [reader.read(window) for window in _squares(grid)]
    image, valid = _side_by_side(parts)
    return image, valid, True


def _squares(grid: Grid) -> list[Window]:
    """Squares spread over a raster, the first and the last at its corners."""
    rows, cols = (
        np.linspace(0, max(length - SQUARE, 0), PLACES).astype(int).tolist()
        for length in (grid.height, grid.width)
    )
    return [
        Window(
            row_off=row,
            col_off=col,
            height=min(SQUARE, grid.height),
            width=min(SQUARE, grid.width),
        )
        for row in rows
        for col in cols
    ]


def _side_by_side(parts: list[Pixels]) -> Pixels:
    images, valid = zip(*parts, strict=True)
    return Pixels(np.concatenate(images, axis=2), np.concatenate(valid, axis=1))


def _few_values(pixels: NDArray[Any]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The values of whole numbers if there are no more than classes may be, and their shares."""
    most = 32
    if pixels.dtype.kind not in "iu" or not pixels.size:
        return (), ()
    values, counts = np.unique(pixels, return_counts=True)
    if len(values) > most:
        return (), ()
    return tuple(values.tolist()), tuple((counts / counts.sum()).tolist())
