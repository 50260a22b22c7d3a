"""Losses that leave unlabelled pixels out, and weighted sums of them."""

from collections.abc import Callable

import segmentation_models_pytorch as smp
import torch
from torch import Tensor
from torch.nn import functional

from geoseg.core.scores import IGNORE
from geoseg.errors import TrainingError
from geoseg.training.ranks import mean_over_processes

LOSSES = ("ce", "focal", "dice", "jaccard", "lovasz", "tversky")
"""Names of single losses."""

GAMMA = 2.0
"""Power of the focal loss, as its paper recommends."""

FALSE_POSITIVE, FALSE_NEGATIVE = 0.3, 0.7
"""Weights of the Tversky loss, as its paper found best: what is missed costs more."""

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""(n, classes, height, width) logits and (n, height, width) classes in, a number out."""


def parse_loss(text: str) -> list[tuple[str, float]]:
    """Names and weights of a sum of losses.

    >>> parse_loss("ce:0.5+dice")
    [('ce', 0.5), ('dice', 1.0)]

    Raises:
        TrainingError: If a name is unknown, or a weight is no number above 0.
    """
    terms = []
    for term in text.split("+"):
        name, colon, weight = term.strip().partition(":")
        if name not in LOSSES:
            known = ", ".join(LOSSES)
            raise TrainingError(f"--loss {text}: {name!r} is unknown; known are {known}")
        try:
            value = float(weight) if colon else 1.0
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise TrainingError(f"--loss {text}: {weight!r} is no weight, a number above 0")
        terms.append((name, value))
    return terms


def make_loss(text: str, weights: Tensor, *, label_smoothing: float = 0.0) -> LossFunction:
    """A loss, or a weighted sum of losses.

    Args:
        text: Such as ``ce`` or ``ce:0.5+dice:0.5``.
        weights: (classes,) of cross-entropy and focal loss. Those that compare regions weigh
            classes alike. Pixels of a class of weight 0 count as unlabelled in all.
        label_smoothing: Share of the truth that cross-entropy spreads over all classes.

    Raises:
        TrainingError: If the text is wrong, or there is no cross-entropy to smooth.
    """
    terms = parse_loss(text)
    if label_smoothing and "ce" not in dict(terms):
        raise TrainingError(f"--label-smoothing is of cross-entropy, and --loss {text} has no ce")
    parts = [(_single(name, weights, label_smoothing), weight) for name, weight in terms]

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        counted = without_classes(target, weights == 0)
        values = [weight * part(logits, counted) for part, weight in parts]
        return torch.stack(values).sum()

    return loss


def without_classes(target: Tensor, excluded: Tensor) -> Tensor:
    """Classes whose excluded ones are unlabelled.

    Args:
        target: (n, height, width) classes, 255 unlabelled.
        excluded: (classes,) bool.

    >>> without_classes(torch.tensor([[[0, 1, 255]]]), torch.tensor([True, False]))
    tensor([[[255,   1, 255]]])
    """
    if not excluded.any():
        return target
    labelled = target != IGNORE
    out = excluded.to(target.device)[torch.where(labelled, target, 0)] & labelled
    return target.masked_fill(out, IGNORE)


def cross_entropy(
    logits: Tensor, target: Tensor, weights: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Mean over labelled pixels, weighted by class; 0 if no pixel is labelled.

    Args:
        logits: (n, classes, height, width).
        target: (n, height, width) classes, 255 unlabelled.
        weights: (classes,).
        label_smoothing: Share of the truth that is spread over all classes.
    """
    weights = weights.to(logits.device)
    total = functional.cross_entropy(
        logits,
        target,
        weight=weights,
        ignore_index=IGNORE,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    return total / _weight_of(target, weights)


def focal(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy that cares less about pixels that are right already.

    With p the score of a pixel's class, ``(1 - p)^2 * -log p``; mean over labelled pixels,
    weighted by class; 0 if no pixel is labelled.

    Args:
        logits: (n, classes, height, width).
        target: (n, height, width) classes, 255 unlabelled.
        weights: (classes,).

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", with softmax.
    """
    weights = weights.to(logits.device)
    cost = functional.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none")
    labelled = target != IGNORE
    weight = weights[torch.where(labelled, target, 0)] * labelled
    total = (weight * (-torch.expm1(-cost)).pow(GAMMA) * cost).sum()
    return total / _weight_of(target, weights)


def _weight_of(target: Tensor, weights: Tensor) -> Tensor:
    """Sum of the weights of all labelled pixels, never 0.

    Of several processes their mean: the gradients that they average are then those of the
    whole batch, wherever its labels are.
    """
    weight = mean_over_processes(weights[target[target != IGNORE]].sum())
    return weight.clamp(min=torch.finfo(torch.float32).tiny)


def _single(name: str, weights: Tensor, label_smoothing: float) -> LossFunction:
    if name == "ce":
        return lambda logits, target: cross_entropy(
            logits, target, weights, label_smoothing=label_smoothing
        )
    if name == "focal":
        return lambda logits, target: focal(logits, target, weights)
    if name == "lovasz":  # empty without labelled pixels
        lovasz = smp.losses.LovaszLoss("multiclass", ignore_index=IGNORE)
        return lambda logits, target: lovasz(logits, target).sum()
    counted = None if weights.all() else weights.nonzero().flatten().tolist()
    common = {"ignore_index": IGNORE, "classes": counted}
    region: LossFunction
    if name == "tversky":
        region = smp.losses.TverskyLoss(
            "multiclass", alpha=FALSE_POSITIVE, beta=FALSE_NEGATIVE, **common
        )
    elif name == "jaccard":
        region = smp.losses.JaccardLoss("multiclass", **common)
    else:
        region = smp.losses.DiceLoss("multiclass", **common)
    return region
