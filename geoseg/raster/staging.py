"""Copies of rasters on servers: made once, sequentially, and kept for later runs."""

import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

from geoseg.errors import ChangedError, InputError, OutputError, RasterError
from geoseg.options import option
from geoseg.progress import ProgressLines
from geoseg.raster.paths import redact
from geoseg.raster.remote import (
    LOG,
    Version,
    forget,
    gdal_library,
    insist,
    prepare,
    remote_names,
    shown_name,
    version_of,
)
from geoseg.raster.threads import logged

CHUNK_BYTES = 8 << 20
"""Bytes of a request; less than GDAL's cache of a server's bytes holds."""

STREAMED = re.compile(r"^/vsi(\w+?)/")
"""What GDAL also reads without ranges, from the first byte to the last: ``/vsicurl_streaming/``."""

NOT_COPIED = (".vrt",)
"""Suffixes of rasters that refer to others by where they are."""

MAX_NAME = 100
"""Characters of a file's name that are kept in that of its copy."""

HASH_DIGITS = 12
"""Hexadecimal digits, by which copies of equal names differ."""


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """Where rasters on servers are copied to."""

    stage: Path | None = option(
        None,
        group="Input",
        metavar="DIR",
        help="Copy rasters on servers into this folder before they are read, and keep them there "
        "for later runs. For maps that use every byte, and servers that fail.",
    )

    def begin(self) -> Any:
        """A context in which they are copied, if the user wants it."""
        return staging(self.stage)


_folders: list[Path] = []
"""Where rasters are copied to now; of several the last."""

_copies: dict[tuple[Path, str], Path] = {}
"""Copies that this process has made or checked, by folder and GDAL's name."""

_lock = threading.Lock()


@contextmanager
def staging(folder: str | os.PathLike[str] | None) -> Iterator[None]:
    """Copy rasters on servers into a folder when they are opened, in all threads.

    >>> with staging(None):  # "copies"
    ...     pass  # geoseg.predict("run", "https://host/ortho.tif", "map.tif")

    Args:
        folder: It is made if it is not there; None: read them where they are.

    Raises:
        OutputError: If it cannot be made.
    """
    if folder is None:
        yield
        return
    folder = Path(folder)
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _folders.append(folder)
    try:
        yield
    finally:
        _folders.remove(folder)
        with _lock:
            _copies.clear()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn failures of the disk into an `OutputError` that names the folder."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "no space left on the disk" if full else error.strerror or str(error)
        raise OutputError(
            f"{folder}: copies of --stage cannot be written: {reason}"
            f"{'; make room, or name a folder on another disk' if full else ''}"
        ) from error


def staged_name(name: str) -> str:
    """The name by which GDAL opens a raster: that of its copy, if rasters are copied.

    Raises:
        RasterError: If it cannot be copied.
        ChangedError: If it changes meanwhile.
        OutputError: If the copy cannot be written.
    """
    parts = remote_names([name])
    if not _folders or not parts or PurePosixPath(_without_query(parts[0])).suffix in NOT_COPIED:
        return name
    (part,), folder = parts, _folders[-1]
    with _lock:  # threads that open the same file wait for one copy
        key = (folder, part)
        if key not in _copies:
            _copies[key] = _copied(part, folder)
        before, _, behind = name.partition(part)
        slash = "/" if before and not before.endswith("/") else ""  # pathlib takes one of two
        return f"{before}{slash}{_copies[key].resolve().as_posix()}{behind}"


def _without_query(name: str) -> str:
    return re.split(r"[?#]", name)[0] if "://" in name else name


def _copied(name: str, folder: Path) -> Path:
    """The copy of a file, made if there is none of its version."""
    from filelock import FileLock, Timeout

    prepare()
    target = folder / copy_name(name)
    with _writing(folder), ExitStack() as stack:
        lock = FileLock(f"{target}.lock")
        try:
            stack.enter_context(lock.acquire(timeout=0))
        except Timeout:
            LOG.info("%s: another process copies it; waiting", shown_name(name))
            stack.enter_context(lock.acquire())
        version = insist(partial(_version, name), [name])
        if not _is_copy_of(target, version):
            _copy(name, target, version)
            if not version.fits(insist(partial(_version, name), [name])):
                target.unlink()
                raise ChangedError(
                    f"{shown_name(name)}: has changed on the server while it was copied; start "
                    f"over once it stays as it is"
                )
    return target


