"""Paths: globs, GDAL names, pairing by name, and files that must not be opened."""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from glob import glob
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from geoseg.errors import InputError, OutputError, RasterError

RASTER_SUFFIXES = (".tif", ".tiff", ".vrt", ".png", ".jpg", ".jpeg", ".jp2", ".img")

TIFF_SUFFIXES = (".tif", ".tiff")

WRITABLE_VECTORS = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".gml", ".kml")

PARQUET = (".parquet", ".geoparquet")
"""Suffixes of vector files that GDAL here cannot read, and pyarrow does."""

VECTOR_SUFFIXES = (
    *WRITABLE_VECTORS,
    *(".geojsonl", ".geojsons", *PARQUET, ".gdb", ".tab", ".mif", ".shz"),
    *(".kmz", ".sqlite", ".dxf"),
)
"""Suffixes of polygons rather than rasters."""

ZIPPED_VECTORS = (".gdb.zip", ".shp.zip")

GDAL_NAME = re.compile(r"(/vsi\w+/|[a-zA-Z][\w+]+:)")
"""Prefixes of GDAL names: subdatasets, archives and servers. C: is a drive."""

COLLAPSED_URL = re.compile(r"\b(https?|ftp|s3|gs|az|oss|swift|hdfs|webhdfs):/(?!/)")
"""URL prefixes that have lost a slash to pathlib."""

URL_START = re.compile(r"\w://")


def is_gdal_name(path: Path) -> bool:
    """Whether a path is a GDAL name instead of a local file."""
    return bool(GDAL_NAME.match(path.as_posix())) and not path.exists()


