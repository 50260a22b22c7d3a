"""Vector files, read and written.

geopandas is imported where a file is read or written: it takes longer than all else together, and
commands that are given rasters alone never need it.
"""

import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import OutputError, VectorError, issue_warning
from geoseg.raster.atomic import final, reason_of, writing
from geoseg.raster.paths import (
    RASTER_SUFFIXES,
    VECTOR_SUFFIXES,
    ZIPPED_VECTORS,
    GdalName,
    gdal_name,
    is_geoparquet,
    is_remote,
    parse_name,
    reason_for,
    refuse_special_file,
)
from geoseg.text import short_list

FIXED_DATE = {"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"}
"""Date in GeoPackages, so that the same features give the same bytes."""

OFFLINE = {"GDAL_HTTP_PROXY": "127.0.0.1:0"}
"""A proxy that leads nowhere, so that GDAL stays offline."""

MISSING, COLLECTION, POLYGONAL = -1, 7, (3, 6)
"""GEOS geometry types; polygons and multi-polygons are polygonal."""

SURFACES, TRIANGLE = (15, 16), 17
"""WKB types of polyhedral surfaces, TINs and triangles, which GEOS lacks."""

WKB_HEADER_BYTES = 9
"""Bytes of the WKB header: byte order, type, number of parts."""

ALL_ROWS = "1 = 1"
"""A filter that passes all rows; without one the count stored in a GeoPackage is trusted."""

NAME_LAYER = "name one with --layer"
"""Remedy for a reference file with several layers."""

MAX_COORDINATE = 1e30
"""Coordinates from here on are refused; their squares are still finite."""

GEOMETRIES_PER_CHUNK = 100_000


class Polygons(NamedTuple):
    """Polygons and their attributes."""

    geometries: Any
    """GeoSeries, with or without a CRS."""

    attributes: Sequence[object]
    """Attribute of each geometry; None if no column was named."""

    more: Mapping[str, Sequence[object]]
    """Further columns that were asked for and exist."""


def is_vector(path: Path) -> bool:
    """Whether a file is read as polygons rather than as a raster."""
    name = path.name.lower()
    if not name.endswith((*VECTOR_SUFFIXES, *ZIPPED_VECTORS)):
        return False
    return path.suffix.lower() != ".gpkg" or not _holds_only_rasters(path)


def refuse_missing(path: Path) -> None:
    """Refuse a file that is not there, or is a pipe or device; names of GDAL pass."""
    if not isinstance(parse_name(path), GdalName):
        if not path.exists():
            raise VectorError(f"{path}: no such file")
        refuse_special_file(path)


def _holds_only_rasters(path: Path) -> bool:
    """Whether a GeoPackage has tiles but no features."""
    if not path.is_file():
        return False
    address = f"{path.resolve().as_uri()}?mode=ro"
    faults = (sqlite3.Error, UnicodeDecodeError)  # the latter from damaged schemas
    with suppress(*faults), closing(sqlite3.connect(address, uri=True)) as file:
        kinds = {row[0] for row in file.execute("SELECT data_type FROM gpkg_contents")}
        return bool(kinds) and "features" not in kinds
    return False


def read_polygons(
    path: Path,
    *,
    layer: str | None = None,
    attribute: str | None = None,
    also: Sequence[str] = (),
    advice: str = NAME_LAYER,
    strokes: bool = False,
) -> Polygons:
    """All polygons of a layer; rows without a geometry are skipped.

    Self-crossing rings are repaired by the even-odd rule, as they are burnt, with a warning.

    Args:
        path: The file.
        layer: Name of the layer; not needed if there is only one.
        attribute: Column to read.
        also: Columns to read if they exist.
        advice: Remedy for a file with several layers, for the message.
        strokes: Whether points and lines are read too.

    Raises:
        VectorError: If the file cannot be read, holds other geometries or broken ones, lacks
            the column, or has several layers and none is named.
    """
    import geopandas as gpd

    frame = read_layer(path, layer, advice)
    if not len(frame):
        attribute = None  # a layer without features may well have no columns
    if attribute is not None and attribute not in frame.columns:
        columns = [name for name in frame.columns if name != frame.geometry.name]
        raise VectorError(
            f"{path}: has no column {attribute!r}; its columns are {short_list(columns)}"
        )
    shapes = np.asarray(frame.geometry.values, object)
    own = [*range(MISSING, COLLECTION)] if strokes else [*POLYGONAL, MISSING]
    others = np.flatnonzero(~np.isin(shapely.get_type_id(shapes), own) & ~shapely.is_empty(shapes))
    if len(others):
        found = sorted({shapes[each].geom_type for each in others})
        raise VectorError(
            f"{path}: needs polygons, but {len(others)} rows are {found}, the first of them "
            f"feature {others[0] + 1}"
        )
    frame = frame.set_geometry(gpd.GeoSeries(_repaired(shapes, path), frame.index, frame.crs))
    frame = frame[_have_shape(frame, path)]
    values = [None] * len(frame) if attribute is None else list(frame[attribute])
    more = {name: list(frame[name]) for name in also if name in frame.columns}
    return Polygons(frame.geometry, values, more)


