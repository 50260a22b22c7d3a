"""Names of inputs: paths, URLs and other names of GDAL; and what must not be opened."""

import errno
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import reduce
from operator import truediv
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote
from urllib.request import url2pathname

from geoseg.errors import InputError, OutputError

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

GDAL_NAME = re.compile(r"(/vsi\w+[/?]|[a-zA-Z][\w+]+:)")
"""Prefixes of GDAL names: subdatasets, archives and servers. C: is a drive."""

SCHEMES = {
    **dict.fromkeys(("http", "https", "ftp"), "/vsicurl/"),
    **{name: f"/vsi{name}/" for name in ("s3", "gs", "az", "oss", "swift", "hdfs", "webhdfs")},
}
"""GDAL's prefix for the scheme of a URL."""

URL = re.compile(rf"({'|'.join(SCHEMES)})://", re.IGNORECASE)

REMOTE = re.compile(r"/vsi(curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)(_streaming)?[/?]|https?://")
"""Parts of GDAL names that lie on a server."""

COLLAPSED = re.compile(rf"\b({'|'.join(SCHEMES)}|zip|tar|gzip|vrt|file)(\+\w+)?:/(?!/)")
"""URL prefixes that have lost a slash to pathlib."""

IN_ARCHIVE = re.compile(r"(zip|tar|gzip)(?:\+(\w+))?://(.+?)!/?(.+)")
"""URL of a file in an archive: kind, scheme of the archive, archive, member."""

REDACTED = "REDACTED"
"""What stands for a secret in messages and records."""

PARAMETER = re.compile(r"([?&;])([^?&;=\s]+)=([^&;\s\"']+)")

SECRET = re.compile(
    r"x-(amz|goog)-|sig|token|key|secret|passw|pwd|auth|credential|policy|session|expires|^sk?[et]$",
    re.IGNORECASE,
)
"""Parameters of a URL that sign it, or name who asks."""

USER_INFO = re.compile(r"((?:https?|ftp)(?:://|%3a%2f%2f))[^/@\s]+?(@|%40)", re.IGNORECASE)


def redact(text: str) -> str:
    """A text without the secrets of its URLs: signatures, tokens, user names and passwords.

    >>> redact("https://me:pw@host/a.tif?band=1&X-Amz-Signature=0af3: HTTP error 403")
    'https://REDACTED@host/a.tif?band=1&X-Amz-Signature=REDACTED HTTP error 403'
    """

    def hidden(found: re.Match[str]) -> str:
        mark, name, _ = found.groups()
        return f"{mark}{name}={REDACTED}" if SECRET.search(name) else found[0]

    return PARAMETER.sub(hidden, USER_INFO.sub(rf"\1{REDACTED}\2", text))


if TYPE_CHECKING:
    _Path = Path
else:
    _Path = type(Path())


