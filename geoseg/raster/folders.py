"""Kinds of output folders: the record that identifies each, its entries, locks, and hashes."""

import errno
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from geoseg.errors import InputError, OutputError, OutputExistsError
from geoseg.raster.paths import check_component
from geoseg.raster.records import parse_json

KIND = "kind"
"""Key of a record that names the kind of its folder."""

IGNORED_ENTRIES = (
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
    "*.aux.xml",
    "*.gpkg-*",
)
"""Entries left by operating systems, GDAL and QGIS, which may be deleted."""

LEFTOVER = re.compile(r"\.(.+?)\.(?:lock|part|old)")

MAX_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class FolderKind:
    """A kind of output folder, which its command may replace."""

    name: str
    """Value of `KIND` in its record."""

    record: str
    entries: tuple[str, ...]
    """Glob patterns of its other entries, matched part by part; ``**``: anything below."""

    proof: frozenset[str]
    """Keys that identify records from before `KIND` existed."""

    def is_kind_of(self, folder: Path) -> bool:
        """Whether the record of a folder names this kind."""
        try:
            record = parse_json((folder / self.record).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        if not isinstance(record, dict):
            return False
        if KIND in record:
            return bool(record[KIND] == self.name)
        return self.proof <= record.keys()

    def foreign(self, folder: Path) -> list[str]:
        """Relative paths in a folder that this kind does not write."""
        patterns = [tuple(entry.split("/")) for entry in (self.record, *self.entries)]
        return sorted(_foreign(folder, (), patterns))

    def within(self, folder: str) -> tuple[str, ...]:
        """Patterns of a folder of this kind inside another folder."""
        return tuple(f"{folder}/{entry}" for entry in (self.record, *self.entries))


def _foreign(
    folder: Path, place: tuple[str, ...], patterns: list[tuple[str, ...]]
) -> Iterator[str]:
    """Entries of a folder and its subfolders that no pattern allows."""
    for path in folder.iterdir():
        parts = (*place, path.name)
        if any(_allows(pattern, parts) for pattern in patterns):
            continue
        if any(fnmatchcase(path.name, pattern) for pattern in IGNORED_ENTRIES):
            continue
        left = LEFTOVER.fullmatch(path.name)
        if left and any(_is_within(pattern, (*place, left[1])) for pattern in patterns):
            continue
        leads_on = any(_leads_on(pattern, parts) for pattern in patterns)
        if leads_on and path.is_dir() and not path.is_symlink():
            yield from _foreign(path, parts, patterns)
        else:
            yield "/".join(parts)


def _allows(pattern: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Whether a pattern matches a path.

    >>> _allows(("images", "*.tif"), ("images", "a.tif")), _allows(("logs", "**"), ("logs", "a"))
    (True, True)
    """
    if pattern[-1] == "**":
        head = pattern[:-1]
        return len(parts) > len(head) and _allows(head, parts[: len(head)])
    return len(pattern) == len(parts) and all(map(fnmatchcase, parts, pattern))


def _is_within(pattern: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Whether a pattern matches a path, or something below it."""
    return _allows(pattern, parts) or _leads_on(pattern, parts)


def _leads_on(pattern: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Whether a pattern matches something below a path.

    >>> _leads_on(("images", "*.tif"), ("images",)), _leads_on(("a.csv",), ("a.csv",))
    (True, False)
    """
    return len(pattern) > len(parts) and all(map(fnmatchcase, parts, pattern))


def list_entries(entries: list[str]) -> str:
    """Entries for a message, the first of many.

    >>> list_entries(["a", "b"])
    'a, b'
    """
    more = len(entries) - MAX_NAMED
    return ", ".join(entries[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


FINDINGS = (
    *("unreadable", "leaks", "contradictions", "outliers", "not-finite", "missing-splits"),
    *(
        "identical-masks",
        "duplicates",
        "not-compared",
        "repeated-ground",
        "near-duplicates",
        "constant-images",
    ),
    *("unlabelled", "missing-classes", "value-ranges"),
)
"""Kinds of findings of a check, each with a PNG."""

CHECK = FolderKind(
    name="check",
    record="check.json",
    entries=("report.html", *(f"{finding}.png" for finding in FINDINGS)),
    proof=frozenset({"patches", "counts", "class_shares", "errors", "warnings", "findings"}),
)

PATCH_SET = FolderKind(
    name="patch set",
    record="patches.json",
    entries=(
        *("patches.gpkg", "patches.qml"),
        *(f"{kind}/*_r*_c*.{end}" for kind in ("images", "masks") for end in ("tif", "png")),
        *CHECK.within("check"),
    ),
    proof=frozenset({"format", "size", "stride", "storage", "legend", "sources", "class_pixels"}),
)

MODEL = FolderKind(
    name="model bundle",
    record="geoseg.json",
    entries=(
        *("config.json", "model.safetensors", "model.onnx", "ground.json", "mlm.json"),
        *("int8/*.xml", "int8/*.bin"),
    ),
    proof=frozenset({"format", "arch", "encoder", "legend", "weights_sha256"}),
)

_RUN = (
    *("history.csv", "curves.png", "validation.png", "lr_finder.png", "last.ckpt", "folds.csv"),
    *(f"logs/version_*/{name}" for name in ("metrics.csv", "hparams.yaml", "events.out.*")),
    *("logs/mlflow.db*", "wandb/settings", "wandb/*run*/**", "wandb/*-run", "wandb/debug*.log"),
    *MODEL.within("model"),
)

TRAINING = FolderKind(
    name="training",
    record="run.json",
    entries=(*_RUN, "fold*/run.json", *(f"fold*/{entry}" for entry in _RUN)),
    proof=frozenset({"patches", "options", "patch_set", "versions"}),
)

EVALUATION = FolderKind(
    name="evaluation",
    record="evaluation.json",
    entries=(
        *("classes.csv", "objects.csv", "maps.csv", "regions.csv", "merged_classes.csv"),
        *("counts.csv", "proportions.csv", "worst.csv", "worst.gpkg", "worst.qml", "worst.png"),
        *("confusion.csv", "calibration.csv", "thresholds.csv"),
        *("confusion.png", "calibration.png", "thresholds.png"),
    ),
    proof=frozenset({"legend", "inputs", "classes"}),
)

SWEEP = FolderKind(
    name="sweep",
    record="sweep.json",
    entries=("study.db", "table.csv", *(f"*/{entry}" for entry in ("run.json", *_RUN))),
    proof=frozenset({"patches", "runs"}),
)

PART = FolderKind(
    name="part of polygons",
    record="part.json",
    entries=("piece_*.safetensors",),
    proof=frozenset({"about", "part", "cells"}),
)
"""What ``geoseg vectorize --part`` writes."""

WINDOWS = FolderKind(
    name="window scores",
    record="windows.json",
    entries=("r*_c*.tif",),
    proof=frozenset({"crs", "transform", "lattice", "legend", "provenance"}),
)

NO_LOCK_ERRORS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""Error numbers of file systems without locks, such as some network drives."""

_held: list[Path] = []
"""Resolved outputs that this process has locked."""


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Lock an output against other processes; yield whether the file system has locks.

    The lock is the operating system's and ends with the process; only its empty file may be left.

    Args:
        path: The output; its parent folder is created.

    Raises:
        OutputExistsError: If another process has locked it.
        OutputError: If its folder, or the lock file, cannot be created.
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
def locked_once(path: Path) -> Iterator[bool]:
    """Like `locked`, unless this process has already locked the output or a parent folder.

    Raises:
        OutputExistsError: If another process has locked it.
        OutputError: If it cannot be locked.
    """
    whole = path.resolve()
    if any(whole.is_relative_to(each) for each in _held):
        yield True
        return
    with locked(path) as alone:
        yield alone


def refuse_links_out(path: Path) -> None:
    """Refuse a file that links out of its folder, before its content is passed on.

    Raises:
        InputError: If it does.
    """
    if path.resolve().parent != path.parent.resolve():
        raise InputError(
            f"{path}: links to a file outside of its folder, which is not served; remove the link"
        )


def refuse_locked(path: Path) -> None:
    """Refuse an output that another process is writing; nothing is written here.

    Raises:
        OutputExistsError: If another process has locked it.
    """
    file = _lock_file(path.resolve())
    if file.exists():
        with suppress(OSError):
            if lock := _acquired(file, path):
                lock.release()


def _lock_file(whole: Path) -> Path:
    return whole.with_name(f".{whole.name}.lock")


def _acquired(file: Path, path: Path) -> Any:
    """The acquired lock; None on a file system without locks."""
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        if (
            not file.exists()
        ):  # filelock raises the same where the file cannot be created, as in /proc
            file.touch()
        raise OutputExistsError(f"{path}: another process is writing it") from None
    except OSError as error:
        if error.errno not in NO_LOCK_ERRORS:
            raise
        return None
    return lock


def file_sha256(path: Path) -> str:
    """Content hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_files(folder: Path, sha256: Mapping[str, str], record: Path) -> bool:
    """Whether a folder holds all files of a record, by name and content hash."""
    try:
        return all(
            file_sha256(folder / check_component(name, record)) == expected
            for name, expected in sha256.items()
        )
    except OSError:
        return False
