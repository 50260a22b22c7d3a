"""The run folder of a training: record, history, curves, and checks for `--resume`."""

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

CHANGEABLE_OPTIONS = {
    *("epochs", "early_stopping", "device", "devices"),
    *("strategy", "workers", "compile", "loggers"),
}
"""Options that may differ when a training is resumed."""

CHECKPOINT_KEYS = {"callbacks", "loops", "lr_schedulers", "optimizer_states"}
"""Keys of Lightning's checkpoints, besides the network's."""

LOAD_ERRORS = (
    *(AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError),
    pickle.UnpicklingError,
)
"""Exceptions on reading files that are not checkpoints; `RecursionError` is a `RuntimeError`."""

RESTART_ADVICE = "the training cannot be resumed; start again with --overwrite"


def start_folder(run: Path, record: Mapping[str, Any], *, overwrite: bool) -> None:
    """Create the run folder with its record; it fills during the training."""
    with staged(run, overwrite=overwrite, kind=TRAINING) as folder:
        folder.mkdir()
        write_text(folder / RUN, json.dumps(record, indent=1) + "\n")


def run_record(patch_set: PatchSet, options: TrainOptions, parameters: int) -> dict[str, Any]:
    """The record of a training before it begins, with resolved options and number of weights."""
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
        raise TrainingError(f"{error}; {RESTART_ADVICE}") from error
    whole = isinstance(record.get("options"), dict) and isinstance(record.get("patch_set"), str)
    if not whole or not isinstance(record.get("found", {}), dict):
        raise TrainingError(f"{path}: is damaged; {RESTART_ADVICE}")
    return record


def with_resolved_auto(run: Path, options: TrainOptions) -> TrainOptions:
    """Options with the batch size and rate that an interrupted training had found.

    Raises:
        TrainingError: If the record is damaged.
    """
    found = read_run(run).get("found", {})
    size, lr = (found.get(name, getattr(options, name)) for name in ("batch_size", "lr"))
    is_size = size is None or (type(size) is int and size > 0)
    if not is_size or not (lr is None or (isinstance(lr, float) and 0 < lr < math.inf)):
        raise TrainingError(f"{run / RUN}: `found` is damaged; {RESTART_ADVICE}")
    return replace(options, batch_size=size, lr=lr)


def update_record(run: Path, **changes: Any) -> None:
    """Update entries of the record of a training.

    Raises:
        TrainingError: If the record is damaged.
    """
    write_text(run / RUN, json.dumps(read_run(run) | changes, indent=1) + "\n")


def check_resumable(
    run: Path, options: TrainOptions, patch_set: PatchSet, *, folds: int | None = None
) -> None:
    """Check that a training, or that of some folds, can be resumed with resolved options.

    Raises:
        TrainingError: If there is none, its record is damaged, or options or patches differ.
    """
    earlier = read_run(run)
    before = earlier["options"] | {"folds": earlier.get("folds")}
    changed = [
        f"{name} was {before.get(name)!r} and is {value!r}"
        for name, value in (asdict(options) | {"folds": folds}).items()
        if name not in CHANGEABLE_OPTIONS and before.get(name) != value
    ]
    if changed:
        raise TrainingError(f"{run}: cannot be resumed with other options: {'; '.join(changed)}")
    if earlier["patch_set"] != _identity(patch_set):
        raise TrainingError(f"{run}: cannot be resumed with other patches")


def check_checkpoint(path: Path, network: nn.Module) -> int:
    """Check that a checkpoint is complete, and of the module that Lightning will load it into.

    Returns:
        Number of complete epochs.

    Raises:
        TrainingError: If it is damaged, or of another network.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        shapes = {name: value.shape for name, value in content["state_dict"].items()}
        done = content["epoch"] + 1
        rows = content["callbacks"]["Record"]["rows"]
        whole = set(content) >= CHECKPOINT_KEYS and len(rows) == done and all(map(_is_row, rows))
    except LOAD_ERRORS as error:
        raise TrainingError(f"{path}: is damaged; {RESTART_ADVICE}") from error
    if not whole or shapes != {name: value.shape for name, value in network.state_dict().items()}:
        raise TrainingError(f"{path}: is not the checkpoint of this training; {RESTART_ADVICE}")
    return int(done)


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("epoch"), int) and "train_loss" in row


def _identity(patch_set: PatchSet) -> str:
    """Hash of what a training sees of a patch set, independent of its folder."""
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
    """Versions of the packages that a training depends on."""
    packages = ("torch", "segmentation-models-pytorch", "lightning", "numpy", "rasterio")
    return {
        "geoseg": geoseg.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


Row = dict[str, Any]
"""Metrics of an epoch, by name."""


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write rows with the columns of the first one as CSV."""
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

    figure = Figure(figsize=(12, 3.6))  # fixed margins: layout="constrained" doubles the time
    figure.subplots_adjust(left=0.055, right=0.985, bottom=0.14, top=0.91, wspace=0.26)
    losses, ious, rates = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in rows]
    for axes, names, title in (
        (losses, ("train_loss", "val_loss"), "loss"),
        (ious, [n for n in rows[0] if n == "val_miou" or n.startswith("iou_")], "validation IoU"),
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