class GdalName(_Path):
    """Name of what GDAL opens and is no file of this machine: a URL, or a part of a file.

    It stands where a path stands, and keeps its double slashes. As text it has no secrets; `gdal`
    has. Whoever takes it for a file gets an `InputError`.
    """

    written: str
    """As the user has written it, with secrets."""

    gdal: str
    """By which GDAL opens it, with secrets."""

    def __new__(cls, text: str) -> Self:
        """Only the text without secrets goes to pathlib."""
        return super().__new__(cls, redact(text))

    def __init__(self, text: str) -> None:
        """Take a name as it is written: ``s3://bucket/a.tif``, ``/vsizip/a.zip/b.tif``."""
        if sys.version_info >= (3, 12):
            super().__init__(redact(text))
        self.written = text
        self.gdal = _for_gdal(text)

    def __str__(self) -> str:
        return redact(self.written)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __fspath__(self) -> str:
        raise InputError(f"{self}: is no file of this machine; here one is needed: fetch it first")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.written,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GdalName) and self.gdal == other.gdal

    def __hash__(self) -> int:
        return hash(self.gdal)

    @property
    def has_secrets(self) -> bool:
        """Whether it can be opened only as long as it is not redacted."""
        return str(self) != self.written

    @property
    def is_remote(self) -> bool:
        """Whether it is a URL, or lies in what a URL names."""
        return bool(REMOTE.search(self.gdal))

    @property
    def parts(self) -> tuple[str, ...]:
        """Scheme and host or bucket, folders and name, without parameters."""
        text = re.split(r"[?#]", self.written)[0] if self.is_remote else self.written
        head, mark, rest = text.rpartition("://")
        first, *others = re.split("[/!]", rest)
        return (f"{head}{mark}{first.rpartition('@')[2]}", *map(unquote, filter(None, others)))

    @property
    def name(self) -> str:
        """Last part."""
        return self.parts[-1]

    @property
    def stem(self) -> str:
        """Name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """Suffix of the name."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Self:
        """Folder, without parameters."""
        head, _, last = re.split(r"[?#]", self.written)[0].rstrip("/").rpartition("/")
        return self if not head or not last or head.endswith("/") else type(self)(head)

    @property
    def parents(self) -> Sequence[Self]:
        """Folders, the innermost first."""
        found = [self.parent] if self.parent != self else []
        while found and (above := found[-1].parent) != found[-1]:
            found.append(above)
        return found

    def __truediv__(self, key: str | os.PathLike[str]) -> Self:
        head = re.split(r"[?#]", self.written)[0].rstrip("/")
        for part in str(key).split("/"):
            if part == "..":
                head = head.rpartition("/")[0]
            elif part != ".":
                head += f"/{part}"
        return type(self)(head)

    def joinpath(self, *others: str | os.PathLike[str]) -> Self:
        """What lies below."""
        return reduce(truediv, others, self)

    def with_name(self, name: str) -> Self:
        """Another name in the same folder."""
        return self.parent / name

    def with_suffix(self, suffix: str) -> Self:
        """Another suffix of the name."""
        return self.with_name(f"{self.stem}{suffix}")

    def as_posix(self) -> str:
        """As text."""
        return str(self)

    def is_absolute(self) -> bool:
        """Of a working folder nothing depends, but for parts of local files."""
        return True

    def absolute(self) -> Self:
        """Itself."""
        return self

    def resolve(self, strict: bool = False) -> Self:  # noqa: ARG002 pathlib's signature
        """Itself."""
        return self

    def exists(self, *, follow_symlinks: bool = True) -> bool:  # noqa: ARG002 likewise
        """Whether it is on this machine: no."""
        return False

    is_file = is_dir = exists

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:  # noqa: ARG002 likewise
        """Refused, as for a file that is missing."""
        raise FileNotFoundError(errno.ENOENT, "is no file of this machine", str(self))


def parse_name(name: str | os.PathLike[str]) -> Path:
    """The path of a file, or the `GdalName` of anything else that GDAL opens.

    A path that pathlib has made of a URL is repaired.

    >>> parse_name("https://host//a.tif"), parse_name(Path("s3://bucket/a.tif")).name
    (GdalName('https://host//a.tif'), 'a.tif')
    >>> parse_name("a.tif") == parse_name(Path("a.tif")) == Path("a.tif")
    True
    """
    if isinstance(name, GdalName):
        return name
    text = name if isinstance(name, str) else os.fspath(name)
    if text.lower().startswith("file://"):
        return Path(url2pathname(unquote(text[len("file://") :].removeprefix("localhost"))))
    if not GDAL_NAME.match(text.removeprefix("@")):
        return Path(name)
    if not isinstance(name, str):
        text = _uncollapsed(Path(text).as_posix())
    is_url = URL.match(text.removeprefix("@"))
    return GdalName(text) if is_url or not os.path.lexists(text) else Path(name)


def is_remote(path: Path) -> bool:
    """Whether it lies on a server."""
    name = parse_name(path)
    return isinstance(name, GdalName) and name.is_remote


