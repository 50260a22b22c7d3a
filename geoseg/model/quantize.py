"""The quantisation step: a bundle and a patch set in, a validated int8 network out."""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Self, overload

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import BundleError, EmptyError, InputError, OutputExistsError
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import IGNORE
from geoseg.model.bundle import INT8, Int8Record, ModelBundle, SizeRecord
from geoseg.model.mlm import write_bundle_item
from geoseg.model.segmenter import Segmenter, check_patches
from geoseg.options import CALL, option, seed_option
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Patch
from geoseg.raster.atomic import staged
from geoseg.raster.folders import MODEL, file_sha256, list_entries
from geoseg.text import short_list

if TYPE_CHECKING:
    from geoseg.model.conversion import Quantisation


MAX_MIOU_LOSS = 0.005
"""Tolerated loss of mean IoU, 0..1."""

MIN_AGREEMENT = 0.95
"""Share of the pixels that must keep their class. Mean IoU alone is not enough: a poor network may
turn into another one that is as poor."""

Progress = Callable[[str, int, int], None]
"""Receives the name of the work, items done, and items in all."""


@dataclass(frozen=True, kw_only=True)
class QuantizeOptions:
    """Options of a quantisation."""

    samples: int = option(
        300, min=1, group=CALL, help="Training patches to calibrate with, at most."
    )
    force: bool = option(
        False, group=CALL, help="Keep it even if it loses over 0.5 points of mean IoU."
    )
    seed: int = seed_option(CALL)
    overwrite: bool = False
    """Whether an earlier int8 network is replaced."""


@dataclass(frozen=True)
class QuantizeReport:
    """Result of a quantisation."""

    folder: Path
    proof: Int8Record
    """Validation record of the network."""

    speed: float
    """Speed-up over float32 on this machine, one patch at a time."""

    notes: tuple[str, ...] = ()
    """What the user should know about the validation."""


def quantize(
    model: Path,
    patches: Path,
    *,
    options: QuantizeOptions,
    sizes: Callable[[ModelBundle, PatchSet], Sequence[int]] = lambda _, patches: [
        patches.record.size
    ],
    measure: "Measure | None" = None,
    progress: Progress = lambda *_: None,
) -> QuantizeReport:
    """Quantise the network of a bundle, validate it, and keep it.

    Args:
        model: Folder of the bundle.
        patches: Folder of a patch set, with training (for calibration) and validation split.
        options: Options of the quantisation.
        sizes: Sizes of windows to validate, in pixels.
        measure: Validation on whole ground; None: on the validation patches.
        progress: Receives progress.

    Raises:
        BundleError: If the patches do not fit the model, the loss exceeds its limits, or a
            package is missing.
        EmptyError: If a split has no patches, or the validation split no labelled pixel.
        OutputExistsError: If the bundle already has an int8 network.
    """
    bundle, patch_set = ModelBundle.load(model), PatchSet.open(patches)
    bundle.require_torch("it cannot be quantised")
    folder = model / INT8
    _refuse_earlier(model, overwrite=options.overwrite)
    check_fit(bundle, patch_set)
    samples = PatchImages(patch_set, choose_samples(patch_set, options), progress)
    from geoseg.model.conversion import Quantisation

    quantisation = Quantisation(bundle, patch_set.record.size)
    quantisation.calibrate(samples)
    any_size = quantisation.takes_any_size()
    wanted = sizes(bundle, patch_set) if any_size else [patch_set.record.size]
    found, notes = _measure(
        quantisation, bundle, patch_set, wanted, measure=measure, progress=progress
    )
    measured = tuple(each.record(size) for size, each in found.items())
    exceeds = check_loss(measured, model, force=options.force)
    if options.overwrite:
        shutil.rmtree(folder, ignore_errors=True)
    with staged(folder, overwrite=False) as partial:
        partial.mkdir()
        quantisation.save(partial)
    size = patch_set.record.size
    (own,) = (each for each in measured if each.size == size)
    record = Int8Record(
        agreement=own.agreement,
        miou_fp32=own.miou_fp32,
        miou_int8=own.miou_int8,
        validation_patches=found[size].patches,
        samples=len(samples),
        forced=exceeds,
        patch_size=size,
        any_size=any_size,
        sha256={path.name: file_sha256(path) for path in sorted(folder.iterdir())},
        versions={name: version(name) for name in ("nncf", "openvino")},
        measured=measured,
    )
    quantized = replace(bundle, quantized=record)
    quantized.write_record(model)
    write_bundle_item(quantized)
    return QuantizeReport(folder, record, found[size].speed, notes)


