"""Files of polygons, written as a stream: GeoPackage, GeoParquet, FlatGeobuf, GeoJSON."""

import json
import re
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine

from geoseg.errors import GeosegError, OutputError, issue_warning
from geoseg.labels.legend import Legend
from geoseg.labels.style import Symbol, vector_qml
from geoseg.raster.atomic import final, write_vector_style, writing
from geoseg.raster.grid import Grid
from geoseg.raster.records import PROVENANCE
from geoseg.raster.vector import FIXED_DATE, gdal_options, refuse_incomplete, writing_layer
from geoseg.vectorize.stitch import Features

GEOPACKAGE = ".gpkg"

DRIVERS = {
    GEOPACKAGE: "GPKG",
    ".fgb": "FlatGeobuf",
    ".geojson": "GeoJSON",
    ".geojsonl": "GeoJSONSeq",
}
"""GDAL's drivers by the ending of a file; GeoParquet is written by pyarrow."""

PARQUET = ".parquet"

FORMATS = (*DRIVERS, PARQUET)

FEATURES_PER_BATCH = 20_000
"""Features that are handed to the format's driver at a time."""

RTREE_MEMORY = {"OGR_GPKG_MAX_RAM_USAGE_RTREE": str(64 << 20)}
"""Bytes of the spatial index that GDAL keeps until it is written; else it keeps all of it."""

FILL_OPACITY = 0.6

NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f\\]+")
"""Characters with which QGIS does not find the style of a layer."""

RESERVED_NAME = re.compile(r"\W|gpkg|sqlite_|rtree_|layer_styles$|$", re.IGNORECASE)
"""Beginning of names that a GeoPackage does not take."""

STYLE_TABLE = """
CREATE TABLE IF NOT EXISTS layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT, f_table_catalog TEXT(256), f_table_schema TEXT(256),
  f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT,
  styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME DEFAULT '2000-01-01T00:00:00.000Z')
"""
"""Table in which QGIS keeps styles within a GeoPackage."""


def layer_name(name: str) -> str:
    """A name for a layer of polygons, as near to one that is wished as every format allows.

    >>> layer_name("town"), layer_name("(2024) town"), layer_name("layer_styles")
    ('town', 'polygons (2024) town', 'polygons layer_styles')
    """
    name = " ".join(NOT_IN_NAMES.sub(" ", name).split())
    return f"polygons {name}".strip() if RESERVED_NAME.match(name) else name


