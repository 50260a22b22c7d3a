"""Figures as in production: on blended maps of the ground of a split."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import IGNORE
from geoseg.labels.reference import open_reference
from geoseg.model.bundle import ModelBundle
from geoseg.model.quantize import Comparison, SideBySide
from geoseg.model.segmenter import Segmenter
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Source, Split
from geoseg.prediction.blend import WindowScores, blend
from geoseg.prediction.plan import LARGE_WINDOW_PX, WINDOW_SIZES_PX, PredictOptions
from geoseg.prediction.score import score
from geoseg.raster.polygons import AreaOfInterest
from geoseg.raster.window import Window

BATCH_SIZE = 4


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
    classes = len(patch_set.record.legend)
    total = ConfusionMatrix.zeros(classes)
    for cell, truth in _cells(segmenter, bundle, patch_set, PredictOptions(), split):
        predicted = cell.scores.argmax(axis=0).astype(np.uint8)
        labelled = cell.valid & (truth != IGNORE)
        total += ConfusionMatrix.count(truth, predicted, valid=labelled, classes=classes)
    return total


def stitched_comparison(
    fp32: Segmenter,
    int8: Segmenter,
    bundle: ModelBundle,
    patch_set: PatchSet,
    size: int,
) -> Comparison:
    """Predict the validation ground of a patch set with two networks, as `stitched_confusion` does.

    Raises:
        RasterError: If a source cannot be read.
        PatchSetError: If an orthophoto has changed since it was tiled.
        EmptyError: If no pixel is labelled.
    """
    both, options = SideBySide(fp32, int8, patch_set), PredictOptions(patch_size=size)
    for cell, truth in _cells(both, bundle, patch_set, options, "val"):
        labelled = cell.valid & (truth != IGNORE)
        both.count(cell.scores, truth, valid=cell.valid, labelled=labelled)
    return both.comparison


def window_sizes(bundle: ModelBundle, patch_set: PatchSet) -> list[int]:
    """Sides of windows with which the orthophotos of a patch set can be predicted by default.

    Besides that of a training patch they are those of `WINDOW_SIZES_PX` up to `LARGE_WINDOW_PX`
    that an orthophoto with validation ground fills, and the one that a prediction of it chooses.
    """
    sources = {patch.source for patch in patch_set.in_split("val")}
    grids = [grid for n in sources if (grid := patch_set.record.sources[n].grid) is not None]
    chosen = {PredictOptions().size(bundle, grid.height, grid.width) for grid in grids}
    longest = max((max(grid.height, grid.width) for grid in grids), default=0)
    usual = {
        size
        for size in WINDOW_SIZES_PX
        if bundle.patch_size <= size <= min(LARGE_WINDOW_PX, longest)
    }
    possible = {size for size in usual if not bundle.sizes or size in bundle.sizes}
    return sorted({patch_set.record.size} | chosen | possible)


def _cells(
    segmenter: Segmenter,
    bundle: ModelBundle,
    patch_set: PatchSet,
    options: PredictOptions,
    split: Split,
) -> Iterator[tuple[WindowScores, NDArray[np.uint8]]]:
    """The blended ground of a split, and its reference, source by source."""
    windows: dict[int, list[Window]] = {}
    for patch in patch_set.in_split(split):
        windows.setdefault(patch.source, []).append(patch.window)
    for number, own in windows.items():
        source = patch_set.record.sources[number]
        yield from _of_source(segmenter, bundle, patch_set, source, windows=own, options=options)


def _of_source(
    segmenter: Segmenter,
    bundle: ModelBundle,
    patch_set: PatchSet,
    source: Source,
    *,
    windows: Sequence[Window],
    options: PredictOptions,
) -> Iterator[tuple[WindowScores, NDArray[np.uint8]]]:
    record = patch_set.record
    with patch_set.open_ortho(source) as ortho:
        grid = ortho.grid
        area = AreaOfInterest.open(record.aoi, grid) if record.aoi else None
        ground = _Ground(windows, area)
        size = options.size(bundle, grid.height, grid.width)
        window_grid = options.window_grid(grid.height, grid.width, size)
        region = ground.region
        parts = score(
            ortho, segmenter, window_grid.windows(region), batch_size=BATCH_SIZE, ground=ground
        )
        reference = open_reference(
            source.reference,
            legend=record.legend,
            grid=grid,
            options=record.reference,
            may_be_elsewhere=True,
        )
        try:
            for cell in blend(parts, window_grid, region):
                yield cell, reference.read(cell.window)
        finally:
            parts.close()
            reference.close()


class _Ground:
    """The ground of some windows of a raster, as far as it is in an area."""

    def __init__(self, windows: Sequence[Window], area: AreaOfInterest | None) -> None:
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
