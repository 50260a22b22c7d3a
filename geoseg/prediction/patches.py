"""A patch set is predicted: a map of each patch, or metrics on the blended ground of a split."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import IGNORE
from geoseg.model.bundle import ModelBundle
from geoseg.model.quantize import Comparison
from geoseg.model.segmenter import Models, Segmenter, check_patches
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Patch, Source, Split
from geoseg.prediction.blend import WindowScores, blend
from geoseg.prediction.map_writer import MapOutputs, MapReport, write_map
from geoseg.prediction.plan import LARGE_WINDOW_PX, WINDOW_SIZES_PX, PredictOptions
from geoseg.prediction.provenance import provenance_of, training_ground_of
from geoseg.prediction.score import check_scores, score
from geoseg.raster.polygons import AreaOfInterest
from geoseg.raster.window import Window

T = TypeVar("T")

Watch = Callable[[Iterable[tuple[Patch, MapOutputs]], int], Iterable[tuple[Patch, MapOutputs]]]


def predict_patches(
    patch_set: PatchSet,
    models: Models,
    folder: Path,
    *,
    split: Split | None = None,
    batch_size: int | None = None,
    overwrite: bool = False,
    watch: Watch = lambda items, _: items,
) -> list[MapReport]:
    """Predict the patches of a set, each into a class map of its own.

    Args:
        patch_set: The patches.
        models: What scores them.
        folder: Where to write ``<patch>.tif``.
        split: Only these; None: all.
        batch_size: Patches that are scored at a time; None: as the runtime likes it.
        overwrite: Whether existing maps are replaced.
        watch: Shows progress.

    Raises:
        BundleError: If the patches are not what the model was made for, or scores are no
            numbers.
        EmptyError: If the split has no patch.
        OutputExistsError: If a map is there already and is not to be replaced.
    """
    record, bundle = patch_set.record, models.bundle
    for each in models.bundles:
        check_patches(patch_set, each)
    patches = [patch for patch in patch_set.patches if split in (None, patch.split)]
    if not patches:
        raise EmptyError(f"{patch_set.folder}: has no patch in the split {split}")
    jobs = [
        (patch, _patch_outputs(patch_set, patch, folder, overwrite=overwrite)) for patch in patches
    ]
    for _, outputs in jobs:
        outputs.refuse_existing()
    if batch_size:
        batch_size = min(batch_size, len(patches))
    runtime = models.open(record.size, record.size, batch_size)
    provenance = provenance_of(patch_set.folder, models, runtime)
    reports = []
    for batch in _batched(watch(jobs, len(jobs)), batch_size or runtime.batch_size):
        images = np.stack([patch_set.read(patch).image for patch, _ in batch])
        found = runtime(images)
        check_scores(found, images, [patch.window for patch, _ in batch])
        for (patch, outputs), image, scores in zip(batch, images, found, strict=True):
            grid = patch_set.grid_of(patch)
            strip = WindowScores(grid.window, scores, ~np.isnan(image).any(axis=0))
            own = provenance | _ground_of(models, patch_set, patch)
            reports.append(write_map([strip], grid, bundle.legend, outputs, provenance=own))
    return reports


def _ground_of(models: Models, patch_set: PatchSet, patch: Patch) -> dict[str, Any]:
    """What of a patch's ground trained the models, if that is known."""
    source = patch_set.record.sources[patch.source]
    if source.grid is None:
        return {}
    return training_ground_of(models, source.grid, patch.window, lambda: source.content)


def patch_maps(patch_set: PatchSet, folder: Path, split: Split | None) -> list[Path]:
    """The maps that `predict_patches` writes."""
    wanted = (patch for patch in patch_set.patches if split in (None, patch.split))
    return [_patch_outputs(patch_set, patch, folder, overwrite=False).class_map for patch in wanted]


def _patch_outputs(
    patch_set: PatchSet, patch: Patch, folder: Path, *, overwrite: bool
) -> MapOutputs:
    name = f"{patch_set.name_of(patch)}.tif"
    return MapOutputs(class_map=folder / name, sidecars=False, overwrite=overwrite)


def _batched(items: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


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
    parts = (_cells(segmenter, bundle, each, PredictOptions(), split) for each in patch_set.parts)
    for cell, truth in chain.from_iterable(parts):
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
    both, options = Comparison(fp32, int8, patch_set), PredictOptions(patch_size=size)
    for cell, truth in _cells(both, bundle, patch_set, options, "val"):
        labelled = cell.valid & (truth != IGNORE)
        both.count(cell.scores, truth, valid=cell.valid, labelled=labelled)
    return both.checked()


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
    with closing(patch_set.open_source(source)) as opened:
        grid, ground = opened.grid, _Ground(windows, opened.area)
        size = options.size(bundle, grid.height, grid.width)
        window_grid = options.window_grid(grid.height, grid.width, size)
        region = ground.region
        own = window_grid.windows(region)
        with closing(
            score(opened.ortho, segmenter, own, batch_size=BATCH_SIZE, ground=ground)
        ) as parts:
            for cell in blend(parts, window_grid, region):
                yield cell, opened.reference.read(cell.window)


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
