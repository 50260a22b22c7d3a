"""Steps joined: ``predict`` is ``write_map(blend(score(ortho)))``.

Steps never import each other; this module, above them and below the commands, does.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import geoseg
from geoseg.core.blend import Lattice, WindowScores, blend
from geoseg.errors import BundleError, EmptyError
from geoseg.io.outputs import staged
from geoseg.io.patch_record import Patch, Split
from geoseg.io.patches import PatchSet
from geoseg.io.placement import sample_values
from geoseg.io.raster import RasterReader, ReadOptions
from geoseg.io.window_scores import WindowLayout, keep_windows, start_window_folder
from geoseg.model.bundle import ModelBundle
from geoseg.model.segmenter import Segmenter
from geoseg.mosaicking import MapOutputs, MapReport, write_map
from geoseg.prediction import score

T = TypeVar("T")
Watch = Callable[[Iterable[T], int], Iterable[T]]
"""Shows progress: gives the items on and knows how many there will be."""

DEFAULT_OVERLAP = 4
"""Windows overlap by a quarter unless the user says otherwise."""


JUDGED_BY = 16
"""Patches by which the range of values of a patch set is judged."""


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """How an orthophoto is predicted."""

    patch_size: int | None = None
    """Side of a window as the network sees it, in pixels; None: the training patch's."""

    stride: int | None = None
    """Step between windows, in pixels; None: three quarters of a window."""

    batch_size: int = 4
    """Windows that are scored at a time."""

    resample: bool = False
    """Whether windows are resampled to the model's GSD, and scores back."""

    read: ReadOptions = field(default_factory=ReadOptions)
    """How the orthophoto is read."""

    def network_size(self, bundle: ModelBundle) -> int:
        """Side of a window as the network sees it, in pixels."""
        return self.patch_size or bundle.patch_size


@dataclass(frozen=True)
class PredictPlan:
    """What predicting an orthophoto takes."""

    windows: int
    """Windows that cover it."""

    size: int
    """Side of a window on the orthophoto's own pixels."""

    stride: int
    """Step between windows on the orthophoto's own pixels."""

    output_bytes: int
    """Bytes of the class map, uncompressed."""

    memory: int
    """Bytes needed for blending and batches, besides the network's own."""


def predict_map(
    path: Path,
    bundle: ModelBundle,
    segmenter: Segmenter,
    outputs: MapOutputs,
    *,
    options: PredictOptions,
    windows: Path | None = None,
    watch: Watch[WindowScores] = lambda items, _: items,
) -> MapReport:
    """Predict an orthophoto.

    Args:
        path: The orthophoto.
        bundle: What the model expects and means.
        segmenter: The model, running.
        outputs: Files to write.
        options: How.
        windows: Folder in which every window's scores are kept as well.
        watch: Shows progress.

    Raises:
        BundleError: If the orthophoto is not what the model was made for.
        EmptyError: If it has no data.
        RasterError: If it cannot be read.
        OutputError: If an output cannot be written.
    """
    outputs.refuse_existing()
    with RasterReader(path, options.read) as ortho:
        check_input(ortho, bundle, resample=options.resample)
        lattice = _lattice(ortho, bundle, options)
        layout = WindowLayout(
            grid=ortho.grid,
            lattice=lattice,
            legend=bundle.legend,
            provenance=_provenance(path, bundle, lattice),
        )
        with closing(score(ortho, segmenter, lattice, batch_size=options.batch_size)) as parts:
            watched = watch(parts, lattice.window_count)
            if windows is None:
                return _write(watched, layout, outputs)
            with staged(windows, overwrite=outputs.overwrite) as folder:
                start_window_folder(folder, layout)
                return _write(keep_windows(watched, folder, layout), layout, outputs)


def plan_map(path: Path, bundle: ModelBundle, options: PredictOptions) -> PredictPlan:
    """What `predict_map` would take.

    Raises:
        BundleError: If the orthophoto is not what the model was made for.
        RasterError: If it cannot be read.
    """
    with RasterReader(path, options.read) as ortho:
        check_input(ortho, bundle, resample=options.resample)
        lattice = _lattice(ortho, bundle, options)
    classes, pixel = len(bundle.legend), np.dtype(np.float32).itemsize
    window = lattice.size**2 * pixel
    buffers = 3 * (classes + 1) * lattice.size * max(lattice.width, lattice.size) * pixel
    batches = options.batch_size * window * (3 * bundle.bands + classes)
    return PredictPlan(
        windows=lattice.window_count,
        size=lattice.size,
        stride=lattice.stride,
        output_bytes=lattice.height * lattice.width,
        memory=buffers + batches,
    )


