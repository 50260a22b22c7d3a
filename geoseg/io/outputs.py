"""Outputs appear whole or not at all: written beside their place, then renamed."""

import errno
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from geoseg.errors import OutputError, OutputExistsError
from geoseg.io.paths import check_name

RECORDS = (
    "patches.json",
    "geoseg.json",
    "evaluation.json",
    "run.json",
    "windows.json",
    "check.json",
    "tiles.json",
)
"""Files by which a folder is known to be geoseg's own, so that it may be replaced."""


LITTLE_SPACE = 1_000_000
"""With fewer free bytes than this, a failure to write is put down to the lack of space."""


def refuse_existing(*paths: Path, overwrite: bool) -> None:
    """Say early that an output is in the way.

    Raises:
        OutputExistsError: If one of the paths exists and ``overwrite`` is False, or if it
            is a folder that holds other things than an output of geoseg.
        InputError: If GDAL cannot be told of a name.
    """
    for path in paths:
        check_name(path)
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            continue
        if not overwrite:
            raise OutputExistsError(f"{path} exists; use --overwrite to replace it")
        if path.is_dir() and not any((path / record).exists() for record in RECORDS):
            raise OutputExistsError(
                f"{path} is a folder that geoseg did not write, and is not replaced; "
                f"remove it yourself or name another"
            )


@contextmanager
def staged(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A path beside the target to write a file or folder to; renamed when the block ends well.

    If the block fails, nothing is left and an existing output stays as it was. Where the
    target is a link, what it points to is written.

    Raises:
        OutputExistsError: As `refuse_existing`.
        OutputError: If the output cannot be written (no space, no permission).
    """
    refuse_existing(path, overwrite=overwrite)
    place = _place(path)
    partial = _beside(place)
    try:
        with writing(path):
            place.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            _replace(partial, place)
    finally:
        _remove(partial)


def move(file: Path, path: Path) -> None:
    """Give a finished file its name, replacing what is there.

    Where the name is a link, what it points to is replaced. From another file system the
    file is copied beside its place first, so that it appears whole.

    Raises:
        OSError: If it cannot be moved.
    """
    place = _place(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        file.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        partial = _beside(place)
        try:
            shutil.copyfile(file, partial)
            partial.replace(place)
        finally:
            _remove(partial)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn failures of GDAL and the system into an `OutputError` that names the output."""
    try:
        with rasterio.Env():  # else GDAL talks to stderr itself in threads
            yield
    except (OSError, RasterioError, CPLE_BaseError, SystemError) as error:
        raise OutputError(f"{path}: cannot be written: {_reason(error, path)}") from error


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all, replacing what is there."""
    with staged(path, overwrite=True) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def _place(path: Path) -> Path:
    """Where an output really lies."""
    return path.resolve() if path.is_symlink() else path


def _beside(path: Path) -> Path:
    """A name that nobody else uses."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part{path.suffix}")


def _replace(partial: Path, path: Path) -> None:
    if path.is_dir():
        old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
        path.rename(old)
        partial.rename(path)
        shutil.rmtree(old)
    else:
        partial.replace(path)


def _remove(path: Path) -> None:
    """Leave nothing behind; what cannot be removed must not hide why."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.aux.xml").unlink(missing_ok=True)


def _reason(error: Exception, path: Path) -> str:
    """GDAL does not say that a disk is full."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    with suppress(OSError):
        folder = next(each for each in path.absolute().parents if each.exists())
        if shutil.disk_usage(folder).free < LITTLE_SPACE:
            return f"no space left on the disk ({error})"
    return str(error)
