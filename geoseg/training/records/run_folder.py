"""The folder of a training: its record, and whether it can be resumed."""

import hashlib
import json
import pickle
import platform
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import geoseg
from geoseg.errors import TrainingError
from geoseg.io.outputs import staged, write_text
from geoseg.io.patch_record import SPLITS
from geoseg.io.patches import PatchSet
from geoseg.training.options import TrainOptions

RUN = "run.json"
MAY_CHANGE = {
    "epochs",
    "early_stopping",
    "device",
    "devices",
    "strategy",
    "workers",
    "compile",
    "loggers",
}
"""Options that a resumed training may have otherwise."""


def start_folder(run: Path, record: Mapping[str, Any], *, overwrite: bool) -> None:
    """A run folder appears at once with its options; it fills while the training goes on."""
    with staged(run, overwrite=overwrite) as folder:
        folder.mkdir()
        write_text(folder / RUN, json.dumps(record, indent=1) + "\n")


def run_record(patch_set: PatchSet, options: TrainOptions, parameters: int) -> dict[str, Any]:
    """What a training is, before it begins.

    Args:
        patch_set: What it trains on.
        options: As resolved.
        parameters: Numbers that it changes.
    """
    record = patch_set.record
    return {
        "patches": str(patch_set.folder),
        "options": asdict(options),
        "parameters": parameters,
        "patch_set": _identity(patch_set),
        "class_pixels": dict(zip(record.legend.names, record.class_pixels, strict=True)),
        "versions": versions(),
        "ended": None,
    }


def with_found(run: Path, options: TrainOptions) -> TrainOptions:
    """Options with what a training had found for itself before it was interrupted."""
    found = json.loads((run / RUN).read_text(encoding="utf-8")).get("found", {})
    names = {field.name for field in fields(options)}
    return replace(options, **{name: value for name, value in found.items() if name in names})


def update_record(run: Path, **news: Any) -> None:
    """Keep in the record what has become of a training."""
    record = json.loads((run / RUN).read_text(encoding="utf-8")) | news
    write_text(run / RUN, json.dumps(record, indent=1) + "\n")


def check_resumable(
    run: Path, options: TrainOptions, patch_set: PatchSet, *, folds: int | None = None
) -> None:
    """See that a training can go on in a folder.

    Args:
        run: The folder.
        options: As resolved.
        patch_set: What it trains on.
        folds: How many trainings it is of, if of several.

    Raises:
        TrainingError: If there is none, its record is damaged, or it had other options or
            other patches.
    """
    if not (run / RUN).is_file():
        raise TrainingError(f"{run}: there is no training to resume, {RUN} is missing")
    try:
        earlier = json.loads((run / RUN).read_text(encoding="utf-8"))
        before, identity = earlier["options"], earlier["patch_set"]
    except (ValueError, LookupError, TypeError) as error:
        raise TrainingError(f"{run / RUN}: is damaged, the training cannot be resumed") from error
    changed = [
        f"{name} was {before.get(name)!r} and is {value!r}"
        for name, value in asdict(options).items()
        if name not in MAY_CHANGE and before.get(name) != value
    ]
    if earlier.get("folds") != folds:
        changed.append(f"folds was {earlier.get('folds')} and is {folds}")
    if changed:
        raise TrainingError(f"{run}: cannot be resumed with other options: {'; '.join(changed)}")
    if identity != _identity(patch_set):
        raise TrainingError(f"{run}: cannot be resumed with other patches than it began with")


def check_checkpoint(path: Path) -> None:
    """See that a checkpoint can be read.

    Raises:
        TrainingError: If it is damaged.
    """
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"{path}: is damaged, the training cannot be resumed; begin anew with --overwrite"
        ) from error


def _identity(patch_set: PatchSet) -> str:
    """A hash of what a training sees of a patch set, wherever its folder is."""
    record = patch_set.record
    seen = {
        "size": record.size,
        "stride": record.stride,
        "bands": [record.dtype, *record.band_names],
        "classes": dict(zip(record.legend.names, record.class_pixels, strict=True)),
        "statistics": dict(record.statistics),
        "patches": {split: len(patch_set.in_split(split)) for split in SPLITS},
    }
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Of what a training depends on."""
    packages = ("torch", "segmentation-models-pytorch", "lightning", "numpy", "rasterio")
    return {
        "geoseg": geoseg.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
