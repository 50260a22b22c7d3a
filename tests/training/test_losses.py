import math

import pytest
import torch
from torch.nn import functional

from geoseg.training.losses import class_weights, cross_entropy, make_loss

LOSSES = ["ce", "dice", "ce+dice"]


def random_batch(unlabelled=0.3, classes=3):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, 5, 4, generator=generator)
    target = torch.randint(classes, (2, 5, 4), generator=generator)
    target[torch.rand(2, 5, 4, generator=generator) < unlabelled] = 255
    return logits, target


def certain(target, classes=3):
    """Logits that leave no doubt."""
    return 100 * functional.one_hot(target, classes).permute(0, 3, 1, 2).float()


def test_ignorance_of_two_classes_costs_log_2():
    logits, target = torch.zeros(1, 2, 1, 3), torch.tensor([[[0, 1, 255]]])

    assert cross_entropy(logits, target, torch.ones(2)).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.2, 3.0, 1.5)])
def test_cross_entropy_is_that_of_torch(weights):
    logits, target = random_batch()
    weights = torch.tensor(weights)

    expected = functional.cross_entropy(logits, target, weights, ignore_index=255)

    assert cross_entropy(logits, target, weights).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("name", LOSSES)
def test_without_a_labelled_pixel_the_loss_is_0_and_teaches_nothing(name):
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    target = torch.full((1, 2, 2), 255)

    loss = make_loss(name, torch.ones(3))(logits, target)
    loss.backward()

    assert loss.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_said_of_unlabelled_pixels_does_not_matter(name):
    logits, target = random_batch()
    loss = make_loss(name, torch.tensor([1.0, 2.0, 3.0]))
    unlabelled = (target == 255)[:, None]

    other = torch.where(unlabelled, torch.randn_like(logits), logits)

    assert unlabelled.any()
    assert loss(other, target).item() == pytest.approx(loss(logits, target).item())


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_right_costs_nothing_and_what_is_wrong_much(name):
    target = torch.tensor([[[0, 1], [2, 1]]])
    loss = make_loss(name, torch.ones(3))

    assert loss(certain(target), target).item() == pytest.approx(0, abs=1e-4)
    assert loss(certain((target + 1) % 3), target).item() > 0.9


def test_the_sum_of_two_losses_is_their_sum():
    logits, target = random_batch()
    both, ce, dice = (make_loss(name, torch.ones(3)) for name in ("ce+dice", "ce", "dice"))

    expected = ce(logits, target) + dice(logits, target)
    assert both(logits, target).item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("kind", "pixels", "weights"),
    [
        ("auto", [10, 20, 40], [2, 1, 0.5]),  # median / own
        ("inverse", [10, 20, 40], [7, 3.5, 1.75]),  # all / own
        ("none", [10, 20, 40], [1, 1, 1]),
        ("auto", [0, 10, 30], [1, 2, 2 / 3]),  # a class without pixels: not infinite, not NaN
        ("inverse", [0, 10, 30], [1, 4, 4 / 3]),
        ("auto", [0, 0, 0], [1, 1, 1]),
        ("inverse", [0, 0, 0], [1, 1, 1]),
        ("auto", [0, 0, 5], [1, 1, 1]),
        ("inverse", [1, 2**40, 1], [2**40, 1, 2**40]),  # counts beyond 32 bits
    ],
)
def test_class_weights(kind, pixels, weights):
    found = class_weights(kind, pixels)

    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx(weights, rel=1e-5)
