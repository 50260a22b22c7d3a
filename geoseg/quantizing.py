"""The step: a bundle and a patch set in; the bundle with a proven int8 network out."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import overload

import numpy as np
from numpy.typing import NDArray

from geoseg.core.columns import in_short
from geoseg.core.confusion import ConfusionMatrix
from geoseg.core.scores import IGNORE
from geoseg.errors import BundleError, EmptyError, OutputExistsError
from geoseg.io.folders import MODEL, named
from geoseg.io.outputs import staged
from geoseg.io.patch_record import Patch
from geoseg.io.patches import PatchSet
from geoseg.model.bundle import INT8, ModelBundle, Quantized
from geoseg.model.cache import file_sha256
from geoseg.model.fit import check_patches
from geoseg.model.segmenter import Segmenter

MOST_LOSS = 0.005
"""Mean IoU that the quantised network may lose."""

Tell = Callable[[str, int, int], None]
"""Told of progress: what is done, how many of how many."""


@dataclass(frozen=True, kw_only=True)
class QuantizeOptions:
    """How a network is quantised."""

    samples: int = 300
    """Training patches to calibrate with, at most."""

    seed: int = 0
    """Which of them."""

    force: bool = False
    """Whether the network is kept although it loses more than it may."""

    overwrite: bool = False
    """Whether an earlier one is replaced."""


@dataclass(frozen=True)
class QuantizeReport:
    """How a quantisation went."""

    folder: Path
    """Where the network is."""

    proof: Quantized
    """What it is worth."""

    speed: float
    """How many times as fast as float32 it is on this machine, one patch at a time."""


def quantize(
    model: Path,
    patches: Path,
    *,
    options: QuantizeOptions,
    tell: Tell = lambda *_: None,
) -> QuantizeReport:
    """Quantise the network of a bundle, measure what that costs, and keep it.

    Args:
        model: Folder of the bundle.
        patches: Folder of a patch set: its training split calibrates, its validation split
            measures.
        options: How.
        tell: Is told of progress.

    Raises:
        BundleError: If the patches are not what the model was made for, the network loses
            more than it may, or a package is missing.
        EmptyError: If a split has no patches, or the validation split no labelled pixel.
        OutputExistsError: If the bundle has such a network already.
    """
    bundle, patch_set = ModelBundle.load(model), PatchSet.open(patches)
    folder = model / INT8
    _refuse_earlier(model, overwrite=options.overwrite)
    _check(bundle, patch_set)
    samples = Images(patch_set, choose_samples(patch_set, options), tell)
    from geoseg.model.quantization import Quantisation, versions

    quantisation = Quantisation(bundle, patch_set.record.size)
    quantisation.calibrate(samples)
    found = compare(*quantisation.runtimes(), patch_set, tell)
    exceeds = check_loss(found, model, force=options.force)
    any_size = quantisation.takes_any_size()
    if options.overwrite:
        shutil.rmtree(folder, ignore_errors=True)
    with staged(folder, overwrite=False) as partial:
        partial.mkdir()
        quantisation.save(partial)
    proof = Quantized(
        agreement=found.agreement,
        miou_fp32=found.fp32.mean_iou,
        miou_int8=found.int8.mean_iou,
        validation_patches=found.patches,
        samples=len(samples),
        forced=exceeds,
        patch_size=patch_set.record.size,
        any_size=any_size,
        sha256={path.name: file_sha256(path) for path in sorted(folder.iterdir())},
        versions=versions(),
    )
    replace(bundle, quantized=proof).write_record(model)
    return QuantizeReport(folder, proof, found.speed)


def _refuse_earlier(model: Path, *, overwrite: bool) -> None:
    """See that an int8 network may be replaced, and nothing else is lost with it.

    Raises:
        OutputExistsError: If it may not.
    """
    folder = model / INT8
    if not overwrite and folder.exists():
        raise OutputExistsError(f"{folder} exists; use --overwrite to replace it")
    if foreign := [each for each in MODEL.foreign(model) if each.split("/")[0] == INT8]:
        raise OutputExistsError(
            f"{folder} holds what geoseg did not write there, and is not replaced: "
            f"{named(foreign)}; move that elsewhere"
        )


@dataclass(frozen=True)
class Comparison:
    """Float32 and int8 on the validation patches."""

    fp32: ConfusionMatrix
    """Of float32 against the reference."""

    int8: ConfusionMatrix
    """Of int8 against the reference."""

    agreement: float
    """Share of the pixels with data that both give the same class."""

    speed: float
    """How many times as fast int8 is: the median over the patches."""

    patches: int
    """How many there were."""


def compare(
    fp32: Segmenter, int8: Segmenter, patch_set: PatchSet, tell: Tell = lambda *_: None
) -> Comparison:
    """Run two segmenters on the validation patches, pixel by pixel.

    Raises:
        EmptyError: If there are none, or none of their pixels is labelled.
    """
    patches = patch_set.in_split("val")
    classes = len(patch_set.record.legend)
    matrices = [ConfusionMatrix.zeros(classes)] * 2
    same, valid_pixels, ratios = 0, 0, []
    for done, patch in enumerate(patches, start=1):
        image, mask = patch_set.read(patch)
        scores, seconds = zip(*(_timed(each, image) for each in (fp32, int8)), strict=True)
        maps = [each[0].argmax(axis=0).astype(np.uint8) for each in scores]
        for index, predicted in enumerate(maps):
            matrices[index] += ConfusionMatrix.count(
                mask, predicted, valid=mask != IGNORE, classes=classes
            )
        valid = np.isfinite(image).all(axis=0)
        same += int((maps[0] == maps[1])[valid].sum())
        valid_pixels += int(valid.sum())
        ratios.append(seconds[0] / seconds[1])
        tell("measure", done, len(patches))
    if not matrices[0].total:
        raise EmptyError(
            f"{patch_set.folder}: its validation split has no labelled pixel to measure the loss "
            f"on; tile with a larger one"
        )
    return Comparison(
        fp32=matrices[0],
        int8=matrices[1],
        agreement=same / valid_pixels,
        speed=median(ratios),
        patches=len(patches),
    )


def check_loss(found: Comparison, model: Path, *, force: bool) -> bool:
    """Whether the quantised network loses more than it may, and is wanted all the same.

    Raises:
        BundleError: If it loses more than it may, and is not forced.
    """
    loss = found.fp32.mean_iou - found.int8.mean_iou
    if loss > MOST_LOSS and not force:
        raise BundleError(
            f"{model}: int8 loses {100 * loss:.2f} points of mean IoU (more than "
            f"{100 * MOST_LOSS:.1f}) and is not kept; calibrate with more --samples, or --force it"
        )
    return loss > MOST_LOSS


def choose_samples(patch_set: PatchSet, options: QuantizeOptions) -> list[Patch]:
    """Training patches, as evenly from all sources as there are patches.

    Raises:
        EmptyError: If there are none.
    """
    patches = patch_set.in_split("train")
    if not patches:
        raise EmptyError(f"{patch_set.folder}: no patch is in the training split to calibrate with")
    order = np.random.default_rng(options.seed).permutation(len(patches))
    taken: dict[int, int] = {}
    ranked = []
    for index in order.tolist():
        source = patches[index].source
        taken[source] = taken.get(source, 0) + 1
        ranked.append((taken[source], index))  # the first of each source, then the second
    ranked.sort(key=lambda each: each[0])
    return [patches[index] for _, index in ranked[: options.samples]]


class Images(Sequence[NDArray[np.float32]]):
    """The pixels of patches, read when they are asked for."""

    def __init__(self, patch_set: PatchSet, patches: Sequence[Patch], tell: Tell) -> None:
        self._patch_set = patch_set
        self._patches = patches
        self._tell = tell

    def __len__(self) -> int:
        return len(self._patches)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, index: slice) -> "Images": ...
    def __getitem__(self, index: int | slice) -> "NDArray[np.float32] | Images":
        if isinstance(index, slice):
            return Images(self._patch_set, self._patches[index], self._tell)
        image = self._patch_set.read(self._patches[index]).image
        self._tell("calibrate", index + 1, len(self))
        return image


def _timed(segmenter: Segmenter, image: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    start = perf_counter()
    scores = segmenter(image[None])
    return scores, perf_counter() - start


def _check(bundle: ModelBundle, patch_set: PatchSet) -> None:
    """See that patches are what the model was made for."""
    check_patches(patch_set, bundle)
    record, where = patch_set.record, patch_set.folder
    if record.legend.names != bundle.legend.names:
        raise BundleError(
            f"{where}: its classes are {in_short(record.legend.names)}, the model has "
            f"{in_short(bundle.legend.names)}; give the patches that it was trained on"
        )
