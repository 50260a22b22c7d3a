"""Validation patches as the network sees them: input, reference and map side by side."""

from collections.abc import Sequence
from pathlib import Path

import lightning
import numpy as np
import torch
from numpy.typing import NDArray

from geoseg.core.legend import Legend
from geoseg.core.scores import IGNORE
from geoseg.io.outputs import staged
from geoseg.io.patch_record import Patch
from geoseg.io.patches import PatchSet, Sample

ROWS = 6
"""Patches of a picture, at most."""

PANEL_INCHES = 2.4


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
    from matplotlib.figure import Figure

    chosen = np.unique(np.linspace(0, len(patches) - 1, ROWS).round().astype(int))
    samples = [patch_set.read(patches[number]) for number in chosen]
    maps = _maps(task, [sample.image for sample in samples])
    legend, rows = patch_set.record.legend, len(samples)
    figure = Figure(figsize=(3 * PANEL_INCHES, rows * PANEL_INCHES + 0.5), layout="constrained")
    grid = figure.subplots(rows, 3, squeeze=False)
    for line, sample, classes in zip(grid, samples, maps, strict=True):
        pictures = in_view(sample, patch_set), colored(sample.mask, legend)
        for axes, picture in zip(line, (*pictures, colored(classes, legend)), strict=True):
            axes.imshow(picture, interpolation="nearest")
            axes.set_axis_off()
    for axes, title in zip(grid[0], ("input", "reference", "map"), strict=True):
        axes.set_title(title)
    with staged(path, overwrite=True) as partial:
        figure.savefig(partial, dpi=110, metadata={"Software": None})


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
    """(size, size, 3) 0..1: the first three bands, or the first, as far as they usually go."""
    statistics = patch_set.record.statistics
    bands = (0, 1, 2) if len(sample.image) > 2 else (0, 0, 0)  # noqa: PLR2004 red, green, blue
    low, high = (np.array(statistics[name])[list(bands), None, None] for name in ("p2", "p98"))
    stretched = (sample.image[list(bands)] - low) / np.maximum(high - low, 1e-9)
    return np.nan_to_num(stretched, nan=1.0).clip(0, 1).transpose(1, 2, 0).astype(np.float32)


def colored(classes: NDArray[np.uint8], legend: Legend) -> NDArray[np.uint8]:
    """(size, size, 3); white where unlabelled."""
    colors = np.full((256, 3), 255, np.uint8)
    colors[: len(legend)] = [each.color for each in legend.classes]
    return colors[classes]
