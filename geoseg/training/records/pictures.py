"""Validation patches as the network sees them: input, reference and map side by side."""

from collections.abc import Sequence
from pathlib import Path

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from geoseg.core.colors import shown_bands
from geoseg.core.legend import Legend
from geoseg.core.scores import IGNORE
from geoseg.io.outputs import staged
from geoseg.io.patch_record import Patch
from geoseg.io.patches import PatchSet, Sample

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
    legend, columns = patch_set.record.legend, len(TITLES)
    sheet = Image.new("RGB", (columns * (SIDE + MARGIN), HEADER + len(samples) * (SIDE + MARGIN)))
    sheet.paste("white", (0, 0, *sheet.size))
    for column, title in enumerate(TITLES):
        ImageDraw.Draw(sheet).text((column * (SIDE + MARGIN) + MARGIN, 2), title, fill="black")
    for row, (sample, classes) in enumerate(zip(samples, maps, strict=True)):
        view = (255 * in_view(sample, patch_set)).astype(np.uint8)
        pictures = view, colored(sample.mask, legend), colored(classes, legend)
        for column, picture in enumerate(pictures):
            own = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.NEAREST)
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


def in_view(sample: Sample, patch_set: PatchSet) -> NDArray[np.float32]:
    """(size, size, 3) 0..1: red, green and blue, or one band, as far as they usually go."""
    statistics = patch_set.record.statistics
    bands = list(shown_bands(patch_set.record.band_names))
    low, high = (np.array(statistics[name])[bands, None, None] for name in ("p2", "p98"))
    stretched = (sample.image[bands] - low) / np.maximum(high - low, 1e-9)
    shown = np.nan_to_num(stretched, nan=1.0).clip(0, 1).transpose(1, 2, 0).astype(np.float32)
    return shown if len(bands) > 1 else shown.repeat(3, axis=2)


def colored(classes: NDArray[np.uint8], legend: Legend) -> NDArray[np.uint8]:
    """(size, size, 3); white where unlabelled."""
    colors = np.full((256, 3), 255, np.uint8)
    colors[: len(legend)] = [each.color for each in legend.classes]
    return colors[classes]
