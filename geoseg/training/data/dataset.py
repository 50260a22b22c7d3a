"""Patches as torch takes them: which, where and how changed, the seed and epoch decide."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice, repeat
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from geoseg.core.columns import in_short
from geoseg.core.scores import IGNORE
from geoseg.errors import TrainingError
from geoseg.io.patch_record import Patch, PatchSetRecord
from geoseg.io.patch_table import PatchTable
from geoseg.io.patches import PatchSet, Sample
from geoseg.training.augmentation.geometry import POSITIONS, draw_warp, turned, warped
from geoseg.training.augmentation.radiometry import Bands, dropped, recolored
from geoseg.training.augmentation.recipe import Augmentation
from geoseg.training.data.jitter import Jitter
from geoseg.training.data.sampling import Chances, chances, draw, repeats
from geoseg.training.options import TrainOptions
from geoseg.training.ranks import rank

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
            jitter: Whether windows are moved off their lattice.

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
            f"{in_short(record.band_names)}"
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
