"""Dataset, sampler and loader of patches; seed and epoch decide order, place and augmentation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from geoseg.errors import TrainingError
from geoseg.labels.legend import IGNORE
from geoseg.patches.joined import JoinedPatchSet
from geoseg.patches.patch_set import PatchSet, Sample
from geoseg.patches.record import Patch, PatchSetRecord, PatchTable
from geoseg.raster.lists import find_rasters
from geoseg.text import short_list
from geoseg.training.augment import (
    SYMMETRIES,
    Augmentation,
    BandStatistics,
    apply_affine,
    color_jitter,
    draw_affine,
    erase,
    rotate_flip,
)
from geoseg.training.distributed import rank
from geoseg.training.losses import numbers_by_class
from geoseg.training.options import TrainOptions
from geoseg.training.unlabelled import UnlabelledPatches

MAX_OVERSAMPLING_FACTOR = 10.0
"""Upper bound of ``rare`` on how often a patch is drawn, relative to uniform sampling."""

MIN_CLASS_SHARE = 0.001
"""Share of a patch's pixels from which the patch contains a class."""

Probabilities = NDArray[np.float64]
"""(n,) probability of each patch to be drawn next; the sum is 1."""


def draw_probabilities(
    text: str, names: Sequence[str], shares: NDArray[np.float64]
) -> Probabilities:
    """The probability of each patch to be drawn.

    ``rare``: classes are drawn alike, then a patch by its share of all pixels of the class. The
    weight of a patch is ``sum over classes of share / sum of shares of all patches``, at most
    `MAX_OVERSAMPLING_FACTOR` times the mean. ``car=5``: a patch with cars has weight 5, one without
    weight 1; the largest factor of its classes counts.

    Args:
        text: Value of `--oversample`.
        names: (classes,) class names.
        shares: (n, classes) share of each class in the pixels of each patch, 0..1.

    Raises:
        TrainingError: If a class is unknown, or a factor is not a number above 0.

    >>> rare = draw_probabilities("rare", ["land", "car"], np.array([[1, 0], [1, 0], [0.8, 0.2]]))
    >>> rare.round(2).tolist()
    [0.18, 0.18, 0.64]
    >>> draw_probabilities("car=3", ["land", "car"], np.array([[1, 0], [0.8, 0.2]])).tolist()
    [0.25, 0.75]
    """
    if text == "rare":
        sums = shares.sum(axis=0)
        return _capped((shares[:, sums > 0] / sums[sums > 0]).sum(axis=1))
    factors = numbers_by_class(
        f"--oversample {text}", text, names, default=0.0, rules=("rare",), above_zero=True
    )
    own = np.where(shares >= MIN_CLASS_SHARE, factors, 0).max(axis=1)
    weights = np.where(own > 0, own, 1.0)
    return weights / weights.sum()


def shared_out(
    likely: Probabilities | None, members: NDArray[np.int64], weights: Sequence[float]
) -> Probabilities:
    """Probabilities of which each patch set has its share.

    Args:
        likely: Probability of each patch; None: uniform.
        members: (n,) number of the set of each patch.
        weights: Share of each set.

    >>> shared_out(None, np.array([0, 0, 0, 1]), [0.4, 0.6]).round(2).tolist()
    [0.13, 0.13, 0.13, 0.6]
    """
    each = np.ones(len(members)) if likely is None else likely
    sums = np.bincount(members, each, minlength=len(weights))
    shared: Probabilities = each * np.asarray(weights)[members] / sums[members]
    return shared / shared.sum()


def with_unlabelled(likely: Probabilities | None, labelled: int, unlabelled: int) -> Probabilities:
    """Probabilities of which patches without labels have half, behind those with labels.

    Args:
        likely: Probability of each labelled patch; None: uniform.
        labelled: Number of patches with labels.
        unlabelled: Number of patches without.

    >>> with_unlabelled(None, 2, 4).tolist()
    [0.25, 0.25, 0.125, 0.125, 0.125, 0.125]
    """
    each = np.full(labelled, 1 / labelled) if likely is None else likely
    return np.concatenate([each / 2, np.full(unlabelled, 0.5 / unlabelled)])


