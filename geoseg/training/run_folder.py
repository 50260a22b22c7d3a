"""The run folder of a training: record, history, pictures, and checks for `--resume`."""

import csv
import hashlib
import io
import json
import math
import pickle
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor, nn

import geoseg
from geoseg.errors import InputError, TrainingError
from geoseg.labels.legend import IGNORE
from geoseg.labels.lookup import visible_bands
from geoseg.labels.style import Stretch, class_colors
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import SPLITS, Patch
from geoseg.raster.atomic import refuse_existing, staged, write_text
from geoseg.raster.folders import KIND, TRAINING
from geoseg.raster.records import read_record
from geoseg.training.augment import Augmentation, MixedBatch, mix
from geoseg.training.data import PatchDataset, SampleKey, TrainingSamples
from geoseg.training.options import TrainOptions

RUN = TRAINING.record

CHANGEABLE_OPTIONS = {
    *("epochs", "early_stopping", "device", "devices"),
    *("strategy", "workers", "compile", "loggers"),
}
"""Options that may differ when a training is resumed."""

OLD_OPTIONS: dict[str, Any] = {"decoder_channels": "full", "unlabelled": []}
"""Options that records used to lack."""

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
        "patches": named_folders(patch_set),
        "options": options.to_record(),
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
    before = OLD_OPTIONS | earlier["options"]
    before |= {"folds": earlier.get("folds")}
    changed = [
        f"{name} was {before.get(name)!r} and is {value!r}"
        for name, value in (options.to_record() | {"folds": folds}).items()
        if name not in CHANGEABLE_OPTIONS and before.get(name) != value
    ]
    if changed:
        raise TrainingError(f"{run}: cannot be resumed with other options: {'; '.join(changed)}")
    if earlier["patch_set"] != _identity(patch_set):
        raise TrainingError(f"{run}: cannot be resumed with other patches")


def check_unlabelled(run: Path, contents: Sequence[str | None]) -> None:
    """Check that the orthophotos without labels are those that a training has begun with.

    Raises:
        TrainingError: If their pixels differ.
    """
    if read_run(run).get("unlabelled", []) != contents:
        raise TrainingError(f"{run}: cannot be resumed, the orthophotos of --unlabelled differ")


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
        whole = set(content) >= CHECKPOINT_KEYS and bool(rows) and all(map(_is_row, rows))
        whole = whole and rows[-1]["epoch"] == done
    except LOAD_ERRORS as error:
        raise TrainingError(f"{path}: is damaged; {RESTART_ADVICE}") from error
    if not whole or shapes != {name: value.shape for name, value in network.state_dict().items()}:
        raise TrainingError(f"{path}: is not the checkpoint of this training; {RESTART_ADVICE}")
    return int(done)


def _is_row(row: Any) -> bool:
    epoch = row.get("epoch") if isinstance(row, dict) else None
    return epoch == 0 or (isinstance(epoch, int) and "train_loss" in row)


def named_folders(patch_set: PatchSet) -> str | list[str]:
    """The folder of a patch set, or those of several."""
    return patch_set.folders if patch_set.members else str(patch_set.folder)


def _identity(patch_set: PatchSet) -> str:
    """Hash of what a training sees of a patch set, independent of its folder."""
    record = patch_set.record
    if patch_set.members:
        parts = "".join(map(_identity, patch_set.members))
        return hashlib.sha256(parts.encode()).hexdigest()
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
    """Write rows as CSV with the columns of the one that has most: epoch 0 was not trained."""
    if not rows:
        return
    text = io.StringIO()
    fullest = max(rows, key=len)
    table = csv.DictWriter(text, list(fullest), lineterminator="\n")
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


ROWS, EPOCHS = 6, 4
"""Patches of a picture, and of a preview how often each is seen."""

SIDE, MARGIN, HEADER = 256, 6, 18
"""Side of a patch, the white beside it, and the height of the titles above, in pixels."""

TITLES = ("input", "reference", "map")


def draw_validation(
    path: Path, task: lightning.LightningModule, patch_set: PatchSet, patches: Sequence[Patch]
) -> None:
    """Draw patches from all over a split as PNG: input, reference, map.

    Args:
        path: PNG file to write.
        task: Scores (n, bands, size, size) in units of the file.
        patch_set: The patch set.
        patches: Patches of the split.
    """
    if not patches:
        return
    chosen = np.unique(np.linspace(0, len(patches) - 1, ROWS).round().astype(int))
    colors, step = class_colors(patch_set.record.legend), SIDE + MARGIN
    size = (len(TITLES) * step, HEADER + len(chosen) * step)
    sheet = Image.new("RGB", size, "white")
    for column, title in enumerate(TITLES):
        ImageDraw.Draw(sheet).text((column * step + MARGIN, 2), title, fill="black")
    task.eval()
    for row, number in enumerate(chosen):
        image, mask = patch_set.read(patches[number])
        with torch.inference_mode():
            scores = task(torch.from_numpy(image[None]).to(task.device))[0]
        classes = np.where(np.isnan(image[0]), IGNORE, scores.argmax(dim=0).cpu().numpy())
        panels = in_view(image, patch_set), colors[mask], colors[classes.astype(np.uint8)]
        for column, panel in enumerate(panels):
            own = Image.fromarray(panel).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            sheet.paste(own, (column * step, HEADER + row * step))
    with staged(path, overwrite=True) as partial:
        sheet.save(partial, format="PNG")


