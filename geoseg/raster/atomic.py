"""Atomic outputs: written beside the target, then renamed; and folders for resuming them."""

import errno
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from geoseg.errors import (
    ChangedError,
    EmptyError,
    GeosegError,
    OutputError,
    OutputExistsError,
)
from geoseg.raster.folders import FolderKind, list_entries, locked, locked_once
from geoseg.raster.paths import GdalName, check_name
from geoseg.raster.records import parse_json
from geoseg.raster.threads import logged

MIN_FREE_BYTES = 1_000_000
"""Free space, in bytes, below which a failed write is reported as a full disk."""

OWN_STYLE = 'version="3.22" styleCategories="Symbology"'
"""Mark of QGIS styles written by geoseg; QGIS itself writes its full version."""

OWN_VECTOR_STYLE = 'version="3.22" styleCategories="Symbology|Labeling"'
"""Mark of QGIS styles of vectors written by geoseg; QGIS itself writes its full version."""

GEOMETRY_OF_STYLE = re.compile(r"<layerGeometryType>\d</layerGeometryType>")

NO_SPACE = "no space left on the disk; make room, or name an output on another one"

MAX_REASON_LENGTH = 200

HIDDEN_FOLDER = re.compile(r"\.(.+)\.(?:part|[0-9a-f]{16}\.unfinished)")
"""Names of the hidden folders in which outputs are made."""

FINISHING_MARKER = "finishing"
"""File in a scratch folder that lists the outputs being renamed, in order."""

LINE_BREAK = re.compile(r"[\t\n\r]")
"""Characters that SQLite drops from names."""


def refuse_existing(*paths: Path, overwrite: bool, kind: FolderKind | None = None) -> None:
    """Refuse outputs that exist, before any work.

    Args:
        paths: The outputs.
        overwrite: Whether they may be replaced.
        kind: Kind of folder; None: they are files.

    Raises:
        OutputExistsError: If a path exists and ``overwrite`` is False, if it is a folder of
            another kind or with foreign content, or a folder instead of a file or vice versa.
        OutputError: If a name is impossible.
        InputError: If a name is not UTF-8.
    """
    for path in paths:
        check_name(path)
        if isinstance(path, GdalName):
            raise OutputError(f"{path}: is written to disks alone; name a path of this machine")
        if LINE_BREAK.search(str(path.absolute())):
            raise OutputError(
                f"{path}: the path holds a tab or line break, which GeoPackages do not support; "
                f"name another"
            )
        with _possible(path):
            if (file := _file_above(path)) is not None:
                raise OutputError(f"{path}: cannot be written: {file} is a file, not a folder")
            place = _standing(path)
            if place is not None and place.is_dir():
                _refuse_folder(path, place, kind, overwrite=overwrite)
            elif place is not None and kind is not None:
                raise OutputExistsError(
                    f"{path}: is a file, but the output is a folder; name another"
                )
            elif place is not None and not overwrite and not _is_ours(path, paths):
                raise OutputExistsError(f"{path} exists; use --overwrite to replace it")


