"""Files that can be made again: kept in the user's cache, whole or not at all."""

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from geoseg.errors import BundleError, InputError, OutputError
from geoseg.raster.atomic import staged
from geoseg.raster.paths import check_component
from geoseg.raster.records import Fields, parse_json, read_object

VARIABLE = "GEOSEG_CACHE"
"""Environment variable that names another folder."""

RECORD = "geoseg.json"
"""What an entry was made of, and the hashes of its files."""

KEPT = 24
"""Entries that are kept; those not used for longest go."""


def cache_folder() -> Path:
    """Where the user's system keeps such files."""
    if own := os.environ.get(VARIABLE):
        return Path(own)
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "geoseg"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "geoseg"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "geoseg"


@contextmanager
def cached(facts: Mapping[str, object], write: Callable[[Path], None]) -> Iterator[Path]:
    """A folder with what was written for these facts, now or earlier.

    A damaged entry is made again. Where the cache cannot be written, a temporary folder
    serves until the block ends: that costs time and nothing else.

    Args:
        facts: All that the files depend on, fit for JSON.
        write: Puts the files into the empty folder that it is given.
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


def file_sha256(path: Path) -> str:
    """Content hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(text: str) -> Path | None:
    """The folder of an entry; None for a user without a home."""
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
    """Write an entry; say whether that was possible."""
    shutil.rmtree(entry, ignore_errors=True)  # what is damaged
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
        for old in entries[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)


CONFIG = "config.json"

WEIGHTS = "model.safetensors"

MAX_BANDS = 10_000
"""Hyperspectral sensors have some hundreds."""

NUMPY_FLOATS = ("F16", "F32", "F64")
"""Types of safetensors that numpy reads as well."""

HEAD = re.compile(r"segmentation_head\.(?:.*\.)?(\d+)\.weight")
"""The weights of the last layers of smp's networks."""

Shapes = dict[str, tuple[int, ...]]
"""Of tensors, by name."""


def check_config(folder: Path, *, classes: int, bands: int) -> None:
    """See that ``config.json`` describes a network for these classes and bands.

    Raises:
        BundleError: If it is damaged, or describes another.
    """
    try:
        config = Fields(read_object(folder / CONFIG))
        config.text("_model_class")
        found = {
            what: config.whole(key, 1, 2**31)
            for what, key in (("classes", "classes"), ("bands", "in_channels"))
            if config.has(key)
        }
    except (ValueError, TypeError) as error:
        raise BundleError(f"{folder}: {CONFIG} is damaged: {error}") from error
    for what, expected in (("classes", classes), ("bands", bands)):
        if found.get(what, expected) != expected:
            raise BundleError(
                f"{folder}: the network has {found[what]} {what}, geoseg.json describes "
                f"{expected}: one of its files is of another model"
            )


def check_weights(folder: Path, *, classes: int) -> None:
    """See that the weights are whole and finite, and end in as many classes.

    Raises:
        BundleError: If they are not.
    """
    shapes = read_shapes(folder)
    heads = {int(found[1]): key for key in shapes if (found := HEAD.fullmatch(key))}
    head = shapes[heads[max(heads)]] if heads else ()
    if len(head) == 4 and head[0] != classes:  # noqa: PLR2004 a convolution
        raise BundleError(
            f"{folder}: the network has {head[0]} classes, the legend of geoseg.json {classes}: "
            f"one of its files is of another model"
        )
    if (name := _not_finite(folder / WEIGHTS)) is not None:
        raise BundleError(
            f"{folder}: {name} in {WEIGHTS} has values that are not finite (NaN or infinite): "
            f"the training diverged; train again, with a lower --lr or --clip 1"
        )


def read_shapes(folder: Path) -> Shapes:
    """The shapes of all weights, from the head of their file.

    Raises:
        BundleError: If it is damaged.
    """
    return _with_weights(folder / WEIGHTS, _shapes)


def _not_finite(path: Path) -> str | None:
    """The first tensor with a value that is not finite."""
    return _with_weights(path, _first_not_finite)


def _with_weights(path: Path, ask: Any) -> Any:
    try:
        with safe_open(path, framework="np") as file:
            return ask(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(f"{path.parent}: {path.name} is damaged: {error}") from error


def _shapes(file: Any) -> Shapes:
    return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118


def _first_not_finite(file: Any) -> str | None:
    for key in file.keys():  # noqa: SIM118 it is no dictionary
        if file.get_slice(key).get_dtype() in NUMPY_FLOATS:
            values = file.get_tensor(key)
            if not np.isfinite(values).all():
                return str(key)
    return None