def copy_name(name: str) -> str:
    """Name of a copy; URLs that differ only by who asks have the same."""
    digest = hashlib.sha256(redact(name).encode()).hexdigest()[:HASH_DIGITS]
    last = re.sub(r"[^\w.-]+", "_", PurePosixPath(_without_query(name)).name)
    return f"{digest}-{last[-MAX_NAME:]}"


def _version(name: str) -> Version:
    """The version of a file, which is opened where the server does not tell, for the reason."""
    version = version_of(name)
    if version is None:
        _ServerFile(name).close()
    return version or Version("", "", "")


def _record(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _partial(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _is_copy_of(target: Path, version: Version) -> bool:
    """Whether a copy is whole, and of this version; without ETag and date nobody knows."""
    return (
        target.is_file()
        and bool(version.etag or version.modified)
        and _recorded(target) == version
        and version.size in ("", str(target.stat().st_size))
    )


def _recorded(target: Path) -> Version | None:
    try:
        content = json.loads(_record(target).read_text(encoding="utf-8"))
        return Version(*map(str, (content["etag"], content["modified"], content["size"])))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _copy(name: str, target: Path, version: Version) -> None:
    """Copy a file, from where an earlier process was interrupted."""
    part = _partial(target)
    known = bool(version.etag or version.modified) and _recorded(target) == version
    if not known:
        part.unlink(missing_ok=True)
        about = {"url": redact(name), **version._asdict()}
        _record(target).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    forget([name])  # bytes of another version
    source = _ServerFile(name)
    try:
        done = part.stat().st_size if part.exists() else 0
        _refuse_full_disk(target, source.size - done)
        LOG.info(
            "%s: copying %.1f MB into %s%s",
            *(shown_name(name), source.size / 1e6, target.parent),
            f", from byte {done} on" if done else "",
        )
        lines = ProgressLines(LOG.info)
        with part.open("ab") as file:
            while done < source.size:
                done += file.write(source.read(done))
                lines.tell(f"{shown_name(name)}: bytes", done, source.size)
    finally:
        source.close()
    part.replace(target)


def _refuse_full_disk(target: Path, wanted: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < wanted:
        raise OutputError(
            f"{target.parent}: copies of --stage need {wanted / 1e6:.0f} MB, and the disk has "
            f"{free / 1e6:.0f} MB left; make room, or name a folder on another disk"
        )


@cache
def _file_calls() -> Any:
    """GDAL's library, with what reads files.

    Raises:
        InputError: If it is not found.
    """
    library = gdal_library()
    if library is None:
        raise InputError(
            "--stage: this installation of GDAL does not let its bytes be read; copy the files "
            "by other means"
        )
    return library


class _ServerFile:
    """Bytes of a file on a server, by GDAL with all of its settings, keys and repetitions."""

    def __init__(self, name: str) -> None:
        self._calls = _file_calls()
        self._name = self._url = name
        self._file: Any = None
        try:
            insist(self._open, [name])
        except RasterError as error:
            if "Range downloading" not in str(error):
                raise
            self._url = STREAMED.sub(r"/vsi\1_streaming/", name)
            insist(self._open, [name])
        self._buffer = ctypes.create_string_buffer(CHUNK_BYTES)

    def _open(self) -> None:
        self.close()
        with logged():
            self._file = self._calls.VSIFOpenExL(self._url.encode(), b"rb", 1)
            if not self._file:
                said = (self._calls.VSIGetLastErrorMsg() or b"").decode(errors="replace")
                raise RasterError(f"{shown_name(self._name)}: cannot be copied: {redact(said)}")
            self._calls.VSIFSeekL(self._file, 0, 2)
            self.size = int(self._calls.VSIFTellL(self._file))
            self._calls.VSIFSeekL(self._file, 0, 0)

    def read(self, start: int) -> bytes:
        """The next bytes from a place on.

        Raises:
            RasterError: If fewer come than there are, each time.
        """
        return insist(partial(self._read, start), [self._name], again=self._open)

    def _read(self, start: int) -> bytes:
        wanted = min(CHUNK_BYTES, self.size - start)
        with logged():
            self._calls.VSIFSeekL(self._file, start, 0)
            count = self._calls.VSIFReadL(self._buffer, 1, wanted, self._file)
        if count != wanted:
            raise RasterError(
                f"{shown_name(self._name)}: cannot be copied: {count} bytes came of {wanted} from "
                f"byte {start} on"
            )
        return self._buffer.raw[:count]

    def close(self) -> None:
        """Release the file."""
        if self._file:
            with logged():
                self._calls.VSIFCloseL(self._file)
            self._file = None
