"""Losses that leave unlabelled pixels out."""

from collections.abc import Callable, Sequence

import segmentation_models_pytorch as smp
import torch
from torch import Tensor
from torch.nn import functional

from geoseg.core.scores import IGNORE
from geoseg.training.options import ClassWeights, Loss

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""(n, classes, height, width) logits and (n, height, width) classes in, a number out."""


def make_loss(name: Loss, weights: Tensor) -> LossFunction:
    """A loss by name.

    Args:
        name: Which.
        weights: (classes,) of cross-entropy.
    """
    dice: LossFunction = smp.losses.DiceLoss("multiclass", ignore_index=IGNORE)
    if name == "dice":
        return dice
    if name == "ce":
        return lambda logits, target: cross_entropy(logits, target, weights)
    return lambda logits, target: cross_entropy(logits, target, weights) + dice(logits, target)


def cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean over labelled pixels, weighted by class; 0 if no pixel is labelled.

    Args:
        logits: (n, classes, height, width).
        target: (n, height, width) classes, 255 unlabelled.
        weights: (classes,).
    """
    weights = weights.to(logits.device)
    total = functional.cross_entropy(
        logits, target, weight=weights, ignore_index=IGNORE, reduction="sum"
    )
    labelled = target[target != IGNORE]
    return total / weights[labelled].sum().clamp(min=torch.finfo(torch.float32).tiny)


def class_weights(kind: ClassWeights, pixels: Sequence[int]) -> Tensor:
    """Weights of classes from their pixels in the training split.

    A class without pixels has weight 1: it never occurs.

    Args:
        kind: ``auto`` is median frequency balancing: the median of all classes' pixels over
            the class's own. ``inverse`` is all pixels over the class's own.
        pixels: (classes,).

    Returns:
        (classes,) float32.

    Source: Eigen and Fergus 2015, "Predicting Depth, Surface Normals and Semantic Labels
    with a Common Multi-Scale Convolutional Architecture", section 6.3.2.
    """
    counts = torch.tensor(pixels, dtype=torch.float64)
    present = counts > 0
    if kind == "none" or not present.any():
        return torch.ones(len(counts))
    above = counts[present].quantile(0.5) if kind == "auto" else counts.sum()
    weights = torch.where(present, above / counts.clamp(min=1), 1.0)
    return weights.float()