@contextmanager
def _possible(path: Path) -> Iterator[None]:
    """Report a name that is too long, or a link that leads to itself."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise OutputError(f"{path}: cannot be written: {reason or error}") from error


def _refuse_folder(path: Path, place: Path, kind: FolderKind | None, *, overwrite: bool) -> None:
    """Refuse a folder, unless it may be replaced and nothing else would be lost."""
    if kind is None:
        raise OutputExistsError(f"{path}: is a folder, but the output is a file; name a file")
    if Path.cwd().is_relative_to(place.resolve()):
        raise OutputExistsError(f"{path}: is the working folder; name a folder in it")
    if not any(place.iterdir()):
        return
    if not kind.is_kind_of(place):
        raise OutputExistsError(
            f"{path}: is a folder that geoseg did not write ({kind.name}: {kind.record} is missing "
            f"or names another kind), and is not replaced; remove it yourself or name another"
        )
    if foreign := kind.foreign(place):
        raise OutputExistsError(
            f"{path}: holds files that geoseg did not write, and is not replaced: "
            f"{list_entries(foreign)}; move them elsewhere, or name another folder"
        )
    if not overwrite:
        raise OutputExistsError(f"{path} exists; use --overwrite to replace it")


def is_vacant(path: Path) -> bool:
    """Whether a folder is absent or empty.

    Raises:
        OutputError: If the name is impossible.
    """
    with _possible(path):
        place = _standing(path)
        return place is None or (place.is_dir() and not any(place.iterdir()))


def _file_above(path: Path) -> Path | None:
    """The file, if any, where a parent folder should be."""
    above = next((each for each in path.absolute().parents if each.exists()), None)
    return None if above is None or above.is_dir() else above


def _standing(path: Path) -> Path | None:
    """The existing output: under its name, or where a killed process left it."""
    if path.exists():
        return path
    old = _old_folder(path) / path.resolve().name
    return old if old.exists() else None


def _is_ours(path: Path, paths: Sequence[Path]) -> bool:
    """Whether an existing file may be replaced without asking.

    True for sidecars of a map that is gone (but not for styles saved by QGIS), and for outputs that
    a killed process renamed before it was done.
    """
    if path.name.endswith(".aux.xml"):
        return True  # GDAL's of a file that is replaced or gone
    if path.suffix == ".qml" and OWN_STYLE in path.read_text(encoding="utf-8", errors="replace"):
        return True
    return _is_half_placed(path, paths)


def _is_half_placed(path: Path, paths: Sequence[Path]) -> bool:
    """Whether a killed process renamed this output, but not all of them."""
    for each in paths:
        try:
            text = (_scratch_folder(each) / FINISHING_MARKER).read_text(encoding="utf-8")
            targets = [Path(name) for name in parse_json(text)]
        except (OSError, ValueError):
            continue
        if targets and not targets[-1].exists() and path.resolve() in targets:
            return True
    return False


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """A temporary folder beside an output, locked against other processes.

    Leftovers of a killed process are removed, and an output that it was replacing is restored.

    Raises:
        OutputExistsError: If another process is writing the output.
        OutputError: If it cannot be made.
    """
    with locked_once(path) as alone:
        folder = _scratch_folder(path)
        with writing(path):
            if alone:
                _tidy(path)
            try:
                folder.mkdir(parents=True)
            except FileExistsError:  # without locks nobody knows whether the other process lives
                raise OutputExistsError(
                    f"{path}: another process is writing it; if none is running any more, remove "
                    f"{folder}"
                ) from None
        try:
            yield folder
        finally:
            _tidy(path)


@contextmanager
def staged(path: Path, *, overwrite: bool, kind: FolderKind | None = None) -> Iterator[Path]:
    """A path beside the target, renamed to it when the block succeeds.

    If the block fails, nothing is left and an existing output stays. A link is followed.

    Args:
        path: The target.
        overwrite: Whether it may be replaced.
        kind: Kind of folder; None: it is a file.

    Raises:
        OutputExistsError: As `refuse_existing`, or if another process is writing it.
        OutputError: If the output cannot be written (no space, no permission).
        ChangedError: If an input has changed on its server meanwhile.
    """
    refuse_existing(path, overwrite=overwrite, kind=kind)
    with scratch(path) as folder, writing(path):
        if kind is None:
            partial = folder / path.resolve().name  # sidecars of GDAL go with the folder
        else:
            partial = folder  # as deep as the target, so that relative paths hold
            partial.rmdir()
        yield partial
        _replace(partial, path)


def move(file: Path, path: Path) -> None:
    """Rename a finished file to its target, which is replaced; a link is followed.

    From another file system it is first copied beside the target, so that it appears whole.

    Raises:
        OSError: If it cannot be moved.
    """
    place = path.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        file.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with scratch(path) as folder:
            partial = folder / place.name
            shutil.copyfile(file, partial)
            partial.replace(place)


def put_in_place(made: Mapping[Path, Path], folder: Path, *, overwrite: bool) -> None:
    """Rename finished files to their targets, in order; the last one completes the set.

    Args:
        made: File in the folder, by target.
        folder: The scratch folder.
        overwrite: Whether existing ones are replaced.

    Raises:
        OutputExistsError: If one exists and is not to be replaced.
        OutputError: If they cannot be moved.
    """
    from geoseg.raster.remote import refuse_changed  # few inputs are on a server

    refuse_changed()
    marker = folder / FINISHING_MARKER
    targets = [path for path, file in made.items() if file != path]
    refuse_existing(*targets, overwrite=overwrite or marker.exists())
    with writing(folder):
        names = json.dumps([str(path.resolve()) for path in made])
        marker.write_text(names, encoding="utf-8")
    for path, file in made.items():
        with writing(path):
            move(file, path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn failures of GDAL and the system into an `OutputError` that names the output."""
    try:
        with logged():  # else GDAL talks to stderr itself in threads
            yield
    except (OSError, RasterioError, CPLE_BaseError, SystemError) as error:
        reason = reason_of(error, path)
        raise OutputError(f"{final(path)}: cannot be written: {reason}") from error


def write_text(path: Path, text: str) -> None:
    """Write a small file atomically, replacing an existing one."""
    with staged(path, overwrite=True) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_vector_style(path: Path, qml: str) -> bool:
    """Write a QGIS style beside a vector file; one of another kind stays.

    That may belong to a map of the same name, or be edited by the user. Inside a GeoPackage a style
    would be a second layer, and other programs would ask which one is meant.

    Returns:
        Whether the file has the style.
    """
    style = path.with_suffix(".qml")
    if style.exists():
        old = style.read_text("utf-8", errors="replace") if style.is_file() else ""
        if OWN_VECTOR_STYLE not in old or _geometry_of(old) != _geometry_of(qml):
            return False
    with writing(style):
        write_text(style, qml)
    return True


def _geometry_of(qml: str) -> str | None:
    found = GEOMETRY_OF_STYLE.search(qml)
    return found and found[0]


