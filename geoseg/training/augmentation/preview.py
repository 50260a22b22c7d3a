"""A sheet of samples as a training sees them: changed, sampled and mixed as its options say."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoseg.errors import TrainingError
from geoseg.io.outputs import refuse_existing, staged
from geoseg.io.patches import PatchSet, Sample
from geoseg.training.augmentation.mixing import Mixed, mix
from geoseg.training.augmentation.recipe import Augmentation
from geoseg.training.data.dataset import PatchDataset, Ticket, TrainingSamples
from geoseg.training.options import TrainOptions
from geoseg.training.records.pictures import colored, in_view

ROWS, EPOCHS = 6, 4
"""Patches of a sheet, and how often each is seen."""

PANEL, MARGIN = 192, 4
"""Side of a picture in the sheet, roughly, and the white around it; in pixels."""

DPI, TITLE_INCHES = 100, 0.3


def draw_samples(
    patches: Path, output: Path, *, options: TrainOptions, overwrite: bool = False
) -> None:
    """Draw samples and their classes as PNG: as they were tiled, then as four epochs see them.

    Args:
        patches: Folder of the patch set.
        output: PNG file to write.
        options: Of the training.
        overwrite: Whether to replace an existing file.

    Raises:
        PatchSetError: If the patch set is damaged.
        TrainingError: If the options do not fit the patches.
        OutputError: If the picture cannot be written.
    """
    refuse_existing(output, overwrite=overwrite)
    patch_set = PatchSet.open(patches)
    training = patch_set.in_split("train")
    if not training:
        raise TrainingError(f"{patch_set.folder}: no patch is in the training split")
    samples = TrainingSamples(patch_set, training, options)
    loader = samples.loader(batch_size=ROWS, workers=0)
    numbers = [ticket.number for ticket, _ in zip(loader.sampler, range(ROWS), strict=False)]
    plain = PatchDataset(patch_set, training, augment="none", seed=0)
    own = Augmentation.parse(options.augment)
    columns = [mix(_batch(plain, numbers, 0), Augmentation(), np.random.default_rng())]
    for epoch in range(EPOCHS):
        rng = np.random.default_rng((options.seed, epoch))
        columns.append(mix(_batch(samples.dataset, numbers, epoch), own, rng))
    _draw(columns, patch_set, output, overwrite=overwrite)


def _batch(dataset: PatchDataset, numbers: list[int], epoch: int) -> tuple[Tensor, Tensor]:
    samples = [dataset[Ticket(epoch, number)] for number in numbers]
    images, masks = zip(*samples, strict=True)
    return torch.stack(images), torch.stack(masks)


def _draw(columns: list[Mixed], patch_set: PatchSet, output: Path, *, overwrite: bool) -> None:
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


def _column(batch: Mixed, patch_set: PatchSet) -> NDArray[Any]:
    """(height, width, 3) pictures of a batch below each other, each with its classes."""
    rows = [
        np.concatenate([_panel(each(batch, row, patch_set)) for each in (_picture, _classes)], 1)
        for row in range(len(batch.images))
    ]
    return np.concatenate(rows)


def _panel(picture: NDArray[Any]) -> NDArray[Any]:
    """A square in about the size of all panels, with a white margin."""
    fewer, more = max(len(picture) // PANEL, 1), max(PANEL // len(picture), 1)
    fitted = picture[::fewer, ::fewer].repeat(more, 0).repeat(more, 1)
    return np.pad(fitted, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), constant_values=1)


def _picture(batch: Mixed, row: int, patch_set: PatchSet) -> NDArray[Any]:
    mask = batch.targets[0][1][row].byte().numpy()
    return in_view(Sample(batch.images[row].numpy(), mask), patch_set)


def _classes(batch: Mixed, row: int, patch_set: PatchSet) -> NDArray[Any]:
    """(size, size, 3) 0..1: the colours of the classes, mixed as the patches are."""
    legend = patch_set.record.legend
    parts = [share * colored(mask[row].byte().numpy(), legend) for share, mask in batch.targets]
    return np.sum(parts, axis=0) / 255