def predict_patches(
    patch_set: PatchSet,
    bundle: ModelBundle,
    segmenter: Segmenter,
    folder: Path,
    *,
    split: Split | None = None,
    batch_size: int = 4,
    overwrite: bool = False,
    watch: Watch[tuple[Patch, MapOutputs]] = lambda items, _: items,
) -> list[MapReport]:
    """Predict the patches of a set, each into a class map of its own.

    Args:
        patch_set: The patches.
        bundle: What the model expects and means.
        segmenter: The model, running.
        folder: Where to write ``<patch>.tif``.
        split: Only these; None: all.
        batch_size: Patches that are scored at a time.
        overwrite: Whether existing maps are replaced.
        watch: Shows progress.

    Raises:
        BundleError: If the patches are not what the model was made for.
        EmptyError: If the split has no patch.
        OutputExistsError: If a map is there already and is not to be replaced.
    """
    record = patch_set.record
    bundle.check_bands(record.bands, patch_set.folder)
    bundle.check_gsd(record.gsd, patch_set.folder)
    if record.dtype != bundle.dtype:
        few = [patch_set.read(patch).image for patch in patch_set.patches[:JUDGED_BY]]
        values = np.concatenate([image[np.isfinite(image)] for image in few])
        bundle.check_values(values.astype(record.dtype), patch_set.folder)
    patches = [patch for patch in patch_set.patches if split in (None, patch.split)]
    if not patches:
        raise EmptyError(f"{patch_set.folder}: has no patch in the split {split}")
    jobs = [(patch, _patch_outputs(patch_set, patch, folder, overwrite)) for patch in patches]
    for _, outputs in jobs:
        outputs.refuse_existing()
    provenance = _provenance(patch_set.folder, bundle, None)
    reports = []
    for batch in _batched(watch(jobs, len(jobs)), batch_size):
        images = np.stack([patch_set.read(patch).image for patch, _ in batch])
        for (patch, outputs), image, scores in zip(batch, images, segmenter(images), strict=True):
            grid = patch_set.grid_of(patch)
            strip = WindowScores(grid.window, scores, ~np.isnan(image).any(axis=0))
            reports.append(write_map([strip], grid, bundle.legend, outputs, provenance=provenance))
    return reports


def _patch_outputs(patch_set: PatchSet, patch: Patch, folder: Path, overwrite: bool) -> MapOutputs:
    name = f"{patch_set.name_of(patch)}.tif"
    return MapOutputs(class_map=folder / name, sidecars=False, overwrite=overwrite)


def check_input(ortho: RasterReader, bundle: ModelBundle, *, resample: bool) -> None:
    """See that an orthophoto is what a model was made for.

    Raises:
        BundleError: If bands, GSD or the range of values are others.
    """
    bundle.check_bands(ortho.bands, ortho.path)
    if not resample:
        bundle.check_gsd(ortho.grid.gsd, ortho.path)
    if ortho.dtype.name != bundle.dtype:
        bundle.check_values(sample_values(ortho), ortho.path)


def _write(parts: Iterable[WindowScores], layout: WindowLayout, outputs: MapOutputs) -> MapReport:
    strips = blend(parts, layout.lattice)
    return write_map(strips, layout.grid, layout.legend, outputs, provenance=layout.provenance)


def _lattice(ortho: RasterReader, bundle: ModelBundle, options: PredictOptions) -> Lattice:
    """The windows on the orthophoto's own pixels."""
    size = options.network_size(bundle)
    stride = options.stride or size - size // DEFAULT_OVERLAP
    scale = _scale(ortho, bundle) if options.resample else 1.0
    size, stride = max(round(size * scale), 1), max(round(stride * scale), 1)
    return Lattice(ortho.grid.height, ortho.grid.width, size, min(stride, size))


def _scale(ortho: RasterReader, bundle: ModelBundle) -> float:
    """Pixels of the orthophoto in a pixel of the model's."""
    gsd = ortho.grid.gsd
    if not gsd or not bundle.gsd:
        which = "the orthophoto" if not gsd else "the model"
        raise BundleError(f"{ortho.path}: --resample needs a GSD, and {which} has none")
    return bundle.gsd / gsd


def _provenance(source: Path, bundle: ModelBundle, lattice: Lattice | None) -> dict[str, Any]:
    """What a map was made of: the same for the same input, so without a time."""
    made_of: dict[str, Any] = {
        "geoseg": geoseg.__version__,
        "source": source.name,
        "model": f"{bundle.arch}/{bundle.encoder}",
        "weights_sha256": bundle.weights_sha256,
    }
    if lattice is not None:
        made_of |= {
            "window_size": lattice.size,
            "window_stride": lattice.stride,
            "blend": "mean of class probabilities, Hann weights",
        }
    return made_of


def _batched(items: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
