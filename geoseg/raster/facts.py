"""Facts on raster and vector files: format, grid, bands, values, suspicious nodata and alpha."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags

from geoseg.errors import VectorError
from geoseg.raster.grid import Grid
from geoseg.raster.paths import refuse_special_file
from geoseg.raster.reader import Pixels, RasterReader, ReadOptions
from geoseg.raster.storage import grid_of, missing_place, opened, palette, reading
from geoseg.raster.vector import ALL_ROWS, reading_layer
from geoseg.raster.window import Window, spread_windows
from geoseg.text import as_text, is_null

OVERVIEW_SIDE_PX = 1024
"""Longest side, in pixels, of the overview from which statistics are computed."""

MAX_WHOLE_PIXELS = 25_000_000
"""Largest raster without overviews, in pixels, that is sampled as a whole."""

SAMPLE_WINDOWS_PER_AXIS = 5

SAMPLE_WINDOW_PX = 256


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
        parts = [reader.read(window) for window in _sample_windows(grid)]
    image, valid = _side_by_side(parts)
    return image, valid, True


def _sample_windows(grid: Grid) -> list[Window]:
    size, count = SAMPLE_WINDOW_PX, SAMPLE_WINDOWS_PER_AXIS
    return spread_windows(grid.height, grid.width, size=size, per_axis=count)


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


MIN_SOFT_ALPHA_SHARE = 0.25
"""Share of half-transparent pixels above which a band is hardly alpha: soft edges are narrow."""

MAX_NODATA_INTEGER = -999
"""Largest integer suspected to be nodata, if real values are far from it."""

MIN_NODATA_FLOAT = 1e9
"""Smallest positive float suspected to be nodata."""

MIN_NODATA_SHARE = 5e-4
"""Smallest share of a band's pixels with a value that is suspected to be nodata."""


def doubts_of(path: Path, read: ReadOptions) -> list[str]:
    """Suspected alpha and nodata of a raster and of those stacked on it, as messages.

    Raises:
        RasterError: If a file cannot be read.
    """
    stacked = (band_doubts(each, ReadOptions(), own=False) for each in read.stacked)
    return [*band_doubts(path, read), *(each for doubts in stacked for each in doubts)]


def band_doubts(path: Path, read: ReadOptions, *, own: bool = True) -> list[str]:
    """Suspected alpha and nodata of a raster, as messages with a remedy; judged by a sample.

    Found are image bands tagged alpha, undeclared alpha bands and undeclared nodata values.

    Args:
        path: The raster.
        read: Bands and nodata that the user names.
        own: Whether it is the orthophoto, to which the command's options apply.

    Raises:
        RasterError: If the file cannot be read.
    """
    with opened(path) as dataset, reading(path):
        roles = [each.name for each in dataset.colorinterp]
        nodata, types = dataset.nodatavals, {*dataset.dtypes}
    asked = read.bands or tuple(n for n, role in enumerate(roles, 1) if role != "alpha")
    may_lack_alpha = len(asked) > 1 and any(roles[band - 1] in UNKNOWN_ROLES for band in asked)
    may_lack_nodata = read.nodata is None and ("alpha" in roles or types != {"uint8"})
    if "palette" in roles or not (may_lack_alpha or may_lack_nodata):
        return []  # of most images nothing need be read
    every = ReadOptions(bands=tuple(range(1, len(roles) + 1)), nodata="none")
    with RasterReader(path, every) as reader:
        parts = [reader.read(window) for window in _sample_windows(reader.grid)]
    image = np.concatenate([part.image.reshape(len(roles), -1) for part in parts], axis=1)
    doubts = []
    if "alpha" in roles and read.nodata is None:
        doubts += _false_alpha(roles.index("alpha") + 1, image)
    undeclared: dict[str, list[int]] = {}
    for band in asked:
        values = image[band - 1][np.isfinite(image[band - 1])]
        if len(asked) > 1 and roles[band - 1] in UNKNOWN_ROLES and _is_alpha(values, image, band):
            others = ",".join(str(other) for other in asked if other != band)
            doubts.append(
                f"band {band} holds nothing but 0 and {_opaque(values)}: an alpha that is not "
                f"declared? --bands {others} leaves it out; declared (gdal_edit.py "
                f"-colorinterp_{band} alpha), it hides ground without data, which counts now"
            )
        elif read.nodata is None and (value := _undeclared(values, nodata[band - 1])) is not None:
            undeclared.setdefault(value, []).append(band)
    for value, bands in undeclared.items():
        option = f"--nodata {value} leaves it out, or " if own else ""
        doubts.append(
            f"band {', '.join(map(str, bands))} holds {value} beside values that are far from it: "
            f"no data, and not declared? {option}gdal_edit.py -a_nodata {value} declares it"
        )
    return [f"{path}: {each}" for each in doubts]


