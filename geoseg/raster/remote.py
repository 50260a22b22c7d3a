"""Rasters on a server: requests that are repeated, and files that change while they are read."""

import ctypes
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from itertools import count, takewhile
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import rasterio
import rasterio._io
from rasterio.env import get_gdal_config

from geoseg.errors import ChangedError, RasterError, ServerError, issue_warning
from geoseg.raster.paths import redact
from geoseg.raster.threads import logged

LOG = logging.getLogger("geoseg.remote")
"""Tells of each repeated request (debug) and of copies (info)."""

R = TypeVar("R")

REPEATS = 3
"""Times that a failed read is repeated. GDAL itself repeats single requests before."""

NETWORKS = ("curl", "s3", "gs", "az", "adls", "oss", "swift", "hdfs", "webhdfs")
"""Kinds of servers in GDAL's names: ``/vsicurl/``."""

NO_SIDECARS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
"""Option for files on a server, where GDAL would list the folder, or ask for some forty names."""

START_BYTES = 32768
"""First bytes of a file, in which most headers end."""

RECENT_S = 1.0
"""Seconds for which a version is taken for granted where a file is only closed."""

MAX_WATCHED = 100
"""Sources of a virtual raster for which changes are looked for."""

REMOTE_PART = re.compile(rf"(/vsi\w+/?)?(/vsi(?:{'|'.join(NETWORKS)})(?:_streaming)?[/?].*)")
"""A file on a server, as GDAL names it, and whether it is an archive."""

ARCHIVE = re.compile(r".*?\.(?:zip|tar|tgz|gz|kmz|7z|rar)\b", re.IGNORECASE)

ASKED_AGAIN = re.compile(r"Retrying again in|Request for [\d-]+ failed")
"""Warnings of GDAL about a request that it repeats."""

STATUS = re.compile(r"(?:HTTP error code: |response_code=|HTTP response code(?: on \S+)?: )(\d+)")

OTHER_FAULT = re.compile(r"CURL error: (.+)|^.*?(Range downloading .*)")

HOPELESS = re.compile(r"answered 4(?!08|25|29)|ertificate|Range downloading|resolve host")
"""Faults that a repetition does not mend."""

ADVICE = (
    (r"answered 40[13]", "check the keys or the signature (AWS_NO_SIGN_REQUEST=YES: none)"),
    (r"answered 4(04|10)", "check the name"),
    (r"ertificate", "name the server's own certificate with CURL_CA_BUNDLE"),
    (r"Range downloading", "copy the file first, with --stage DIR"),
    (r"resolve host", "check the name of the server, and the connection"),
    (r"^copying", "try again later; what is copied is kept"),
    (r"", "try again later, or copy the file first, with --stage DIR"),
)
"""What to do, by the fault."""


class _NetworkMessages(logging.Handler):
    """Log handler for requests of GDAL: the last fault of each thread, and repetitions."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()
        self._lock = threading.Lock()
        self.repeated = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a fault, count a repetition."""
        said = record.getMessage()
        if fault := _fault_in(said):
            self.fault = fault
        if ASKED_AGAIN.search(said):
            self.repeat(redact(said.rpartition(":CPLE")[2].partition(" in ")[2] or said))

    @property
    def fault(self) -> str | None:
        """The last fault of this thread, in words."""
        return getattr(self._local, "fault", None)

    @fault.setter
    def fault(self, value: str | None) -> None:
        self._local.fault = value

    @property
    def is_repeating(self) -> bool:
        """Whether what this thread does is repeated as a whole."""
        return getattr(self._local, "is_repeating", False)

    @contextmanager
    def repeating(self) -> Iterator[None]:
        """While this thread does what is repeated as a whole."""
        self._local.is_repeating = True
        try:
            yield
        finally:
            self._local.is_repeating = False

    def repeat(self, message: str) -> None:
        """Count a repetition."""
        with self._lock:
            self.repeated += 1
        LOG.debug("request repeated: %s", message)


_messages = _NetworkMessages()

logging.getLogger("rasterio").addHandler(_messages)


