"""Contact sheets: patches of a finding beside each other, image above mask."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.checking.findings import Finding
from geoseg.core.colors import visible_bands
from geoseg.core.scores import IGNORE
from geoseg.errors import GeosegError
from geoseg.io.patches import PatchSet, Sample

ACROSS = 6
"""Patches in a row."""

MOST_ROWS = 6
"""Rows of a sheet."""

SIDE = 128
"""Larger patches are shrunk to this side by leaving pixels out, in pixels."""

PERCENTILES = (2, 98)
"""Of a patch's values: these become black and white."""

TILE_INCHES = 1.5
LONGEST_NAME = 30
GRAY = (136, 136, 136)


def draw_sheet(path: Path, patch_set: PatchSet, finding: Finding) -> bool:
    """Draw patches of a finding as PNG, the worst groups first.

    Args:
        path: To write.
        patch_set: Where they are.
        finding: Whose groups are shown: several to a row while they are small.

    Returns:
        Whether there was anything to draw.
    """
    rows = _rows(finding.groups)
    if not rows:
        return False
    from matplotlib.figure import Figure

    height = 2 * len(rows) * (TILE_INCHES + 0.2)
    figure = Figure(figsize=(ACROSS * (TILE_INCHES + 0.1), height), layout="constrained")
    grid = figure.subplots(2 * len(rows), ACROSS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for at, row in enumerate(rows):
        for column, number in enumerate(row):
            _draw(grid[2 * at : 2 * at + 2, column], patch_set, number)
    figure.savefig(path, dpi=SIDE / TILE_INCHES, metadata={"Software": None})
    return True


def _rows(groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """Patches by row: groups of one or two follow each other, larger ones have rows of their own.

    >>> _rows([(1, 2), (3, 4), (5, 6, 7)])
    [[1, 2, 3, 4], [5, 6, 7]]
    """
    rows: list[list[int]] = []
    was_small = False
    for group in groups:
        shown, small = list(group[:ACROSS]), len(group) <= 2  # noqa: PLR2004
        if small and was_small and len(rows[-1]) + len(shown) <= ACROSS:
            rows[-1] += shown
        elif len(rows) == MOST_ROWS:
            break
        else:
            rows.append(shown)
        was_small = small
    return rows


def _draw(axes: NDArray[Any], patch_set: PatchSet, number: int) -> None:
    patch = patch_set.patches[number]
    source = patch_set.record.sources[patch.source].name
    if len(source) > LONGEST_NAME:
        half = LONGEST_NAME // 2
        source = f"{source[:half]}…{source[-half:]}"
    place = f"{patch.split}, row {patch.window.row_off}, column {patch.window.col_off}"
    axes[0].set_title(f"{source}\n{place}", fontsize=5, pad=1.5)
    try:
        sample = patch_set.read(patch)
    except GeosegError:
        axes[0].text(0.5, 0.5, "cannot be read", ha="center", fontsize=5)
        return
    step = max(patch_set.record.size // SIDE, 1)
    colors = np.full((IGNORE + 1, 3), GRAY, np.uint8)
    classes = patch_set.record.legend.classes
    colors[: len(classes)] = [each.color for each in classes]
    picture = in_colors(sample, patch_set.record.band_names)
    axes[0].imshow(picture[::step, ::step], interpolation="nearest")
    axes[1].imshow(colors[sample.mask[::step, ::step]], interpolation="nearest")


def in_colors(sample: Sample, names: Sequence[str]) -> NDArray[np.uint8]:
    """(height, width, 3): red, green and blue, or one band three times; stretched.

    What has no data is black.
    """
    visible = visible_bands(sample.image, names)
    visible = np.where(np.isfinite(visible), visible, np.nan)
    known = visible[np.isfinite(visible)]
    if not known.size:
        return np.zeros((*visible.shape[1:], 3), np.uint8)
    low, high = np.percentile(known, PERCENTILES)
    stretched = (visible - low) / max(high - low, 1e-9)
    return (255 * np.nan_to_num(stretched).clip(0, 1)).astype(np.uint8).transpose(1, 2, 0)
