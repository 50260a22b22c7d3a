"""Outputs in buckets: written on this machine, and sent as a whole when they are finished."""

import hashlib
import inspect
import json
import logging
import mimetypes
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from geoseg.errors import GeosegError, OutputError, OutputExistsError
from geoseg.raster.bucket import (
    exists,
    is_in_bucket,
    keys_below,
    parts_of,
    refuse_missing_bucket,
    store_of,
    talking,
)
from geoseg.raster.folders import FolderKind, list_entries, locked_once
from geoseg.raster.paths import GdalName, parse_name
from geoseg.text import in_bytes

LOG = logging.getLogger("geoseg.remote")
"""Tells of what is sent (info)."""

TOLD_BYTES = 100_000_000
"""Size from which sending takes so long that it is told."""

FAILURES = "failed.json"
"""Record of a batch, which stays on this machine."""

P = ParamSpec("P")

T = TypeVar("T")


@dataclass
class _Sending:
    """An output that is to go to a bucket."""

    url: GdalName
    local: Path
    """Where it is written; what belongs to it lies beside it."""

    overwrite: bool
    folder: FolderKind | None = None
    """Kind of a folder that is replaced as a whole."""

    there: set[str] | None = None
    """Keys in the folder when it was looked at; None: it was not, or could not be."""

    sent: set[str] = field(default_factory=set)
    """Keys of what has been sent."""

    def key_of(self, path: Path) -> str | None:
        """The key of a file, or None if it does not belong to the output."""
        _, _, key = parts_of(self.url)
        if path == self.local or path.is_relative_to(self.local):
            inside = path.relative_to(self.local).as_posix()
            return "/".join(filter(None, (key, "" if inside == "." else inside)))
        if path.is_relative_to(self.local.parent):
            above = key.rpartition("/")[0]
            return "/".join(filter(None, (above, path.relative_to(self.local.parent).as_posix())))
        return None


_sendings: list[_Sending] = []
"""Outputs of this process that are being written."""


@contextmanager
def sending(output: Path, *, overwrite: bool = False, resume: bool = False) -> Iterator[Path]:
    """A path of this machine on which an output may be written; of a bucket, it is sent at the end.

    What was written is also sent where some of the inputs have failed. A file that cannot be sent
    stays, and is named.

    Args:
        output: File or folder that the user wants.
        overwrite: Whether objects may be replaced.
        resume: Whether what an earlier call left here is wanted.

    Raises:
        OutputError: If it is on a server without being in a bucket, or cannot be sent.
    """
    if not isinstance(output, GdalName) or not output.is_remote:
        yield output
        return
    if not is_in_bucket(output):
        raise OutputError(f"{output}: outputs go to disks, or to s3://, gs:// or az:// buckets")
    refuse_missing_bucket(output)
    local = _place(output)
    try:
        with locked_once(local.parent):
            if not resume:
                _remove(local)
            this = _Sending(output, local, overwrite or resume)
            _sendings.append(this)
            try:
                yield local
            except GeosegError:
                _send_rest(this)
                raise
            else:
                _send_rest(this)
            finally:
                _sendings.remove(this)
    finally:
        for folder in (local, local.parent):
            with suppress(OSError):
                folder.rmdir()


def to_buckets(step: Callable[P, T]) -> Callable[P, T]:
    """A step whose output may be in a bucket as well: it is written here, and then sent."""
    signature = inspect.signature(step)

    @wraps(step)
    def call(*args: P.args, **given: P.kwargs) -> T:
        bound = signature.bind(*args, **given)
        output = bound.arguments.get("output")
        url = parse_name(output) if isinstance(output, str | os.PathLike) else None
        if not isinstance(url, GdalName):
            return step(*args, **given)
        overwrite, resume = bool(given.get("overwrite")), bool(given.get("resume"))
        with sending(url, overwrite=overwrite, resume=resume) as local:
            bound.arguments["output"] = local
            result: Any = step(*bound.args, **bound.kwargs)
        return cast(T, _moved(result, local, url))

    return call


def _moved(report: Any, local: Path, url: GdalName) -> Any:
    """A report, and a model bundle in it, with the URL instead of the place on this machine."""
    named: dict[str, Any] = {"path": url} if hasattr(report, "path") else {}
    bundle: Any = getattr(report, "bundle", None)
    if getattr(bundle, "folder", None) == local:
        named["bundle"] = replace(bundle, folder=url)
    return replace(report, **named) if named else report


def object_of(path: Path) -> GdalName | None:
    """The URL that an output of this machine is going to have; None: it stays here."""
    found = _sending_of(path)
    if found is None:
        return None
    scheme, bucket, _ = parts_of(found.url)
    return GdalName(f"{scheme}://{bucket}/{found.key_of(path)}")