def _capped(weights: NDArray[np.float64]) -> Probabilities:
    """Probabilities by weight, each at most `MAX_OVERSAMPLING_FACTOR` times the mean."""
    found = weights / weights.sum()
    most = MAX_OVERSAMPLING_FACTOR / len(weights)
    while (over := found > most).any():
        found[over] = most
        under = found < most
        found[under] *= (1 - found[~under].sum()) / found[under].sum()
    return found


def draw_epoch(
    count: int,
    rng: np.random.Generator,
    *,
    samples: int | None = None,
    likely: Probabilities | None = None,
) -> NDArray[np.int64]:
    """Numbers of the patches of an epoch, in random order; by default each once.

    Systematic sampling: each patch is drawn its expected number of times, rounded up or down, where
    independent draws (torch's WeightedRandomSampler) miss a third of the patches in an epoch.
    Uniform, with as many samples as patches, each is drawn once.

    Source: Madow 1949, "On the Theory of Systematic Sampling, II".
    """
    order = rng.permutation(count)
    if likely is None and samples in {None, count}:
        return order
    taken = samples or count
    each = np.full(count, 1 / count) if likely is None else likely[order]
    ends = np.cumsum(each) / each.sum() * taken
    ends[-1] = taken  # undo rounding
    places = np.searchsorted(ends, np.arange(taken) + rng.random(), side="right")
    return rng.permutation(order[places])


