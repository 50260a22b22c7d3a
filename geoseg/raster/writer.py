"""Raster writer: GeoTIFF, tags, attribute tables, cloud-optimised GeoTIFF, and maps in chunks."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, Literal, NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

import rasterio
import rasterio.shutil
from numpy.typing import NDArray

from geoseg.raster.grid import Grid
from geoseg.raster.records import PROVENANCE, parse_json
from geoseg.raster.window import Window

BLOCK_PX = 512

TILED: dict[str, Any] = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX}
"""Creation options for square blocks."""

NO_ALPHA: dict[str, Any] = {"photometric": "minisblack", "alpha": "no"}
"""Creation options without alpha; GDAL would take a fourth byte band for it."""

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
    dtype: str = "uint8"
    nodata: float | None = None
    band_names: tuple[str, ...] = ()
    colormap: Mapping[int, tuple[int, int, int, int]] | None = None
    """Colour table of the only band."""

    overviews: Literal["mode", "average", "nearest"] = "average"
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


def copy_as_cog(source: Path, target: Path, kind: RasterFormat, grid: Grid) -> None:
    """Turn a raster on a grid into a cloud-optimised GeoTIFF with overviews."""
    block = _block_size(grid)
    threads = "1" if max(grid.height, grid.width) <= block else "ALL_CPUS"  # of one tile: no pool
    with rasterio.Env(GDAL_NUM_THREADS=threads, VRT_NUM_THREADS=threads):  # files of our own
        rasterio.shutil.copy(
            source,
            target,
            driver="COG",
            compress="deflate",
            predictor="yes" if kind.dtype.startswith("float") else "no",
            blocksize=block,
            overview_resampling=kind.overviews,
            bigtiff="IF_SAFER",
            num_threads=threads,
        )
    kind.embed_table(target)


def _block_size(grid: Grid) -> int:
    """Side of the tiles, such that no overview is one tile wide and several high.

    COG validators take such an overview for one that is not tiled.
    """
    height, width = grid.height, grid.width
    for block in (BLOCK_PX, BLOCK_PX // 2, BLOCK_PX // 4):
        levels = range(max(height, width).bit_length())
        sides = [(-(-height // 2**level), -(-width // 2**level)) for level in levels]
        if not any(wide == block and high > BLOCK_PX for high, wide in sides):
            return block
    return BLOCK_PX


GDAL_TYPES = {"uint8": "Byte", "float32": "Float32"}
"""GDAL's names of the types that maps are stored in."""


class MapChunk(NamedTuple):
    """What is known of a finished chunk."""

    counts: list[int]
    """What was kept with it."""

    blank: bool
    """Whether it has no data, and so no files."""


class MapChunks:
    """The chunks of a map, in a folder that outlives a crash.

    A chunk is a rectangle of the map in all its layers (class map, scores, confidence). It counts
    as finished once its record is there, which is written last. All files get their names when they
    are whole. Of a chunk without data there is only the record. The chunks of a layer are read as
    one raster through a VRT when they are put together.
    """

    def __init__(self, folder: Path, grid: Grid, formats: Mapping[str, RasterFormat]) -> None:
        self.folder = folder
        self.grid = grid
        self.formats = formats

    @cached_property
    def finished(self) -> dict[Window, MapChunk]:
        """The finished chunks. A record that is damaged makes none."""
        found = {}
        for path in sorted(self.folder.glob("piece_*.json")):
            try:
                record = parse_json(path.read_text(encoding="utf-8"))
                found[Window(**record["window"])] = MapChunk(record["counts"], record["blank"])
            except (ValueError, LookupError, TypeError):
                continue
        return found

    def write(
        self, window: Window, layers: Mapping[str, NDArray[Any]] | None, counts: list[int]
    ) -> None:
        """Store a chunk.

        Args:
            window: Where, on the grid.
            layers: (bands, height, width) by name; None: it has no data.
            counts: Kept with it.
        """
        for name, image in (layers or {}).items():
            file = self.folder / self._file(name, window)
            partial = file.with_suffix(".part")
            _write(partial, image)
            partial.replace(file)
        chunk = MapChunk(counts, blank=layers is None)
        record = self.folder / f"piece_{_name(window)}.json"
        partial = record.with_suffix(".part")
        text = json.dumps({"window": asdict(window), **chunk._asdict()})
        partial.write_text(text, encoding="utf-8")
        partial.replace(record)
        self.finished[window] = chunk

    def assemble(self, layer: str, target: Path, tags: Mapping[str, Any] | None = None) -> None:
        """Put the chunks of a layer together as a cloud-optimised GeoTIFF."""
        sources = {
            self.folder / self._file(layer, window): window
            for window, chunk in self.finished.items()
            if not chunk.blank
        }
        kind = self.formats[layer]
        if tags:
            kind = replace(kind, tags={**(kind.tags or {}), **tags})
        join(sources, self.grid, kind, target)

    @staticmethod
    def _file(layer: str, window: Window) -> str:
        return f"{layer}_{_name(window)}.tif"