def in_view(image: NDArray[np.float32], patch_set: PatchSet) -> NDArray[np.uint8]:
    """(size, size, 3) red, green and blue, or one band, stretched as usual; white without data."""
    record = patch_set.record
    low, high = (
        visible_bands(np.array(record.statistics[name])[:, None, None], record.band_names)
        for name in ("p2", "p98")
    )
    visible = visible_bands(image, record.band_names)
    shown = np.where(np.isnan(visible), 255, Stretch(low, high)(visible))
    return shown.astype(np.uint8).transpose(1, 2, 0)


PANEL, PANEL_MARGIN = 192, 4
"""Side of a panel of the preview, roughly, and the white around it, in pixels."""

DPI, TITLE_INCHES = 100, 0.3


def draw_samples(
    patches: Path | PatchSet, output: Path, *, options: TrainOptions, overwrite: bool = False
) -> None:
    """Draw samples and their classes as PNG: as they were tiled, then as four epochs see them.

    Raises:
        PatchSetError: If the patch set is damaged.
        TrainingError: If the options do not fit the patches.
        OutputError: If the PNG cannot be written.
    """
    refuse_existing(output, overwrite=overwrite)
    patch_set = patches if isinstance(patches, PatchSet) else PatchSet.open(patches)
    if not patch_set.in_split("train"):
        raise TrainingError(f"{patch_set.folder}: no patch is in the training split")
    samples = TrainingSamples(patch_set, options)
    keys = samples.loader(batch_size=ROWS, workers=0).sampler
    numbers = [key.number for key in islice(keys, ROWS)]
    own = samples.dataset  # with the windows of orthophotos without labels
    plain = PatchDataset(own.patch_set, own.patches, augment="none", seed=0)
    augmentation = Augmentation.parse(options.augment)
    columns = [mix(_batch(plain, numbers, 0), Augmentation(), np.random.default_rng())]
    for epoch in range(EPOCHS):
        rng = np.random.default_rng((options.seed, epoch))
        columns.append(mix(_batch(own, numbers, epoch), augmentation, rng))
    _draw(columns, patch_set, output, overwrite=overwrite)


def _batch(dataset: PatchDataset, numbers: list[int], epoch: int) -> tuple[Tensor, Tensor]:
    samples = [dataset[SampleKey(epoch, number)] for number in numbers]
    images, masks = zip(*samples, strict=True)
    return torch.stack(images), torch.stack(masks)


def _draw(columns: list[MixedBatch], patch_set: PatchSet, output: Path, *, overwrite: bool) -> None:
    """Compose one picture: hundreds of axes would take seconds."""
    from matplotlib.figure import Figure

    sheet = np.concatenate([_column(batch, patch_set) for batch in columns], axis=1)
    height, width = np.array(sheet.shape[:2]) / DPI
    whole = height + TITLE_INCHES
    figure = Figure(figsize=(width, whole), dpi=DPI)
    figure.figimage(sheet)
    for number in range(len(columns)):
        title = f"epoch {number}" if number else "as tiled"
        figure.text((number + 0.5) / len(columns), height / whole, title, ha="center", va="bottom")
    with staged(output, overwrite=overwrite) as partial:
        figure.savefig(partial, dpi=DPI, format="png", metadata={"Software": None})


def _column(batch: MixedBatch, patch_set: PatchSet) -> NDArray[Any]:
    """(height, width, 3) images of a batch below each other, each beside its classes."""
    colors, rows = class_colors(patch_set.record.legend), []
    for row, image in enumerate(batch.images):
        # the colours of the classes are mixed as the patches are
        parts = [share * colors[mask[row].byte().numpy()] for share, mask in batch.targets]
        classes = np.sum(parts, axis=0).astype(np.uint8)
        panels = [_panel(each) for each in (in_view(image.numpy(), patch_set), classes)]
        rows.append(np.concatenate(panels, axis=1))
    return np.concatenate(rows)


def _panel(image: NDArray[Any]) -> NDArray[Any]:
    """A square in about the size of all panels, with a white margin."""
    fewer, more = max(len(image) // PANEL, 1), max(PANEL // len(image), 1)
    fitted = image[::fewer, ::fewer].repeat(more, 0).repeat(more, 1)
    margin = (PANEL_MARGIN, PANEL_MARGIN)
    return np.pad(fitted, (margin, margin, (0, 0)), constant_values=255)