@dataclass(frozen=True, kw_only=True)
class PolygonLayer:
    """A layer of polygons of classes."""

    name: str
    grid: Grid
    legend: Legend

    rasters: tuple[str, ...]
    """Names of the columns of means."""

    tags: Mapping[str, Any]
    """Legend and provenance, as in maps."""

    regularised: bool = False
    """Whether a column says which polygons were given right angles."""

    @property
    def area_column(self) -> str:
        """Name of the column of areas."""
        return "area_px" if self.grid.crs is None else "area_m2"

    @property
    def schema(self) -> Any:
        """Arrow schema of the features."""
        import pyarrow as pa

        return pa.schema(
            [
                ("class", pa.int16()),
                ("name", pa.string()),
                ("region", pa.int64()),
                (self.area_column, pa.float64()),
                ("pixels", pa.int64()),
                *((name, pa.float64()) for name in self.rasters),
                ("touches_edge", pa.bool_()),
                *([("regularised", pa.bool_())] if self.regularised else []),
                ("geometry", pa.binary()),
            ]
        )

    def batches(self, features: Iterable[Features]) -> Iterator[Any]:
        """Arrow batches of features, in coordinates of the map's CRS."""
        for each in features:
            for start in range(0, len(each.polygons), FEATURES_PER_BATCH):
                yield self._batch(each.taken(slice(start, start + FEATURES_PER_BATCH)))

    def _batch(self, features: Features) -> Any:
        import pyarrow as pa

        names = np.array(self.legend.names, object)
        values = np.array([each.value for each in self.legend.classes])
        shapes = shapely.transform(features.polygons, lambda xy: placed(xy, self.grid.transform))
        columns = [
            values[features.classes],
            names[features.classes],
            features.regions,
            features.areas,
            features.pixels,
            *features.means,
            features.at_edge,
            *([features.regularised] if self.regularised else []),
            shapely.to_wkb(shapes, byte_order=1),
        ]
        arrays = [
            pa.array(column, type=field.type, from_pandas=True)
            for column, field in zip(columns, self.schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def placed(xy: Any, transform: Affine) -> Any:
    """(points, 2) corners of pixels in coordinates: of equal corners the same, to the bit."""
    column, row = xy.T
    a, b, c, d, e, f = transform[:6]
    return np.stack([a * column + b * row + c, d * column + e * row + f], axis=1)


def store_batches(path: Path, layer: PolygonLayer, batches: Iterable[Any]) -> None:
    """Put Arrow batches aside, into a file that `stored_batches` reads.

    Raises:
        OutputError: If it cannot be written.
    """
    import pyarrow as pa

    with (
        writing(path),
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_stream(file, layer.schema) as stream,
    ):
        for batch in batches:
            stream.write_batch(batch)


def stored_batches(path: Path) -> Iterator[Any]:
    """The Arrow batches of a file of `store_batches`."""
    import pyarrow as pa

    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as stream:
        yield from stream


def write_polygons(path: Path, layer: PolygonLayer, batches: Iterable[Any]) -> None:
    """Write a layer of polygons, in a GeoPackage beside others that are there.

    Args:
        path: The file; its ending decides the format.
        layer: What the file says of itself.
        batches: Of the layer, in the order in which they are written.

    Raises:
        OutputError: If the file cannot be written.
    """
    failures: list[BaseException] = []
    rows = 0

    def watched() -> Iterator[Any]:
        nonlocal rows
        try:
            for each in batches:
                rows += each.num_rows
                yield each
        except BaseException as error:  # the reader of the stream would make an OSError of it
            failures.append(error)
            raise

    try:
        if path.suffix.lower() == PARQUET:
            _write_parquet(path, layer, watched())
        else:
            _write_by_gdal(path, layer, watched())
            refuse_incomplete(path, layer.name, rows)
        if path.suffix.lower() == GEOPACKAGE:
            store_style(path, layer.name, style_of(layer.legend))
    except (GeosegError, OSError, RuntimeError, ValueError) as error:
        if failures:
            raise failures[0] from error
        raise


def _write_by_gdal(path: Path, layer: PolygonLayer, batches: Iterator[Any]) -> None:
    import pyarrow as pa
    from pyogrio.raw import write_arrow

    driver = DRIVERS[path.suffix.lower()]
    crs = layer.grid.crs
    about: dict[str, Any] = {
        "GPKG": {
            "layer_metadata": {PROVENANCE: json.dumps(layer.tags)},
            "dataset_options": {"VERSION": "1.2"},
        },
        "FlatGeobuf": {"layer_options": {"DESCRIPTION": json.dumps(layer.tags)}},
        "GeoJSON": {"layer_options": {"DESCRIPTION": json.dumps(layer.tags)}},
        "GeoJSONSeq": {},
    }[driver]
    with gdal_options(FIXED_DATE | RTREE_MEMORY), writing_layer(path), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        write_arrow(
            pa.RecordBatchReader.from_batches(layer.schema, batches),
            path,
            layer=layer.name,
            driver=driver,
            geometry_name="geometry",
            geometry_type="Polygon",
            crs=crs.to_wkt() if crs else None,
            **about,
        )


def _write_parquet(path: Path, layer: PolygonLayer, batches: Iterator[Any]) -> None:
    """GeoParquet 1.1, with a bounding box of each feature by which readers skip row groups."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.struct([(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")])
    covering = {"bbox": {name.name: ["bbox", name.name] for name in kind}}
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": ["Polygon"]}
    column["crs"] = _projjson(layer.grid)
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": column | {"covering": covering}},
    }
    about = {"geo": json.dumps(geo), PROVENANCE: json.dumps(layer.tags)}
    schema = layer.schema.append(pa.field("bbox", kind)).with_metadata(about)
    with writing_layer(path), pq.ParquetWriter(path, schema, compression="zstd") as file:
        for batch in batches:
            bounds = shapely.bounds(shapely.from_wkb(batch.column("geometry")))
            boxes = pa.StructArray.from_arrays(list(bounds.T), fields=list(kind))
            file.write_batch(pa.RecordBatch.from_arrays([*batch.columns, boxes], schema=schema))


def _projjson(grid: Grid) -> Any:
    """The CRS as GeoParquet wants it; null for an image without one."""
    if grid.crs is None:
        return None
    import pyproj

    return pyproj.CRS.from_wkt(grid.crs.to_wkt()).to_json_dict()


def style_of(legend: Legend) -> str:
    """QGIS style (QML): a class a colour, by the column ``class``."""
    symbols = [
        Symbol(
            label=each.name, rule=f'"class" = {each.value}', color=each.color, opacity=FILL_OPACITY
        )
        for each in legend.classes
    ]
    return vector_qml(symbols, points=False)


def write_style(path: Path, legend: Legend) -> None:
    """Write the style beside a file that cannot hold it, unless another one is there."""
    if path.suffix.lower() != GEOPACKAGE and not write_vector_style(path, style_of(legend)):
        style = path.with_suffix(".qml")
        issue_warning(
            f"{style}: is the style of something else, and stays; {path.name} has none, but "
            f"would by another name"
        )


def regularised_file(path: Path) -> Path:
    """The file of polygons with right angles: a GeoPackage itself, of others one beside."""
    return path if path.suffix.lower() == GEOPACKAGE else path.with_stem(f"{path.stem}_regularised")


def store_style(path: Path, layer: str, style: str) -> None:
    """Store the style of a layer in a GeoPackage, where QGIS finds it by itself.

    Raises:
        OutputError: If it cannot be stored.
    """
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path)) as file:
        file.execute(STYLE_TABLE)
        file.execute(
            "INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, last_change) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles', ?)",
            [FIXED_DATE["OGR_CURRENT_DATE"]],
        )
        file.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
            "f_geometry_column, styleName, styleQML, useAsDefault, description) "
            "VALUES ('', '', ?, 'geom', ?, ?, 1, 'geoseg')",
            [layer, layer[:30], style],
        )
        file.commit()
        return
    raise OutputError(f"{final(path)}: cannot be written: the style cannot be stored")
