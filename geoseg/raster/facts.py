"""Facts on raster and vector files: format, grid, bands and values."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags

from geoseg.raster.doubts import SAMPLE_WINDOW_PX, band_doubts, sample_windows
from geoseg.raster.geoparquet import geometry_type
from geoseg.raster.grid import Grid
from geoseg.raster.paths import gdal_name, is_geoparquet
from geoseg.raster.reader import Pixels, RasterReader, ReadOptions
from geoseg.raster.storage import grid_of, missing_place, opened, palette, reading
from geoseg.raster.vector import ALL_ROWS, read_layer, reading_layer, refuse_missing
from geoseg.text import as_text, is_null

OVERVIEW_SIDE_PX = 1024
"""Longest side, in pixels, of the overview from which statistics are computed."""

MAX_WHOLE_PIXELS = 25_000_000
"""Largest raster without overviews, in pixels, that is sampled as a whole."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """One band of a file."""

    name: str
    """Description in the file, or GDAL's colour interpretation."""

    dtype: str
    role: str
    """GDAL's colour interpretation."""

    nodata: float | None
    low: float
    """Smallest value of the sample; NaN without data."""

    mean: float
    """Mean of the sample."""

    high: float
    """Largest value of the sample."""


@dataclass(frozen=True, kw_only=True)
class RasterFacts:
    """Format, grid, bands and sampled statistics of a raster file."""

    path: Path
    driver: str
    grid: Grid
    missing_place: str | None
    """Georeference other than a geotransform; None: there is none."""

    bands: tuple[Band, ...]
    """All bands, alpha included."""

    mask: str | None
    """Source of the mask: ``alpha``, ``mask band``, ``nodata`` or None."""

    has_palette: bool
    block_shape: tuple[int, int]
    overviews: tuple[int, ...]
    """Reduction factors of the overviews."""

    is_cog: bool
    compression: str | None
    file_bytes: int | None
    """Size of the file; None for a dataset that is not a file."""

    valid_share: float
    """Share of the sample with data, 0..1."""

    is_sampled: bool
    """Whether the statistics are of a part of the raster."""

    doubts: tuple[str, ...]
    """Suspected undeclared alpha bands and nodata values, as messages."""

    values: tuple[int, ...]
    """Distinct values of the first band in the sample, if they are few integers."""

    value_shares: tuple[float, ...]
    """Share of each value in the valid pixels of the sample."""

    @property
    def is_tiled(self) -> bool:
        """Whether a window can be read without whole rows."""
        return self.block_shape[1] < self.grid.width or self.grid.width <= 2 * SAMPLE_WINDOW_PX


def raster_facts(path: Path) -> RasterFacts:
    """Facts on a raster; of a large one only overviews or some windows are read.

    Raises:
        RasterError: If it is missing or cannot be read.
    """
    with opened(path) as dataset, reading(path):
        grid = grid_of(dataset)
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        overviews = tuple(dataset.overviews(1))
        roles = [each.name for each in dataset.colorinterp]
        known: dict[str, Any] = {
            "driver": dataset.driver,
            "grid": grid,
            "missing_place": missing_place(dataset),
            "mask": _mask(dataset),
            "has_palette": palette(dataset) is not None,
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
        doubts=tuple(band_doubts(path, ReadOptions())),
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
    found = (finite.min(), finite.mean(), finite.max()) if finite.size else (np.nan,) * 3
    low, mean, high = map(float, found)
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
    """Sampled pixels (bands, height, width), valid (height, width), and whether they are a part."""
    every = ReadOptions(bands=tuple(range(1, bands + 1)))
    with RasterReader(path, every, palette_index=True) as reader:
        grid = reader.grid
        if cheap or grid.height * grid.width <= MAX_WHOLE_PIXELS:
            image, valid = reader.read_overview(OVERVIEW_SIDE_PX)
            return image, valid, max(grid.height, grid.width) > OVERVIEW_SIDE_PX
        parts = [reader.read(window) for window in sample_windows(grid)]
    image, valid = _side_by_side(parts)
    return image, valid, True


def _side_by_side(parts: list[Pixels]) -> Pixels:
    images, valid = zip(*parts, strict=True)
    return Pixels(np.concatenate(images, axis=2), np.concatenate(valid, axis=1))


def _few_values(pixels: NDArray[Any]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Distinct integer values and their shares, if there are few enough to be classes."""
    most = 32
    if pixels.dtype.kind not in "iu" or not pixels.size:
        return (), ()
    values, counts = np.unique(pixels, return_counts=True)
    if len(values) > most:
        return (), ()
    return tuple(values.tolist()), tuple((counts / counts.sum()).tolist())


NULL_TEXT = "(null)"

MAX_ROWS = 200_000

MAX_COLUMN_VALUES = 20
"""Largest number of distinct values of a column of classes."""


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """Geometry, extent and columns of a layer."""

    name: str
    features: int
    geometry: str
    """OGR's name of the geometry type."""

    crs: str | None
    bounds: tuple[float, ...] | None
    """``(x_min, y_min, x_max, y_max)`` in units of the CRS."""

    columns: dict[str, str]
    """Types of the columns, by name."""

    classes: dict[str, dict[str, int]]
    """Rows per value, of columns with few values."""


def vector_facts(path: Path) -> list[LayerFacts]:
    """Facts on all layers of a vector file.

    Raises:
        VectorError: If it is missing or cannot be read.
    """
    refuse_missing(path)
    if is_geoparquet(path):
        return [_frame_facts(path)]
    with reading_layer(path):
        layers = pyogrio.list_layers(gdal_name(path))
        return [_layer(path, name) for name, kind in layers if kind is not None]


def _layer(path: Path, name: str) -> LayerFacts:
    file = gdal_name(path)
    about = pyogrio.read_info(file, layer=name, force_feature_count=True, force_total_bounds=True)
    table = pyogrio.read_dataframe(
        file, layer=name, read_geometry=False, max_features=MAX_ROWS, where=ALL_ROWS
    )
    bounds = about["total_bounds"]
    return LayerFacts(
        name=name,
        features=len(table) if 0 < len(table) < MAX_ROWS else int(about["features"]),
        geometry=str(about["geometry_type"]),
        crs=about["crs"],
        bounds=tuple(map(float, bounds)) if bounds is not None else None,
        columns=dict(zip(map(str, about["fields"]), map(str, about["dtypes"]), strict=True)),
        classes={column: found for column in table if (found := _values(table[column]))},
    )


def _frame_facts(path: Path) -> LayerFacts:
    frame = read_layer(path)
    table = frame.drop(columns=frame.geometry.name)
    code = frame.crs and frame.crs.to_authority()
    bounds = tuple(map(float, frame.total_bounds))
    return LayerFacts(
        name=path.stem,
        features=len(frame),
        geometry=geometry_type(np.asarray(frame.geometry.values)),
        crs=":".join(code) if code else frame.crs and frame.crs.to_wkt(),
        bounds=bounds if np.isfinite(bounds).all() else None,
        columns={str(name): str(kind) for name, kind in table.dtypes.items()},
        classes={str(column): found for column in table if (found := _values(table[column]))},
    )


def _values(column: Any) -> dict[str, int]:
    """Rows per value; empty if there are many values, or one per row."""
    counts = Counter(NULL_TEXT if is_null(value) else as_text(value) for value in column)
    if len(counts) > MAX_COLUMN_VALUES or len(counts) == len(column) > 1:
        return {}
    return dict(counts.most_common())
