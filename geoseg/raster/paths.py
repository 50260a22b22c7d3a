"""What a user names on the command line becomes a list of files."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from glob import glob
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from geoseg.errors import InputError, RasterError

RASTER_SUFFIXES = (".tif", ".tiff", ".vrt", ".png", ".jpg", ".jpeg", ".jp2", ".img")
"""What is taken from a folder of orthophotos."""

WRITABLE_VECTORS = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".gml", ".kml")
"""What vectors of our own are written as."""

PARQUET = (".parquet", ".geoparquet")
"""Vectors that cannot be read, and are told apart from rasters."""

VECTOR_SUFFIXES = (
    *WRITABLE_VECTORS,
    *(".geojsonl", ".geojsons", *PARQUET, ".gdb", ".tab", ".mif", ".shz"),
    *(".kmz", ".sqlite", ".dxf"),
)
"""What is taken for polygons rather than a raster."""

ZIPPED_VECTORS = (".gdb.zip", ".shp.zip")
"""Archives that are read as polygons."""

GDAL_NAME = re.compile(r"(/vsi\w+/|[a-zA-Z][\w+]+:)")
"""How names begin that only GDAL knows: of subdatasets, archives and servers. C: is a drive."""

COLLAPSED_URL = re.compile(r"\b(https?|ftp|s3|gs|az|oss|swift|hdfs|webhdfs):/(?!/)")
"""Beginnings of addresses that pathlib has taken a slash from."""

URL_START = re.compile(r"\w://")
"""What an address begins with."""


def is_gdal_name(path: Path) -> bool:
    """Whether a path is no file of this machine, but a name that GDAL knows."""
    return bool(GDAL_NAME.match(path.as_posix())) and not path.exists()


def gdal_name(path: Path) -> str:
    """A path as GDAL is to be told of it.

    pathlib makes one slash of two, which stand in addresses, before absolute paths in archives
    and in HDF5 groups.

    >>> gdal_name(Path("http://host//a.tif")), gdal_name(Path("/vsicurl/https://host/a.tif"))
    ('http://host/a.tif', '/vsicurl/https://host/a.tif')
    >>> gdal_name(Path('HDF5:"a.h5"://group/data')), gdal_name(Path("zip://a.zip!b.tif"))
    ('HDF5:"a.h5"://group/data', '/vsizip/a.zip/b.tif')
    """
    if not is_gdal_name(path):
        return str(path)
    text = COLLAPSED_URL.sub(r"\1://", path.as_posix())
    if text.startswith("HDF5:"):
        return re.sub(r'(":|\.\w+:)/(?!/)', r"\1//", text)
    text = re.sub(r"^(zip|tar|gzip):/+(?=.*!)", r"/vsi\1/", text).replace("!", "/")
    return _with_archive(text.replace("//", "/")) if not URL_START.search(text) else text


def lasting_name(path: Path) -> str:
    """A name that GDAL knows, which says the same in whatever folder: its file is absolute."""
    return "".join(
        part
        if file is None or part.startswith(("/", "\\"))
        else Path(os.path.abspath(part)).as_posix()  # noqa: PTH100 links stay
        for part, file in _parts(path)
    )


def files_in(path: Path) -> list[Path]:
    """The files of this machine that a name which only GDAL knows reads from; none of others."""
    return [file for _, file in _parts(path) if file is not None] if is_gdal_name(path) else []


def _parts(path: Path) -> Iterator[tuple[str, Path | None]]:
    """A name that GDAL knows in parts, and the file that each of them is or lies in."""
    for part in re.split(r"([\":]|/vsi\w+/)", gdal_name(path)):
        around = (Path(part), *Path(part).parents)
        yield part, next((each for each in around if each.is_file()), None)


def absolute_name(name: str, folder: Path) -> Path:
    """The path that a record in a folder means, or the name that only GDAL knows.

    Raises:
        TypeError: If it is none.
    """
    if not isinstance(name, str) or "\0" in name:
        raise TypeError(f"{name!r:.60} is no path")
    if is_gdal_name(Path(name)) and not (folder / name).exists():
        return Path(name)
    return Path(os.path.normpath(folder / name))


def _with_archive(text: str) -> str:
    """The name of a file in an archive, whose path is absolute if there is such a file."""
    found = re.match(
        r"(/vsi\w+/)(?!vsi)(.*?\.(?:zip|tar|tgz|gz|kmz|7z|rar)\b)", text, re.IGNORECASE
    )
    if found is None or Path(found[2]).exists() or not Path(f"/{found[2]}").exists():
        return text
    return f"{found[1]}/{text.removeprefix(found[1])}"


def find_rasters(named: Sequence[Path]) -> list[Path]:
    """Rasters of the paths, folders and globs that a user names, in the order named.

    A folder gives its rasters sorted by name, a pattern with ``*``, ``?`` or ``[`` what
    matches (``**`` goes into folders; needed where no shell expands it). What is named
    twice counts once.

    Raises:
        InputError: If a path names nothing, or a name is not UTF-8.
    """
    return list(dict.fromkeys(_expand(named, RASTER_SUFFIXES)))


def find_references(named: Sequence[Path]) -> list[Path]:
    """References, rasters or polygons, as `find_rasters` finds them; a repetition counts.

    Raises:
        InputError: If a path names nothing, or a name is not UTF-8.
    """
    return _expand(named, (*RASTER_SUFFIXES, *VECTOR_SUFFIXES))


def unique_names(paths: Sequence[Path]) -> list[str]:
    """A short name for each file, from its stem and as many of its folders as it takes.

    >>> unique_names([Path("a/x.tif"), Path("b/x.tif"), Path("b/y.tif")])
    ['a_x', 'b_x', 'b_y']
    """
    parts = [(*path.parent.parts, path.stem) for path in map(_as_file, paths)]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["_".join(part[-depth:]).replace(os.sep, "") for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{part[-1]}_{number}" for number, part in enumerate(parts, 1)]


def _as_file(path: Path) -> Path:
    """A path that files can be called after."""
    if not is_gdal_name(path):
        return path
    return Path(re.sub(r"[^\w-]+", "_", path.as_posix()).strip("_"))


def check_name(path: Path) -> None:
    """See that GDAL, which takes UTF-8 only, can be told of a file.

    Raises:
        InputError: If its name cannot be written so.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(f"{str(path)!a}: the name is not UTF-8; rename it") from None


def check_component(name: object, where: Path) -> str:
    """See that a name that a file gives is one part of a path, and so leads nowhere else.

    Args:
        name: As it stands in the file.
        where: The file, for the message.

    Raises:
        InputError: If it is something else.
    """
    if isinstance(name, str) and name not in ("", ".", "..") and "\0" not in name:
        path = Path(name)
        if path.name == name and "/" not in name:
            return name
    raise InputError(
        f"{where}: is damaged or was changed: {name!r} is named there, and that is no name of a "
        f"file or folder beside it"
    )


def refuse_links_out(path: Path) -> None:
    """See that a file of a folder lies in that folder, before its content is passed on.

    Raises:
        InputError: If it is a link to what lies elsewhere.
    """
    if path.resolve().parent != path.parent.resolve():
        raise InputError(
            f"{path}: is a link to a file outside of its folder, which is not shown; remove it"
        )


def _expand(named: Sequence[Path], suffixes: Sequence[str]) -> list[Path]:
    files = [file for path in named for file in _expand_one(path, suffixes)]
    for file in files:
        check_name(file)
    return files


def _expand_one(path: Path, suffixes: Sequence[str]) -> list[Path]:
    if is_gdal_name(path):
        return [path]
    if path.is_dir() and path.suffix.lower() not in VECTOR_SUFFIXES:
        files = [each for each in path.iterdir() if each.suffix.lower() in suffixes]
        if not files:
            raise InputError(f"{path}: the folder holds none of {', '.join(suffixes)}")
        return sorted(files)
    text = str(path)
    if path.exists() or not any(mark in text for mark in "*?["):
        return [path]
    if not (matches := sorted(glob(text, recursive=True))):  # noqa: PTH207 absolute patterns too
        raise InputError(f"{text}: matches no file")
    return [Path(match) for match in matches]


def match_by_order(
    rasters: Sequence[Path], references: Sequence[Path], *, kind: str = "reference"
) -> list[Path]:
    """The reference of each raster: the first of the first, and so on; one may serve all.

    Args:
        rasters: Each of them has one.
        references: What there is.
        kind: What they are, for messages.

    Raises:
        InputError: If the numbers differ.
    """
    if len(references) == 1:
        return [*references] * len(rasters)
    if len(rasters) != len(references):
        raise InputError(
            f"{len(rasters)} rasters and {len(references)} {kind}s: give one {kind} for "
            f"each, one for all, or join them by name with --pair name"
        )
    return [*references]


def match_by_name(
    rasters: Sequence[Path], references: Sequence[Path], *, kind: str = "reference"
) -> list[Path]:
    """The reference of each raster: the one with its name, or one that begins or ends with it.

    Of several with that name, the one whose folders have most in common.

    Args:
        rasters: Each of them has one.
        references: What there is.
        kind: What they are, for messages.

    Raises:
        InputError: If a raster has no reference, or several that fit equally.
    """
    return [_best_match(raster, references, kind) for raster in rasters]


def _best_match(raster: Path, references: Sequence[Path], kind: str) -> Path:
    fitting = [each for each in references if _fits(each.stem, raster.stem)]
    if not fitting:
        raise InputError(f"{raster}: no {kind} bears its name")
    exact = [each for each in fitting if each.stem == raster.stem] or fitting
    kinship = [_common_folders(each, raster) for each in exact]
    best = [each for each, common in zip(exact, kinship, strict=True) if common == max(kinship)]
    if len(best) > 1:
        raise InputError(f"{raster}: several {kind}s fit: {', '.join(map(str, best))}")
    return best[0]


def _fits(reference: str, raster: str) -> bool:
    """Whether one name is the other with something before or after it.

    Numbers stay whole: ``tile_1`` is no part of ``tile_10_mask``.
    """
    long, short = sorted((reference, raster), key=len, reverse=True)
    edge = r"(?!(?<=\d)\d)"
    return bool(
        re.match(re.escape(short) + edge, long) or re.search(edge + re.escape(short) + "$", long)
    )


def _common_folders(one: Path, other: Path) -> int:
    count = 0
    for mine, yours in zip(one.resolve().parts, other.resolve().parts, strict=False):
        if mine != yours:
            break
        count += 1
    return count


SELF_CONTAINED = {
    *("GTiff", "COG", "PNG", "JPEG", "JP2OpenJPEG", "WEBP", "GIF", "BMP", "HFA", "GPKG", "netCDF"),
    *("HDF5", "HDF5Image", "GRIB", "AAIGrid", "MEM", "SNAP_TIFF", "USGSDEM", "SRTMHGT", "DTED"),
}
"""Formats of GDAL that hold their own pixels; the files beside them do not say where others are."""

SERVICE_HEAD = re.compile(rb"<(GDAL_WMS|GDAL_WMTS|WCS_GDAL|OGRWFSDataSource|OGRVRTDataSource)")
"""How their descriptions begin."""

INLINE_VRT_PREFIXES = ("<", "vrt:")
"""Beginnings of names that are virtual rasters themselves: their text, or a view of a raster."""

HEAD_BYTES = 1024
"""Bytes at the beginning by which GDAL knows a format."""

MAX_VRT_DEPTH = 16
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
    if depth > MAX_VRT_DEPTH:
        raise RasterError(f"{path}: more than {MAX_VRT_DEPTH} virtual rasters within each other")
    is_text = dataset.name.lstrip().startswith(INLINE_VRT_PREFIXES)
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
    return name.lstrip().startswith(INLINE_VRT_PREFIXES) or b"\0" not in (
        _head(Path(name)) or b"\0"
    )


def _named_in(record: str) -> list[str]:
    """The sources of a virtual raster that are no files, and those of its algorithms."""
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