def reason_of(error: Exception, path: Path) -> str:
    """Why an output cannot be written, on one line; a full disk is found out, GDAL hides it."""
    if isinstance(error, OSError) and error.strerror:
        return NO_SPACE if error.errno == errno.ENOSPC else error.strerror
    said = " ".join(str(error.__cause__ or error).split())[:MAX_REASON_LENGTH]
    with suppress(OSError):
        folder = next(each for each in path.absolute().parents if each.exists())
        if shutil.disk_usage(folder).free < MIN_FREE_BYTES:
            return f"{NO_SPACE} ({said})"
    return said


def final(path: Path) -> Path:
    """The target of a file in a hidden folder; another path as it is."""
    for place in (path, *path.parents):
        if found := HIDDEN_FOLDER.fullmatch(place.name):
            return place.with_name(found[1])
    return path


def _scratch_folder(path: Path) -> Path:
    """The scratch folder of an output; its name is fixed, so that leftovers are found."""
    place = path.resolve()
    return place.with_name(f".{place.name}.part")


def _old_folder(path: Path) -> Path:
    """The folder that holds an output while it is being replaced."""
    place = path.resolve()
    return place.with_name(f".{place.name}.old")


def _replace(partial: Path, path: Path) -> None:
    """Rename a finished file or folder to its target, if no input has changed meanwhile."""
    from geoseg.raster.remote import refuse_changed

    refuse_changed()
    place = path.resolve()
    if not place.is_dir():
        partial.replace(place)
        return
    old = _old_folder(path) / place.name
    old.parent.mkdir()
    place.rename(old)
    partial.rename(place)


def _tidy(path: Path) -> None:
    """Remove temporary folders of an output, and restore it if it was moved away."""
    place, old = path.resolve(), _old_folder(path)
    if not place.exists():
        with suppress(OSError):
            (old / place.name).rename(place)
    for folder in (_scratch_folder(path), old):
        shutil.rmtree(folder, ignore_errors=True)


UNFINISHED_SUFFIX = ".unfinished"
RESUME_HINT = "finished parts are kept; continue with --resume"
"""Note on a failure that can be resumed."""


@contextmanager
def resume_dir(
    path: Path,
    key: str,
    *,
    guarded: Sequence[Path],
    resume: bool,
    overwrite: bool,
    note: str = RESUME_HINT,
) -> Iterator[Path]:
    """A working folder beside an output that survives an interruption and can be resumed.

    The output is locked against other processes.

    Args:
        path: The output.
        key: Hash of everything that determines the output.
        guarded: All outputs, which must not be replaced unasked.
        resume: Continue with the chunks in the folder.
        overwrite: Remove existing outputs, and folders that cannot be resumed.
        note: Note on a failure that can be resumed.

    Raises:
        OutputExistsError: If an output exists and may not be replaced, an unfinished one may
            be neither resumed nor replaced, or another process is writing it.
        OutputError: If the folder cannot be made.
    """
    with locked(path):
        folder = path.with_name(f".{path.name}.{key[:16]}{UNFINISHED_SUFFIX}")
        finishing = resume and (folder / FINISHING_MARKER).exists()
        refuse_existing(*guarded, overwrite=overwrite or finishing)
        _clear(path, folder, resume=resume, overwrite=overwrite)
        with writing(path):
            folder.mkdir(exist_ok=True)
        try:
            yield folder
        except BaseException as error:
            if isinstance(error, EmptyError | ChangedError) or not _has_chunks(folder):
                shutil.rmtree(folder, ignore_errors=True)
            elif isinstance(error, GeosegError):
                error.add_note(note)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def _clear(path: Path, folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Remove resume folders that are not resumed.

    Raises:
        OutputExistsError: If one has finished chunks and may be neither resumed nor replaced.
    """
    existing = resume_dirs(path)
    if not overwrite:
        if any(each != folder and _has_chunks(each) for each in existing):
            raise OutputExistsError(
                f"{path}: is unfinished and was started with another model, options or source; "
                f"start over with --overwrite"
            )
        if not resume:
            refuse_unfinished(path, existing)
    for each in existing:
        if each != folder or not resume:
            shutil.rmtree(each, ignore_errors=True)


def refuse_unfinished(path: Path, folders: Sequence[Path] | None = None) -> None:
    """Refuse an output that could be resumed, from its resume folders if they are known.

    Raises:
        OutputExistsError: If it could.
    """
    if any(map(_has_chunks, resume_dirs(path) if folders is None else folders)):
        raise OutputExistsError(
            f"{path}: is unfinished; continue with --resume, or start over with --overwrite"
        )


def _has_chunks(folder: Path) -> bool:
    return any(folder.glob("piece_*"))


def resume_dirs(path: Path) -> list[Path]:
    """The resume folders of an output."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(path.parent) as entries:
        names = [each.name for each in entries if each.name.startswith(f".{path.name}.")]
        return sorted(path.with_name(name) for name in names if name.endswith(UNFINISHED_SUFFIX))
    return []


def without_nan(content: Any) -> Any:
    """Content with null for NaN and infinity, which JSON lacks.

    >>> without_nan({"iou": [0.5, float("nan")]})
    {'iou': [0.5, None]}
    """
    if isinstance(content, Mapping):
        return {str(key): without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
