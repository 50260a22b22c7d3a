import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from geoseg.training.augment import Augmentation, cutmix, cutmix_box, mix, mixup

NAN = float("nan")


def batch(count=3, side=4):
    """Each patch full of its number, picture and classes."""
    numbers = torch.arange(count)
    shape = (count, 1, side, side)
    images = numbers.view(-1, 1, 1, 1).float().expand(shape).clone()
    return images, numbers.view(-1, 1, 1).expand(count, side, side).clone()


def drawn(own, seed, count=3, side=4):
    return mix(batch(count, side), own, np.random.default_rng(seed))


def test_without_a_wish_a_batch_stays_as_it_is():
    images, target = batch()

    mixed = mix((images, target), Augmentation(noise=0.1), np.random.default_rng(0))

    assert mixed.images is images
    assert mixed.targets == ((1.0, target),)


def test_a_single_patch_has_no_partner():
    images, [(share, target)] = drawn(Augmentation(mixup=1, cutmix=1), 0, count=1)

    assert (images.max(), share, target.max()) == (0, 1, 0)


def test_two_pictures_are_seen_in_each_other_and_one_where_the_other_has_no_data():
    images = torch.tensor([[[[10.0, NAN, 30.0, NAN]]]])
    others = torch.tensor([[[[20.0, 20.0, NAN, NAN]]]])
    own, theirs = torch.tensor([[[0, 255, 0, 255]]]), torch.tensor([[[1, 1, 255, 255]]])

    mixed = mixup((images, own), (others, theirs), 0.7)

    expected = torch.tensor([[[[13.0, 20.0, 30.0, NAN]]]])
    assert torch.allclose(mixed.images, expected, equal_nan=True)
    assert mixed.targets == ((0.7, own), (pytest.approx(0.3), theirs))


def test_the_loss_of_mixup_is_that_of_shared_classes():
    images, targets = drawn(Augmentation(mixup=1), 4)
    logits = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))

    loss = sum(share * functional.cross_entropy(logits, each) for share, each in targets)

    soft = sum(share * functional.one_hot(each, 3).movedim(-1, 1) for share, each in targets)
    assert loss == pytest.approx(functional.cross_entropy(logits, soft).item(), rel=1e-5)
    assert torch.allclose(images[:, 0], sum(share * each for share, each in targets))


def test_a_rectangle_is_of_another_patch_with_its_classes():
    [(images, target), partners] = batch(2, 3), [each.flip(0) for each in batch(2, 3)]

    mixed = cutmix((images, target), tuple(partners), (slice(1, 3), slice(0, 2)))

    expected = [[[0, 0, 0], [1, 1, 0], [1, 1, 0]], [[1, 1, 1], [0, 0, 1], [0, 0, 1]]]
    [(share, classes)] = mixed.targets
    assert share == 1
    assert classes.tolist() == mixed.images[:, 0].tolist() == expected
    assert images[0].max() == 0  # what is given stays as it is


def test_every_patch_of_a_batch_is_mixed_with_another():
    for seed in range(30):
        (share, own), (_, theirs) = drawn(Augmentation(mixup=1), seed, count=4).targets

        assert 0 < share < 1
        assert own[:, 0, 0].tolist() == [0, 1, 2, 3]
        assert sorted(theirs[:, 0, 0].tolist()) == [0, 1, 2, 3]
        assert (own != theirs).all()


def test_areas_follow_the_beta_distribution():
    own = Augmentation(cutmix=2)

    mixed = [drawn(own, seed, count=2, side=100) for seed in range(300)]

    kept = [float((each.images[0] == 0).float().mean()) for each in mixed]
    assert stats.kstest(kept, stats.beta(2, 2).cdf).pvalue > 0.01


def test_of_two_kinds_each_batch_gets_one():
    own = Augmentation(mixup=1, cutmix=1)

    kinds = [len(drawn(own, seed).targets) for seed in range(100)]

    assert np.mean(np.array(kinds) == 2) == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize(("area", "side"), [(0, 0), (0.25, 5), (1, 10)])
def test_a_box_has_its_area_and_lies_within(area, side):
    for seed in range(20):
        rows, cols = cutmix_box(10, area, np.random.default_rng(seed))

        assert np.zeros((10, 10))[rows, cols].shape == (side, side)
