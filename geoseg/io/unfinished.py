"""What is left of an output when its making is interrupted, and goes on from there."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from geoseg.errors import EmptyError, GeosegError, OutputExistsError
from geoseg.io.outputs import refuse_existing, writing

SUFFIX = ".unfinished"
FINISHING = "finishing"
"""Marks a folder whose outputs are being put in place: some may be there already."""


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """A folder beside an output in which it is made; nothing is left of it.

    Raises:
        OutputError: If it cannot be made.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(".part", f".{path.name}.", path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def resumable(
    path: Path, key: str, *, guarded: Sequence[Path], resume: bool, overwrite: bool
) -> Iterator[Path]:
    """A folder beside an output that stays if the output is not finished.

    Args:
        path: The output.
        key: Hash of all that decides what it will be.
        guarded: All outputs, which are not replaced unasked.
        resume: Go on with what is there.
        overwrite: Remove what is there and cannot be gone on with.

    Raises:
        OutputExistsError: If an output is there that is not to be replaced, or an
            unfinished one that is neither to be resumed nor replaced.
        OutputError: If the folder cannot be made.
    """
    folder = path.with_name(f".{path.name}.{key[:16]}{SUFFIX}")
    refuse_existing(*guarded, overwrite=overwrite or (resume and (folder / FINISHING).exists()))
    others = [each for each in unfinished(path) if each != folder]
    if others and not overwrite:
        raise OutputExistsError(
            f"{path}: begun with another model, options or source, and not finished; start "
            f"anew with --overwrite"
        )
    if folder.is_dir() and not resume:
        if not overwrite:
            raise OutputExistsError(
                f"{path}: begun and not finished; go on with --resume, or start anew with "
                f"--overwrite"
            )
        others.append(folder)
    for each in others:
        shutil.rmtree(each, ignore_errors=True)
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    except BaseException as error:
        if isinstance(error, EmptyError) or not any(folder.glob("piece_*.json")):
            shutil.rmtree(folder, ignore_errors=True)
        elif isinstance(error, GeosegError):
            error.add_note("what is finished is kept: go on with --resume")
        raise
    shutil.rmtree(folder, ignore_errors=True)


def unfinished(path: Path) -> list[Path]:
    """Folders that were left of an output."""
    if not path.parent.is_dir():
        return []
    return sorted(path.parent.glob(f".{escape(path.name)}.*{SUFFIX}"))


def put_in_place(
    made: dict[Path, Path], folder: Path, *, guarded: Sequence[Path], overwrite: bool
) -> None:
    """Give finished files their names, in order; the last one says that all are there.

    Args:
        made: Where each output lies in the folder, by its path.
        folder: In which they were made.
        guarded: Those of them that are not replaced unasked.
        overwrite: Whether these are.

    Raises:
        OutputExistsError: If one exists and is not to be replaced.
        OutputError: If they cannot be moved.
    """
    marker = folder / FINISHING
    refuse_existing(*guarded, overwrite=overwrite or marker.exists())
    for path, file in made.items():
        with writing(path):
            marker.touch()
            path.parent.mkdir(parents=True, exist_ok=True)
            file.replace(path)
