"""The patches of a set become class maps, one each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from geoseg.errors import EmptyError
from geoseg.model.segmenter import Models, check_patches
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Patch, Split
from geoseg.prediction.blend import WindowScores
from geoseg.prediction.map_writer import MapOutputs, MapReport, write_map
from geoseg.prediction.provenance import provenance_of, training_ground_of
from geoseg.prediction.score import check_scores

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
    check_patches(patch_set, bundle)
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
