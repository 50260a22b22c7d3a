"""The record and the footprints of a patch set, as files.

geopandas is imported where footprints are read or written, as in `geoseg.raster.vector`.
"""

import json
import math
import os
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geoseg.errors import InputError, LegendError, PatchSetError, VectorError
from geoseg.labels.legend import Legend
from geoseg.labels.reference import ReferenceOptions
from geoseg.labels.style import Symbol, vector_qml
from geoseg.patches.record import SPLITS, Patch, PatchSetRecord, PatchTable, Source, patch_name
from geoseg.raster.atomic import write_vector_style
from geoseg.raster.folders import KIND, PATCH_SET
from geoseg.raster.grid import Grid, Length, missing_transform
from geoseg.raster.paths import GdalName, absolute_name, check_component, lasting_name, parse_name
from geoseg.raster.reader import ReadOptions
from geoseg.raster.records import check_types, read_record
from geoseg.raster.vector import reading_layer, refuse_incomplete, writing_layer

RECORD = PATCH_SET.record

FOOTPRINTS = "patches.gpkg"

LAYER = "patches"

FORMAT = 1

MAX_OFFSET = 2**31 - 1
"""Pixels of a side, or bands: more are in no file."""

PATHS = ("image", "mask")
"""Columns of the footprints that say where a patch's files are."""

SYMBOLS = (
    Symbol(rule="\"split\" = 'train'", label="train", color=(31, 120, 180), opacity=0.15),
    Symbol(rule="\"split\" = 'val'", label="val", color=(255, 127, 0), opacity=0.3),
    Symbol(rule="\"split\" = 'test'", label="test", color=(227, 26, 28), opacity=0.3),
)
"""How QGIS shows the footprints."""

DAMAGE = (
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    LegendError,
    CRSError,
)
"""Errors of interpreting the record or the footprints."""

DEGREES = CRS.from_epsg(4326)
"""Of the footprints of orthophotos in several CRS."""


def write_index(
    folder: Path, record: PatchSetRecord, patches: Sequence[Patch], grids: Sequence[Grid]
) -> None:
    """Write what `PatchSet.open` reads.

    Args:
        folder: The patch set; relative paths of sources are kept relative to it.
        record: What the patches share.
        patches: In order.
        grids: Of each source.
    """
    import geopandas as gpd
    import pandas as pd

    sources = zip(record.sources, grids, strict=True)
    record = replace(record, sources=tuple(replace(each, grid=grid) for each, grid in sources))
    shared = {grid.crs for grid in grids}
    parts = []
    by_source: defaultdict[int, list[Patch]] = defaultdict(list)
    for patch in patches:
        by_source[patch.source].append(patch)
    for source, grid in enumerate(grids):
        if rows := by_source[source]:
            frame = gpd.GeoDataFrame(
                [_row(patch, record) for patch in rows],
                geometry=[shapely.Polygon(grid.part(patch.window).corners) for patch in rows],
                crs=grid.crs.to_wkt() if grid.crs else None,
            )
            if len(shared) > 1 and (not grid.crs or missing_transform(grid.crs, DEGREES)):
                # a picture, or a site of its own, has no place beside the others
                frame = frame.set_geometry([None] * len(rows), crs=DEGREES.to_wkt())
            parts.append(frame if len(shared) == 1 else frame.to_crs(DEGREES.to_wkt()))
    table = gpd.GeoDataFrame(pd.concat(parts, ignore_index=True), crs=parts[0].crs)
    _write(folder, record, table)