def repeated_requests() -> int:
    """Requests that have been repeated in this process so far."""
    return _messages.repeated


def _fault_in(said: str) -> str | None:
    """A fault of the network in a message of GDAL, in words.

    >>> _fault_in("HTTP error code: 503 - http://host/a.tif. Retrying again in 1.0 secs")
    'the server answered 503 (Service Unavailable)'
    >>> _fault_in("Request for 1-2 failed with response_code=206")
    'the connection broke off'
    """
    if found := STATUS.search(said):
        code = int(found[1])
        if code < HTTPStatus.BAD_REQUEST:
            return "the connection broke off"
        phrase = HTTPStatus(code).phrase if code in {*HTTPStatus} else "?"
        return f"the server answered {code} ({phrase})"
    found = OTHER_FAULT.search(said)
    return (found[1] or found[2]) if found else None


@cache
def gdal_library() -> Any:
    """GDAL's own library, in which rasterio's modules find it; None where it cannot be found."""
    folder = Path(rasterio.__file__).parents[1] / "rasterio.libs"
    for name in (rasterio._io.__file__, *folder.glob("gdal*.dll"), "gdal.dll"):  # noqa: SLF001
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(str(name))
            library.VSIGetFileMetadata.restype = ctypes.POINTER(ctypes.c_char_p)
            library.VSIGetFileMetadata.argtypes = (
                *(ctypes.c_char_p, ctypes.c_char_p),
                ctypes.c_void_p,
            )
            size, file = ctypes.c_uint64, ctypes.c_void_p
            library.VSIFOpenExL.restype = file
            library.VSIFOpenExL.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int)
            library.VSIFSeekL.argtypes = (file, size, ctypes.c_int)
            library.VSIFTellL.restype = size
            library.VSIFTellL.argtypes = (file,)
            library.VSIFReadL.restype = ctypes.c_size_t
            library.VSIFReadL.argtypes = (file, ctypes.c_size_t, ctypes.c_size_t, file)
            library.VSIFCloseL.argtypes = (file,)
            library.VSIGetLastErrorMsg.restype = ctypes.c_char_p
            library.CPLGetLastErrorMsg.restype = ctypes.c_char_p
            library.CSLDestroy.argtypes = (ctypes.c_void_p,)
            library.CSLDestroy.restype = None
            library.VSISetPathSpecificOption.argtypes = (ctypes.c_char_p,) * 3
            library.VSISetPathSpecificOption.restype = None
            library.VSICurlPartialClearCache.argtypes = (ctypes.c_char_p,)
            library.VSICurlPartialClearCache.restype = None
            return library
    return None


@cache
def prepare() -> None:
    """Set GDAL's options for files on a server, unless the user has set them.

    They hold for names that begin so, and leave the sidecars of local files alone.
    """
    library = gdal_library()
    for name, value in NO_SIDECARS.items():
        if library is not None and name not in os.environ:
            for kind in NETWORKS:
                library.VSISetPathSpecificOption(
                    f"/vsi{kind}/".encode(), name.encode(), value.encode()
                )


def remote_names(names: Iterable[str]) -> list[str]:
    """What GDAL's names refer to on servers, without repetitions; of archives these themselves.

    >>> remote_names(["/vsizip//vsicurl/https://host/a.zip/b.tif", "a.tif"])
    ['/vsicurl/https://host/a.zip']
    """
    found: dict[str, None] = {}
    for part in filter(None, map(REMOTE_PART.search, names)):
        archive = ARCHIVE.match(part[2]) if part[1] else None
        found[archive[0] if archive else part[2]] = None
    return [*found]


def forget(names: Iterable[str]) -> None:
    """Drop what GDAL remembers of files: bytes, sizes, and that they could not be opened."""
    if (library := gdal_library()) is not None:
        for name in names:
            library.VSICurlPartialClearCache(name.encode())


class Version(NamedTuple):
    """By what a server tells one content of a file from another; empty: unknown."""

    etag: str
    modified: str
    size: str

    def fits(self, other: "Version") -> bool:
        """Whether both may be the same content."""
        return all(one == two for one, two in zip(self, other, strict=True) if one and two)


