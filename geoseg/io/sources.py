"""The files behind a raster: a file from elsewhere is not to show any other file's bytes."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from geoseg.errors import InputError, RasterError

SELF_CONTAINED = {
    *("GTiff", "COG", "PNG", "JPEG", "JP2OpenJPEG", "WEBP", "GIF", "BMP", "HFA", "GPKG", "netCDF"),
    *("HDF5", "HDF5Image", "GRIB", "AAIGrid", "MEM", "SNAP_TIFF", "USGSDEM", "SRTMHGT", "DTED"),
}
"""Formats of GDAL that hold their own pixels; the files beside them do not say where others are."""

SERVICE_HEAD = re.compile(rb"<(GDAL_WMS|GDAL_WMTS|WCS_GDAL|OGRWFSDataSource|OGRVRTDataSource)")
"""How their descriptions begin."""

NO_FILE = ("<", "vrt:")
"""Beginnings of names that are virtual rasters themselves: their text, or a view of a raster."""

HEAD = 1024
"""Bytes at the beginning by which GDAL knows a format."""

DEEPEST = 16
"""Virtual rasters within each other."""


def refuse_special_file(path: Path) -> None:
    """A pipe would be waited for, and a device has no end.

    Raises:
        InputError: If the path is one.
    """
    with suppress(OSError, ValueError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(f"{path}: is a pipe, socket or device, and no file")


def service_of(path: Path) -> str | None:
    """What service on the network a file describes; None: none."""
    found = SERVICE_HEAD.search(_head(path))
    return found[1].decode() if found else None


def refuse_foreign_pixels(dataset: Any, path: Path, *, depth: int = 0) -> None:
    """See that the bytes of a raster that says where they are lie in its own folder.

    GDAL reads the raw bands of a virtual raster, and the pixels of formats with a label in text,
    from any file that is named; a map of them would show what the file holds. Virtual rasters
    may name other rasters anywhere: what is no picture is not shown by them.

    Args:
        dataset: Open.
        path: What it is called.
        depth: How many virtual rasters lead to it.

    Raises:
        RasterError: If they lie elsewhere.
        InputError: If a source is a pipe or device.
    """
    if dataset.driver in SELF_CONTAINED:
        return
    if depth > DEEPEST:
        raise RasterError(f"{path}: more than {DEEPEST} virtual rasters within each other")
    is_text = dataset.name.lstrip().startswith(NO_FILE)
    own = path if is_text or not dataset.files else Path(dataset.files[0])
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
                f"{path}: its pixels are the bytes of {name}, which lies outside of its folder; "
                f"if that is meant, put both into one folder"
            )


def _may_lead_on(name: str) -> bool:
    """Whether a source of a virtual raster may be one itself, or a label in text."""
    return name.lstrip().startswith(NO_FILE) or b"\0" not in (_head(Path(name)) or b"\0")


def _named_in(record: str) -> list[str]:
    """The sources of a virtual raster that are no files, and those of its algorithms."""
    with suppress(ET.ParseError):
        elements = ET.fromstring(record).iter()  # noqa: S314 written by GDAL itself
        return [
            each.text.strip()
            for each in elements
            if each.text
            and (
                each.text.lstrip().startswith(NO_FILE) or "dataset_filename" in each.get("name", "")
            )
        ]
    return []


def _head(path: Path) -> bytes:
    with suppress(OSError, ValueError):
        if path.is_file():
            with path.open("rb") as file:
                return file.read(HEAD)
    return b""


def _of_mrf(path: Path) -> list[str]:
    """The files that a record of the MRF format names; GDAL does not tell them."""
    try:
        elements: Iterator[Any] = ET.parse(path).iter()  # noqa: S314 no network, limited
        return [
            str(path.parent / each.text.strip())
            for each in elements
            if each.text and each.tag.lower() in {"datafile", "indexfile", "source"}
        ]
    except (ET.ParseError, OSError) as error:
        raise RasterError(f"{path}: its record cannot be read: {error}") from error
