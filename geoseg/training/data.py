"""Patches as torch takes them: which, where and how changed, the seed and epoch decide."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from geoseg.errors import TrainingError
from geoseg.labels.legend import IGNORE
from geoseg.patches.patch_set import PatchSet, Sample
from geoseg.patches.record import Patch, PatchSetRecord, PatchTable
from geoseg.text import short_list
from geoseg.training.augment import Augmentation
from geoseg.training.distributed import rank
from geoseg.training.options import TrainOptions
from geoseg.training.transforms import (
    POSITIONS,
    Bands,
    draw_warp,
    dropped,
    recolored,
    turned,
    warped,
)

MOST_OFTEN = 10.0
"""With ``rare`` no patch is taken so many times as often as if all were alike."""

LEAST_SHARE = 0.001
"""A patch has a class if at least so much of its pixels does."""

Chances = NDArray[np.float64]
"""(n,) probability of each patch to be drawn next; they add up to 1."""


def chances(text: str, names: Sequence[str], shares: NDArray[np.float64]) -> Chances:
    """How likely each patch is to be drawn.

    ``rare``: every class is as likely, and then a patch by how much it holds of all pixels of
    that class; a patch weighs ``sum over classes of share / sum of shares of all patches``,
    but is never taken more than `MOST_OFTEN` times as often as if all were alike. ``car=5``: a
    patch with cars weighs 5, one without weighs 1; of several classes that it has, the largest
    factor counts.

    Args:
        text: What the user wants.
        names: (classes,).
        shares: (n, classes) share of each class in the pixels of each patch, 0..1.

    Raises:
        TrainingError: If a class is unknown, or a factor no number above 0.

    >>> chances("rare", ["land", "car"], np.array([[1, 0], [1, 0], [0.8, 0.2]])).round(2).tolist()
    [0.18, 0.18, 0.64]
    >>> chances("car=3", ["land", "car"], np.array([[1, 0], [0.8, 0.2]])).tolist()
    [0.25, 0.75]
    """
    if text == "rare":
        sums = shares.sum(axis=0)
        return _capped((shares[:, sums > 0] / sums[sums > 0]).sum(axis=1))
    factors = _factors(text, names)
    own = np.where(shares >= LEAST_SHARE, factors, 0).max(axis=1)
    weights = np.where(own > 0, own, 1.0)
    return weights / weights.sum()


def _capped(weights: NDArray[np.float64]) -> Chances:
    """Chances by weight, the highest lowered to `MOST_OFTEN` times the mean."""
    found = weights / weights.sum()
    most = MOST_OFTEN / len(weights)
    while (over := found > most).any():
        found[over] = most
        under = found < most
        found[under] *= (1 - found[~under].sum()) / found[under].sum()
    return found


def _factors(text: str, names: Sequence[str]) -> NDArray[np.float64]:
    """(classes,) how often patches with each class are drawn; 0 for those not named."""
    factors = dict.fromkeys(names, 0.0)
    for part in text.split(","):
        name, equals, word = part.strip().rpartition("=")
        if not equals:
            raise TrainingError(
                f"--oversample {text}: is neither rare nor a list such as {names[-1]}=3"
            )
        if name not in factors:
            raise TrainingError(
                f"--oversample {text}: no class is named {name!r}; they are {short_list(names)}"
            )
        factors[name] = _number(word, text)
    return np.array(list(factors.values()))


def _number(word: str, text: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < np.inf:
        raise TrainingError(f"--oversample {text}: {word!r} is no factor, a number above 0")
    return value


def draw(
    count: int,
    rng: np.random.Generator,
    *,
    samples: int | None = None,
    likely: Chances | None = None,
) -> NDArray[np.int64]:
    """Numbers of patches in the order in which an epoch takes them.

    Every patch is taken as often as it is expected to be, rounded up or down: systematic
    sampling, which scatters less than throwing dice. Without chances and as many samples as
    patches that is once each.

    Args:
        count: How many patches there are.
        rng: Decides.
        samples: How many to take; None: as many as there are.
        likely: How likely each is to be taken; None: all alike.

    Source: Madow 1949, "On the Theory of Systematic Sampling, II".
    """
    order = rng.permutation(count)
    if likely is None and samples in {None, count}:
        return order
    taken = samples or count
    each = np.full(count, 1 / count) if likely is None else likely[order]
    ends = np.cumsum(each) / each.sum() * taken
    ends[-1] = taken  # whatever was rounded away
    places = np.searchsorted(ends, np.arange(taken) + rng.random(), side="right")
    return rng.permutation(order[places])


def repeats(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each number has been there before.

    >>> repeats(np.array([4, 7, 4, 4])).tolist()
    [0, 0, 1, 2]
    """
    order = np.argsort(numbers, kind="stable")
    ranked = numbers[order]
    first = np.searchsorted(ranked, ranked)
    found = np.empty_like(order)
    found[order] = np.arange(len(order)) - first
    return found


UP, DOWN, LEFT, RIGHT = range(4)


