"""The step: a bundle and a patch set in; the bundle with a proven int8 network out."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import BundleError, EmptyError, InputError, OutputExistsError
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import IGNORE
from geoseg.model.bundle import INT8, ModelBundle, Quantized, SizeProof
from geoseg.model.cache import file_sha256
from geoseg.model.segmenter import Segmenter, check_patches
from geoseg.options import CALL, option, seed_option
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Patch
from geoseg.raster.atomic import staged
from geoseg.raster.folders import MODEL, list_entries
from geoseg.text import short_list

if TYPE_CHECKING:
    from geoseg.model.conversion import Quantisation


MOST_LOSS = 0.005
"""Mean IoU that the quantised network may lose."""

LEAST_AGREEMENT = 0.95
"""Share of the pixels that must keep their class: a poor network can give another map that is as
poor."""

Tell = Callable[[str, int, int], None]
"""Told of progress: what is done, how many of how many."""


@dataclass(frozen=True, kw_only=True)
class QuantizeOptions:
    """How a network is quantised."""

    samples: int = option(
        300, min=1, group=CALL, help="Training patches to calibrate with, at most."
    )
    force: bool = option(
        False, group=CALL, help="Keep it even if it loses over 0.5 points of mean IoU."
    )
    seed: int = seed_option(CALL)
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

    notes: tuple[str, ...] = ()
    """What the user should know of the measuring."""


def quantize(
    model: Path,
    patches: Path,
    *,
    options: QuantizeOptions,
    sizes: Callable[[ModelBundle, PatchSet], Sequence[int]] = lambda _, patches: [
        patches.record.size
    ],
    measure: "Measure | None" = None,
    tell: Tell = lambda *_: None,
) -> QuantizeReport:
    """Quantise the network of a bundle, measure what that costs, and keep it.

    Args:
        model: Folder of the bundle.
        patches: Folder of a patch set: its training split calibrates, its validation split
            measures.
        options: How.
        sizes: Which sizes of windows are measured.
        measure: How, on whole validation ground; None: on the validation patches.
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
    from geoseg.model.conversion import Quantisation, versions

    quantisation = Quantisation(bundle, patch_set.record.size)
    quantisation.calibrate(samples)
    any_size = quantisation.takes_any_size()
    wanted = sizes(bundle, patch_set) if any_size else [patch_set.record.size]
    found, notes = _measure(quantisation, bundle, patch_set, wanted, measure=measure, tell=tell)
    exceeds = check_loss(found, model, force=options.force)
    if options.overwrite:
        shutil.rmtree(folder, ignore_errors=True)
    with staged(folder, overwrite=False) as partial:
        partial.mkdir()
        quantisation.save(partial)
    own = found[patch_set.record.size]
    proof = Quantized(
        agreement=own.agreement,
        miou_fp32=own.fp32.mean_iou,
        miou_int8=own.int8.mean_iou,
        validation_patches=own.patches,
        samples=len(samples),
        forced=exceeds,
        patch_size=patch_set.record.size,
        any_size=any_size,
        sha256={path.name: file_sha256(path) for path in sorted(folder.iterdir())},
        versions=versions(),
        measured=tuple(
            SizeProof(
                size=size,
                agreement=each.agreement,
                miou_fp32=each.fp32.mean_iou,
                miou_int8=each.int8.mean_iou,
                holds=each.holds,
            )
            for size, each in found.items()
        ),
    )
    replace(bundle, quantized=proof).write_record(model)
    return QuantizeReport(folder, proof, own.speed, notes)


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
            f"{list_entries(foreign)}; move that elsewhere"
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

    @property
    def loss(self) -> float:
        """Mean IoU that int8 loses."""
        return self.fp32.mean_iou - self.int8.mean_iou

    @property
    def holds(self) -> bool:
        """Whether int8 may be taken in place of float32."""
        return self.loss <= MOST_LOSS and self.agreement >= LEAST_AGREEMENT


Measure = Callable[[Segmenter, Segmenter, ModelBundle, PatchSet, int], Comparison]
"""Compares float32 and int8 with windows of a size, in pixels."""


