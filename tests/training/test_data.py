from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from geoseg.errors import TrainingError
from geoseg.patches.patch_set import PatchSet, Sample
from geoseg.training.augment import SYMMETRIES, rotate_flip
from geoseg.training.data import EpochSampler, PatchDataset, SampleKey, TrainingSamples, make_loader
from geoseg.training.options import TrainOptions

SQUARE = np.array([[1, 2], [3, 4]], np.uint8)
IN_ALL_POSITIONS = [rotate_flip(Sample(SQUARE, SQUARE), each).mask.tolist() for each in range(8)]


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


@pytest.mark.parametrize(("augment", "positions"), [("none", 1), ("flips", 4), ("d4", 8)])
def test_over_many_epochs_every_position_occurs_and_no_other(augment, positions):
    patches = dataset(augment=augment)

    seen = {str(patches[SampleKey(epoch, 0)][1].tolist()) for epoch in range(100)}

    allowed = {str(IN_ALL_POSITIONS[position]) for position in SYMMETRIES[augment]}
    assert seen == allowed
    assert len(seen) == positions


def test_seed_epoch_and_number_decide_a_sample():
    one, same, other = dataset(), dataset(), dataset(seed=1)
    asked = [SampleKey(epoch, number) for epoch in range(10) for number in range(4)]

    assert all(torch.equal(one[each][0], same[each][0]) for each in asked)
    assert not all(torch.equal(one[each][0], other[each][0]) for each in asked)


def test_samples_are_floats_and_classes_that_losses_take():
    image, mask = dataset()[SampleKey(0, 3)]

    assert (image.shape, image.dtype) == ((2, 2, 2), torch.float32)
    assert (mask.shape, mask.dtype) == ((2, 2), torch.int64)


def test_an_epoch_takes_every_patch_once_in_an_order_of_its_own():
    sampler = EpochSampler(20, seed=0, shuffle=True)

    first, second = tickets(sampler, 0), tickets(sampler, 1)

    assert sorted(first) == [(0, number, 0) for number in range(20)]
    assert sorted(second) == [(1, number, 0) for number in range(20)]
    assert [ticket.number for ticket in first] != [ticket.number for ticket in second]
    assert len(sampler) == 20


def test_the_order_of_an_epoch_does_not_depend_on_earlier_ones():
    went_on, resumed = (EpochSampler(20, seed=0, shuffle=True) for _ in range(2))
    for epoch in range(3):
        tickets(went_on, epoch)

    assert tickets(went_on, 3) == tickets(resumed, 3)


@pytest.mark.parametrize("workers", [0, 2])
def test_reading_processes_that_fetch_before_the_epoch_is_set_take_its_samples(workers):
    common = {"batch_size": 3, "shuffle": True, "workers": workers}
    resumed = make_loader(dataset(12), first_epoch=3, **common)
    whole = make_loader(dataset(12), **{**common, "workers": 0})
    whole.sampler.set_epoch(3)

    fetching = iter(resumed)  # as Lightning does, which sets the epoch afterwards
    resumed.sampler.set_epoch(3)

    for ours, theirs in zip(fetching, whole, strict=True):
        assert torch.equal(ours[0], theirs[0])


def test_validation_keeps_the_order_of_the_patches():
    sampler = EpochSampler(4, seed=0, shuffle=False)

    assert tickets(sampler, 5) == [(5, 0, 0), (5, 1, 0), (5, 2, 0), (5, 3, 0)]


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


def test_what_an_epoch_takes_again_is_changed_otherwise():
    sampler = EpochSampler(2, seed=0, shuffle=True, samples=100)
    patches = dataset(2)

    seen = [patches[ticket][1].flatten().tolist() for ticket in tickets(sampler, 0)]

    assert len(sampler) == len(seen) == 100
    assert len({str(each) for each in seen}) == 16  # two patches in eight positions


@pytest.fixture(scope="module")
def index(make_patches):
    """Patches that stay in the orthophoto, with every change that a patch can undergo."""
    folder = make_patches(storage="index", stride=16, split_block=64)
    return PatchSet.open(folder)


EVERYTHING = TrainOptions(
    augment="strong,noise:0.1,crop,band-dropout",
    jitter=True,
    oversample="rare",
    samples_per_epoch=12,
)


def batches(patch_set, options, workers=0):
    loader = TrainingSamples(patch_set, options).loader(batch_size=4, workers=workers)
    loader.sampler.set_epoch(3)
    return list(loader)


def test_the_seed_decides_everything_wherever_patches_are_read(index):
    here, there = batches(index, EVERYTHING), batches(index, EVERYTHING, workers=1)
    other = batches(index, replace(EVERYTHING, seed=1))

    assert len(here) == 3
    for (images, masks), (others, classes) in zip(here, there, strict=True):
        assert torch.equal(images.nan_to_num(-1), others.nan_to_num(-1))
        assert torch.equal(masks, classes)
    assert not torch.equal(here[0][0].nan_to_num(-1), other[0][0].nan_to_num(-1))


def test_windows_are_moved_and_stay_on_the_ground_of_their_split(index):
    patches = index.in_split("train")
    ground = np.zeros((128, 160), bool)
    for patch in patches:
        ground[patch.window.slices] = True
    asked = []
    index_read, index.read = (
        index.read,
        lambda patch: asked.append(patch.window) or index_read(patch),
    )
    jittered = PatchDataset(index, patches, augment="none", seed=0, jitter=True)

    for epoch in range(5):
        for number in range(len(patches)):
            jittered[SampleKey(epoch, number)]
    del index.read

    assert all(ground[window.slices].all() for window in asked)
    assert len(set(asked)) > 2 * len(patches)


def test_patches_that_are_cut_out_already_cannot_be_moved(patches):
    cut = PatchSet.open(patches)

    with pytest.raises(TrainingError, match=r"--jitter reads windows .* tile with --index-only"):
        PatchDataset(cut, cut.in_split("train"), augment="none", seed=0, jitter=True)


def test_saturation_needs_colours_unless_only_a_preset_wants_it(patches):
    grey = PatchSet.open(patches)
    grey.record = replace(grey.record, band_names=("nir", "red", "green"))
    own = grey.in_split("train")

    with pytest.raises(TrainingError, match=r"needs bands named red, green and blue; the .* nir"):
        PatchDataset(grey, own, augment="strong,saturation", seed=0)
    assert PatchDataset(grey, own, augment="strong", seed=0)[SampleKey(0, 0)][0].shape == (
        3,
        32,
        32,
    )


def test_rare_classes_are_taken_more_often(patches):
    patch_set = PatchSet.open(patches)
    own = patch_set.in_split("train")
    options = TrainOptions(oversample="bright=20", samples_per_epoch=200)

    loader = TrainingSamples(patch_set, options).loader(batch_size=4, workers=0)

    bright = [own[ticket.number].class_shares[1] > 0 for ticket in loader.sampler]
    some = np.mean([patch.class_shares[1] > 0 for patch in own])
    assert np.mean(bright) == pytest.approx(20 * some / (20 * some + 1 - some), abs=0.02)
