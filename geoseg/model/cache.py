"""Converted networks in the user's cache, whole or not at all."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from geoseg.errors import InputError, OutputError
from geoseg.model.bundle_files import file_sha256
from geoseg.raster.atomic import staged
from geoseg.raster.paths import check_component
from geoseg.raster.records import parse_json

CACHE_VARIABLE = "GEOSEG_CACHE"
"""Environment variable with another cache folder."""

RECORD = "geoseg.json"
"""Facts of an entry, and hashes of its files."""

MAX_ENTRIES = 24
"""Number of entries to keep; the least recently used go first."""


def cache_folder() -> Path:
    """The cache folder of the user's system."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own)
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "geoseg"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "geoseg"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "geoseg"


@contextmanager
def cached(facts: Mapping[str, object], write: Callable[[Path], None]) -> Iterator[Path]:
    """A folder with the files that were written for these facts, now or earlier.

    A damaged entry is written again. If the cache is not writable, a temporary folder serves until
    the block ends: that costs time and nothing else.

    Args:
        facts: Everything the files depend on, as JSON values.
        write: Writes the files into an empty folder.
    """
    text = json.dumps(facts, sort_keys=True)
    entry = _entry(text)
    if entry is not None and _is_whole(entry, text):
        with suppress(OSError):
            os.utime(entry)
        yield entry
    elif entry is not None and _store(entry, text, write):
        yield entry
    else:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            write(Path(folder))
            yield Path(folder)


def _entry(text: str) -> Path | None:
    """The folder of an entry; None for a user without a home folder."""
    try:
        folder = cache_folder()
    except RuntimeError:
        return None
    return folder / "converted" / hashlib.sha256(text.encode()).hexdigest()[:32]


def _is_whole(entry: Path, text: str) -> bool:
    try:
        record = parse_json((entry / RECORD).read_text(encoding="utf-8"))
        hashes = record["sha256"]
        return record["facts"] == json.loads(text) and all(
            file_sha256(entry / check_component(name, entry / RECORD)) == expected
            for name, expected in hashes.items()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, InputError):
        return False


def _store(entry: Path, text: str, write: Callable[[Path], None]) -> bool:
    """Write an entry; return whether that was possible."""
    shutil.rmtree(entry, ignore_errors=True)  # a damaged entry
    try:
        with staged(entry, overwrite=True) as folder:
            folder.mkdir()
            write(folder)
            hashes = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
            record = {"facts": json.loads(text), "sha256": hashes}
            (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except OutputError:
        return False
    _forget_oldest(entry.parent)
    return True


def _forget_oldest(folder: Path) -> None:
    with suppress(OSError):
        entries = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
        for old in entries[:-MAX_ENTRIES]:
            shutil.rmtree(old, ignore_errors=True)
