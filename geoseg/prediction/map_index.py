"""Indexes of class maps: a tile index that GDAL reads as one raster, or a STAC collection."""

import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import shapely

from geoseg.errors import EmptyError, OutputError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import to_hex
from geoseg.labels.style import class_map_qml
from geoseg.raster.atomic import put_in_place, scratch, write_text, writing
from geoseg.raster.grid import Grid
from geoseg.raster.polygons import write_layer
from geoseg.raster.reader import RasterReader

TILE_INDEX = ".gti.gpkg"
"""Suffix by which GDAL, from 3.9 on, takes a GeoPackage for a tile index."""

COLLECTION = ".json"

ITEM = ".stac.json"
"""Suffix of the item beside a map, instead of that of the map."""

STAC_VERSION = "1.1.0"

EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
]

MEDIA_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"

EDGE_POINTS = 32
"""Pieces of a map's outline in another CRS: straight lines are not straight there."""

WGS84 = "EPSG:4326"


def index_files(index: Path, maps: Sequence[Path]) -> list[Path]:
    """The files of an index of some maps, the index itself last.

    Raises:
        OutputError: If the name does not say which kind of index it is.
    """
    if index.name.endswith(TILE_INDEX):
        return [index.with_suffix(".qml"), index]
    if index.suffix.lower() == COLLECTION:
        return [*(each.with_suffix(ITEM) for each in maps), index]
    raise OutputError(
        f"{index}: is neither a tile index of GDAL (NAME{TILE_INDEX}) nor a STAC collection "
        f"(NAME{COLLECTION}); end the name so"
    )


class _Tile(NamedTuple):
    """A map and where it lies."""

    path: Path
    grid: Grid


def write_index(
    index: Path, maps: Sequence[Path], legend: Legend, *, overwrite: bool
) -> list[Path]:
    """Write an index of class maps; paths in it are relative to it.

    Args:
        index: ``NAME.gti.gpkg`` or ``NAME.json``.
        maps: The maps that are there.
        legend: Their classes.
        overwrite: Whether an index may be replaced.

    Returns:
        Maps without a CRS, which no index can hold.

    Raises:
        EmptyError: If none has a CRS.
        RasterError: If a map cannot be read.
        OutputError: If the index cannot be written.
    """
    tiles, left_out = [], []
    for path in maps:
        with RasterReader(path, palette_index=True) as reader:
            grid = reader.grid
        if grid.crs is None:
            left_out.append(path)
        else:
            tiles.append(_Tile(path, grid))
    if not tiles:
        raise EmptyError(f"{index}: would be empty: no map has a CRS")
    write = _write_tile_index if index.name.endswith(TILE_INDEX) else _write_collection
    write(index, tiles, legend, overwrite)
    return left_out


def _write_tile_index(index: Path, tiles: Sequence[_Tile], legend: Legend, overwrite: bool) -> None:
    """Write the outlines of maps, and what GDAL would otherwise open the first one for.

    Source: GDAL's GTI driver, https://gdal.org/drivers/raster/gti.html.
    """
    import geopandas as gpd

    wkt = _wkt(tiles[0].grid)
    sides = [(abs(each.grid.transform.a), abs(each.grid.transform.e)) for each in tiles]
    size_x, size_y = min(sides)
    metadata = {
        "RESX": repr(size_x),
        "RESY": repr(size_y),
        "BAND_COUNT": "1",
        "DATA_TYPE": "Byte",
        "NODATA": str(IGNORE),
        "COLOR_INTERPRETATION": "Palette",
    }
    names = [_relative(each.path, index) for each in tiles]
    frame = gpd.GeoDataFrame({"location": names}, geometry=_outlines(tiles, wkt), crs=wkt)
    write_text(index.with_suffix(".qml"), class_map_qml(legend))
    write_layer(index, frame, "maps", overwrite=overwrite, metadata=metadata)


