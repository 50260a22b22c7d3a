"""What is changed in training patches, as the user writes it: ``d4,rotation:30,noise:0.02``."""

import math
import re
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from geoseg.errors import TrainingError

Positions = Literal["none", "flips", "d4"]
"""Of a square: as it is; mirror images and the half turn; all eight."""

PRESETS = {
    "light": "d4,scale:0.7-1.4,brightness:0.2,contrast:0.2,saturation:0.2,gamma:0.2",
    "strong": "d4,rotation:45,scale:0.7-1.4,shear:5,brightness:0.2,contrast:0.3,saturation:0.3,"
    "gamma:0.2,noise:0.02,blur:1,erasing:0.2",
}
"""Names that stand for a list."""

SCALES = (0.25, 4.0)
"""Least and highest factor."""

STRENGTHS = {  # usual, highest
    "rotation": (180.0, 180.0),
    "shear": (10.0, 45.0),
    "crop": (0.5, 1.0),
    "brightness": (0.2, 1.0),
    "contrast": (0.2, 0.9),
    "saturation": (0.3, 1.0),
    "gamma": (0.2, 4.0),
    "noise": (0.02, 1.0),
    "blur": (1.0, 10.0),
    "band-dropout": (0.1, 0.9),
    "erasing": (0.2, 1.0),
    "mixup": (0.2, 10.0),
    "cutmix": (1.0, 10.0),
}
"""Strength of each if none is named, and at most."""


class Mixed(NamedTuple):
    """A batch, and what its pixels are."""

    images: Tensor
    """(n, bands, size, size)."""

    targets: tuple[tuple[float, Tensor], ...]
    """(n, size, size) classes, each with its share in the loss; the shares add up to 1."""


Batch = tuple[Tensor, Tensor]
"""(n, bands, size, size) images, NaN without data, and (n, size, size) classes."""


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


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How much each patch is changed at random; a strength of 0 is not at all.

    Strengths of colours are shares of a band's range, which goes from the 2nd to the 98th
    percentile of the training pixels: 0.1 means the same for 8 bit, 16 bit and metres.
    """

    positions: Positions = "none"
    """Positions of a square that are taken, each as often."""

    rotation: float = 0.0
    """Turned by up to so many degrees, either way; corners without a picture have no data."""

    scale: tuple[float, float] = (1.0, 1.0)
    """Shrunk or enlarged by a factor between these; around a shrunk one there is no data."""

    shear: float = 0.0
    """Sheared by up to so many degrees, either way."""

    crop: float = 1.0
    """A part with at least this share of the side, anywhere, is enlarged to the whole."""

    brightness: float = 0.0
    """Added or taken away: up to so much of each band's range."""

    contrast: float = 0.0
    """0.2: distances from each band's mean times 0.8..1.2."""

    saturation: float = 0.0
    """0.3: distances of red, green and blue from their grey times 0.7..1.3."""

    gamma: float = 0.0
    """0.2: values, as shares of the range, to the power of 1/1.2..1.2."""

    noise: float = 0.0
    """Standard deviation, at most, in each band's range; in half of the patches."""

    blur: float = 0.0
    """Standard deviation of the Gaussian, at most, in pixels; in half of the patches."""

    band_dropout: float = 0.0
    """Probability of a band to be without data; one is always left."""

    erasing: float = 0.0
    """Probability of a patch to lose a rectangle of its picture; its classes are still asked."""

    mixup: float = 0.0
    """Batches of two pictures in each other: the first one's share is Beta(a, a)."""

    cutmix: float = 0.0
    """Batches with a rectangle of another patch, classes as well: the rest is Beta(a, a)."""

    unasked: frozenset[str] = frozenset()
    """Names that only a preset brought: they may be left out where they cannot be done."""

    @classmethod
    def parse(cls, text: str) -> "Augmentation":
        """An augmentation as the user writes it; what comes later replaces what came before.

        Raises:
            TrainingError: If a word is unknown, or its strength cannot be.

        >>> made = Augmentation.parse("light,rotation:30,scale:1")
        >>> made.positions, made.rotation, made.scale, made.contrast
        ('d4', 30.0, (1.0, 1.0), 0.2)
        """
        made = Augmentation()
        for each in text.lower().split(","):
            word = each.strip()
            for part in PRESETS.get(word, word).split(","):
                made = _changed(made, part, asked=word not in PRESETS)
        return made

    @property
    def warps(self) -> bool:
        """Whether pixels come to lie between others."""
        return bool(self.rotation or self.shear) or self.scale != (1, 1) or self.crop < 1

    @property
    def recolors(self) -> bool:
        """Whether values change in the range of their bands."""
        shares = (self.brightness, self.contrast, self.saturation, self.gamma, self.noise)
        return any(shares) or bool(self.blur)


def _changed(made: Augmentation, word: str, *, asked: bool) -> Augmentation:
    """With one word more.

    Args:
        made: Of the words before.
        word: A name, with a strength or without.
        asked: Whether the user wrote it; if not, a preset did.
    """
    name, _, strength = word.partition(":")
    if name == "none" and not strength:
        return Augmentation()
    if name in {"flips", "d4"} and not strength:
        return replace(made, positions=cast("Positions", name))
    if name == "scale":
        return replace(made, scale=_scales(strength or "0.8-1.25"))
    if name not in STRENGTHS:
        known = ", ".join(["none", "flips", "d4", *PRESETS, "scale", *STRENGTHS])
        raise TrainingError(f"{word!r} is no augmentation; there are {known}")
    unasked = made.unasked - {name} if asked else made.unasked | {name}
    change: dict[str, Any] = {name.replace("-", "_"): _strength(name, strength)}
    return replace(made, **change, unasked=unasked)


def _strength(name: str, text: str) -> float:
    """A strength that can be; for `crop` 0 means that nothing is cut off, as everywhere."""
    usual, highest = STRENGTHS[name]
    number = usual if not text else _number(text)
    if number is None or not 0 <= number <= highest:
        raise TrainingError(f"{name}:{text} is wrong: its strength goes from 0 to {highest:g}")
    return 1.0 if name == "crop" and not number else number


def _scales(text: str) -> tuple[float, float]:
    """A range of factors; one factor stands for itself and its inverse.

    >>> _scales("0.5-1"), _scales("2")
    ((0.5, 1.0), (0.5, 2.0))
    """
    numbers = [_number(part) or 0.0 for part in text.split("-")]
    if len(numbers) == 1 and numbers[0]:
        numbers = sorted([numbers[0], 1 / numbers[0]])
    least, most = SCALES
    low, high = numbers if len(numbers) == 2 else (0.0, 0.0)  # noqa: PLR2004
    if not least <= low <= high <= most:
        raise TrainingError(
            f"scale:{text} is wrong: it is a range of factors such as 0.8-1.25, "
            f"between {least:g} and {most:g}"
        )
    return low, high


def _number(text: str) -> float | None:
    """A number without sign, if it is one."""
    found = re.fullmatch(r"\d+\.?\d*|\.\d+", text.strip())
    return float(found[0]) if found and math.isfinite(float(found[0])) else None


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