def gdal_name(path: Path) -> str:
    """The name by which GDAL opens a path.

    >>> gdal_name(parse_name("http://host/a.tif")), gdal_name(Path("/vsicurl/https://host/a.tif"))
    ('/vsicurl/http://host/a.tif', '/vsicurl/https://host/a.tif')
    >>> gdal_name(Path('HDF5:"a.h5"://group/data')), gdal_name(Path("zip://a.zip!b.tif"))
    ('HDF5:"a.h5"://group/data', '/vsizip/a.zip/b.tif')
    """
    path = parse_name(path)
    return path.gdal if isinstance(path, GdalName) else str(path)


def _uncollapsed(text: str) -> str:
    """A name with the double slashes that pathlib has taken from it."""
    text = COLLAPSED.sub(r"\1\2://", text)
    return re.sub(r'(":|\.\w+:)/(?!/)', r"\1//", text) if text.startswith("HDF5:") else text


def reason_for(said: str, path: Path) -> str:
    """What a library has said of a path: on one line, without the path in front or secrets."""
    said = redact(said).replace(redact(gdal_name(path)), str(path))
    return " ".join(said.removeprefix(f"{path}: ").split())


def _for_gdal(text: str) -> str:
    """A name in GDAL's own terms."""
    if found := IN_ARCHIVE.fullmatch(text):
        kind, scheme, archive, member = found.groups()
        return _with_archive(
            f"/vsi{kind}/{_for_gdal(f'{scheme}://{archive}') if scheme else archive}/{member}"
        )
    if found := URL.match(text):
        prefix = SCHEMES[found[1].lower()]
        return prefix + (text if prefix == "/vsicurl/" else text[found.end() :])
    return _with_archive(text)


def lasting_name(path: Path) -> str:
    """A GDAL name with an absolute file, which holds in any working folder; without secrets."""
    if not files_in(path):
        return str(parse_name(path))
    return "".join(
        part
        if file is None or part.startswith(("/", "\\"))
        else Path(os.path.abspath(part)).as_posix()  # noqa: PTH100 links stay
        for part, file in _parts(path)
    )


def files_in(path: Path) -> list[Path]:
    """Local files that a GDAL name reads from; none for plain paths and URLs."""
    path = parse_name(path)
    if not isinstance(path, GdalName) or path.is_remote:
        return []
    return [file for _, file in _parts(path) if file is not None]


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
    found = parse_name(name)
    if isinstance(found, GdalName) and (found.is_remote or not (folder / name).exists()):
        return found
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


def is_geoparquet(path: Path) -> bool:
    """Whether a file is GeoParquet, by its suffix."""
    return path.suffix.lower() in PARQUET


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Short unique names of files: the stem, and as many parent folders as needed.

    >>> unique_names([Path("a/x.tif"), Path("b/x.tif"), Path("b/y.tif")])
    ['a_x', 'b_x', 'b_y']
    """
    parts = [*map(_named_parts, paths)]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["_".join(part[-depth:]).replace(os.sep, "") for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{part[-1]}_{number}" for number, part in enumerate(parts, 1)]


def _named_parts(path: Path) -> tuple[str, ...]:
    """Folders and stem of a path, of which file names can be made."""
    path = parse_name(path)
    if not isinstance(path, GdalName):
        return (*path.parent.parts, path.stem)
    if path.is_remote or path.gdal.startswith("/vsi"):
        return tuple(re.sub(r"[^\w.-]+", "_", each) for each in (*path.parts[:-1], path.stem))
    return (re.sub(r"[^\w-]+", "_", path.as_posix()).strip("_"),)


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


SELF_CONTAINED = {
    *("GTiff", "COG", "PNG", "JPEG", "JP2OpenJPEG", "WEBP", "GIF", "BMP", "HFA", "GPKG", "netCDF"),
    *("HDF5", "HDF5Image", "GRIB", "AAIGrid", "MEM", "SNAP_TIFF", "USGSDEM", "SRTMHGT", "DTED"),
}
"""GDAL formats that hold their own pixels and refer to no other files."""


def refuse_special_file(path: Path) -> None:
    """Refuse pipes, sockets and devices, which would block or never end.

    Raises:
        InputError: If the path is one.
    """
    with suppress(OSError, ValueError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(f"{path}: is a pipe, socket or device, not a file")