def _write_collection(index: Path, tiles: Sequence[_Tile], legend: Legend, overwrite: bool) -> None:
    """Write an item beside each map, and the collection of them last.

    Source: https://github.com/radiantearth/stac-spec, version 1.1.0.
    """
    outlines = _outlines(tiles, WGS84)
    items = [
        _item(tile, outline, index, legend) for tile, outline in zip(tiles, outlines, strict=True)
    ]
    texts = {tile.path.with_suffix(ITEM): item for tile, item in zip(tiles, items, strict=True)} | {
        index: _collection(index, items, [tile.path.with_suffix(ITEM) for tile in tiles])
    }
    with scratch(index) as folder:
        made = {path: folder / f"{number}.json" for number, path in enumerate(texts)}
        for path, content in texts.items():
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            with writing(path):
                made[path].write_text(text, encoding="utf-8", newline="\n")
        put_in_place(made, folder, overwrite=overwrite)


def _item(tile: _Tile, outline: Any, index: Path, legend: Legend) -> dict[str, Any]:
    """The STAC item of a map."""
    path, grid = tile
    link = {"href": _relative(index, path), "type": "application/json"}
    code = grid.crs.to_epsg() if grid.crs else None
    place = {"proj:code": f"EPSG:{code}"} if code else {"proj:code": None, "proj:wkt2": _wkt(grid)}
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": EXTENSIONS,
        "id": path.stem,
        "geometry": json.loads(shapely.to_geojson(outline)),
        "bbox": list(outline.bounds),
        "properties": {
            "datetime": _time(path.stat().st_mtime),
            **place,
            "proj:shape": [grid.height, grid.width],
            "proj:transform": list(grid.transform[:6]),
        },
        "links": [{"rel": rel, **link} for rel in ("root", "parent", "collection")],
        "assets": {
            "map": {
                "href": path.name,
                "type": MEDIA_TYPE,
                "roles": ["data"],
                "classification:classes": [
                    {
                        "value": each.value,
                        "name": re.sub("[^0-9A-Za-z_-]", "_", each.name),
                        "title": each.name,
                        "color_hint": to_hex(each.color)[1:].upper(),
                    }
                    for each in legend.classes
                ],
            }
        },
        "collection": index.stem,
    }


def _collection(
    index: Path, items: Sequence[dict[str, Any]], files: Sequence[Path]
) -> dict[str, Any]:
    """The STAC collection of items that lie in files."""
    west, south, east, north = zip(*(each["bbox"] for each in items), strict=True)
    times = sorted(each["properties"]["datetime"] for each in items)
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "id": index.stem,
        "description": "Class maps of orthophotos, made by geoseg.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[min(west), min(south), max(east), max(north)]]},
            "temporal": {"interval": [[times[0], times[-1]]]},
        },
        "links": [
            {"rel": "root", "href": index.name, "type": "application/json"},
            *(
                {"rel": "item", "href": _relative(each, index), "type": "application/geo+json"}
                for each in files
            ),
        ],
    }


def _outlines(tiles: Sequence[_Tile], wkt: str) -> list[Any]:
    """Polygons of maps in a CRS; edges have more points, as they may be curved there."""
    import geopandas as gpd

    places: dict[str, list[int]] = {}
    for number, tile in enumerate(tiles):
        places.setdefault(_wkt(tile.grid), []).append(number)
    found: list[Any] = [None] * len(tiles)
    for own, numbers in places.items():
        corners = [tiles[number].grid.corners[::-1] for number in numbers]  # anticlockwise
        polygons = [shapely.Polygon(each) for each in corners]
        if own != wkt:
            polygons = [shapely.segmentize(each, each.length / EDGE_POINTS) for each in polygons]
        for number, outline in zip(
            numbers, gpd.GeoSeries(polygons, crs=own).to_crs(wkt), strict=True
        ):
            found[number] = outline
    return found


def _wkt(grid: Grid) -> str:
    return str(grid.crs.to_wkt()) if grid.crs else ""


def _time(seconds: float) -> str:
    """A time as STAC has it, in whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _relative(path: Path, other: Path) -> str:
    """The path of a file as one beside another names it; absolute on another drive of Windows."""
    try:
        name = os.path.relpath(path.resolve(), other.resolve().parent)
    except ValueError:
        return path.resolve().as_posix()
    return Path(name).as_posix()