def occurrence_numbers(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each number has occurred before.

    >>> occurrence_numbers(np.array([4, 7, 4, 4])).tolist()
    [0, 0, 1, 2]
    """
    order = np.argsort(numbers, kind="stable")
    ranked = numbers[order]
    first = np.searchsorted(ranked, ranked)
    found = np.empty_like(order)
    found[order] = np.arange(len(order)) - first
    return found


@dataclass(frozen=True)
class Jitter:
    """How far each window of a split may move: half way to its neighbours in the split.

    A moved window covers ground of itself and its neighbours only, so it stays inside the raster
    and the split. Together the windows reach every position between them.
    """

    reach: NDArray[np.int32]
    """(n, 4) pixels to the neighbour above, below, left and right; 0 without one."""

    corners: NDArray[np.bool_]
    """(n, 2, 2) whether there is a diagonal neighbour: above (0) or below, left (0) or right."""

    @classmethod
    def of_split(cls, patches: PatchTable) -> Self:
        """The reach of the patches of one split."""
        jitter = cls(np.zeros((len(patches), 4), np.int32), np.zeros((len(patches), 2, 2), bool))
        for source in np.unique(patches.source):
            here = np.flatnonzero(patches.source == source)
            jitter.reach[here], jitter.corners[here] = _of_source(
                patches.row_off[here], patches.col_off[here], patches.size
            )
        return jitter

    def moved(self, patch: Patch, number: int, rng: np.random.Generator) -> Patch:
        """The patch of a number, at a random position within its reach."""
        up, down, left, right = (self.reach[number] // 2).tolist()
        rows, cols = (int(rng.integers(-back, on + 1)) for back, on in ((up, down), (left, right)))
        straight = bool(rng.integers(2))
        if rows and cols and not self.corners[number, int(rows > 0), int(cols > 0)]:
            rows, cols = (rows, 0) if straight else (0, cols)
        return replace(patch, window=patch.window.moved(rows, cols))


def _of_source(
    rows: NDArray[np.int32], cols: NDArray[np.int32], size: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Reach and corners of the windows of one source, from their (n,) offsets."""
    heights, row = np.unique(rows, return_inverse=True)
    widths, col = np.unique(cols, return_inverse=True)
    places = np.sort(row * (len(widths) + 2) + col)

    def steps(down: int, right: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Distance to the neighbour in rows and columns; 0 without one."""
        there = np.clip(row + down, 0, len(heights) - 1), np.clip(col + right, 0, len(widths) - 1)
        wanted = there[0] * (len(widths) + 2) + there[1]
        found = places[np.searchsorted(places, wanted).clip(max=len(places) - 1)] == wanted
        distance = abs(heights[there[0]] - rows), abs(widths[there[1]] - cols)
        near = found & (distance[0] <= size) & (distance[1] <= size)
        return near * distance[0], near * distance[1]

    straight = [steps(-1, 0)[0], steps(1, 0)[0], steps(0, -1)[1], steps(0, 1)[1]]
    corners = [[np.minimum(*steps(down, right)) > 0 for right in (-1, 1)] for down in (-1, 1)]
    return np.stack(straight, axis=1).astype(np.int32), np.moveaxis(np.array(corners), 2, 0)


EMPTY_PATCH = -1
"""Number that stands for a patch without data and labels."""


class SampleKey(NamedTuple):
    """Epoch, from 0, patch, and how often the epoch has drawn it before."""

    epoch: int
    number: int
    repeat: int = 0


class PatchDataset(Dataset[tuple[Tensor, Tensor]]):
    """Augmented patches of a split, by `SampleKey`."""

    def __init__(
        self,
        patch_set: PatchSet,
        patches: Sequence[Patch],
        *,
        augment: str,
        seed: int,
        jitter: bool = False,
    ) -> None:
        """Set up the dataset of the patches of one split; the seed is of augmentation and jitter.

        Raises:
            TrainingError: If the patches lack bands or storage for it.
        """
        self.patch_set = patch_set
        self.patches = patches
        self.augmentation = Augmentation.parse(augment)
        self.seed = seed
        self.bands: BandStatistics | None = None
        if self.augmentation.changes_values:
            self.bands = _known_bands(self.augmentation, patch_set.record)
        self.jitter = _make_jitter(patch_set, patches) if jitter else None

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, Tensor]:
        """(bands, size, size) float32, NaN without data, and (size, size) int64 classes."""
        if key.number == EMPTY_PATCH:
            size = self.patch_set.record.size
            empty = torch.full((self.patch_set.record.bands, size, size), torch.nan)
            return empty, torch.full((size, size), IGNORE)
        rng = np.random.default_rng((self.seed, *key))
        patch = self.patches[key.number]
        if self.jitter is not None:
            patch = self.jitter.moved(patch, key.number, rng)
        image, mask = self._augment(self.patch_set.read(patch), rng)
        return torch.from_numpy(image), torch.from_numpy(mask.astype(np.int64))

    def _augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        own = self.augmentation
        sample = rotate_flip(sample, int(rng.choice(SYMMETRIES[own.symmetries])))
        if own.is_geometric:
            sample = apply_affine(sample, draw_affine(own, rng))
        image, mask = sample
        if self.bands is not None:
            image = color_jitter(image, own, self.bands, rng)
        return Sample(erase(image, own, rng), mask)


def _known_bands(own: Augmentation, record: PatchSetRecord) -> BandStatistics:
    bands = BandStatistics.of(record)
    if own.saturation and bands.rgb is None and "saturation" not in own.from_preset:
        raise TrainingError(
            f"--augment saturation: needs bands named red, green and blue; the patches have "
            f"{short_list(record.band_names)}"
        )
    return bands


def _make_jitter(patch_set: PatchSet, patches: Sequence[Patch]) -> Jitter:
    if patch_set.record.storage != "index":
        raise TrainingError(
            f"{patch_set.folder}: --jitter reads windows from the orthophotos, and these patches "
            f"are cut out already; tile with --index-only"
        )
    return Jitter.of_split(PatchTable.of(patches, size=patch_set.record.size))


class EpochSampler(Sampler[SampleKey]):
    """Sample keys, drawn anew in every epoch.

    Several processes take every n-th key, so that their batches together are those of one process.
    """

    def __init__(
        self,
        count: int,
        *,
        seed: int,
        shuffle: bool,
        samples: int | None = None,
        likely: Probabilities | None = None,
        shard: tuple[int, int] = (0, 1),
        first_epoch: int = 0,
    ) -> None:
        """Set up the sampler.

        Args:
            count: Number of patches.
            seed: Seed of the order, with the epoch.
            shuffle: Whether the order is random; if not, every patch comes once, in order.
            samples: Samples of an epoch; None: as many as patches.
            likely: Probability of each patch; None: uniform.
            shard: Rank of this process, and number of processes. Training drops the keys that
                cannot be shared evenly; validation fills up with empty patches.
            first_epoch: Epoch of the first iteration. Lightning iterates before it sets the epoch,
                and workers fetch at once: without it, a resumed training would begin with
                samples of epoch 0.
        """
        self.shard, self.count, self.seed, self.shuffle = shard, count, seed, shuffle
        self.samples, self.likely, self.epoch = samples, likely, first_epoch

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls it before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        own, (_, processes) = self.samples or self.count, self.shard
        return own // processes if self.shuffle else -(-own // processes)

    def __iter__(self) -> Iterator[SampleKey]:
        number, processes = self.shard
        nothing = repeat(SampleKey(self.epoch, EMPTY_PATCH))
        return islice(chain(self._all(), nothing), number, len(self) * processes, processes)

    def _all(self) -> Iterator[SampleKey]:
        if not self.shuffle:
            return (SampleKey(self.epoch, number) for number in range(self.count))
        rng = np.random.default_rng((self.seed, self.epoch))
        numbers = draw_epoch(self.count, rng, samples=self.samples, likely=self.likely)
        pairs = zip(numbers, occurrence_numbers(numbers), strict=True)
        return (SampleKey(self.epoch, int(number), int(again)) for number, again in pairs)


class TrainingSamples:
    """Training patches, sampled and augmented by the options."""

    def __init__(self, patch_set: PatchSet, options: TrainOptions) -> None:
        """Set up the dataset and the probabilities of its patches.

        Raises:
            TrainingError: If the patches lack bands, classes or storage for it, or an unlabelled
                orthophoto is not like theirs.
        """
        patches = patch_set.in_split("train")
        likely: Probabilities | None = None
        if options.oversample is not None:
            names = patch_set.record.legend.names
            likely = draw_probabilities(options.oversample, names, patches.class_shares)
        if options.weights is not None:
            likely = shared_out(likely, patch_set.member_of(patches), options.weights)
        self.unlabelled: UnlabelledPatches | None = None
        samples, validation = options.samples_per_epoch, len(patch_set.in_split("val"))
        if options.unlabelled:
            orthos = find_rasters(options.unlabelled)  # a preview takes options as they are named
            self.unlabelled = UnlabelledPatches.survey(orthos, patch_set.record)
            patch_set = JoinedPatchSet([*patch_set.parts, self.unlabelled])
            samples = samples or 2 * len(patches)
            likely = with_unlabelled(likely, len(patches), len(self.unlabelled.patches))
        jitter = options.jitter
        if jitter is None:
            jitter = patch_set.record.storage == "index"
        self.dataset = PatchDataset(
            patch_set,
            patch_set.in_split("train"),
            augment=options.augment,
            seed=options.seed,
            jitter=jitter,
        )
        self.warnings = self._warnings(patch_set, validation)
        self._sampling: dict[str, Any] = {
            "samples": samples,
            "likely": likely,
            "shard": (rank(), options.devices),
        }

    @property
    def unlabelled_windows(self) -> int:
        """Number of windows without labels."""
        return 0 if self.unlabelled is None else len(self.unlabelled.patches)

    @property
    def contents(self) -> list[str | None]:
        """By which the pixels of the orthophotos without labels are known."""
        return [] if self.unlabelled is None else self.unlabelled.contents

    def _warnings(self, joined: PatchSet, validation: int) -> list[str]:
        """Doubts about orthophotos without labels, and what of validation lies on them."""
        if self.unlabelled is None:
            return []
        seen = validation - len(joined.in_split("val"))
        told = (
            f"{seen} of {validation} validation patches lie on ground of --unlabelled: the best "
            f"epoch, calibration and thresholds come from ground that the model has seen"
        )
        return [*self.unlabelled.notes, *([told] if seen else [])]

    def loader(self, **how: Any) -> DataLoader[tuple[Tensor, Tensor]]:
        """Batches, see `make_loader`."""
        return make_loader(self.dataset, shuffle=True, **self._sampling, **how)


def make_loader(
    dataset: PatchDataset, *, batch_size: int, workers: int, shuffle: bool, **sampling: Any
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches of a split, sampled by `EpochSampler`; training drops the last unless it is full."""
    sampler = EpochSampler(len(dataset), seed=dataset.seed, shuffle=shuffle, **sampling)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        drop_last=shuffle and len(sampler) > batch_size,
        pin_memory=torch.cuda.is_available(),
    )
