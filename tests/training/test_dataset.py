from itertools import islice

import numpy as np
import pytest
import torch

from geoseg.io.patches import Sample
from geoseg.training.dataset import POSITIONS, EpochSampler, PatchDataset, make_loader, turned

SQUARE = np.array([[1, 2], [3, 4]], np.uint8)
IN_ALL_POSITIONS = [
    [[1, 2], [3, 4]],
    [[2, 4], [1, 3]],
    [[4, 3], [2, 1]],
    [[3, 1], [4, 2]],
    [[2, 1], [4, 3]],
    [[1, 3], [2, 4]],
    [[3, 4], [1, 2]],
    [[4, 2], [3, 1]],
]


class Patches:
    """Patches whose pixels say which patch they are, and where in it."""

    def read(self, patch):
        square = SQUARE + 10 * patch
        return Sample(np.stack([square, square]).astype(np.float32), square)


def dataset(count=4, augment="d4", seed=0):
    return PatchDataset(Patches(), range(count), augment=augment, seed=seed)


def tickets(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("position", range(8))
def test_picture_and_mask_turn_together(position):
    image, mask = turned(Patches().read(0), position)

    assert mask.tolist() == IN_ALL_POSITIONS[position]
    assert image.tolist() == [mask.tolist()] * 2


def test_flips_are_mirror_images_and_half_turns():
    found = [turned(Patches().read(0), position).mask.tolist() for position in POSITIONS["flips"]]

    rows, cols = SQUARE[::-1], SQUARE[:, ::-1]
    assert sorted(found) == sorted(
        each.tolist() for each in (SQUARE, rows, cols, SQUARE[::-1, ::-1])
    )


@pytest.mark.parametrize(("augment", "positions"), [("none", 1), ("flips", 4), ("d4", 8)])
def test_over_many_epochs_every_position_occurs_and_no_other(augment, positions):
    patches = dataset(augment=augment)

    seen = {str(patches[epoch, 0][1].tolist()) for epoch in range(100)}

    allowed = {str(IN_ALL_POSITIONS[position]) for position in POSITIONS[augment]}
    assert seen == allowed
    assert len(seen) == positions


def test_seed_epoch_and_number_decide_a_sample():
    one, same, other = dataset(), dataset(), dataset(seed=1)
    asked = [(epoch, number) for epoch in range(10) for number in range(4)]

    assert all(torch.equal(one[each][0], same[each][0]) for each in asked)
    assert not all(torch.equal(one[each][0], other[each][0]) for each in asked)


def test_samples_are_floats_and_classes_that_losses_take():
    image, mask = dataset()[0, 3]

    assert (image.shape, image.dtype) == ((2, 2, 2), torch.float32)
    assert (mask.shape, mask.dtype) == ((2, 2), torch.int64)


def test_an_epoch_takes_every_patch_once_in_an_order_of_its_own():
    sampler = EpochSampler(20, seed=0, shuffle=True)

    first, second = tickets(sampler, 0), tickets(sampler, 1)

    assert sorted(first) == [(0, number) for number in range(20)]
    assert sorted(second) == [(1, number) for number in range(20)]
    assert [number for _, number in first] != [number for _, number in second]
    assert len(sampler) == 20


def test_the_order_of_an_epoch_does_not_depend_on_earlier_ones():
    went_on, resumed = (EpochSampler(20, seed=0, shuffle=True) for _ in range(2))
    for epoch in range(3):
        tickets(went_on, epoch)

    assert tickets(went_on, 3) == tickets(resumed, 3)


def test_validation_keeps_the_order_of_the_patches():
    sampler = EpochSampler(4, seed=0, shuffle=False)

    assert tickets(sampler, 5) == [(5, 0), (5, 1), (5, 2), (5, 3)]


@pytest.mark.parametrize(
    ("count", "shuffle", "sizes"),
    [
        (7, True, [3, 3]),  # a last batch that is not full is left out in training
        (2, True, [2]),  # unless there is no other
        (3, True, [3]),
        (7, False, [3, 3, 1]),  # never in validation
    ],
)
def test_batches_of_a_split(count, shuffle, sizes):
    loader = make_loader(dataset(count), batch_size=3, shuffle=shuffle, workers=0)

    assert [len(masks) for _, masks in loader] == sizes


def test_a_reading_process_gives_the_same_batches():
    here, there = (
        make_loader(dataset(6), batch_size=2, shuffle=True, workers=workers) for workers in (0, 1)
    )

    for mine, theirs in islice(zip(here, there, strict=True), 3):
        assert torch.equal(mine[0], theirs[0])
        assert torch.equal(mine[1], theirs[1])
