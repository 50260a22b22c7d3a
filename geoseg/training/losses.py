"""Losses over labelled pixels, their weighted sums, and class weights.

Dice, Jaccard and Tversky are not smp's: the sums here run over all processes, so that several
devices have the loss curve of one, and take a third of the time. Lovasz is smp's.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import Tensor
from torch.nn import functional

from geoseg.errors import TrainingError
from geoseg.labels.legend import IGNORE
from geoseg.text import short_list
from geoseg.training.distributed import mean_over_processes, sum_over_processes

LOSSES = ("ce", "focal", "dice", "jaccard", "lovasz", "tversky")
"""Names of single losses."""

FOCAL_GAMMA = 2.0
"""Exponent of the focal loss, as its paper recommends."""

REGION_WEIGHTS = {"dice": (0.5, 0.5), "jaccard": (1.0, 1.0), "tversky": (0.3, 0.7)}
"""Weights of false positives and false negatives in region losses; Tversky's are the best of its
paper: misses cost more."""

TINY = torch.finfo(torch.float32).tiny
"""Lower bound of divisors."""

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""(n, classes, height, width) logits and (n, height, width) classes in, a scalar out."""


def parse_loss(text: str) -> list[tuple[str, float]]:
    """Names and weights of a sum of losses; TrainingError if it is none.

    >>> parse_loss("ce:0.5+dice")
    [('ce', 0.5), ('dice', 1.0)]
    """
    terms = []
    for term in text.split("+"):
        name, colon, weight = term.strip().partition(":")
        if name not in LOSSES:
            known = ", ".join(LOSSES)
            raise TrainingError(f"--loss {text}: {name!r} is unknown; known are {known}")
        value = _number(weight) if colon else 1.0
        if not 0 < value < math.inf:
            raise TrainingError(f"--loss {text}: {weight!r} is not a number above 0")
        terms.append((name, value))
    return terms


def make_loss(text: str, weights: Tensor, *, label_smoothing: float = 0.0) -> LossFunction:
    """A loss, or a weighted sum of losses.

    Args:
        text: Such as ``ce`` or ``ce:0.5+dice:0.5``.
        weights: (classes,) class weights of cross-entropy and focal loss; region losses weigh
            classes equally. Pixels of a class with weight 0 are unlabelled in all losses.
        label_smoothing: Label smoothing of cross-entropy, 0..1.

    Raises:
        TrainingError: If the text is wrong, or there is no cross-entropy to smooth.
    """
    terms = parse_loss(text)
    if label_smoothing and "ce" not in dict(terms):
        raise TrainingError(
            f"--label-smoothing applies to cross-entropy, and --loss {text} has no ce"
        )
    parts = [(_loss_named(name, weights, label_smoothing), weight) for name, weight in terms]

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        counted = without_classes(target, weights == 0)
        values = [weight * part(logits, counted) for part, weight in parts]
        return torch.stack(values).sum()

    return loss


def without_classes(target: Tensor, excluded: Tensor) -> Tensor:
    """(n, height, width) targets with the pixels of excluded (classes,) unlabelled.

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

    Not torch's ``reduction="mean"``, which is NaN without labelled pixels and divides by the weight
    of one process.

    Args:
        logits: (n, classes, height, width).
        target: (n, height, width) classes, 255 unlabelled.
        weights: (classes,) class weights.
        label_smoothing: Share of the target that is spread over all classes, 0..1.
    """
    weights = weights.to(logits.device)
    how: dict[str, Any] = {"ignore_index": IGNORE, "label_smoothing": label_smoothing}
    total = functional.cross_entropy(logits, target, weight=weights, reduction="sum", **how)
    return total / _total_weight(target, weights)