def read_layer(path: Path, layer: str | None = None, advice: str = NAME_LAYER) -> Any:
    """A layer of a vector file as a two-dimensional GeoDataFrame.

    Curves become lines; surfaces and collections of polygons become multi-polygons.

    Raises:
        VectorError: If the file cannot be read, holds broken geometries, or has several layers
            and none is named.
    """
    frame = _read(path, _layer(path, layer, advice))
    _refuse_infinite(np.asarray(frame.geometry.values), path)
    return frame


def drawn_layers(path: Path) -> list[str]:
    """Names of the layers that have geometries.

    Raises:
        VectorError: If the file cannot be read.
    """
    import pyogrio

    if is_geoparquet(path):
        return [path.stem]
    with reading_layer(path):
        return [str(n) for n, kind in pyogrio.list_layers(gdal_name(path)) if kind is not None]


def read_layer_tag(path: Path, name: str, layer: str | None = None) -> str | None:
    """A tag of a layer of a vector file: its own, or the file's description; None without it.

    Args:
        path: The file.
        name: Name of the tag.
        layer: The layer; None: the first that has geometries.

    Raises:
        VectorError: If the file cannot be read.
    """
    import pyogrio

    refuse_missing(path)
    if is_geoparquet(path):
        from geoseg.raster.geoparquet import read_tag

        with reading_layer(path):
            return read_tag(path, name)
    layers = [each for each in drawn_layers(path) if layer in (None, each)]
    with reading_layer(path):
        about = pyogrio.read_info(gdal_name(path), layer=layers[0]) if layers else {}
    tags = {**(about.get("dataset_metadata") or {}), **(about.get("layer_metadata") or {})}
    text = tags.get(name, tags.get("DESCRIPTION"))
    return str(text) if text and (name in tags or str(text).startswith("{")) else None


def refuse_incomplete(path: Path, layer: str, rows: int) -> None:
    """Refuse a layer that was just written and lacks its end.

    GDAL writes the last of a file, and the index of a GeoPackage, as it closes the file, and keeps
    silent if the disk is full.

    Args:
        path: The file.
        layer: Name of the layer.
        rows: Features that were written.

    Raises:
        OutputError: If there are others in it.
    """
    from pyogrio.raw import open_arrow

    found = 0
    try:
        with writing_layer(path):
            if path.suffix.lower() == ".gpkg":
                found = _indexed(path, layer) if rows else 0
            else:
                with open_arrow(path, columns=[], use_pyarrow=True) as (_, batches):
                    found = sum(each.num_rows for each in batches)
    except (OutputError, RuntimeError, ValueError):
        found = 0
    if found != rows:
        reason = reason_of(OSError("its end is missing, as if the disk were full"), path)
        raise OutputError(f"{final(path)}: cannot be written: {reason}")


def _indexed(path: Path, layer: str) -> int:
    """Features in the spatial index of a layer of a GeoPackage."""
    try:
        with closing(sqlite3.connect(path)) as file:
            columns = "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = ?"
            (column,) = file.execute(columns, [layer]).fetchone()
            name = f"rtree_{layer}_{column}_rowid".replace('"', '""')
            (count,) = file.execute(f'SELECT count(*) FROM "{name}"').fetchone()  # noqa: S608
    except (sqlite3.Error, TypeError):  # there is no such layer
        return -1
    return int(count)


@contextmanager
def writing_layer(path: Path) -> Iterator[None]:
    """Turn failures to write a vector file into an `OutputError` that names it."""
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError

    try:
        with writing(path):
            yield
    except (DataSourceError, DataLayerError, FeatureError, GeometryError) as error:
        raise OutputError(f"{final(path)}: cannot be written: {reason_of(error, path)}") from error


