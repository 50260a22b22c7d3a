"""Weights of classes, from their pixels or from the user."""

from collections.abc import Sequence

import torch
from torch import Tensor

from geoseg.core.columns import in_short
from geoseg.errors import TrainingError

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
                f"--class-weights {text}: no class is named {name!r}; they are {in_short(names)}"
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