@dataclass(frozen=True)
class Jitter:
    """How far each window of a split may be moved: half the way to its neighbours in it.

    The neighbours cover what it comes to cover, so it stays inside the raster and on the ground
    of its split as exactly as they do. All windows together reach every position between them.
    """

    reach: NDArray[np.int32]
    """(n, 4) pixels up, down, left and right; 0 where there is no neighbour."""

    corners: NDArray[np.bool_]
    """(n, 2, 2) whether there is a neighbour above (0) or below, on the left (0) or right."""

    @classmethod
    def among(cls, patches: PatchTable) -> Self:
        """What the patches of one split let each other do."""
        jitter = cls(np.zeros((len(patches), 4), np.int32), np.zeros((len(patches), 2, 2), bool))
        for source in np.unique(patches.source):
            here = np.flatnonzero(patches.source == source)
            own = _among_one(patches.row_off[here], patches.col_off[here], patches.size)
            jitter.reach[here], jitter.corners[here] = own.reach, own.corners
        return jitter

    def moved(self, patch: Patch, number: int, rng: np.random.Generator) -> Patch:
        """A patch somewhere near its place.

        Args:
            patch: On the window grid.
            number: Its place among the patches.
            rng: Decides.
        """
        up, down, left, right = (self.reach[number] // 2).tolist()
        rows, cols = (int(rng.integers(-back, on + 1)) for back, on in ((up, down), (left, right)))
        straight = bool(rng.integers(2))
        if rows and cols and not self.corners[number, int(rows > 0), int(cols > 0)]:
            rows, cols = (rows, 0) if straight else (0, cols)
        return replace(patch, window=patch.window.moved(rows, cols))


def _among_one(rows: NDArray[np.int32], cols: NDArray[np.int32], size: int) -> Jitter:
    """Of the windows of one source, by their offsets, (n,) each."""
    heights, row = np.unique(rows, return_inverse=True)
    widths, col = np.unique(cols, return_inverse=True)
    places = np.sort(row * (len(widths) + 2) + col)

    def steps(down: int, right: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How far the neighbour is, in rows and columns; 0 where there is none."""
        there = np.clip(row + down, 0, len(heights) - 1), np.clip(col + right, 0, len(widths) - 1)
        wanted = there[0] * (len(widths) + 2) + there[1]
        found = places[np.searchsorted(places, wanted).clip(max=len(places) - 1)] == wanted
        distance = abs(heights[there[0]] - rows), abs(widths[there[1]] - cols)
        near = found & (distance[0] <= size) & (distance[1] <= size)
        return near * distance[0], near * distance[1]

    straight = [steps(-1, 0)[0], steps(1, 0)[0], steps(0, -1)[1], steps(0, 1)[1]]
    corners = [[np.minimum(*steps(down, right)) > 0 for right in (-1, 1)] for down in (-1, 1)]
    return Jitter(np.stack(straight, axis=1).astype(np.int32), np.moveaxis(np.array(corners), 2, 0))


NOTHING = -1
"""Number of a patch that has neither data nor labels."""


class Ticket(NamedTuple):
    """With the seed, all that a sample depends on."""

    epoch: int
    number: int
    """Of the patch."""

    repeat: int = 0
    """How often the epoch has taken the patch before."""


class PatchDataset(Dataset[tuple[Tensor, Tensor]]):
    """The patches of a split."""

    def __init__(
        self,
        patch_set: PatchSet,
        patches: Sequence[Patch],
        *,
        augment: str,
        seed: int,
        jitter: bool = False,
    ) -> None:
        """Say how patches are read.

        Args:
            patch_set: Of the patches.
            patches: Of one split.
            augment: As `Augmentation.parse` takes it.
            seed: Decides, with the ticket.
            jitter: Whether windows are moved off the window grid.

        Raises:
            TrainingError: If the patches do not allow it.
        """
        self.patch_set = patch_set
        self.patches = patches
        self.augmentation = Augmentation.parse(augment)
        self.seed = seed
        self.bands: Bands | None = None
        if self.augmentation.recolors:
            self.bands = _known_bands(self.augmentation, patch_set.record)
        self.jitter = _make_jitter(patch_set, patches) if jitter else None

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, ticket: Ticket) -> tuple[Tensor, Tensor]:
        """(bands, size, size) float32, NaN without data, and (size, size) int64 classes."""
        if ticket.number == NOTHING:
            size = self.patch_set.record.size
            empty = torch.full((self.patch_set.record.bands, size, size), torch.nan)
            return empty, torch.full((size, size), IGNORE)
        rng = np.random.default_rng((self.seed, *ticket))
        patch = self.patches[ticket.number]
        if self.jitter is not None:
            patch = self.jitter.moved(patch, ticket.number, rng)
        image, mask = self._changed(self.patch_set.read(patch), rng)
        return torch.from_numpy(image), torch.from_numpy(mask.astype(np.int64))

    def _changed(self, sample: Sample, rng: np.random.Generator) -> Sample:
        own = self.augmentation
        sample = turned(sample, int(rng.choice(POSITIONS[own.positions])))
        if own.warps:
            sample = warped(sample, draw_warp(own, rng))
        image, mask = sample
        if self.bands is not None:
            image = recolored(image, own, self.bands, rng)
        return Sample(dropped(image, own, rng), mask)


def _known_bands(own: Augmentation, record: PatchSetRecord) -> Bands:
    bands = Bands.of(record)
    if own.saturation and bands.visible is None and "saturation" not in own.unasked:
        raise TrainingError(
            f"--augment saturation: needs bands named red, green and blue, and the patches have "
            f"{short_list(record.band_names)}"
        )
    return bands


def _make_jitter(patch_set: PatchSet, patches: Sequence[Patch]) -> Jitter:
    if patch_set.record.storage != "index":
        raise TrainingError(
            f"{patch_set.folder}: --jitter reads windows from the orthophotos, and these patches "
            f"are cut out already; tile with --index-only"
        )
    return Jitter.among(PatchTable.of(patches, size=patch_set.record.size))


class EpochSampler(Sampler[Ticket]):
    """Tickets for patches, drawn anew in every epoch; Lightning says which it is.

    Several processes take them in turns, so that their batches together are those of one.
    """

    def __init__(
        self,
        count: int,
        *,
        seed: int,
        shuffle: bool,
        samples: int | None = None,
        likely: Chances | None = None,
        turn: tuple[int, int] = (0, 1),
        first_epoch: int = 0,
    ) -> None:
        """Say what is drawn.

        Args:
            count: How many patches there are.
            seed: Decides, with the epoch.
            shuffle: Whether the order is random; if not, every patch comes once, in order.
            samples: How many an epoch takes; None: as many as there are.
            likely: How likely each patch is to be taken; None: all alike.
            turn: Number of this process, and how many there are. In training all get equally
                many, and what is left over is left out; in validation it is filled up with
                patches of nothing.
            first_epoch: Epoch of the first iteration. Lightning begins to iterate before it
                sets the epoch, and reading processes fetch at once: a resumed training
                would begin with samples of epoch 0.
        """
        self.turn = turn
        self.count = count
        self.seed = seed
        self.shuffle = shuffle
        self.samples = samples
        self.likely = likely
        self.epoch = first_epoch

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        own, (_, processes) = self.samples or self.count, self.turn
        return own // processes if self.shuffle else -(-own // processes)

    def __iter__(self) -> Iterator[Ticket]:
        number, processes = self.turn
        nothing = repeat(Ticket(self.epoch, NOTHING))
        return islice(chain(self._all(), nothing), number, len(self) * processes, processes)

    def _all(self) -> Iterator[Ticket]:
        if not self.shuffle:
            return (Ticket(self.epoch, number) for number in range(self.count))
        rng = np.random.default_rng((self.seed, self.epoch))
        numbers = draw(self.count, rng, samples=self.samples, likely=self.likely)
        pairs = zip(numbers, repeats(numbers), strict=True)
        return (Ticket(self.epoch, int(number), int(again)) for number, again in pairs)


class TrainingSamples:
    """The patches to train on, sampled and changed as the options say."""

    def __init__(
        self, patch_set: PatchSet, patches: Sequence[Patch], options: TrainOptions
    ) -> None:
        """Find out what each patch may become and how likely it is.

        Raises:
            TrainingError: If the patches do not allow it.
        """
        jitter = options.jitter
        if jitter is None:
            jitter = patch_set.record.storage == "index"
        self.dataset = PatchDataset(
            patch_set, patches, augment=options.augment, seed=options.seed, jitter=jitter
        )
        self._likely: Chances | None = None
        if options.oversample is not None:
            shares = PatchTable.of(patches, size=patch_set.record.size).class_shares
            self._likely = chances(options.oversample, patch_set.record.legend.names, shares)
        self._samples = options.samples_per_epoch
        self._turn = (rank(), options.devices)

    def loader(
        self, *, batch_size: int, workers: int, first_epoch: int = 0
    ) -> DataLoader[tuple[Tensor, Tensor]]:
        """Batches of them, from an epoch on."""
        return make_loader(
            self.dataset,
            batch_size=batch_size,
            shuffle=True,
            workers=workers,
            samples=self._samples,
            likely=self._likely,
            turn=self._turn,
            first_epoch=first_epoch,
        )


def make_loader(
    dataset: PatchDataset,
    *,
    batch_size: int,
    shuffle: bool,
    workers: int,
    samples: int | None = None,
    likely: Chances | None = None,
    turn: tuple[int, int] = (0, 1),
    first_epoch: int = 0,
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches of a split; in training a last one that is not full is left out."""
    sampler = EpochSampler(
        len(dataset),
        seed=dataset.seed,
        shuffle=shuffle,
        samples=samples,
        likely=likely,
        turn=turn,
        first_epoch=first_epoch,
    )
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        drop_last=shuffle and len(sampler) > batch_size,
        pin_memory=torch.cuda.is_available(),
    )
