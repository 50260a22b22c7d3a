"""What is left of an output when its making is interrupted, and goes on from there."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from geoseg.errors import EmptyError, GeosegError, OutputExistsError
from geoseg.io.lock import locked
from geoseg.io.outputs import FINISHING, refuse_existing, writing

SUFFIX = ".unfinished"

KEPT = "what is finished is kept: go on with --resume"
"""Told of a failure after which there is something to go on with."""


@contextmanager
def resumable(
    path: Path,
    key: str,
    *,
    guarded: Sequence[Path],
    resume: bool,
    overwrite: bool,
    note: str = KEPT,
) -> Iterator[Path]:
    """A folder beside an output that stays if the output is not finished.

    No other process gets one for the same output meanwhile.

    Args:
        path: The output.
        key: Hash of all that decides what it will be.
        guarded: All outputs, which are not replaced unasked.
        resume: Go on with what is there.
        overwrite: Remove what is there and cannot be gone on with.
        note: Told of a failure after which something is kept.

    Raises:
        OutputExistsError: If an output is there that is not to be replaced, or an
            unfinished one that is neither to be resumed nor replaced, or if another
            process is at it.
        OutputError: If the folder cannot be made.
    """
    with locked(path):
        folder = path.with_name(f".{path.name}.{key[:16]}{SUFFIX}")
        finishing = resume and (folder / FINISHING).exists()
        refuse_existing(*guarded, overwrite=overwrite or finishing)
        _clear(path, folder, resume=resume, overwrite=overwrite)
        with writing(path):
            folder.mkdir(exist_ok=True)
        try:
            yield folder
        except BaseException as error:
            if isinstance(error, EmptyError) or not _has_pieces(folder):
                shutil.rmtree(folder, ignore_errors=True)
            elif isinstance(error, GeosegError):
                error.add_note(note)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def _clear(path: Path, folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Remove what was begun of an output and is not gone on with; nothing finished unasked.

    Raises:
        OutputExistsError: If something is finished that is neither to be resumed nor replaced.
    """
    begun = unfinished(path)
    if not overwrite:
        if any(each != folder and _has_pieces(each) for each in begun):
            raise OutputExistsError(
                f"{path}: begun with another model, options or source, and not finished; start "
                f"anew with --overwrite"
            )
        if not resume:
            refuse_unfinished(path)
    for each in begun:
        if each != folder or not resume:
            shutil.rmtree(each, ignore_errors=True)


def refuse_unfinished(path: Path) -> None:
    """See that there is nothing to go on with of an output.

    Raises:
        OutputExistsError: If there is.
    """
    if any(map(_has_pieces, unfinished(path))):
        raise OutputExistsError(
            f"{path}: begun and not finished; go on with --resume, or start anew with --overwrite"
        )


def _has_pieces(folder: Path) -> bool:
    return any(folder.glob("piece_*.json"))


def unfinished(path: Path) -> list[Path]:
    """Folders that were left of an output."""
    if not path.parent.is_dir():
        return []
    return sorted(path.parent.glob(f".{escape(path.name)}.*{SUFFIX}"))