def gdal_name(path: Path) -> str:
    """The name by which GDAL opens a path.

    pathlib collapses the double slashes of URLs, of absolute paths in archives and of HDF5 groups.

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
    """A GDAL name with an absolute file, which holds in any working folder."""
    return "".join(
        part
        if file is None or part.startswith(("/", "\\"))
        else Path(os.path.abspath(part)).as_posix()  # noqa: PTH100 links stay
        for part, file in _parts(path)
    )


def files_in(path: Path) -> list[Path]:
    """Local files that a GDAL name reads from; none for plain paths."""
    return [file for _, file in _parts(path) if file is not None] if is_gdal_name(path) else []


def _parts(path: Path) -> Iterator[tuple[str, Path | None]]:
    """Parts of a GDAL name, each with the file that it is or lies in."""
    for part in re.split(r"([\":]|/vsi\w+/)", gdal_name(path)):
        around = (Path(part), *Path(part).parents)
        yield part, next((each for each in around if each.is_file()), None)


def absolute_name(name: str, folder: Path) -> Path:
    """The path, or GDAL name, that a record in a folder refers to.

    Raises:
        TypeError: If it is not a path.
    """
    if not isinstance(name, str) or "\0" in name:
        raise TypeError(f"{name!r:.60} is not a path")
    if is_gdal_name(Path(name)) and not (folder / name).exists():
        return Path(name)
    return Path(os.path.normpath(folder / name))


def _with_archive(text: str) -> str:
    """The GDAL name of a file in an archive, made absolute if only that exists."""
    found = re.match(
        r"(/vsi\w+/)(?!vsi)(.*?\.(?:zip|tar|tgz|gz|kmz|7z|rar)\b)", text, re.IGNORECASE
    )
    if found is None or Path(found[2]).exists() or not Path(f"/{found[2]}").exists():
        return text
    return f"{found[1]}/{text.removeprefix(found[1])}"


def refuse_non_tiff(*paths: Path | None) -> None:
    """See that rasters to be written are called GeoTIFFs.

    Raises:
        OutputError: If one is not.
    """
    for path in paths:
        if path is not None and path.suffix.lower() not in TIFF_SUFFIXES:
            raise OutputError(f"{path}: rasters are written as GeoTIFF; end the name in .tif")


def find_rasters(named: Sequence[Path]) -> list[Path]:
    """Rasters of paths, folders and globs, in the order named and without repetitions.

    A folder gives its rasters sorted by name; a pattern with ``*``, ``?`` or ``[`` its matches
    (``**`` descends into folders).

    Raises:
        InputError: If a path names nothing, or a name is not UTF-8.
    """
    return list(dict.fromkeys(_expand(named, RASTER_SUFFIXES)))


def find_maps(named: Sequence[Path]) -> list[Path]:
    """Class maps, rasters or polygons, as in `find_rasters`; of a folder its rasters, if any.

    Raises:
        InputError: If a path names nothing, or a name is not UTF-8.
    """
    found: list[Path] = []
    for path in named:
        inside = {each.suffix.lower() for each in path.iterdir()} if path.is_dir() else set()
        others = () if inside & {*RASTER_SUFFIXES} else VECTOR_SUFFIXES
        found += _expand([path], (*RASTER_SUFFIXES, *others))
    return list(dict.fromkeys(found))


def find_references(named: Sequence[Path]) -> list[Path]:
    """References, rasters or polygons, as in `find_rasters`, with repetitions.

    Raises:
        InputError: If a path names nothing, or a name is not UTF-8.
    """
    return _expand(named, (*RASTER_SUFFIXES, *VECTOR_SUFFIXES))


def is_geoparquet(path: Path) -> bool:
    """Whether a file is GeoParquet, by its suffix."""
    return path.suffix.lower() in PARQUET


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Short unique names of files: the stem, and as many parent folders as needed.

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
    """A path from which file names can be made."""
    if not is_gdal_name(path):
        return path
    return Path(re.sub(r"[^\w-]+", "_", path.as_posix()).strip("_"))


def file_state(path: Path) -> list[Any]:
    """Path, size and time of a file, by which a change is seen; the name alone if there is none."""
    if not path.exists():
        return [str(path)]
    state = path.stat()
    return [str(path.absolute()), state.st_size, state.st_mtime_ns]


def is_older(output: Path, inputs: Iterable[Path]) -> bool:
    """Whether an existing output is older than one of the files that it is made of."""
    made = output.stat().st_mtime
    return any(each.exists() and each.stat().st_mtime > made for each in inputs)


def check_name(path: Path) -> None:
    """Refuse a name that is not UTF-8, which GDAL requires.

    Raises:
        InputError: If it is not.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(f"{str(path)!a}: the name is not UTF-8; rename it") from None


def check_component(name: object, where: Path) -> str:
    """Check that a name in a file is a single path component, so that it leads nowhere else.

    Raises:
        InputError: If it is not.
    """
    if isinstance(name, str) and name not in ("", ".", "..") and "\0" not in name:
        path = Path(name)
        if path.name == name and "/" not in name:
            return name
    raise InputError(
        f"{where}: is damaged or was changed: it names {name!r}, which is not a file or folder "
        f"beside it"
    )


def refuse_links_out(path: Path) -> None:
    """Refuse a file that links out of its folder, before its content is passed on.

    Raises:
        InputError: If it does.
    """
    if path.resolve().parent != path.parent.resolve():
        raise InputError(
            f"{path}: links to a file outside of its folder, which is not served; remove the link"
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
    """Pair references with rasters by order; a single reference serves all.

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
    """Pair references with rasters by name: equal names, or one a prefix or suffix of the other.

    Of several with that name, the one with most parent folders in common counts.

    Raises:
        InputError: If a raster has no reference, or several that fit equally.
    """
    return [_best_match(raster, references, kind) for raster in rasters]


def _best_match(raster: Path, references: Sequence[Path], kind: str) -> Path:
    fitting = [each for each in references if _fits(each.stem, raster.stem)]
    if not fitting:
        raise InputError(f"{raster}: no {kind} has its name")
    exact = [each for each in fitting if each.stem == raster.stem] or fitting
    kinship = [_common_folders(each, raster) for each in exact]
    best = [each for each, common in zip(exact, kinship, strict=True) if common == max(kinship)]
    if len(best) > 1:
        raise InputError(f"{raster}: several {kind}s fit: {', '.join(map(str, best))}")
    return best[0]


def _fits(reference: str, raster: str) -> bool:
    """Whether one name is a prefix or suffix of the other.

    Numbers stay whole: ``tile_1`` is no prefix of ``tile_10_mask``.
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
"""GDAL formats that hold their own pixels and refer to no other files."""

SERVICE_HEAD = re.compile(rb"<(GDAL_WMS|GDAL_WMTS|WCS_GDAL|OGRWFSDataSource|OGRVRTDataSource)")
"""First elements of descriptions of network services."""

INLINE_VRT_PREFIXES = ("<", "vrt:")
"""Prefixes of names that are virtual rasters themselves: XML, or a view of a raster."""

HEAD_BYTES = 1024
"""Bytes of the header by which GDAL identifies a format."""

MAX_VRT_DEPTH = 16
"""Nesting depth of virtual rasters."""


def refuse_special_file(path: Path) -> None:
    """Refuse pipes, sockets and devices, which would block or never end.

    Raises:
        InputError: If the path is one.
    """
    with suppress(OSError, ValueError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(f"{path}: is a pipe, socket or device, not a file")


def service_of(path: Path) -> str | None:
    """The network service that a file describes, or None."""
    found = SERVICE_HEAD.search(_head(path))
    return found[1].decode() if found else None


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
            str(path.parent / each.text.strip())
            for each in elements
            if each.text and each.tag.lower() in {"datafile", "indexfile", "source"}
        ]
    except (ET.ParseError, OSError) as error:
        raise RasterError(f"{path}: its record cannot be read: {error}") from error
