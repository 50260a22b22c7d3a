"""Batches whose patches are mixed with each other: mixup and cutmix."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geoseg.training.augmentation.recipe import Augmentation

Batch = tuple[Tensor, Tensor]
"""(n, bands, size, size) images, NaN without data, and (n, size, size) classes."""


class Mixed(NamedTuple):
    """A batch, and what its pixels are."""

    images: Tensor
    """(n, bands, size, size)."""

    targets: tuple[tuple[float, Tensor], ...]
    """(n, size, size) classes, each with its share in the loss; the shares add up to 1."""


def mix(batch: Batch, own: Augmentation, rng: np.random.Generator) -> Mixed:
    """Mix every patch of a batch with another one; where both ways are wanted, by one of them.

    Args:
        batch: As loaded.
        own: Parameters of the Beta distributions; 0 for none.
        rng: Decides.
    """
    ways = [(way, a) for way, a in ((mixup, own.mixup), (cutmix, own.cutmix)) if a]
    images, target = batch
    if not ways or len(images) == 1:
        return Mixed(images, ((1.0, target),))
    way, a = ways[int(rng.integers(len(ways)))]
    share = float(rng.beta(a, a))
    step = int(rng.integers(1, len(images)))  # each has another for its partner
    partners = images.roll(step, 0), target.roll(step, 0)
    if way is mixup:
        return mixup(batch, partners, share)
    return cutmix(batch, partners, box(images.shape[-1], 1 - share, rng))


def mixup(batch: Batch, partners: Batch, share: float) -> Mixed:
    """Two pictures in each other; where one has no data, the other is seen alone.

    Args:
        batch: As loaded.
        partners: Another patch for each.
        share: Of the batch's own, 0..1.

    Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", equations 1 and 2;
    the loss is linear in the shares, as there.
    """
    (images, target), (others, classes) = batch, partners
    both = others.lerp(images, share)
    alone = torch.where(torch.isnan(images), others, images)
    picture = torch.where(torch.isnan(both), alone, both)
    return Mixed(picture, ((share, target), (1 - share, classes)))


def cutmix(batch: Batch, partners: Batch, where: tuple[slice, slice]) -> Mixed:
    """A rectangle of another patch in each, with its classes.

    Source: Yun et al. 2019, "CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features"; the classes of pixels are known, so none is shared.
    """
    (images, target), (others, classes) = batch, partners
    images, target = images.clone(), target.clone()
    images[..., *where] = others[..., *where]
    target[..., *where] = classes[..., *where]
    return Mixed(images, ((1.0, target),))


def box(size: int, area: float, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a square somewhere in a patch.

    Args:
        size: Side of the patch, in pixels.
        area: Share of the patch that it covers, 0..1.
        rng: Decides where.
    """
    side = round(size * math.sqrt(area))
    row, col = (int(rng.integers(size - side + 1)) for _ in range(2))
    return slice(row, row + side), slice(col, col + side)