class Timed:
    """Float32 and int8 as one segmenter: the classes of the one, then those of the other."""

    def __init__(self, fp32: Segmenter, int8: Segmenter) -> None:
        self._fp32, self._int8 = fp32, int8
        self._ratios: list[float] = []

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Scores of both, of (n, bands, size, size) images."""
        (ours, seconds), (theirs, fewer) = (_timed(own, images) for own in (self._fp32, self._int8))
        self._ratios.append(seconds / fewer)
        return np.concatenate([ours, theirs], axis=1)

    def comparison(
        self, fp32: ConfusionMatrix, int8: ConfusionMatrix, *, same: int, pixels: int, patches: int
    ) -> Comparison:
        """What was found with them.

        Args:
            fp32: Counts of float32.
            int8: Counts of int8.
            same: Pixels of the same class.
            pixels: Of all pixels with data.
            patches: Whose ground it was.

        Raises:
            EmptyError: If no pixel is labelled.
        """
        if not fp32.total:
            raise EmptyError(NO_LABEL)
        return Comparison(fp32, int8, same / pixels, median(self._ratios), patches)


NO_LABEL = (
    "the validation split has no labelled pixel to measure the loss on; tile with a larger one"
)


def compare(
    fp32: Segmenter, int8: Segmenter, patch_set: PatchSet, tell: Tell = lambda *_: None
) -> Comparison:
    """Run two segmenters on the validation patches, pixel by pixel.

    Raises:
        EmptyError: If there are none, or none of their pixels is labelled.
    """
    patches = patch_set.in_split("val")
    classes = len(patch_set.record.legend)
    both = Timed(fp32, int8)
    matrices = [ConfusionMatrix.zeros(classes)] * 2
    same, pixels = 0, 0
    for done, patch in enumerate(patches, start=1):
        image, mask = patch_set.read(patch)
        scores = both(image[None])[0]
        maps = [each.argmax(axis=0).astype(np.uint8) for each in np.split(scores, 2)]
        for index, predicted in enumerate(maps):
            matrices[index] += ConfusionMatrix.count(
                mask, predicted, valid=mask != IGNORE, classes=classes
            )
        valid = np.isfinite(image).all(axis=0)
        same += int((maps[0] == maps[1])[valid].sum())
        pixels += int(valid.sum())
        tell("measure", done, len(patches))
    try:
        return both.comparison(*matrices, same=same, pixels=pixels, patches=len(patches))
    except EmptyError as error:
        raise EmptyError(f"{patch_set.folder}: {error}") from error


def _measure(
    quantisation: "Quantisation",
    bundle: ModelBundle,
    patch_set: PatchSet,
    sizes: Sequence[int],
    *,
    measure: Measure | None,
    tell: Tell,
) -> tuple[dict[int, Comparison], tuple[str, ...]]:
    """Compare float32 and int8 with windows of every size, and say what could not be measured.

    Raises:
        EmptyError: If no validation pixel is labelled.
    """
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
            patches = compare(*quantisation.runtimes(), patch_set, tell)
            return {own: patches}, (f"only windows of {own} px are measured: {error}",)
        tell("measure", done, len(sizes))
    return found or {own: compare(*quantisation.runtimes(), patch_set, tell)}, ()


def check_loss(found: Mapping[int, Comparison], model: Path, *, force: bool) -> bool:
    """Whether the quantised network holds with no size of windows, and is wanted all the same.

    Raises:
        BundleError: If it holds with none, and is not forced.
    """
    if any(each.holds for each in found.values()):
        return False
    least = min(found.values(), key=lambda each: each.loss)
    if not force:
        raise BundleError(
            f"{model}: int8 loses {100 * least.loss:.2f} points of mean IoU (at most "
            f"{100 * MOST_LOSS:.1f} are accepted) and gives {least.agreement:.1%} of the pixels "
            f"the same class (at least {LEAST_AGREEMENT:.0%}): it is not kept; calibrate with more "
            f"--samples, or --force it"
        )
    return True


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


def _timed(segmenter: Segmenter, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    start = perf_counter()
    scores = segmenter(images)
    return scores, perf_counter() - start


def _check(bundle: ModelBundle, patch_set: PatchSet) -> None:
    """See that patches are what the model was made for."""
    check_patches(patch_set, bundle)
    record, where = patch_set.record, patch_set.folder
    if record.legend.names != bundle.legend.names:
        raise BundleError(
            f"{where}: its classes are {short_list(record.legend.names)}, the model has "
            f"{short_list(bundle.legend.names)}; give the patches that it was trained on"
        )
