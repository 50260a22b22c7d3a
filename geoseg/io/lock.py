"""One process at a time writes an output."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from geoseg.errors import OutputError, OutputExistsError

UNABLE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What systems say of files that cannot be locked, as on some network drives."""

_held: list[Path] = []
"""Outputs, without links, that this process has locked."""


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Keep other processes from an output while the block lasts; say whether that is possible.

    The lock is the system's own and ends with the process, however that ends; only its empty
    file may be left. Where files cannot be locked there is no lock.

    Args:
        path: The output; its folder is made.

    Raises:
        OutputExistsError: If another process has it.
        OutputError: If its folder, or the file beside it, cannot be made.
    """
    whole = path.resolve()  # "." has no name
    file = _lock_file(whole)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = _acquired(file, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    _held.append(whole)
    try:
        yield lock is not None
    finally:
        _held.remove(whole)
        if lock is not None:
            with suppress(OSError):  # Windows removes it when it is released
                file.unlink(missing_ok=True)
            lock.release()


@contextmanager
def kept(path: Path) -> Iterator[bool]:
    """As `locked`, unless this process has locked the output, or a folder that it lies in.

    Raises:
        OutputExistsError: If another process has it.
        OutputError: If it cannot be locked.
    """
    whole = path.resolve()
    if any(whole.is_relative_to(each) for each in _held):
        yield True
        return
    with locked(path) as alone:
        yield alone


def refuse_locked(path: Path) -> None:
    """See, without writing anything, that no other process is writing an output.

    Raises:
        OutputExistsError: If one is.
    """
    file = _lock_file(path.resolve())
    if file.exists():
        with suppress(OSError):
            if lock := _acquired(file, path):
                lock.release()


def _lock_file(whole: Path) -> Path:
    return whole.with_name(f".{whole.name}.lock")


def _acquired(file: Path, path: Path) -> Any:
    """The lock, held; None where there are none."""
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        if not file.exists():  # filelock says the same where it cannot be made, as in /proc
            file.touch()
        raise OutputExistsError(f"{path}: another process is writing it") from None
    except OSError as error:
        if error.errno not in UNABLE:
            raise
        return None
    return lock
