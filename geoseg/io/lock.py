"""One process at a time writes an output."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from geoseg.errors import OutputExistsError
from geoseg.io.outputs import writing

UNABLE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What systems say of files that cannot be locked, as on some network drives."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from an output while the block lasts.

    The lock is the system's own and ends with the process, however that ends; only its empty
    file may be left. Where files cannot be locked there is no lock.

    Args:
        path: The output; its folder is made.

    Raises:
        OutputExistsError: If another process has it.
        OutputError: If its folder, or the file beside it, cannot be made.
    """
    whole = path.resolve()  # "." has no name
    file = whole.with_name(f".{whole.name}.lock")
    with writing(path):
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = _acquired(file, path)
    try:
        yield
    finally:
        if lock is not None:
            with suppress(OSError):  # Windows removes it when it is released
                file.unlink(missing_ok=True)
            lock.release()


def _acquired(file: Path, path: Path) -> Any:
    """The lock, held; None where there are none."""
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise OutputExistsError(f"{path}: another process is writing it") from None
    except OSError as error:
        if error.errno not in UNABLE:
            raise
        return None
    return lock