def version_of(name: str) -> Version | None:
    """The version of a file on a server, asked anew; None: the server does not tell."""
    library = gdal_library()
    if library is None:
        return None
    with logged():
        found = library.VSIGetFileMetadata(name.encode(), b"HEADERS", None)
    if not found:
        return None
    headers: dict[str, str] = {}
    for line in takewhile(bool, map(found.__getitem__, count())):
        key, _, value = line.decode("latin-1").partition("=")
        headers[key.lower()] = value.strip()
    library.CSLDestroy(found)
    size = headers.get("content-range", "").rpartition("/")[2] or headers.get("content-length", "")
    etag = headers.get("etag", "").removeprefix("W/")
    return Version(etag, headers.get("last-modified", ""), size)


def changed_at(name: str) -> float:
    """When a file on a server was changed, in seconds since 1970; 0: the server does not tell."""
    versions = map(version_of, remote_names([name]))
    told = [each.modified for each in versions if each is not None and each.modified]
    with suppress(ValueError, TypeError):
        return max((parsedate_to_datetime(each).timestamp() for each in told), default=0)
    return 0


class _Watched(NamedTuple):
    """A file that is being read."""

    version: Version
    """When it was opened."""

    seen: float
    """When the server last told this version, in seconds of a clock."""

    readers: int = 0


_lock = threading.Lock()

_watched: dict[str, _Watched] = {}
"""Files that are being read, by GDAL's name."""


