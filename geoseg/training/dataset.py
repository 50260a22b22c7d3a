"""Patches as torch takes them: in an order and a position that the seed and epoch decide."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from geoseg.io.patch_record import Patch
from geoseg.io.patches import PatchSet, Sample
from geoseg.training.options import Augment

POSITIONS: dict[Augment, tuple[int, ...]] = {
    "none": (0,),
    "flips": (0, 2, 4, 6),
    "d4": tuple(range(8)),
}
"""Positions of a square that each kind of augmentation chooses from; see `turned`."""

Ticket = tuple[int, int]
"""Epoch and number of a patch: with the seed, all that a sample depends on."""


class PatchDataset(Dataset[tuple[Tensor, Tensor]]):
    """The patches of a split."""

    def __init__(
        self, patch_set: PatchSet, patches: Sequence[Patch], *, augment: Augment, seed: int
    ) -> None:
        self.patch_set = patch_set
        self.patches = patches
        self.augment = augment
        self.seed = seed

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, ticket: Ticket) -> tuple[Tensor, Tensor]:
        """(bands, size, size) float32, NaN without data, and (size, size) int64 classes."""
        epoch, number = ticket
        rng = np.random.default_rng((self.seed, epoch, number))
        position = int(rng.choice(POSITIONS[self.augment]))
        image, mask = turned(self.patch_set.read(self.patches[number]), position)
        return torch.from_numpy(image), torch.from_numpy(mask.astype(np.int64))


def turned(sample: Sample, position: int) -> Sample:
    """A sample in one of the eight positions of a square.

    Args:
        sample: As read.
        position: 0..7; the remainder by 4 is the number of quarter turns, and from 4 on the
            sample is mirrored first.
    """
    image, mask = sample
    if position >= 4:  # noqa: PLR2004 mirrored
        image, mask = image[..., ::-1], mask[..., ::-1]
    turns = position % 4
    image, mask = np.rot90(image, turns, (-2, -1)), np.rot90(mask, turns)
    return Sample(np.ascontiguousarray(image), np.ascontiguousarray(mask))


class EpochSampler(Sampler[Ticket]):
    """Numbers of patches, shuffled anew in every epoch; Lightning says which it is."""

    def __init__(self, count: int, *, seed: int, shuffle: bool) -> None:
        self.count = count
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Ticket]:
        order: NDArray[np.int64] = np.arange(self.count)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)
        return ((self.epoch, int(number)) for number in order)


def make_loader(
    dataset: PatchDataset, *, batch_size: int, shuffle: bool, workers: int
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches of a split; in training a last one that is not full is left out."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(len(dataset), seed=dataset.seed, shuffle=shuffle),
        num_workers=workers,
        persistent_workers=workers > 0,
        drop_last=shuffle and len(dataset) > batch_size,
        pin_memory=torch.cuda.is_available(),
    )