UNKNOWN_ROLES = ("undefined", "gray")
"""Colour interpretations that say nothing."""


def _false_alpha(band: int, image: NDArray[Any]) -> list[str]:
    """Message on a band that is tagged alpha and holds an image."""
    values = image[band - 1]
    between = float(((values > 0) & (values < _opaque(values))).mean())
    hidden = float((values == 0).mean())
    if between < MIN_SOFT_ALPHA_SHARE:
        return []
    every = ",".join(map(str, range(1, len(image) + 1)))
    said = (
        f"band {band} is tagged alpha and holds an image (near infrared?): where "
        f"it is 0 ({hidden:.1%} of a sample) ground is without data; --bands {every} --nodata none "
        f"reads it as a band"
    )
    return [said]


def _opaque(values: NDArray[Any]) -> int:
    """The value for opaque: the highest present, at least 255."""
    highest = int(np.nanmax(values)) if values.size else 0
    return max(OPAQUE_BYTE, highest)


OPAQUE_BYTE = 255


def _is_alpha(values: NDArray[Any], image: NDArray[Any], band: int) -> bool:
    """Whether a band is all or nothing, and the others hold an image."""
    if values.dtype.kind not in "iu" or not values.size:
        return False
    found = set(np.unique(values).tolist())
    most = (OPAQUE_BYTE, np.iinfo(values.dtype).max)
    others = np.delete(image, band - 1, axis=0)
    has_picture = any(len(np.unique(other)) > len({0, OPAQUE_BYTE}) for other in others)
    return has_picture and any(found <= {0, top} and top in found for top in most)


def _undeclared(values: NDArray[Any], nodata: float | None) -> str | None:
    """A frequent value that all others are far from."""
    if nodata is not None:
        values = values[values != values.dtype.type(nodata)] if np.isfinite(nodata) else values
    if values.size < 2 or values.dtype == np.uint8:  # noqa: PLR2004
        return None
    top = MIN_NODATA_FLOAT if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    low, high = values.min(), values.max()
    for value, suspect in ((low, low <= MAX_NODATA_INTEGER), (high, high >= top)):
        others = values[values != value].astype(np.float64)
        if not suspect or not others.size or 1 - others.size / values.size < MIN_NODATA_SHARE:
            continue
        gap = np.abs(others - float(value)).min()
        if gap > others.max() - others.min():
            return str(value)
    return None


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
    if not path.exists():
        raise VectorError(f"{path}: no such file")
    refuse_special_file(path)
    with reading_layer(path):
        layers = pyogrio.list_layers(path)
        return [_layer(path, name) for name, kind in layers if kind is not None]


def _layer(path: Path, name: str) -> LayerFacts:
    about = pyogrio.read_info(path, layer=name, force_feature_count=True, force_total_bounds=True)
    table = pyogrio.read_dataframe(
        path, layer=name, read_geometry=False, max_features=MAX_ROWS, where=ALL_ROWS
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


def _values(column: Any) -> dict[str, int]:
    """Rows per value; empty if there are many values, or one per row."""
    counts = Counter(NULL_TEXT if is_null(value) else as_text(value) for value in column)
    if len(counts) > MAX_COLUMN_VALUES or len(counts) == len(column) > 1:
        return {}
    return dict(counts.most_common())