def told(text: str) -> str:
    """A text with the URLs of outputs instead of their places on this machine."""
    for each in _sendings:
        for place, url in ((each.local, each.url), (each.local.parent, each.url.parent)):
            for form in (str(place), json.dumps(str(place))[1:-1]):
                known = re.escape(form) + r"([^\s\"',:]*)"
                text = re.sub(known, partial(_as_url, str(url).rstrip("/")), text)
    return text


def _as_url(url: str, found: re.Match[str]) -> str:
    return url + re.sub(r"\\+", "/", found[1])


def refuse_existing_object(path: Path, *, overwrite: bool, kind: FolderKind | None = None) -> None:
    """Refuse an output whose object exists, before any work.

    Args:
        path: Of this machine.
        overwrite: Whether it may be replaced.
        kind: Kind of folder; None: it is a file.

    Raises:
        OutputExistsError: If it exists and may not be replaced.
        OutputError: If the bucket cannot be asked.
    """
    this, url = _sending_of(path), object_of(path)
    if this is None or url is None or (overwrite and kind is None):
        return
    key = this.key_of(path) or ""
    if kind is None:
        found = [key] if _is_there(this, path, key) else []
    else:
        with talking(url):
            found = keys_below(store_of(url), key)
    if not found:
        return
    if not overwrite:
        raise OutputExistsError(f"{url} exists; use --overwrite to replace it")
    if kind is not None:
        names = [each.removeprefix(f"{key}/") for each in found]
        if kind.record not in names:
            raise OutputExistsError(
                f"{url}: holds objects that geoseg did not write ({kind.name}: {kind.record} is "
                f"missing), and is not replaced: {list_entries(names)}; name another folder"
            )
        this.folder = kind


def _is_there(this: _Sending, path: Path, key: str) -> bool:
    """Whether there is an object; for the many of a folder the bucket is asked once."""
    store = store_of(this.url)
    if this.there is None and path != this.local and path.is_relative_to(this.local):
        with suppress(OutputError), talking(this.url):  # whoever may write may be unable to list
            this.there = set(keys_below(store, this.key_of(this.local) or ""))
    if this.there is not None:
        return key in this.there
    with talking(this.url):
        return exists(store, key)


def send(files: Iterable[Path]) -> None:
    """Send finished files now that are to go to a bucket, the last one last; others stay.

    Raises:
        OutputError: If one cannot be sent; it stays on this machine.
    """
    files = [each for each in files if each.is_file()]
    for this in _sendings:
        _send(this, [each for each in files if this.key_of(each) is not None])


def _place(url: GdalName) -> Path:
    """Where the output of a URL is written; the same in each call, so that it can be resumed."""
    scheme, bucket, key = parts_of(url)
    name = f"{scheme}://{bucket}/{key}"
    folder = (
        Path(tempfile.gettempdir()) / f"geoseg-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid") and (folder.is_symlink() or folder.stat().st_uid != os.getuid()):
            raise OutputError(f"{folder}: belongs to another user; set TMPDIR to a folder of yours")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return folder / (key.rpartition("/")[2] or bucket)


def _sending_of(path: Path) -> _Sending | None:
    return next((each for each in _sendings if each.key_of(path) is not None), None)


def _files(this: _Sending) -> list[Path]:
    """Finished files of an output, that which says that it is complete last."""
    root = this.local.parent
    found = [
        path
        for path in root.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and path.name != FAILURES
    ]
    record = this.local / this.folder.record if this.folder else None
    return sorted(found, key=lambda path: (path in (this.local, record), -len(path.parts), path))


def _send_rest(this: _Sending) -> None:
    """Send what has not been sent; of a folder that is replaced, what it had before goes."""
    files = _files(this)
    _send(this, files)
    if this.folder is None or not files:
        return
    import obstore

    with talking(this.url):
        store = store_of(this.url)
        old = set(keys_below(store, this.key_of(this.local) or "")) - this.sent
        if old:
            obstore.delete(store, sorted(old))


def _send(this: _Sending, files: Sequence[Path]) -> None:
    """Send files, or none of them."""
    if not files:
        return
    import obstore

    store = store_of(this.url)
    new: list[str] = []
    for path in files:
        key, url = this.key_of(path) or "", object_of(path) or this.url
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        if (size := path.stat().st_size) >= TOLD_BYTES:
            LOG.info("sending %s, %s", url, in_bytes(size))
        try:
            with talking(url):
                obstore.put(
                    store,
                    key,
                    path,
                    attributes={"Content-Type": kind},
                    mode="overwrite" if this.overwrite else "create",
                )
        except OutputError as error:
            if new and not this.overwrite:
                with suppress(OutputError), talking(url):
                    obstore.delete(store, new)
            raise type(error)(f"{error}; what was written lies at {this.local}") from error
        new.append(key)
    this.sent.update(new)
    for path in files:
        path.unlink()


def _remove(local: Path) -> None:
    """Remove what an earlier call left."""
    for path in local.parent.iterdir():
        if not path.name.endswith(".lock"):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
