"""GeoParquet: a layer of polygons, its tags and its stored geometries.

The wheels' GDAL has no driver for it, so pyarrow and geopandas read it. Failures are theirs:
`geoseg.raster.vector` makes a `VectorError` of them.
"""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import shapely

from geoseg.raster.bucket import read_object
from geoseg.raster.paths import GdalName, parse_name

GEO = b"geo"
"""Key of the schema's metadata under which a file describes its geometries."""


def read_frame(path: Path) -> Any:
    """The layer as a two-dimensional GeoDataFrame, its rows numbered from 0.

    Without a CRS in the file it is OGC:CRS84, as the format says; null is an unknown one.

    Raises:
        ValueError: If the file is damaged, or plain Parquet without geometries.
        OSError: If it cannot be read.
        GEOSException: If a geometry is broken.
    """
    import geopandas as gpd

    source = _opened(path)
    _refuse_plain(source)
    frame = gpd.read_parquet(source, partitioning=None)
    frame = frame.reset_index(drop=frame.index.names == [None])
    return frame.set_geometry(frame.geometry.force_2d())


def read_stored(path: Path) -> list[bytes | None]:
    """WKB of the geometries, as stored.

    Raises:
        ValueError: If they are not stored as WKB.
    """
    import pyarrow.parquet as pq

    source = _opened(path)
    about = _refuse_plain(source)
    column = str(about["primary_column"])
    if about["columns"][column]["encoding"] != "WKB":
        raise ValueError(f"column {column!r} holds broken geometries")
    stored = pq.read_table(source, columns=[column], partitioning=None).column(column)
    return list(stored.to_pylist())


def read_tag(path: Path, name: str) -> str | None:
    """A tag of the schema; None if there is none.

    Raises:
        ValueError: If the file is damaged.
        OSError: If it cannot be read.
    """
    text = _schema_tags(_opened(path)).get(name.encode())
    return None if text is None else text.decode()


def geometry_type(shapes: Any) -> str:
    """OGR's name of the geometry type of a layer.

    >>> geometry_type(shapely.from_wkt(["POLYGON EMPTY", "MULTIPOLYGON EMPTY", None]))
    'MultiPolygon'
    """
    kinds = {shape.geom_type for shape in shapes[~shapely.is_missing(shapes)]}
    names = {kind.removeprefix("Multi") for kind in kinds}
    return "Unknown" if len(names) != 1 else max(kinds, key=len)


def _opened(path: Path) -> Path | BytesIO:
    """A file, or the content of one on a server: layers are read whole in any case."""
    name = parse_name(path)
    if isinstance(name, GdalName):
        return BytesIO(read_object(name))
    if name.is_dir():
        raise ValueError("it is a folder, not a file of polygons")
    return name


def _schema_tags(source: Path | BytesIO) -> dict[bytes, bytes]:
    import pyarrow.parquet as pq

    return pq.read_schema(source).metadata or {}


def _refuse_plain(source: Path | BytesIO) -> dict[str, Any]:
    """What the file says of its geometries."""
    about = _schema_tags(source).get(GEO)
    if about is None:
        raise ValueError("it is plain Parquet, without geometries")
    found = json.loads(about)
    if not isinstance(found, dict):
        raise TypeError(f"its tag {GEO.decode()!r} is no JSON object")
    return found
