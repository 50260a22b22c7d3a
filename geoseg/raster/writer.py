"""Raster writer: GeoTIFF, tags, attribute tables, and cloud-optimised GeoTIFF."""

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
"""Creation options for square blocks."""

NO_ALPHA: dict[str, Any] = {"photometric": "minisblack", "alpha": "no"}
"""Creation options without alpha; GDAL would take a fourth byte band for it."""

PROVENANCE = "GEOSEG"
"""Tag with the provenance of a raster, as JSON."""

TABLE_PLACEHOLDER = "GEOSEG_ROOM"
"""Metadata item that is overwritten by the attribute table."""

TABLE_ITEM = "DEFAULT_RASTER_ATTRIBUTE_TABLE"
"""GDAL's name of the attribute table inside a TIFF.

Source: GDAL's GTiff driver from 3.12 on.
"""


@dataclass(frozen=True, kw_only=True)
class RasterFormat:
    """Bands, type, names, colours and tags of a raster to write."""

    bands: int = 1
    """Number of bands."""

    dtype: str = "uint8"
    """NumPy name of the type."""

    nodata: float | None = None
    """Nodata value."""

    band_names: tuple[str, ...] = ()
    """Descriptions of the bands."""

    colormap: Mapping[int, tuple[int, int, int, int]] | None = None
    """Colour table of the only band."""

    overviews: Literal["mode", "average", "nearest"] = "average"
    """Resampling method of the overviews."""

    tags: Mapping[str, Any] | None = None
    """Provenance of the raster."""

    attribute_table: str | None = None
    """Names and colours of the values of the only band, as GDAL's XML; COGs carry it."""

    @property
    def metadata(self) -> dict[str, str]:
        """Metadata items: the tags, and a placeholder for the attribute table."""
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
        """Overwrite the placeholder of `metadata` in a file with the attribute table.

        GDAL writes tables inside TIFFs from 3.12 on; the older one in rasterio would write a
        sidecar. The placeholder has the same length to the byte.
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
    """A metadata item as GDAL writes it to TIFF."""
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
    """Side of the tiles, such that no overview is one tile wide and several high.

    COG validators take such an overview for one that is not tiled.
    """
    with rasterio.open(source) as dataset:
        height, width = dataset.shape
    for block in (BLOCK_PX, BLOCK_PX // 2, BLOCK_PX // 4):
        levels = range(max(height, width).bit_length())
        sides = [(-(-height // 2**level), -(-width // 2**level)) for level in levels]
        if not any(wide == block and high > BLOCK_PX for high, wide in sides):
            return block
    return BLOCK_PX
