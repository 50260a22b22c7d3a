"""Figures as in production: on blended maps of the ground of a split."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geoseg.chains.options import PredictOptions
from geoseg.core.blend import blend
from geoseg.core.confusion import ConfusionMatrix
from geoseg.core.scores import IGNORE
from geoseg.core.window import Window
from geoseg.io.patch_record import Source, Split
from geoseg.io.patches import PatchSet
from geoseg.io.reference import open_reference
from geoseg.io.vector import Area
from geoseg.model.bundle import ModelBundle
from geoseg.model.segmenter import Segmenter
from geoseg.prediction import score

BATCH_SIZE = 4
"""Windows that are scored at a time."""


def stitched_confusion(
    segmenter: Segmenter, bundle: ModelBundle, patch_set: PatchSet, split: Split = "val"
) -> ConfusionMatrix:
    """Predict the ground of a split of a patch set, each pixel once, and count.

    The windows overlap and are blended as `predict` would by default, whatever the stride of
    the patches. Memory does not depend on the size of the orthophotos.

    Args:
        segmenter: Scores windows.
        bundle: What the windows should be like.
        patch_set: Whose orthophotos and references are still where they were.
        split: On whose ground.

    Raises:
        RasterError: If a source cannot be read.
        PatchSetError: If an orthophoto has changed since it was tiled.
    """
    total = ConfusionMatrix.zeros(len(patch_set.record.legend))
    windows: dict[int, list[Window]] = {}
    for patch in patch_set.in_split(split):
        windows.setdefault(patch.source, []).append(patch.window)
    for number, own in windows.items():
        source = patch_set.record.sources[number]
        total += _of_source(segmenter, bundle, patch_set, source, own)
    return total


def _of_source(
    segmenter: Segmenter,
    bundle: ModelBundle,
    patch_set: PatchSet,
    source: Source,
    windows: Sequence[Window],
) -> ConfusionMatrix:
    record, options = patch_set.record, PredictOptions()
    total = ConfusionMatrix.zeros(len(record.legend))
    with patch_set.open_ortho(source) as ortho:
        grid = ortho.grid
        area = Area.open(record.aoi, grid) if record.aoi else None
        ground = _Ground(windows, area)
        size = options.size(bundle, grid.height, grid.width)
        lattice = options.lattice(grid.height, grid.width, size)
        region = ground.region
        parts = score(
            ortho, segmenter, lattice.windows(region), batch_size=BATCH_SIZE, ground=ground
        )
        reference = open_reference(
            source.reference,
            legend=record.legend,
            grid=grid,
            options=record.reference,
            may_be_elsewhere=True,
        )
        try:
            for cell in blend(parts, lattice, region):
                truth = reference.read(cell.window)
                total += ConfusionMatrix.count(
                    truth,
                    cell.scores.argmax(axis=0).astype(np.uint8),
                    valid=cell.valid & (truth != IGNORE),
                    classes=len(record.legend),
                )
        finally:
            parts.close()
            reference.close()
    return total


class _Ground:
    """The ground of some windows of a raster, as far as it is in an area."""

    def __init__(self, windows: Sequence[Window], area: Area | None) -> None:
        self._boxes = np.array([[w.row_off, w.col_off, w.row_stop, w.col_stop] for w in windows])
        self._area = area

    @property
    def region(self) -> Window:
        """The smallest window around it all."""
        top, left = self._boxes[:, :2].min(axis=0).tolist()
        bottom, right = self._boxes[:, 2:].max(axis=0).tolist()
        return Window(row_off=top, col_off=left, height=bottom - top, width=right - left)

    def read(self, window: Window) -> NDArray[np.bool_]:
        """(height, width) bool, True inside."""
        inside = np.zeros((window.height, window.width), np.bool_)
        boxes = self._boxes - [window.row_off, window.col_off] * 2
        for top, left, bottom, right in boxes.clip(0).tolist():
            inside[top:bottom, left:right] = True
        return inside if self._area is None else inside & self._area.read(window)
