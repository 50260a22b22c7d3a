"""Writing rasters: what they carry, and as cloud-optimised GeoTIFFs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import rasterio
import rasterio.shutil

from geoseg.core.grid import Grid

BLOCK = 512
"""Side of a storage tile, in pixels."""

TILES: dict[str, Any] = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK}
"""Storage in square blocks."""

NO_ALPHA: dict[str, Any] = {"photometric": "minisblack", "alpha": "no"}
"""GDAL would take a fourth band of bytes for alpha."""

PROVENANCE = "GEOSEG"
"""The tag in which rasters carry what they were made of, as JSON."""


@dataclass(frozen=True, kw_only=True)
class RasterFormat:
    """What kind of raster is to be written."""

    bands: int = 1
    """How many."""

    dtype: str = "uint8"
    """numpy's name of the type."""

    nodata: float | None = None
    """Value without data."""

    band_names: tuple[str, ...] = ()
    """Descriptions of the bands."""

    colormap: Mapping[int, tuple[int, int, int, int]] | None = None
    """Colour table of the only band."""

    overviews: Literal["mode", "average", "nearest"] = "average"
    """How overviews are computed."""

    tags: Mapping[str, Any] | None = None
    """What the raster was made of."""


def create(path: Path, grid: Grid, kind: RasterFormat, **options: Any) -> Any:
    """A rasterio dataset, open for writing."""
    dataset = rasterio.open(
        path,
        "w",
        driver="GTiff",
        crs=grid.crs,
        transform=grid.transform,
        height=grid.height,
        width=grid.width,
        count=kind.bands,
        dtype=kind.dtype,
        nodata=kind.nodata,
        bigtiff="IF_SAFER",
        **({} if "tiled" in options else TILES),
        **({} if kind.colormap else NO_ALPHA) | options,
    )
    if kind.colormap:
        dataset.write_colormap(1, kind.colormap)
    for band, name in enumerate(kind.band_names, 1):
        dataset.set_band_description(band, name)
    if kind.tags:
        dataset.update_tags(**{PROVENANCE: json.dumps(kind.tags, sort_keys=True)})
    return dataset


def copy_as_cog(source: Path, target: Path, kind: RasterFormat) -> None:
    """Turn a raster into a cloud-optimised GeoTIFF with overviews."""
    rasterio.shutil.copy(
        source,
        target,
        driver="COG",
        compress="deflate",
        predictor="yes" if kind.dtype.startswith("float") else "no",
        blocksize=_block_size(source),
        overview_resampling=kind.overviews,
        bigtiff="IF_SAFER",
        num_threads="ALL_CPUS",
    )


def _block_size(source: Path) -> int:
    """Side of the tiles, so that no overview is exactly one tile wide and several high.

    Validators of cloud-optimised GeoTIFFs take such a level for one that is not tiled.
    """
    with rasterio.open(source) as dataset:
        height, width = dataset.shape
    for block in (BLOCK, BLOCK // 2, BLOCK // 4):
        levels = range(max(height, width).bit_length())
        sides = [(-(-height // 2**level), -(-width // 2**level)) for level in levels]
        if not any(wide == block and high > BLOCK for high, wide in sides):
            return block
    return BLOCK