def _write(folder: Path, record: PatchSetRecord, table: Any) -> None:
    import pyogrio

    text = _record_to_json(record, folder.resolve())
    (folder / RECORD).write_text(text, encoding="utf-8", newline="\n")
    table = _with_paths(table, record, folder.resolve())
    with writing_layer(folder / FOOTPRINTS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")  # pictures have none
        pyogrio.write_dataframe(
            table,
            folder / FOOTPRINTS,
            layer=LAYER,
            driver="GPKG",
            dataset_options={"VERSION": "1.2"},  # what older readers know
        )
    refuse_incomplete(folder / FOOTPRINTS, LAYER, int(table.geometry.notna().sum()))
    write_vector_style(folder / FOOTPRINTS, vector_qml(SYMBOLS, points=False))


def _with_paths(table: Any, record: PatchSetRecord, folder: Path) -> Any:
    """Footprints with where each patch's image and mask are, from the folder of the set.

    Of an index these are orthophotos and references: the window says where in them.
    """
    if record.storage == "index":
        known = {
            source.name: [_relative(path, folder) for path in (source.ortho, source.reference)]
            for source in record.sources
        }
        paths = [known[name] for name in table["source"]]
    else:
        pixels = f"{_relative(record.pixels, folder)}/" if record.pixels else ""
        names = map(patch_name, table["source"], table["row_off"], table["col_off"])
        files = [f"{name}.{record.storage}" for name in names]
        paths = [[f"{pixels}images/{file}", f"{pixels}masks/{file}"] for file in files]
    images, masks = zip(*paths, strict=True)
    table = table.drop(columns=[name for name in PATHS if name in table])
    for place, (name, column) in enumerate(zip(PATHS, (images, masks), strict=True)):
        table.insert(table.columns.get_loc("col_off") + 1 + place, name, column)
    return table


def write_part(folder: Path, whole: Path, record: PatchSetRecord, kept: Sequence[int]) -> None:
    """Write some of the patches of another set, as `write_index` does.

    Raises:
        PatchSetError: If the footprints of the other set cannot be read.
    """
    import pyogrio

    try:
        with reading_layer(whole / FOOTPRINTS):
            table = pyogrio.read_dataframe(whole / FOOTPRINTS, layer=LAYER)
    except VectorError as error:
        raise PatchSetError(str(error)) from error
    _write(folder, record, table.iloc[list(kept)])


def read_index(folder: Path) -> tuple[PatchSetRecord, PatchTable]:
    """Read what `write_index` wrote.

    Raises:
        PatchSetError: If it is incomplete or damaged.
    """
    with _damaged(f"{folder}: {RECORD} is damaged"):
        record = _record_from_json(read_record(folder / RECORD), folder)
        _check(record)
    with _damaged(f"{folder}: {RECORD} is damaged, or {FOOTPRINTS}"):
        return record, _read_patches(folder / FOOTPRINTS, record)


@contextmanager
def _damaged(what: str) -> Iterator[None]:
    """Report errors of interpreting a file as a damaged patch set."""
    try:
        yield
    except DAMAGE as error:
        missing = " is missing" if isinstance(error, KeyError) else ""
        raise PatchSetError(f"{what}: {error}{missing}") from error
    except (InputError, VectorError) as error:
        raise PatchSetError(str(error)) from error


def _row(patch: Patch, record: PatchSetRecord) -> dict[str, Any]:
    return {
        "split": patch.split,
        "source": record.sources[patch.source].name,
        "row_off": patch.window.row_off,
        "col_off": patch.window.col_off,
        "valid_share": patch.valid_share,
        **dict(zip(_share_columns(record.legend), patch.class_shares, strict=True)),
    }


def _share_columns(legend: Legend) -> list[str]:
    """A column for each class; GeoPackage takes names that differ in case only for the same."""
    names = [name.casefold() for name in legend.names]
    return [
        f"share_{name}" if names.count(name.casefold()) == 1 else f"share_{name}_{number}"
        for number, name in enumerate(legend.names)
    ]


def _read_patches(path: Path, record: PatchSetRecord) -> PatchTable:
    """Column by column: a row as an object of its own would be a hundred times as large."""
    import pyogrio

    with reading_layer(path):
        found, _, _, values = pyogrio.raw.read(path, layer=LAYER, read_geometry=False)
    columns = dict(zip(found["fields"], values, strict=True))
    numbers = {source.name: number for number, source in enumerate(record.sources)}
    shares = [columns[name].astype(float) for name in _share_columns(record.legend)]
    return PatchTable(
        size=record.size,
        source=np.array([numbers[name] for name in columns["source"]], np.int32),
        row_off=columns["row_off"].astype(np.int32),
        col_off=columns["col_off"].astype(np.int32),
        split=np.array([SPLITS.index(split) for split in columns["split"]], np.int8),
        valid_share=columns["valid_share"].astype(float),
        class_shares=np.stack(shares, axis=1),
    )


def _record_to_json(record: PatchSetRecord, folder: Path) -> str:
    content = asdict(replace(record, sources=()))
    content = {KIND: PATCH_SET.name} | content
    content |= {"format": FORMAT, "legend": record.legend.to_dict()}
    content["read"].pop("on")
    content["read"]["stacked"] = [_relative(path, folder) for path in record.read.stacked]
    content["sources"] = [_source_to_dict(source, folder) for source in record.sources]
    content["aoi"] = record.aoi and _relative(record.aoi, folder)
    content["reference"] = record.reference.to_record()
    content["ignore_border"] = record.ignore_border and str(record.ignore_border)
    if areas := record.reference.labelled_areas:
        content["reference"]["labelled_areas"] = _relative(areas, folder)
    content["corrections"] = record.corrections and _relative(record.corrections, folder)
    if record.pixels:
        content["pixels"] = _relative(record.pixels, folder)
    else:
        del content["pixels"]
    return json.dumps(content, indent=1) + "\n"


def _check(record: PatchSetRecord) -> None:
    """See that the entries of a record are ones that a patch set can have."""
    for part in (record, record.read, record.reference, *record.sources):
        check_types(part)
    for name in ("size", "stride", "bands"):
        if not 0 < getattr(record, name) <= MAX_OFFSET:
            raise ValueError(f"{name} is {getattr(record, name)}")
    if record.gsd is not None and not 0 < record.gsd < math.inf:
        raise ValueError(f"gsd is {record.gsd}")
    if np.dtype(record.dtype).kind not in "biuf":
        raise ValueError(f"dtype is {record.dtype!r}")
    for name, figures in record.statistics.items():
        if not np.isfinite(np.array(figures, float)).all() or len(figures) != record.bands:
            raise ValueError(f"statistics: {name} is {figures!r:.60}")
    pixels = record.class_pixels
    if len(pixels) != len(record.legend) or min(pixels) < 0 or max(pixels) > MAX_OFFSET**2:
        raise ValueError(f"class_pixels are {pixels!r:.60}")
    for grid in (each.grid for each in record.sources if each.grid):
        _check_grid(grid)


def _check_grid(grid: Grid) -> None:
    if not (_is_length(grid.height) and _is_length(grid.width)):
        raise ValueError(f"a source has {grid.height!r:.20} x {grid.width!r:.20} px")
    if not np.isfinite(grid.transform[:6]).all() or not grid.transform.determinant:
        raise ValueError(f"the transform of a source is {tuple(grid.transform[:6])}")


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_OFFSET


def _record_from_json(content: dict[str, Any], folder: Path) -> PatchSetRecord:
    content.pop(KIND, None)
    if (found := content.pop("format", None)) != FORMAT:
        raise PatchSetError(f"{folder}: written in format {found}, this geoseg reads {FORMAT}")
    folder = folder.resolve()
    content["legend"] = Legend.from_dict(content["legend"])
    content["sources"] = tuple(_source_from_dict(each, folder) for each in content["sources"])
    read, reference = content["read"], content["reference"]
    bands, areas = read["bands"], reference.get("labelled_areas")
    stacked = tuple(absolute_name(each, folder) for each in read.get("stacked", ()))  # none in 0.1
    read |= {"bands": bands and tuple(bands), "stacked": stacked}
    reference |= {"labelled_areas": areas and absolute_name(areas, folder)}
    content["read"] = ReadOptions(**read)
    content["reference"] = ReferenceOptions.from_record(reference)
    if border := content.get("ignore_border"):  # sets of 0.1 have none
        content["ignore_border"] = Length.parse(border)
    content["aoi"] = content["aoi"] and absolute_name(content["aoi"], folder)
    for name in ("pixels", "corrections"):  # sets of 0.1 have none
        if content.get(name):
            content[name] = absolute_name(content[name], folder)
    content["band_names"] = tuple(content["band_names"])
    content["class_pixels"] = tuple(content["class_pixels"])
    return PatchSetRecord(**content)


def _source_to_dict(source: Source, folder: Path) -> dict[str, Any]:
    grid = source.grid
    return {
        "name": source.name,
        "ortho": _relative(source.ortho, folder),
        "reference": _relative(source.reference, folder),
        "split": source.split,
        "content": source.content,
        "grid": grid
        and {
            "crs": grid.crs.to_wkt() if grid.crs else None,
            "transform": list(grid.transform[:6]),
            "height": grid.height,
            "width": grid.width,
        },
    }


def _source_from_dict(content: dict[str, Any], folder: Path) -> Source:
    paths = {key: absolute_name(content[key], folder) for key in ("ortho", "reference")}
    if grid := content.get("grid"):
        crs = grid["crs"] and _crs(grid["crs"])
        grid = Grid(crs, Affine(*grid["transform"]), grid["height"], grid["width"])
    check_component(content["name"], folder / RECORD)  # files of patches begin with it
    return Source(**content | paths | {"grid": grid})


@cache  # thousands of sources share one
def _crs(wkt: str) -> CRS:
    return CRS.from_wkt(wkt)


def _relative(path: Path, folder: Path) -> str:
    """A path that stays true if both are moved together; absolute across drives.

    A name that only GDAL knows keeps its form, with the file in it absolute. Links before the name
    are followed, for what lies above a linked folder is not what lies above the link.
    """
    if isinstance(parse_name(path), GdalName):
        return lasting_name(path)
    real = path.parent.resolve() / path.name
    try:
        return Path(os.path.relpath(real, folder)).as_posix()
    except ValueError:
        return real.as_posix()