def join(sources: Mapping[Path, Window], grid: Grid, kind: RasterFormat, target: Path) -> None:
    """Put files that lie side by side together as one cloud-optimised GeoTIFF."""
    vrt = target.with_suffix(".vrt")
    vrt.write_bytes(tostring(mosaic_vrt(grid, kind, sources)))
    copy_as_cog(vrt, target, kind, grid)
    vrt.unlink()


def _name(window: Window) -> str:
    return f"r{window.row_off:06d}_c{window.col_off:06d}"


def _write(path: Path, image: NDArray[Any]) -> None:
    bands, height, width = image.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=bands,
        height=height,
        width=width,
        dtype=image.dtype,
        bigtiff="IF_SAFER",
        compress="zstd",
        zstd_level=1,
        photometric="minisblack",
        alpha="no",
        **TILED,
    ) as file:
        file.write(image)


def mosaic_vrt(grid: Grid, kind: RasterFormat, sources: Mapping[Path, Window]) -> Element:
    """A VRT that shows files side by side as one raster.

    Source: GDAL's VRT format, https://gdal.org/drivers/raster/vrt.html.
    """
    root = Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs:
        SubElement(root, "SRS").text = grid.crs.to_wkt()
    if grid.is_georeferenced:
        place = grid.transform.to_gdal()
        SubElement(root, "GeoTransform").text = ", ".join(repr(float(n)) for n in place)
    if kind.metadata:
        metadata = SubElement(root, "Metadata")
        for key, value in kind.metadata.items():
            SubElement(metadata, "MDI", key=key).text = value
    for number in range(1, kind.bands + 1):
        band = _band(root, kind, number)
        for path, window in sources.items():
            _source(band, path, window, number)
    return root


def _band(root: Element, kind: RasterFormat, number: int) -> Element:
    data_type = GDAL_TYPES[kind.dtype]
    band = SubElement(root, "VRTRasterBand", dataType=data_type, band=str(number))
    if kind.band_names:
        SubElement(band, "Description").text = kind.band_names[number - 1]
    if kind.nodata is not None:
        SubElement(band, "NoDataValue").text = repr(float(kind.nodata))
    if kind.colormap:
        SubElement(band, "ColorInterp").text = "Palette"
        table = SubElement(band, "ColorTable")
        used = [value for value, color in kind.colormap.items() if any(color)]
        for value in range(max(used, default=0) + 1):  # a TIFF has 0 for the rest
            color = kind.colormap.get(value, (0, 0, 0, 0))
            SubElement(table, "Entry", {f"c{n}": str(part) for n, part in enumerate(color, 1)})
    else:
        SubElement(band, "ColorInterp").text = "Gray" if number == 1 else "Undefined"
    return band


def _source(band: Element, path: Path, window: Window, number: int) -> None:
    source = SubElement(band, "SimpleSource")
    SubElement(source, "SourceFilename", relativeToVRT="0").text = str(path.absolute())
    SubElement(source, "SourceBand").text = str(number)
    size = {"xSize": str(window.width), "ySize": str(window.height)}
    SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0"} | size)
    corner = {"xOff": str(window.col_off), "yOff": str(window.row_off)}
    SubElement(source, "DstRect", corner | size)
