import math

import pytest
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional

from geoseg.errors import TrainingError
from geoseg.training.losses import cross_entropy, focal, make_loss

LOSSES = ["ce", "focal", "dice", "jaccard", "lovasz", "tversky", "ce:0.5+dice:0.5"]


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
    assert loss(certain((target + 1) % 3), target).item() > 0.89


def test_the_sum_of_two_losses_is_their_sum():
    logits, target = random_batch()
    both, ce, dice = (make_loss(name, torch.ones(3)) for name in ("ce+dice", "ce", "dice"))

    expected = ce(logits, target) + dice(logits, target)
    assert both(logits, target).item() == pytest.approx(expected.item())


def test_weights_of_a_sum_count():
    logits, target = random_batch()
    both, ce, lovasz = (make_loss(n, torch.ones(3)) for n in ("ce:0.25+lovasz:3", "ce", "lovasz"))

    expected = 0.25 * ce(logits, target) + 3 * lovasz(logits, target)
    assert both(logits, target).item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cee", "'cee' is unknown; known are ce, focal, dice, jaccard, lovasz, tversky"),
        ("ce+", "'' is unknown"),
        ("ce:0", "'0' is not a number above 0"),
        ("ce:nan", "'nan' is not a number above 0"),
        ("ce:+dice", "'' is not a number above 0"),
        ("ce:half", "'half' is not a number above 0"),
    ],
)
def test_a_loss_that_cannot_be_is_refused(text, reason):
    with pytest.raises(TrainingError, match=reason):
        make_loss(text, torch.ones(3))


def test_only_cross_entropy_is_smoothed():
    with pytest.raises(TrainingError, match="dice has no ce"):
        make_loss("dice", torch.ones(3), label_smoothing=0.1)


def test_smoothed_cross_entropy_is_that_of_torch():
    logits, target = random_batch()
    weights = torch.tensor([0.2, 3.0, 1.5])

    found = make_loss("ce", weights, label_smoothing=0.2)(logits, target)

    expected = functional.cross_entropy(
        logits, target, weights, ignore_index=255, label_smoothing=0.2
    )
    assert found.item() == pytest.approx(expected.item())


def test_smoothing_without_a_labelled_pixel_is_no_nan():
    loss = make_loss("ce", torch.ones(3), label_smoothing=0.2)

    assert loss(torch.randn(1, 3, 2, 2), torch.full((1, 2, 2), 255)).item() == 0


def test_focal_loss_is_its_formula():
    scores = torch.tensor([0.9, 0.6])
    logits = torch.stack([scores, 1 - scores]).log()[None, :, None]
    target = torch.tensor([[[0, 1]]])  # right with 0.9, and with 0.4

    found = focal(logits, target, torch.tensor([1.0, 3.0]))

    right, less = 0.1**2 * -math.log(0.9), 0.6**2 * -math.log(0.4)
    assert found.item() == pytest.approx((right + 3 * less) / 4, rel=1e-5)


def test_unweighted_focal_loss_is_that_of_smp():
    logits, target = random_batch(unlabelled=0)

    expected = smp.losses._functional.softmax_focal_loss_with_logits(logits, target, gamma=2.0)

    assert focal(logits, target, torch.ones(3)).item() == pytest.approx(expected.item(), rel=1e-5)


def region_counts(logits, target):
    """Of each class: scores where it is, where it is not, and what it lacks."""
    known = (target != 255).flatten()
    scores = logits.softmax(1).movedim(1, -1).reshape(-1, logits.shape[1])[known]
    truth = functional.one_hot(target.flatten()[known], logits.shape[1])
    both = (scores * truth).sum(0)
    return both, (scores * (1 - truth)).sum(0), ((1 - scores) * truth).sum(0)


@pytest.mark.parametrize(
    ("name", "wrong", "missed"), [("dice", 0.5, 0.5), ("jaccard", 1, 1), ("tversky", 0.3, 0.7)]
)
def test_losses_of_regions_are_their_formulas(name, wrong, missed):
    logits, target = random_batch()
    both, more, less = region_counts(logits, target)

    expected = (1 - both / (both + wrong * more + missed * less)).mean()

    assert make_loss(name, torch.ones(3))(logits, target).item() == pytest.approx(expected.item())


def test_lovasz_of_a_certain_map_is_one_minus_iou():
    truth = torch.tensor([[[0, 0, 0, 1], [1, 1, 255, 255]]])
    found = torch.tensor([[[0, 0, 1, 1], [1, 0, 0, 1]]])  # IoU: 2 of 4, and 2 of 4

    loss = make_loss("lovasz", torch.ones(2))(certain(found, 2), truth)

    assert loss.item() == pytest.approx(0.5)


@pytest.mark.parametrize("name", LOSSES)
def test_pixels_of_a_class_of_weight_0_count_as_unlabelled(name):
    logits, target = random_batch()
    weights = torch.tensor([0.0, 2.0, 3.0])
    loss = make_loss(name, weights)

    without = torch.where(target == 0, 255, target)

    assert loss(logits, target).item() == pytest.approx(loss(logits, without).item())
    assert loss(logits, target).item() > 0


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_can_be_descended(name):
    logits, target = random_batch()
    logits.requires_grad_()
    loss = make_loss(name, torch.ones(3))

    loss(logits, target).backward()

    assert logits.grad.isfinite().all()
    assert loss(logits - 0.1 * logits.grad, target) < loss(logits, target)
