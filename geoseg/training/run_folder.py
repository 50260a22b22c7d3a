"""The folder of a training: its record, and whether it can be resumed."""

import csv
import hashlib
import io
import json
import math
import pickle
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

import geoseg
from geoseg.errors import InputError, TrainingError
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import SPLITS
from geoseg.raster.atomic import staged, write_text
from geoseg.raster.folders import KIND, TRAINING
from geoseg.raster.records import read_record
from geoseg.training.options import TrainOptions

RUN = TRAINING.record

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

PARTS = {"callbacks", "loops", "lr_schedulers", "optimizer_states"}
"""Of Lightning's checkpoints, besides the network."""

UNREADABLE = (
    *(AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError),
    pickle.UnpicklingError,
)
"""What files raise that are no checkpoints; `RecursionError` is a `RuntimeError`."""

ANEW = "the training cannot be resumed, begin anew with --overwrite"


def start_folder(run: Path, record: Mapping[str, Any], *, overwrite: bool) -> None:
    """A run folder appears at once with its options; it fills while the training goes on."""
    with staged(run, overwrite=overwrite, kind=TRAINING) as folder:
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
        KIND: TRAINING.name,
        "patches": str(patch_set.folder),
        "options": asdict(options),
        "parameters": parameters,
        "patch_set": _identity(patch_set),
        "class_pixels": dict(zip(record.legend.names, record.class_pixels, strict=True)),
        "versions": versions(),
        "ended": None,
    }


def read_run(run: Path) -> dict[str, Any]:
    """The record of a training.

    Raises:
        TrainingError: If there is none, or it is damaged.
    """
    path = run / RUN
    if not path.is_file():
        raise TrainingError(f"{run}: there is no training to resume, {RUN} is missing")
    try:
        record = read_record(path)
    except InputError as error:
        raise TrainingError(f"{error}; {ANEW}") from error
    whole = isinstance(record.get("options"), dict) and isinstance(record.get("patch_set"), str)
    if not whole or not isinstance(record.get("found", {}), dict):
        raise TrainingError(f"{path}: is not as geoseg writes it; {ANEW}")
    return record


def with_found(run: Path, options: TrainOptions) -> TrainOptions:
    """Options with what a training had found for itself before it was interrupted.

    Raises:
        TrainingError: If that is damaged.
    """
    found = read_run(run).get("found", {})
    size, lr = (found.get(name, getattr(options, name)) for name in ("batch_size", "lr"))
    is_size = size is None or (type(size) is int and size > 0)
    if not is_size or not (lr is None or (isinstance(lr, float) and 0 < lr < math.inf)):
        raise TrainingError(f"{run / RUN}: `found` is not as geoseg writes it; {ANEW}")
    return replace(options, batch_size=size, lr=lr)


def update_record(run: Path, **news: Any) -> None:
    """Keep in the record what has become of a training.

    Raises:
        TrainingError: If the record is damaged.
    """
    write_text(run / RUN, json.dumps(read_run(run) | news, indent=1) + "\n")


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
    earlier = read_run(run)
    before = earlier["options"]
    changed = [
        f"{name} was {before.get(name)!r} and is {value!r}"
        for name, value in asdict(options).items()
        if name not in MAY_CHANGE and before.get(name) != value
    ]
    if earlier.get("folds") != folds:
        changed.append(f"folds was {earlier.get('folds')} and is {folds}")
    if changed:
        raise TrainingError(f"{run}: cannot be resumed with other options: {'; '.join(changed)}")
    if earlier["patch_set"] != _identity(patch_set):
        raise TrainingError(f"{run}: cannot be resumed with other patches than it began with")


def check_checkpoint(path: Path, network: nn.Module) -> int:
    """See that a checkpoint is whole, and of this training.

    Args:
        path: The checkpoint.
        network: What Lightning will fill with its weights.

    Returns:
        Epochs that were complete.

    Raises:
        TrainingError: If it is damaged, or of another network.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        shapes = {name: value.shape for name, value in content["state_dict"].items()}
        done = content["epoch"] + 1
        rows = content["callbacks"]["Record"]["rows"]
        whole = set(content) >= PARTS and len(rows) == done and all(map(_is_row, rows))
    except UNREADABLE as error:
        raise TrainingError(f"{path}: is damaged; {ANEW}") from error
    if not whole or shapes != {name: value.shape for name, value in network.state_dict().items()}:
        raise TrainingError(f"{path}: is not the checkpoint of this training; {ANEW}")
    return int(done)


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("epoch"), int) and "train_loss" in row


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


Row = dict[str, Any]


def write_history(path: Path, rows: Sequence[Row]) -> None:
    """Write a CSV file with a row per epoch."""
    if not rows:
        return
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())


def draw_curves(path: Path, rows: Sequence[Row]) -> None:
    """Draw loss, mean IoU and learning rate over epochs as PNG."""
    if not rows:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6))  # to have the margins found would take as long as the rest
    figure.subplots_adjust(left=0.055, right=0.985, bottom=0.14, top=0.91, wspace=0.26)
    losses, ious, rates = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in rows]
    for axes, names, title in (
        (losses, ("train_loss", "val_loss"), "loss"),
        (ious, _iou_columns(rows), "validation IoU"),
        (rates, ("lr",), "learning rate"),
    ):
        for name in names:
            values = [row.get(name) for row in rows]
            if any(isinstance(value, float) for value in values):
                numbers = [v if isinstance(v, float) else float("nan") for v in values]
                width = 2.5 if name == "val_miou" else 1.2
                axes.plot(epochs, numbers, label=name, linewidth=width, marker=".")
        axes.set_xlabel("epoch")
        axes.set_title(title)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    with staged(path, overwrite=True) as partial:
        figure.savefig(partial, dpi=110, metadata={"Software": None})


def _iou_columns(rows: Sequence[Row]) -> list[str]:
    return [name for name in rows[0] if name == "val_miou" or name.startswith("iou_")]