class Sources:
    """What of an open raster lies on servers, and must not change until it is closed.

    Args:
        names: GDAL's names of the files.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._watched: list[str] = []
        for name in self._names[:MAX_WATCHED]:
            known = _watched.get(name)
            version = known.version if known else version_of(name)
            if version is not None:
                with _lock:
                    known = _watched.get(name, _Watched(version, time.monotonic()))
                    _watched[name] = known._replace(readers=known.readers + 1)
                self._watched.append(name)

    def read(self, work: Callable[[], R], again: Callable[[], None]) -> R:
        """Do what reads from them, as in `insist`."""
        return insist(work, self._names, again=again)

    def close(self) -> None:
        """See that they have not changed, unless reading has failed anyway.

        Raises:
            ChangedError: If one has changed.
        """
        try:
            if sys.exc_info()[0] is None:
                refuse_changed(self._watched, after=RECENT_S)
        finally:
            while self._watched:
                name = self._watched.pop()
                with _lock:
                    known = _watched.pop(name)
                    if known.readers > 1:
                        _watched[name] = known._replace(readers=known.readers - 1)


def refuse_changed(
    names: Iterable[str] | None = None, *, after: float = 0, warn: bool = True
) -> None:
    """See that files are what they were when they were opened.

    Called before an output takes its place.

    Args:
        names: GDAL's names of the files; None: all that are being read.
        after: Seconds for which a server is not asked again.
        warn: Whether to warn where a server does not tell.

    Raises:
        ChangedError: If one has changed.
    """
    for name in tuple(_watched) if names is None else names:
        known = _watched.get(name)
        if known is None or time.monotonic() - known.seen < after:
            continue
        _messages.fault = None
        now = version_of(name)
        if now is None:
            fault = _messages.fault or "the server does not answer"
            if warn:
                issue_warning(
                    f"{shown_name(name)}: whether it has changed while it was read is not known: "
                    f"{fault}"
                )
        elif not known.version.fits(now):
            raise ChangedError(
                f"{shown_name(name)}: has changed on the server while it was read "
                f"({_difference(known.version, now)}); start over once it stays as it is, or copy "
                f"it first, with --stage DIR"
            )
        else:
            with _lock:
                if known := _watched.get(name):
                    _watched[name] = known._replace(seen=time.monotonic())


def shown_name(name: str) -> str:
    """A file as the user knows it, without secrets."""
    return redact(name).removeprefix("/vsicurl/")


def _difference(before: Version, now: Version) -> str:
    """What differs, in words."""
    titles = ("ETag", "modified", "size")
    return ", ".join(
        f"{title} {one}, now {two}"
        for title, one, two in zip(titles, before, now, strict=True)
        if one and two and one != two
    )


def opened_from_server(name: str, reading: Callable[[], AbstractContextManager[None]]) -> Any:
    """A rasterio dataset on a server.

    Args:
        name: GDAL's name.
        reading: Turns failures into `RasterError`.

    Raises:
        RasterError: If it cannot be opened.
    """

    def attempt() -> Any:
        for part in remote_names([name]):
            _refuse_torn_start(part)
        with reading():
            return rasterio.open(name)

    prepare()
    return insist(attempt, remote_names([name]))


def _refuse_torn_start(name: str) -> None:
    """See that the first bytes of a file have come, which GDAL keeps for opening it.

    Where a connection breaks off in a TIFF's header, GDAL may take all blocks for empty: the
    pixels would be blank, without an error.

    Raises:
        RasterError: If fewer have come than there are.
    """
    if (library := gdal_library()) is None:
        return
    with logged():
        file = library.VSIFOpenExL(name.encode(), b"rb", 1)
        if not file:
            said = redact((library.VSIGetLastErrorMsg() or b"").decode(errors="replace"))
            raise RasterError(f"{shown_name(name)}: cannot be read: {said or 'no such file'}")
        library.VSIFSeekL(file, 0, 2)
        wanted = min(int(library.VSIFTellL(file)), START_BYTES)
        library.VSIFSeekL(file, 0, 0)
        library.CPLErrorReset()
        count = library.VSIFReadL(ctypes.create_string_buffer(START_BYTES), 1, wanted, file)
        said = redact((library.CPLGetLastErrorMsg() or b"").decode(errors="replace"))
        library.VSIFCloseL(file)
    if count < wanted:
        _messages.fault = _messages.fault or _fault_in(said) or "the connection broke off"
        raise RasterError(f"{shown_name(name)}: cannot be read: {count} bytes of {wanted} came")


def insist(
    work: Callable[[], R], names: Iterable[str], *, again: Callable[[], None] = lambda: None
) -> R:
    """Do what reads from a server, and repeat it if it fails.

    Args:
        work: Reads.
        names: GDAL's names of the files.
        again: Called before each repetition.

    Raises:
        ServerError: If it fails each time, and the server is to blame; with what to do.
        ChangedError: Likewise, if a file has changed meanwhile.
        RasterError: Likewise, if nothing tells whether the server or the file is damaged.
    """
    if _messages.is_repeating:
        return work()
    names = tuple(names)
    delay = float(get_gdal_config("GDAL_HTTP_RETRY_DELAY") or 1)
    first: RasterError | None = None
    for left in reversed(range(REPEATS + 1)):
        _messages.fault = None
        try:
            with _messages.repeating():
                return work()
        except RasterError as error:
            forget(names)
            first = first or error  # names the window, where the file cannot even be opened again
            fault = _messages.fault or _fault_in(str(error)) or ""
            hopeless = HOPELESS.search(f"{fault} {error}")
            if hopeless or not left:
                raise _failure(first, names, fault, REPEATS + 1 - left) from error
            _messages.repeat(str(error))
        time.sleep(delay)
        delay *= 2
        again()
    raise AssertionError("the last attempt returns or raises")


def _failure(error: RasterError, names: Iterable[str], fault: str, times: int) -> RasterError:
    """A failure with what is wrong with the server, and what to do.

    Raises:
        ChangedError: If a file has changed: nothing is wrong with the server.
    """
    refuse_changed(names, warn=False)
    fault = fault or _messages.fault or ""
    failure = (ServerError if fault else RasterError)(str(error))
    if fault and not _fault_in(str(error)):
        failure.add_note(fault)
    if times > 1:
        failure.add_note(f"tried {times} times")
    what = f"copying {fault}" if "cannot be copied" in str(error) else fault
    failure.add_note(next(way for kind, way in ADVICE if re.search(kind, what)))
    return failure