@contextmanager
def reading_layer(path: Path) -> Iterator[None]:
    """Read a vector file offline, unless it is on a server; failures become a `VectorError`.

    GeoJSON may refer to a CRS on a server. Warnings of libraries are dropped.

    Raises:
        VectorError: If it cannot be read.
    """
    import pyogrio
    from pyproj.exceptions import ProjError

    faults = (
        *(pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ProjError),
        *(pyogrio.errors.FeatureError, pyogrio.errors.GeometryError, shapely.errors.ShapelyError),
        *(ValueError, LookupError, TypeError, ArithmeticError, OSError, RuntimeError, MemoryError),
        UnboundLocalError,  # pyogrio's, of a CRS
    )
    try:
        with warnings.catch_warnings(), gdal_options({} if is_remote(path) else OFFLINE):
            warnings.simplefilter("ignore")
            yield
    except faults as error:
        raise VectorError(f"{path}: cannot be read: {_reason(error, path)}") from error


def _reason(error: Exception, path: Path) -> str:
    """Why a vector file cannot be read, and how to mend it, on one line."""
    import pyogrio

    if isinstance(error, UnicodeDecodeError):
        named = "; name its encoding in a .cpg file beside it" if path.suffix == ".shp" else ""
        return f"its text is not UTF-8{named}"
    is_raster = path.suffix.lower() in RASTER_SUFFIXES
    if isinstance(error, pyogrio.errors.DataSourceError) and (path.is_dir() or is_raster):
        other = f"{path.suffix} files hold no polygons"
        return "it is a folder, not a file of polygons" if path.is_dir() else other
    said = reason_for(str(error).partition("; It might help")[0], path)[:200]
    if isinstance(error, pyogrio.errors.CRSError | UnboundLocalError):
        return "its CRS is damaged; set it in a GIS"
    index = f"{path.stem}.shx"
    if path.suffix.lower() == ".shp" and path.exists() and index.lower() in said.lower():
        return f"{index}, which belongs to it, is missing or damaged"
    return said or f"{type(error).__name__} without a reason"


@contextmanager
def gdal_options(wanted: Mapping[str, str]) -> Iterator[None]:
    """GDAL options during a block."""
    import pyogrio

    before = {key: pyogrio.get_gdal_config_option(key) for key in wanted}
    pyogrio.set_gdal_config_options(wanted)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


def _layer(path: Path, wanted: str | None, advice: str) -> str:
    import pyogrio

    refuse_missing(path)
    with reading_layer(path):
        listed = [(path.stem, "")] if is_geoparquet(path) else pyogrio.list_layers(gdal_name(path))
        found = [(str(name), kind) for name, kind in listed]
    layers = [name for name, kind in found if kind is not None] or [name for name, _ in found]
    if wanted is None and len(layers) == 1:
        return layers[0]
    if wanted not in layers:
        missing = "several layers" if wanted is None else f"no layer {wanted!r}"
        raise VectorError(f"{path}: has {missing}; {advice}: {layers}")
    return wanted


def _read(path: Path, layer: str) -> Any:
    import geopandas as gpd

    with reading_layer(path):
        try:
            if is_geoparquet(path):
                from geoseg.raster.geoparquet import read_frame

                frame = read_frame(path)
            else:
                frame = gpd.read_file(gdal_name(path), layer=layer, force_2d=True, where=ALL_ROWS)
        except shapely.errors.GEOSException:
            frame = _read_apart(path, layer)
        if not isinstance(frame, gpd.GeoDataFrame):
            raise VectorError(f"{path}: layer {layer!r} holds no geometries")
        shapes = np.array(frame.geometry.values, object)
        for number in np.flatnonzero(shapely.get_type_id(shapes) == COLLECTION):
            try:
                shapes[number] = _united(shapes[number])
            except NotImplementedError as error:
                raise VectorError(
                    f"{path}: feature {number + 1} is a collection with curves; make lines of them "
                    f"in a GIS, or with `ogr2ogr -nlt CONVERT_TO_LINEAR`"
                ) from error
        return frame.set_geometry(gpd.GeoSeries(shapes, frame.index, frame.crs))


def _read_apart(path: Path, layer: str) -> Any:
    """Read a layer with geometries that GEOS lacks or that are broken."""
    import geopandas as gpd
    import pyogrio

    if is_geoparquet(path):
        from geoseg.raster.geoparquet import read_stored

        _from_wkb(read_stored(path), path)
    file = gdal_name(path)
    about, _, stored, _ = pyogrio.raw.read(
        file, layer=layer, columns=[], force_2d=True, where=ALL_ROWS
    )
    shapes = _from_wkb([_without_surfaces(each) for each in stored], path)
    table = pyogrio.read_dataframe(file, layer=layer, read_geometry=False, where=ALL_ROWS)
    table = table.reindex(range(len(shapes)))  # without columns it has no rows
    return gpd.GeoDataFrame(table, geometry=shapes, crs=about["crs"])