def focal(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy with less weight on pixels that are classified well.

    With p the score of a pixel's class, ``(1 - p)^2 * -log p``; mean and arguments as those of
    `cross_entropy`.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", with softmax.
    """
    weights = weights.to(logits.device)
    cost = functional.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none")
    labelled = target != IGNORE
    weight = weights[torch.where(labelled, target, 0)] * labelled
    total = (weight * (-torch.expm1(-cost)).pow(FOCAL_GAMMA) * cost).sum()
    return total / _total_weight(target, weights)


def region_loss(
    logits: Tensor, target: Tensor, counted: Tensor, *, false_positive: float, false_negative: float
) -> Tensor:
    """One minus the Tversky index of each class, as a mean over classes.

    ``1 - TP / (TP + a FP + b FN)``: TP sums a class's scores over its own pixels, FN sums
    ``1 - score`` over them, FP sums its scores over pixels of other classes. The sums run over the
    labelled pixels of the batch, in all processes. An absent class has loss 0.

    Args:
        logits: (n, classes, height, width).
        target: (n, height, width) classes, 255 unlabelled.
        counted: (classes,) bool, classes of the mean.
        false_positive: Weight a; 0.5 for Dice, 1 for Jaccard.
        false_negative: Weight b, likewise.

    Source: Salehi et al. 2017, "Tversky loss function for image segmentation using 3D fully
    convolutional deep networks".
    """
    labelled = target != IGNORE
    truth = torch.where(labelled, target, 0)
    # gather and index_add take the scores of the true classes alone: no one-hot copy of the target,
    # which would take as much memory as the logits
    scores = logits.float().softmax(1) * labelled[:, None]
    own = scores.gather(1, truth[:, None]).flatten()
    zeros = own.new_zeros(logits.shape[1])
    pixels = (own, labelled.flatten().to(own))
    hits, support = (zeros.index_add(0, truth.flatten(), each) for each in pixels)
    hits, total, support = sum_over_processes(torch.stack([hits, scores.sum((0, 2, 3)), support]))
    union = hits + false_positive * (total - hits) + false_negative * (support - hits)
    loss = (1 - hits / union.clamp(min=TINY)) * (support > 0)
    return loss[counted.to(loss.device)].mean()


def _total_weight(target: Tensor, weights: Tensor) -> Tensor:
    """Sum of the weights of labelled pixels, never 0.

    The mean over processes: the averaged gradients are then those of the whole batch, however its
    labels are distributed.
    """
    weight = mean_over_processes(weights[target[target != IGNORE]].sum())
    return weight.clamp(min=TINY)


def _loss_named(name: str, weights: Tensor, label_smoothing: float) -> LossFunction:
    if name == "ce":
        return partial(cross_entropy, weights=weights, label_smoothing=label_smoothing)
    if name == "focal":
        return partial(focal, weights=weights)
    if name == "lovasz":  # smp returns an empty tensor without labelled pixels
        lovasz = smp.losses.LovaszLoss("multiclass", ignore_index=IGNORE)
        return lambda logits, target: lovasz(logits, target).sum()
    wrong, missed = REGION_WEIGHTS[name]
    counted = weights > 0
    return partial(region_loss, counted=counted, false_positive=wrong, false_negative=missed)


MAX_AUTO_WEIGHT = 100.0
"""Upper bound of the weights of ``auto``."""

WEIGHT_RULES = ("auto", "inverse", "effective", "none")


def class_weights(text: str, names: Sequence[str], pixels: Sequence[int]) -> Tensor:
    """(classes,) float32 weights by a rule of `balanced`, or listed, as ``background=0,rock=20``.

    Names and pixels in the training split are (classes,). Classes that are not listed weigh 1.

    Raises:
        TrainingError: If a rule or class is unknown, or a weight is not a number from 0.
    """
    if text in WEIGHT_RULES:
        return balanced(text, pixels)
    weights = numbers_by_class(
        f"--class-weights {text}", text, names, default=1.0, rules=WEIGHT_RULES, above_zero=False
    )
    if not any(weights):
        raise TrainingError(f"--class-weights {text}: all weights are 0")
    return torch.tensor(weights, dtype=torch.float32)


def numbers_by_class(
    where: str,
    text: str,
    names: Sequence[str],
    *,
    default: float,
    rules: Sequence[str],
    above_zero: bool,
) -> list[float]:
    """Numbers listed by class, such as ``background=0,rock=20``; others have the default.

    Raises:
        TrainingError: If a class is unknown, or a number is not one; says where, and which rules
            the option takes instead.
    """
    numbers = dict.fromkeys(names, default)
    for part in text.split(","):
        name, equals, word = part.strip().rpartition("=")
        if not equals:
            raise TrainingError(
                f"{where}: is neither {', '.join(rules)} nor a list such as {names[0]}=3"
            )
        if name not in numbers:
            raise TrainingError(
                f"{where}: no class is named {name!r}; they are {short_list(names)}"
            )
        number = _number(word)
        if not 0 <= number < math.inf or (above_zero and not number):
            bound = "above 0" if above_zero else "of at least 0"
            raise TrainingError(f"{where}: {word!r} is not a number {bound}")
        numbers[name] = number
    return list(numbers.values())


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def balanced(kind: str, pixels: Sequence[int]) -> Tensor:
    """Class weights that favour rare classes; 1 for a class without pixels.

    Args:
        kind: ``auto`` is median frequency balancing: the median of all classes' pixels over the
            class's own, at most `MAX_AUTO_WEIGHT`, so that a few stray pixels do not outweigh the
            rest. ``inverse`` is all pixels over the class's own. ``effective`` is 1 over the
            effective number of pixels ``(1 - b^n) / (1 - b)`` with b = 1 - 1/median, where pixels
            beyond the median hardly lower a weight; the mean is 1. ``none`` is 1.
        pixels: (classes,) pixels in the training split.

    Returns:
        (classes,) float32.

    Source: Eigen and Fergus 2015, "Predicting Depth, Surface Normals and Semantic Labels
    with a Common Multi-Scale Convolutional Architecture", section 6.3.2; Cui et al. 2019,
    "Class-Balanced Loss Based on Effective Number of Samples", where b = (N - 1) / N.
    """
    counts = torch.tensor(pixels, dtype=torch.float64)
    present = counts > 0
    if kind == "none" or not present.any():
        return torch.ones(len(counts))
    median = counts[present].quantile(0.5)
    if kind == "effective":
        inverse = -1 / torch.expm1(counts.clamp(min=1) * torch.log1p(-1 / median))
        found = inverse / inverse[present].mean()
    else:
        found = (median if kind == "auto" else counts.sum()) / counts.clamp(min=1)
    if kind == "auto":
        found = found.clamp(max=MAX_AUTO_WEIGHT)
    return torch.where(present, found, 1.0).float()
