"""Losses that leave unlabelled pixels out, and weighted sums of them."""

from collections.abc import Callable, Sequence

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

GAMMA = 2.0
"""Power of the focal loss, as its paper recommends."""

REGIONS = {"dice": (0.5, 0.5), "jaccard": (1.0, 1.0), "tversky": (0.3, 0.7)}
"""What false positives and false negatives weigh in losses that compare regions; Tversky's
as its paper found best: what is missed costs more."""

TINY = torch.finfo(torch.float32).tiny

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


def region_loss(
    logits: Tensor,
    target: Tensor,
    counted: Tensor,
    *,
    false_positive: float,
    false_negative: float,
) -> Tensor:
    """One minus the Tversky index of each class, as a mean over classes.

    With TP the sum of a class's scores where it is, FP where it is not, FN what its scores lack
    where it is: ``1 - TP / (TP + a FP + b FN)`` over the labelled pixels of the whole batch, of all
    processes together; 0 for a class that is nowhere.

    Args:
        logits: (n, classes, height, width).
        target: (n, height, width) classes, 255 unlabelled.
        counted: (classes,) bool, which the mean is of.
        false_positive: a; 0.5 in Dice, 1 in Jaccard.
        false_negative: b, likewise.

    Source: Salehi et al. 2017, "Tversky loss function for image segmentation using 3D fully
    convolutional deep networks".
    """
    labelled = target != IGNORE
    truth = torch.where(labelled, target, 0)
    scores = logits.float().softmax(1) * labelled[:, None]
    hits = scores.gather(1, truth[:, None]).flatten()
    none = hits.new_zeros(logits.shape[1])
    hit, there = (
        none.index_add(0, truth.flatten(), each) for each in (hits, labelled.flatten().to(hits))
    )
    hit, scored, there = sum_over_processes(torch.stack([hit, scores.sum((0, 2, 3)), there]))
    weighed = hit + false_positive * (scored - hit) + false_negative * (there - hit)
    loss = (1 - hit / weighed.clamp(min=TINY)) * (there > 0)
    return loss[counted.to(loss.device)].mean()


def _weight_of(target: Tensor, weights: Tensor) -> Tensor:
    """Sum of the weights of all labelled pixels, never 0.

    Of several processes their mean: the gradients that they average are then those of the
    whole batch, wherever its labels are.
    """
    weight = mean_over_processes(weights[target[target != IGNORE]].sum())
    return weight.clamp(min=TINY)


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
    wrong, missed = REGIONS[name]
    return lambda logits, target: region_loss(
        logits, target, weights > 0, false_positive=wrong, false_negative=missed
    )


MOST = 100.0
"""Of a weight that nobody has asked for."""

KINDS = ("auto", "inverse", "effective", "none")


def class_weights(text: str, names: Sequence[str], pixels: Sequence[int]) -> Tensor:
    """Weights by rule from the pixels of the training split, or as the user lists them.

    Args:
        text: A rule of `balanced`, or ``none``, or a list such as ``background=0,rock=20``;
            classes that it does not name weigh 1.
        names: (classes,).
        pixels: (classes,).

    Returns:
        (classes,) float32.

    Raises:
        TrainingError: If a rule or class is unknown, or a weight is no number from 0.
    """
    if text in KINDS:
        return balanced(text, pixels)
    weights = dict.fromkeys(names, 1.0)
    for part in text.split(","):
        name, equals, weight = part.strip().rpartition("=")
        if not equals:
            raise TrainingError(
                f"--class-weights {text}: is neither {', '.join(KINDS)} nor a list such as "
                f"{names[0]}=0.5"
            )
        if name not in weights:
            raise TrainingError(
                f"--class-weights {text}: no class is named {name!r}; they are {short_list(names)}"
            )
        weights[name] = _number(weight, text)
    if not any(weights.values()):
        raise TrainingError(f"--class-weights {text}: no class is left, all weigh 0")
    return torch.tensor(list(weights.values()), dtype=torch.float32)


def _number(word: str, text: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise TrainingError(f"--class-weights {text}: {word!r} is no weight, a number from 0")
    return value


def balanced(kind: str, pixels: Sequence[int]) -> Tensor:
    """Weights by which rare classes count more.

    A class without pixels has weight 1: it never occurs.

    Args:
        kind: ``auto`` is median frequency balancing: the median of all classes' pixels over
            the class's own, at most `MOST`: a few stray pixels do not outweigh all others.
            ``inverse`` is all pixels over the class's own. ``effective`` is 1 over the effective
            number of pixels ``(1 - b^n) / (1 - b)`` with b = 1 - 1/median, so that more pixels
            than the median's hardly lower a weight; the mean is 1. ``none`` is 1.
        pixels: (classes,).

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
        found = found.clamp(max=MOST)
    return torch.where(present, found, 1.0).float()