def _from_wkb(stored: Sequence[bytes | None], path: Path) -> NDArray[Any]:
    """Geometries from their WKB; broken ones are refused by their number."""
    try:
        return np.asarray(shapely.from_wkb(np.array(stored, object)))
    except shapely.errors.GEOSException as error:
        closed = "a ring is not closed, or its coordinates are not numbers"
        reason = closed if "closed" in str(error) else " ".join(str(error).split())
        raise VectorError(
            f"{path}: {_broken(stored)}: {reason}; repair or remove it in a GIS"
        ) from error


def _without_surfaces(stored: bytes | None) -> bytes | None:
    """WKB of a geometry, with surfaces as collections of polygons.

    pyogrio gives two-dimensional little-endian WKB.
    """
    kind = int.from_bytes(stored[1:5], "little") if stored else 0
    if stored is None or kind not in (*SURFACES, TRIANGLE):
        return stored
    polygon = stored[:1] + POLYGONAL[0].to_bytes(4, "little")
    if kind == TRIANGLE:
        return polygon + stored[5:]
    parts, start = [], WKB_HEADER_BYTES
    while start < len(stored):
        end = start + WKB_HEADER_BYTES
        for _ in range(int.from_bytes(stored[start + 5 : end], "little")):
            end += 4 + 16 * int.from_bytes(stored[end : end + 4], "little")
        parts.append(polygon + stored[start + 5 : end])
        start = end
    return (
        stored[:1] + COLLECTION.to_bytes(4, "little") + stored[5:WKB_HEADER_BYTES] + b"".join(parts)
    )


def _broken(stored: Sequence[bytes | None]) -> str:
    """Names the features whose WKB is broken."""
    shapes = shapely.from_wkb(np.array(stored, object), on_invalid="ignore")
    lost = [n for n, each in enumerate(stored) if each is not None and shapes[n] is None]
    more = f" and {len(lost) - 1} more are broken" if len(lost) > 1 else " is broken"
    return f"feature {lost[0] + 1}{more}" if lost else "a feature is broken"


def _refuse_infinite(shapes: NDArray[Any], path: Path) -> None:
    """Refuse coordinates that are not finite."""
    for start in range(0, len(shapes), GEOMETRIES_PER_CHUNK):
        few = shapes[start : start + GEOMETRIES_PER_CHUNK]
        points, owners = shapely.get_coordinates(few, return_index=True)
        if len(lost := owners[~(np.abs(points) < MAX_COORDINATE).all(axis=1)]):
            raise VectorError(
                f"{path}: feature {start + lost[0] + 1} has coordinates that are not "
                f"finite, or far too large; remove it, or draw it again"
            )


def _have_shape(frame: Any, path: Path) -> Any:
    """Mask of the rows with a geometry."""
    bare = frame.geometry.isna() | frame.geometry.is_empty
    if bare.any():
        first = int(np.flatnonzero(bare)[0]) + 1
        issue_warning(
            f"{path}: {bare.sum()} rows have no geometry and are skipped, the first of them "
            f"feature {first}"
        )
    return ~bare


def _united(shape: Any) -> Any:
    """A collection of polygons as one multi-polygon; others unchanged."""
    parts = np.array([shape], object)
    while np.isin(shapely.get_type_id(parts), (COLLECTION, POLYGONAL[1])).any():
        parts = shapely.get_parts(parts)  # collections may hold each other
    if not (shapely.get_type_id(parts) == POLYGONAL[0]).all():
        return shape
    whole = shapely.MultiPolygon(list(parts))
    return whole if whole.is_valid else shapely.union_all(shapely.make_valid(parts))


def _repaired(shapes: NDArray[Any], path: Path) -> NDArray[Any]:
    """Polygons with self-crossing rings repaired."""
    crossing = np.flatnonzero(~shapely.is_valid(shapes) & ~shapely.is_missing(shapes))
    if not len(crossing):
        return shapes
    shapes = shapes.copy()
    for each in crossing:
        parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(shapes[each])))
        shapes[each] = shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon"])
    issue_warning(
        f"{path}: rings of {len(crossing)} polygons crossed or collapsed and were repaired, the "
        f"first of them feature {crossing[0] + 1}"
    )
    return shapes
