"""A sheet of samples as a training sees them: changed, sampled and mixed as its options say."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from geoseg.errors import TrainingError
from geoseg.labels.legend import IGNORE
from geoseg.labels.lookup import visible_bands
from geoseg.labels.style import Stretch, class_colors
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Patch
from geoseg.raster.atomic import refuse_existing, staged
from geoseg.training.augment import Augmentation, MixedBatch, mix
from geoseg.training.data import PatchDataset, SampleKey, TrainingSamples
from geoseg.training.options import TrainOptions

ROWS = 6
"""Patches of a picture, at most."""

SIDE, MARGIN, HEADER = 256, 6, 18
"""Of a patch in the picture, the white beside it, and the titles above; in pixels."""

TITLES = ("input", "reference", "map")


def draw_validation(
    path: Path, task: lightning.LightningModule, patch_set: PatchSet, patches: Sequence[Patch]
) -> None:
    """Draw patches from all over a split as PNG: input, reference, map.

    Args:
        path: PNG file to write.
        task: Scores (n, bands, size, size) in units of the file.
        patch_set: Of the patches.
        patches: Of the split.
    """
    if not patches:
        return
    chosen = np.unique(np.linspace(0, len(patches) - 1, ROWS).round().astype(int))
    samples = [patch_set.read(patches[number]) for number in chosen]
    maps = _maps(task, [sample.image for sample in samples])
    colors, columns = class_colors(patch_set.record.legend), len(TITLES)
    sheet = Image.new("RGB", (columns * (SIDE + MARGIN), HEADER + len(samples) * (SIDE + MARGIN)))
    sheet.paste("white", (0, 0, *sheet.size))
    for column, title in enumerate(TITLES):
        ImageDraw.Draw(sheet).text((column * (SIDE + MARGIN) + MARGIN, 2), title, fill="black")
    for row, (sample, classes) in enumerate(zip(samples, maps, strict=True)):
        images = in_view(sample.image, patch_set), colors[sample.mask], colors[classes]
        for column, image in enumerate(images):
            own = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            sheet.paste(own, (column * (SIDE + MARGIN), HEADER + row * (SIDE + MARGIN)))
    with staged(path, overwrite=True) as partial:
        sheet.save(partial, format="PNG")


def _maps(
    task: lightning.LightningModule, images: list[NDArray[np.float32]]
) -> list[NDArray[np.uint8]]:
    """Classes of each image, one at a time; 255 without data."""
    task.eval()
    with torch.inference_mode():
        scores = [task(torch.from_numpy(image[None]).to(task.device)) for image in images]
    return [
        np.where(np.isnan(image[0]), IGNORE, each[0].argmax(dim=0).cpu().numpy()).astype(np.uint8)
        for image, each in zip(images, scores, strict=True)
    ]


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


PREVIEW_ROWS, EPOCHS = 6, 4
"""Patches of a sheet, and how often each is seen."""

PANEL, PREVIEW_MARGIN = 192, 4
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
    loader = samples.loader(batch_size=PREVIEW_ROWS, workers=0)
    numbers = [key.number for key, _ in zip(loader.sampler, range(PREVIEW_ROWS), strict=False)]
    plain = PatchDataset(patch_set, training, augment="none", seed=0)
    own = Augmentation.parse(options.augment)
    columns = [mix(_batch(plain, numbers, 0), Augmentation(), np.random.default_rng())]
    for epoch in range(EPOCHS):
        rng = np.random.default_rng((options.seed, epoch))
        columns.append(mix(_batch(samples.dataset, numbers, epoch), own, rng))
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
    return np.pad(
        fitted,
        ((PREVIEW_MARGIN, PREVIEW_MARGIN), (PREVIEW_MARGIN, PREVIEW_MARGIN), (0, 0)),
        constant_values=255,
    )


def _picture(batch: MixedBatch, row: int, patch_set: PatchSet) -> NDArray[Any]:
    return in_view(batch.images[row].numpy(), patch_set)


def _classes(batch: MixedBatch, row: int, patch_set: PatchSet) -> NDArray[Any]:
    """(size, size, 3) colours of the classes, mixed as the patches are."""
    colors = class_colors(patch_set.record.legend)
    parts = [share * colors[mask[row].byte().numpy()] for share, mask in batch.targets]
    return np.sum(parts, axis=0).astype(np.uint8)