def _refuse_earlier(model: Path, *, overwrite: bool) -> None:
    """Refuse to replace an int8 network unasked, or a folder that holds other files."""
    folder = model / INT8
    if not overwrite and folder.exists():
        raise OutputExistsError(f"{folder} exists; use --overwrite to replace it")
    if foreign := [each for each in MODEL.foreign(model) if each.split("/")[0] == INT8]:
        raise OutputExistsError(
            f"{folder} holds what geoseg did not write there, and is not replaced: "
            f"{list_entries(foreign)}; move that elsewhere"
        )


class Comparison:
    """Float32 and int8 as one segmenter, timed, and counts of the classes that both give."""

    def __init__(self, fp32: Segmenter, int8: Segmenter, patch_set: PatchSet) -> None:
        self._pair = (fp32, int8)
        self._folder = patch_set.folder
        self._classes = len(patch_set.record.legend)
        self._ratios: list[float] = []
        self.patches = len(patch_set.in_split("val"))
        self.fp32 = self.int8 = ConfusionMatrix.zeros(self._classes)
        self.same = self.pixels = 0  # of those with data

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Scores of both, one's classes after the other's, for (n, bands, size, size) images."""
        scores, ends = [], [perf_counter()]
        for segmenter in self._pair:
            scores.append(segmenter(images))
            ends.append(perf_counter())
        self._ratios.append((ends[1] - ends[0]) / (ends[2] - ends[1]))
        return np.concatenate(scores, axis=1)

    def count(
        self,
        scores: NDArray[np.float32],
        truth: NDArray[np.uint8],
        *,
        valid: NDArray[np.bool_],
        labelled: NDArray[np.bool_],
    ) -> None:
        """Count the classes of both on some ground.

        Args:
            scores: (2 classes, height, width) of both.
            truth: (height, width) classes.
            valid: (height, width) pixels with data, on which both may agree.
            labelled: (height, width) pixels that count in the confusion matrices.
        """
        maps = [each.argmax(axis=0).astype(np.uint8) for each in np.split(scores, 2)]
        fp32, int8 = (
            ConfusionMatrix.count(truth, each, valid=labelled, classes=self._classes)
            for each in maps
        )
        self.fp32, self.int8 = self.fp32 + fp32, self.int8 + int8
        self.same += int((maps[0] == maps[1])[valid].sum())
        self.pixels += int(valid.sum())

    def checked(self) -> Self:
        """Itself, or EmptyError if no pixel was labelled."""
        if not self.fp32.total:
            raise EmptyError(f"{self._folder}: {NO_LABEL}")
        return self

    @property
    def speed(self) -> float:
        """Speed-up of int8, median over calls."""
        return median(self._ratios)

    def record(self, size: int) -> SizeRecord:
        """Validation record of a size of windows, in pixels."""
        agreement, ours, theirs = self.same / self.pixels, self.fp32.mean_iou, self.int8.mean_iou
        return SizeRecord(
            size=size,
            agreement=agreement,
            miou_fp32=ours,
            miou_int8=theirs,
            holds=ours - theirs <= MAX_MIOU_LOSS and agreement >= MIN_AGREEMENT,
        )


Measure = Callable[[Segmenter, Segmenter, ModelBundle, PatchSet, int], Comparison]
"""Compares float32 and int8 at a size of windows, in pixels."""

NO_LABEL = (
    "the validation split has no labelled pixel to measure the loss on; tile with a larger one"
)


def compare(
    fp32: Segmenter, int8: Segmenter, patch_set: PatchSet, progress: Progress = lambda *_: None
) -> Comparison:
    """Compare two segmenters on the validation patches.

    Raises:
        EmptyError: If there are none, or none of their pixels is labelled.
    """
    patches = patch_set.in_split("val")
    both = Comparison(fp32, int8, patch_set)
    for done, patch in enumerate(patches, start=1):
        image, mask = patch_set.read(patch)
        valid = np.asarray(np.isfinite(image).all(axis=0))
        both.count(both(image[None])[0], mask, valid=valid, labelled=mask != IGNORE)
        progress("measure", done, len(patches))
    return both.checked()


def _measure(
    quantisation: "Quantisation",
    bundle: ModelBundle,
    patch_set: PatchSet,
    sizes: Sequence[int],
    *,
    measure: Measure | None,
    progress: Progress,
) -> tuple[dict[int, Comparison], tuple[str, ...]]:
    """Comparisons by size of windows, and notes on sizes that could not be measured."""
    own = patch_set.record.size
    if not patch_set.in_split("val"):
        raise EmptyError(f"{patch_set.folder}: {NO_LABEL}")
    found: dict[int, Comparison] = {}
    for done, size in enumerate(sizes if measure else (), start=1):
        try:
            pair = quantisation.runtimes(size)
        except BundleError:
            continue  # it does not take that size
        try:
            found[size] = measure(*pair, bundle, patch_set, size)  # type: ignore[misc]
        except InputError as error:
            patches = compare(*quantisation.runtimes(), patch_set, progress)
            return {own: patches}, (f"only windows of {own} px are measured: {error}",)
        progress("measure", done, len(sizes))
    return found or {own: compare(*quantisation.runtimes(), patch_set, progress)}, ()


def check_loss(found: Sequence[SizeRecord], model: Path, *, force: bool) -> bool:
    """Whether the loss exceeds its limits at every size, and the user forces it.

    Raises:
        BundleError: If it exceeds them, and is not forced.
    """
    if any(each.holds for each in found):
        return False
    least = min(found, key=lambda each: each.miou_fp32 - each.miou_int8)
    if not force:
        raise BundleError(
            f"{model}: int8 loses {100 * (least.miou_fp32 - least.miou_int8):.2f} points of mean "
            f"IoU (at most {100 * MAX_MIOU_LOSS:.1f} are accepted) and gives "
            f"{least.agreement:.1%} of the pixels the same class (at least {MIN_AGREEMENT:.0%}): "
            f"it is not kept; calibrate with more --samples, or --force it"
        )
    return True


def choose_samples(patch_set: PatchSet, options: QuantizeOptions) -> list[Patch]:
    """Random training patches, as evenly from all sources as possible.

    Raises:
        EmptyError: If there are none.
    """
    patches = patch_set.in_split("train")
    if not patches:
        raise EmptyError(f"{patch_set.folder}: no patch is in the training split to calibrate with")
    order = np.random.default_rng(options.seed).permutation(len(patches))
    taken: Counter[int] = Counter()
    ranked = []
    for patch in (patches[index] for index in order.tolist()):
        taken[patch.source] += 1
        ranked.append((taken[patch.source], patch))  # the first of each source, then the second
    ranked.sort(key=lambda each: each[0])
    return [patch for _, patch in ranked[: options.samples]]


class PatchImages(Sequence[NDArray[np.float32]]):
    """Images of patches, read lazily."""

    def __init__(self, patch_set: PatchSet, patches: Sequence[Patch], progress: Progress) -> None:
        self._patch_set = patch_set
        self._patches = patches
        self._tell = progress

    def __len__(self) -> int:
        return len(self._patches)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, index: slice) -> "PatchImages": ...
    def __getitem__(self, index: int | slice) -> "NDArray[np.float32] | PatchImages":
        if isinstance(index, slice):
            return PatchImages(self._patch_set, self._patches[index], self._tell)
        image = self._patch_set.read(self._patches[index]).image
        self._tell("calibrate", index + 1, len(self))
        return image


def check_fit(bundle: ModelBundle, patch_set: PatchSet) -> None:
    """Check that patches fit a model, classes included.

    Raises:
        BundleError: If they do not.
    """
    check_patches(patch_set, bundle)
    record, where = patch_set.record, patch_set.folder
    if record.legend.names != bundle.legend.names:
        raise BundleError(
            f"{where}: its classes are {short_list(record.legend.names)}, the model has "
            f"{short_list(bundle.legend.names)}; use the patches that it was trained on"
        )
