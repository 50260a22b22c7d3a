"""Files of a bundle: names, checks of network and weights, and the record of the int8 network."""

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError, safe_open

from geoseg.errors import BundleError, InputError, OutputError
from geoseg.raster.atomic import staged
from geoseg.raster.paths import check_component
from geoseg.raster.records import Fields, parse_json, read_object, refuse_unknown

RECORD = "geoseg.json"

CONFIG = "config.json"

WEIGHTS = "model.safetensors"

INT8 = "int8"

INT8_FILES = ("model.xml", "model.bin")

MAX_SIZE_PX = 16_384
"""Largest side of a window: one of three bands alone takes 3 GB."""

MAX_BANDS = 10_000
"""Largest number of bands; hyperspectral sensors have some hundreds."""

NUMPY_FLOATS = ("F16", "F32", "F64")
"""Types of safetensors that numpy has as well."""

HEAD = re.compile(r"segmentation_head\.(?:.*\.)?(\d+)\.weight")
"""Names of the weights of the last layers of smp's networks."""

Shapes = dict[str, tuple[int, ...]]
"""Shapes of tensors, by name."""


def file_sha256(path: Path) -> str:
    """Content hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_config(folder: Path, *, classes: int, bands: int) -> None:
    """Check that ``config.json`` describes a network for these classes and bands.

    Raises:
        BundleError: If it is damaged, or of another network.
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
    """Check that the weights are complete, finite, and of so many classes.

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
    if (name := _first_not_finite(folder)) is not None:
        raise BundleError(
            f"{folder}: {name} in {WEIGHTS} has values that are not finite (NaN or infinite): "
            f"the training diverged; train again, with a lower --lr or --clip 1"
        )


def read_shapes(folder: Path) -> Shapes:
    """Shapes of all weights, from the header of their file.

    Raises:
        BundleError: If it is damaged.
    """
    with _open_weights(folder) as file:
        return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 not a dictionary


def _first_not_finite(folder: Path) -> str | None:
    """Name of the first tensor with a value that is not finite."""
    with _open_weights(folder) as file:
        for key in file.keys():  # noqa: SIM118
            is_float = file.get_slice(key).get_dtype() in NUMPY_FLOATS
            if is_float and not np.isfinite(file.get_tensor(key)).all():
                return str(key)
    return None


@contextmanager
def _open_weights(folder: Path) -> Iterator[Any]:
    try:
        with safe_open(folder / WEIGHTS, framework="np") as file:
            yield file
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(f"{folder}: {WEIGHTS} is damaged: {error}") from error


@dataclass(frozen=True, kw_only=True)
class SizeRecord:
    """Validation of the int8 network with windows of one size."""

    size: int
    """Side of the windows, in pixels."""

    agreement: float
    """Share of the pixels with the same class as float32."""

    miou_fp32: float
    """Mean IoU of float32 on the same ground."""

    miou_int8: float
    """Mean IoU of int8."""

    holds: bool
    """Whether the loss is within its limits."""

    @classmethod
    def parse(cls, content: object) -> Self:
        """The record of a size, checked.

        Raises:
            ValueError: If an entry is missing, unknown or wrong.
        """
        own = Fields(content, "quantized.measured")
        refuse_unknown(own.entries, {each.name for each in fields(cls)})
        return cls(
            size=own.whole("size", 1, MAX_SIZE_PX),
            agreement=own.number("agreement", 0, 1),
            miou_fp32=own.number("miou_fp32", 0, 1),
            miou_int8=own.number("miou_int8", 0, 1),
            holds=own.flag("holds"),
        )


@dataclass(frozen=True, kw_only=True)
class Int8Record:
    """Validation record of the int8 network of a bundle."""

    agreement: float
    """Share of the pixels of the validation patches with the same class as float32."""

    miou_fp32: float
    """Mean IoU of float32 on the validation patches."""

    miou_int8: float
    """Mean IoU of int8 on the validation patches."""

    validation_patches: int
    """Number of validation patches."""

    samples: int
    """Training patches used for calibration."""

    forced: bool
    """Whether the user kept it although the loss exceeds its limits."""

    patch_size: int
    """Side of the patches, in pixels."""

    any_size: bool
    """Whether the network takes windows of other sizes as well."""

    sha256: Mapping[str, str]
    """Content hash of each file in ``int8/``."""

    versions: Mapping[str, str]
    """Versions of the packages that made it."""

    measured: tuple[SizeRecord, ...] = ()
    """Validation by window size; empty in older bundles: the patch size alone."""

    @property
    def validated_sizes(self) -> tuple[int, ...]:
        """Sides of windows, in pixels, at which int8 may replace float32."""
        if self.measured:
            return tuple(each.size for each in self.measured if each.holds)
        return () if self.forced else (self.patch_size,)

    @classmethod
    def parse(cls, content: object) -> Self:
        """The record of a bundle, checked.

        Raises:
            ValueError: If an entry is missing, unknown or wrong.
        """
        own = Fields(content, "quantized")
        hashes = Fields(own.value("sha256"), "quantized.sha256")
        versions = Fields(own.value("versions"), "quantized.versions")
        refuse_unknown(own.entries, {each.name for each in fields(cls)})
        refuse_unknown(hashes.entries, set(INT8_FILES))
        measured = own.items("measured") if own.has("measured") else ()
        return cls(
            agreement=own.number("agreement", 0, 1),
            miou_fp32=own.number("miou_fp32", 0, 1),
            miou_int8=own.number("miou_int8", 0, 1),
            validation_patches=own.whole("validation_patches", 0, 2**53),
            samples=own.whole("samples", 0, 2**53),
            forced=own.flag("forced"),
            patch_size=own.whole("patch_size", 1, MAX_SIZE_PX),
            any_size=own.flag("any_size"),
            sha256={name: hashes.text(name) for name in INT8_FILES},
            versions={name: versions.text(name) for name in versions.entries},
            measured=tuple(map(SizeRecord.parse, measured)),
        )


CACHE_VARIABLE = "GEOSEG_CACHE"
"""Environment variable with another cache folder."""

CACHE_RECORD = "geoseg.json"
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
        record = parse_json((entry / CACHE_RECORD).read_text(encoding="utf-8"))
        hashes = record["sha256"]
        return record["facts"] == json.loads(text) and all(
            file_sha256(entry / check_component(name, entry / CACHE_RECORD)) == expected
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
            (folder / CACHE_RECORD).write_text(
                json.dumps(record, indent=1) + "\n", encoding="utf-8"
            )
    except OutputError:
        return False
    _forget_oldest(entry.parent)
    return True


def _forget_oldest(folder: Path) -> None:
    with suppress(OSError):
        entries = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
        for old in entries[:-MAX_ENTRIES]:
            shutil.rmtree(old, ignore_errors=True)
