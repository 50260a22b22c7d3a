"""Writing rasters: what they carry, and as cloud-optimised GeoTIFFs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, Literal

import rasterio
import rasterio.shutil

from geoseg.raster.grid import Grid

BLOCK_PX = 512
"""Side of a storage tile, in pixels."""

TILED: dict[str, Any] = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX}
"""Storage in square blocks."""

NO_ALPHA: dict[str, Any] = {"photometric": "minisblack", "alpha": "no"}
"""GDAL would take a fourth band of bytes for alpha."""

PROVENANCE = "GEOSEG"
"""The tag in which rasters carry what they were made of, as JSON."""

TABLE_PLACEHOLDER = "GEOSEG_ROOM"
"""The item of metadata in whose place the attribute table is put."""

TABLE_ITEM = "DEFAULT_RASTER_ATTRIBUTE_TABLE"
"""What GDAL calls the table inside a TIFF.

Source: GDAL's GTiff driver from 3.12 on.
"""


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

    attribute_table: str | None = None
    """Names and colours of the values of the only band, as GDAL's XML; COGs carry it."""

    @property
    def metadata(self) -> dict[str, str]:
        """What is written as metadata: the tags, and room for the attribute table."""
        items = {} if not self.tags else {PROVENANCE: json.dumps(self.tags, sort_keys=True)}
        if self.attribute_table is not None:
            items[TABLE_PLACEHOLDER] = "x" * (
                len(self._table_item) - len(_item_of(TABLE_PLACEHOLDER, ""))
            )
        return items

    @property
    def _table_item(self) -> bytes:
        """The attribute table as it stands in a TIFF's metadata."""
        head = f'<Item name="{TABLE_ITEM}" sample="0" role="rat">'
        return f"{head}{self.attribute_table}</Item>".encode()

    def embed_table(self, path: Path) -> None:
        """Put the attribute table where `metadata` has left room for it in a file.

        GDAL reads and writes tables inside TIFFs from 3.12 on; rasterio brings older ones, which
        would put it beside the file. The item that keeps the room is as long to the byte.
        """
        if self.attribute_table is None:
            return
        item = _item_of(TABLE_PLACEHOLDER, self.metadata[TABLE_PLACEHOLDER])
        with path.open("r+b") as file:
            with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
                place = content.find(item)
            if place < 0:
                raise ValueError(f"{path}: has no room for an attribute table")
            file.seek(place)
            file.write(self._table_item)


def _item_of(name: str, value: str) -> bytes:
    """An item of metadata as GDAL writes it to TIFFs."""
    return f'<Item name="{name}">{value}</Item>'.encode()


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
        **({} if "tiled" in options else TILED),
        **({} if kind.colormap else NO_ALPHA) | options,
    )
    if kind.colormap:
        dataset.write_colormap(1, kind.colormap)
    for band, name in enumerate(kind.band_names, 1):
        dataset.set_band_description(band, name)
    dataset.update_tags(**kind.metadata)
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
    kind.embed_table(target)


def _block_size(source: Path) -> int:
    """Side of the tiles, so that no overview is exactly one tile wide and several high.

    Validators of cloud-optimised GeoTIFFs take such a level for one that is not tiled.
    """
    with rasterio.open(source) as dataset:
        height, width = dataset.shape
    for block in (BLOCK_PX, BLOCK_PX // 2, BLOCK_PX // 4):
        levels = range(max(height, width).bit_length())
        sides = [(-(-height // 2**level), -(-width // 2**level)) for level in levels]
        if not any(wide == block and high > BLOCK_PX for high, wide in sides):
            return block
    return BLOCK_PX
