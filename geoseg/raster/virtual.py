"""Rasters that refer to other files: what of these may be read, and a view of our own.

Files that only describe a service on the network are named as such.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as ET

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio._path import _parse_path as parse_path
from rasterio._path import _vsi_path as vsi_path
from rasterio.dtypes import dtype_rev, typename_fwd
from rasterio.errors import RasterioError

from geoseg.errors import RasterError
from geoseg.raster.paths import SELF_CONTAINED, VECTOR_SUFFIXES, gdal_name, refuse_special_file

SERVICE_HEAD = re.compile(rb"<(GDAL_WMS|GDAL_WMTS|WCS_GDAL|OGRWFSDataSource|OGRVRTDataSource)")
"""First elements of descriptions of network services."""

INLINE_VRT_PREFIXES = ("<", "vrt:")
"""Prefixes of names that are virtual rasters themselves: XML, or a view of a raster."""

HEAD_BYTES = 1024
"""Bytes of the header by which GDAL identifies a format."""

MAX_VRT_DEPTH = 16
"""Nesting depth of virtual rasters."""


def kind_of(path: Path) -> str | None:
    """What a path is that is no raster, and what to do; None: nothing is known of it."""
    if path.is_dir():
        return "is a folder, not a raster; name a file in it"
    if path.suffix.lower() in VECTOR_SUFFIXES:
        return f"cannot be read as a raster: {path.suffix} files hold polygons"
    if found := SERVICE_HEAD.search(_head(path)):
        return (
            f"describes a service on the network ({found[1].decode()}); geoseg reads files: fetch "
            f"it first, for example with gdal_translate"
        )
    return None


def refuse_foreign_pixels(dataset: Any, path: Path, *, depth: int = 0) -> None:
    """Refuse a raster whose raw bytes lie outside its own folder.

    GDAL reads raw bands of virtual rasters, and pixels of formats with a text header, from any file
    that they name; a map would disclose its content. Virtual rasters may refer to other rasters
    anywhere, as these hold nothing but images.

    Raises:
        RasterError: If the bytes lie elsewhere.
        InputError: If a source is a pipe or device.
    """
    if dataset.driver in SELF_CONTAINED:
        return
    if depth > MAX_VRT_DEPTH:
        raise RasterError(f"{path}: more than {MAX_VRT_DEPTH} virtual rasters are nested")
    is_text = dataset.name.lstrip().startswith(INLINE_VRT_PREFIXES)
    own = Path(gdal_name(path) if is_text or not dataset.files else dataset.files[0])
    others = dataset.files if is_text else dataset.files[1:]
    record = dataset.tags(ns="xml:VRT").get("xml:VRT", "") if dataset.driver == "VRT" else ""
    if dataset.driver == "MRF":
        others += _of_mrf(path)
    if dataset.driver != "VRT" or "VRTRawRasterBand" in record:
        _refuse_outside(own, others, path)
        return
    for name in [*others, *_named_in(record)]:
        refuse_special_file(Path(name))
        if _may_lead_on(name):
            with suppress(RasterioError, CPLE_BaseError), rasterio.open(name) as source:
                refuse_foreign_pixels(source, path, depth=depth + 1)


def _refuse_outside(own: Path, others: list[str], path: Path) -> None:
    folder = os.path.realpath(own.parent)
    for name in others:
        place = os.path.realpath(name)
        if os.path.commonpath([folder, place]) != folder:
            raise RasterError(
                f"{path}: its pixels are the bytes of {name}, outside of its folder; if this is "
                f"intended, put both into one folder"
            )


def _may_lead_on(name: str) -> bool:
    """Whether a source of a virtual raster may be one itself, or have a text header."""
    return name.lstrip().startswith(INLINE_VRT_PREFIXES) or b"\0" not in (
        _head(Path(name)) or b"\0"
    )


def _named_in(record: str) -> list[str]:
    """Sources of a virtual raster that are virtual rasters in XML, or named by its algorithms."""
    with suppress(ET.ParseError):
        elements = ET.fromstring(record).iter()  # noqa: S314 written by GDAL itself
        return [
            each.text.strip()
            for each in elements
            if each.text
            and (
                each.text.lstrip().startswith(INLINE_VRT_PREFIXES)
                or "dataset_filename" in each.get("name", "")
            )
        ]
    return []


def _head(path: Path) -> bytes:
    with suppress(OSError, ValueError):
        if path.is_file():
            with path.open("rb") as file:
                return file.read(HEAD_BYTES)
    return b""


def _of_mrf(path: Path) -> list[str]:
    """Files named by an MRF header, which GDAL does not list."""
    try:
        elements: Iterator[Any] = ET.parse(path).iter()  # noqa: S314 no network, limited
        return [
            str(Path(gdal_name(path)).parent / each.text.strip())
            for each in elements
            if each.text and each.tag.lower() in {"datafile", "indexfile", "source"}
        ]
    except (ET.ParseError, OSError) as error:
        raise RasterError(f"{path}: its record cannot be read: {error}") from error


def masked_view(dataset: Any, nodata: float | Literal["none"] | None) -> str:
    """A VRT of a raster's bands with one mask, valid where all bands have data.

    GDAL resamples with one nodata value or mask for all bands; NaN beside a nodata value would be
    mixed into its neighbours.

    Args:
        dataset: The raster, without alpha.
        nodata: Value given by the user, as in `ReadOptions`.
    """
    name = vsi_path(parse_path(dataset.name))
    root = ET.Element("VRTDataset", rasterXSize=str(dataset.width), rasterYSize=str(dataset.height))
    if dataset.crs:
        ET.SubElement(root, "SRS").text = dataset.crs.to_wkt()
    ET.SubElement(root, "GeoTransform").text = ", ".join(map(repr, dataset.transform.to_gdal()))
    for band, dtype in zip(dataset.indexes, dataset.dtypes, strict=True):
        target = ET.SubElement(root, "VRTRasterBand", dataType=_gdal_type(dtype))
        ET.SubElement(target, "Description").text = dataset.descriptions[band - 1] or ""
        color = dataset.colorinterp[band - 1].name
        ET.SubElement(target, "ColorInterp").text = color.capitalize()
        _add_source(target, "SimpleSource", name, str(band))
    product = {"dataType": "Byte", "subClass": "VRTDerivedRasterBand"}
    mask = ET.SubElement(ET.SubElement(root, "MaskBand"), "VRTRasterBand", product)
    ET.SubElement(mask, "PixelFunctionType").text = "mul"
    ET.SubElement(mask, "SourceTransferType").text = "Float32"
    for band in dataset.indexes:
        _add_known(mask, name, str(band), "nan")
        if nodata is None:
            _add_source(mask, "SimpleSource", name, f"mask,{band}")
        else:
            value = "nan" if nodata == "none" else repr(float(nodata))
            _add_known(mask, name, str(band), value)
    return ET.tostring(root, encoding="unicode")


def _add_known(target: ET.Element, file: str, band: str, nodata: str) -> None:
    """Add a source that is 1 where a band has data.

    It is 0 x value + 1: NaN, stored as 0, where the value is NaN or infinite; nodata leaves 0.
    (Without a nodata value GDAL would not look at the pixels.)
    """
    source = _add_source(target, "ComplexSource", file, band)
    for name, value in (("ScaleOffset", "1"), ("ScaleRatio", "0"), ("NODATA", nodata)):
        ET.SubElement(source, name).text = value


def _add_source(target: ET.Element, kind: str, file: str, band: str) -> ET.Element:
    source = ET.SubElement(target, kind)
    ET.SubElement(source, "SourceFilename", relativeToVRT="0").text = file
    ET.SubElement(source, "SourceBand").text = band
    return source


def _gdal_type(dtype: str) -> str:
    return str(typename_fwd[dtype_rev[dtype]])
