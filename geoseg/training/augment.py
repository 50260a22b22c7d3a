"""Augmentation specs, such as ``d4,rotation:30,noise:0.02``, and mixing of batches."""

import math
import re
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from geoseg.errors import TrainingError

Symmetries = Literal["none", "flips", "d4"]
"""Symmetries of a square: none; mirror images and the half turn; all eight."""

PRESETS = {
    "light": "d4,scale:0.7-1.4,brightness:0.2,contrast:0.2,saturation:0.2,gamma:0.2",
    "strong": "d4,rotation:45,scale:0.7-1.4,shear:5,brightness:0.2,contrast:0.3,saturation:0.3,"
    "gamma:0.2,noise:0.02,blur:1,erasing:0.2",
}
"""Specs by name."""

SCALE_LIMITS = (0.25, 4.0)
"""Smallest and largest scale factor."""

STRENGTHS = {  # default, maximum
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
"""Default and maximum strength of each augmentation."""


class MixedBatch(NamedTuple):
    """A batch of mixed patches and their classes."""

    images: Tensor
    """(n, bands, size, size)."""

    targets: tuple[tuple[float, Tensor], ...]
    """(n, size, size) classes, each with its share in the loss; the sum of shares is 1."""


Batch = tuple[Tensor, Tensor]
"""(n, bands, size, size) images, NaN without data, and (n, size, size) classes."""


def cutmix(batch: Batch, partners: Batch, where: tuple[slice, slice]) -> MixedBatch:
    """Batch with a rectangle of another patch in each, classes included.

    Not torchvision's, which mixes labels of whole images and knows no masks.

    Source: Yun et al. 2019, "CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features"; pixels have their own classes, so labels are not mixed.
    """
    (images, target), (others, classes) = batch, partners
    images, target = images.clone(), target.clone()
    images[..., *where] = others[..., *where]
    target[..., *where] = classes[..., *where]
    return MixedBatch(images, ((1.0, target),))


def mixup(batch: Batch, partners: Batch, share: float) -> MixedBatch:
    """Weighted mean of two patches; where one has no data, the other counts alone.

    Args:
        batch: Batch as loaded.
        partners: Another patch for each.
        share: Weight of the batch's own patches, 0..1.

    Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", equations 1 and 2;
    the loss is linear in the shares, as there.
    """
    (images, target), (others, classes) = batch, partners
    both = others.lerp(images, share)
    single = torch.where(torch.isnan(images), others, images)
    mixed = torch.where(torch.isnan(both), single, both)
    return MixedBatch(mixed, ((share, target), (1 - share, classes)))


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Strength of each random augmentation; 0 switches it off.

    Strengths of values are shares of a band's range, from the 2nd to the 98th percentile of the
    training pixels: 0.1 means the same for 8 bit, 16 bit and metres.
    """

    symmetries: Symmetries = "none"
    """Symmetries of a square, equally likely."""

    rotation: float = 0.0
    """Maximum rotation in degrees, either way; uncovered corners have no data."""

    scale: tuple[float, float] = (1.0, 1.0)
    """Range of scale factors; around a shrunk patch there is no data."""

    shear: float = 0.0
    """Maximum shear in degrees, either way."""

    crop: float = 1.0
    """Smallest side of a random crop, as a share of the patch's; it is enlarged to the whole."""

    brightness: float = 0.0
    """Maximum offset, as a share of each band's range, either way."""

    contrast: float = 0.0
    """Maximum change of the factor on distances from the mean: 0.2 is 0.8..1.2."""

    saturation: float = 0.0
    """Maximum change of the factor on distances of colours from their grey: 0.3 is 0.7..1.3."""

    gamma: float = 0.0
    """Maximum change of the exponent on values as shares of the range: 0.2 is 1/1.2..1.2."""

    noise: float = 0.0
    """Maximum standard deviation, as a share of each band's range; in half of the patches."""

    blur: float = 0.0
    """Maximum standard deviation of the Gaussian, in pixels; in half of the patches."""

    band_dropout: float = 0.0
    """Probability that a band loses its data; one band always stays."""

    erasing: float = 0.0
    """Probability that a patch loses the data of a rectangle; its classes still count."""

    mixup: float = 0.0
    """Parameter a of mixup: the weight of a patch is drawn from Beta(a, a)."""

    cutmix: float = 0.0
    """Parameter a of CutMix: the area that a patch keeps is drawn from Beta(a, a)."""

    from_preset: frozenset[str] = frozenset()
    """Names that only a preset asks for; skipped where they are impossible."""

    @classmethod
    def parse(cls, text: str) -> "Augmentation":
        """Parse an augmentation spec; later words override earlier ones.

        Raises:
            TrainingError: If a word is unknown, or its strength is out of range.

        >>> parsed = Augmentation.parse("light,rotation:30,scale:1")
        >>> parsed.symmetries, parsed.rotation, parsed.scale, parsed.contrast
        ('d4', 30.0, (1.0, 1.0), 0.2)
        """
        parsed = Augmentation()
        for each in text.lower().split(","):
            word = each.strip()
            for part in PRESETS.get(word, word).split(","):
                parsed = _with_word(parsed, part, asked=word not in PRESETS)
        return parsed

    @property
    def is_geometric(self) -> bool:
        """Whether pixels are resampled."""
        return bool(self.rotation or self.shear) or self.scale != (1, 1) or self.crop < 1

    @property
    def changes_values(self) -> bool:
        """Whether values change relative to the range of their bands."""
        shares = (self.brightness, self.contrast, self.saturation, self.gamma, self.noise)
        return any(shares) or bool(self.blur)


def _with_word(parsed: Augmentation, word: str, *, asked: bool) -> Augmentation:
    """The augmentation with one more word.

    Args:
        parsed: Augmentation of the words before.
        word: Name, with or without a strength.
        asked: Whether the user wrote it; if not, a preset did.
    """
    name, _, strength = word.partition(":")
    if name == "none" and not strength:
        return Augmentation()
    if name in {"flips", "d4"} and not strength:
        return replace(parsed, symmetries=cast("Symmetries", name))
    if name == "scale":
        return replace(parsed, scale=_scales(strength or "0.8-1.25"))
    if name not in STRENGTHS:
        known = ", ".join(["none", "flips", "d4", *PRESETS, "scale", *STRENGTHS])
        raise TrainingError(f"{word!r} is not an augmentation; choose from {known}")
    from_preset = parsed.from_preset - {name} if asked else parsed.from_preset | {name}
    change: dict[str, Any] = {name.replace("-", "_"): _strength(name, strength)}
    return replace(parsed, **change, from_preset=from_preset)


def _strength(name: str, text: str) -> float:
    """A strength within its range; `crop:0` switches cropping off, as 0 does everywhere."""
    usual, highest = STRENGTHS[name]
    number = usual if not text else _number(text)
    if number is None or not 0 <= number <= highest:
        raise TrainingError(
            f"{name}:{text} is out of range: the strength goes from 0 to {highest:g}"
        )
    return 1.0 if name == "crop" and not number else number


def _scales(text: str) -> tuple[float, float]:
    """A range of factors; a single factor means itself and its inverse.

    >>> _scales("0.5-1"), _scales("2")
    ((0.5, 1.0), (0.5, 2.0))
    """
    numbers = [_number(part) or 0.0 for part in text.split("-")]
    if len(numbers) == 1 and numbers[0]:
        numbers = sorted([numbers[0], 1 / numbers[0]])
    least, most = SCALE_LIMITS
    low, high = numbers if len(numbers) == 2 else (0.0, 0.0)  # noqa: PLR2004
    if not least <= low <= high <= most:
        raise TrainingError(
            f"scale:{text} is not a range of factors such as 0.8-1.25, "
            f"between {least:g} and {most:g}"
        )
    return low, high


def _number(text: str) -> float | None:
    """An unsigned number, or None."""
    found = re.fullmatch(r"\d+\.?\d*|\.\d+", text.strip())
    return float(found[0]) if found and math.isfinite(float(found[0])) else None


def mix(batch: Batch, own: Augmentation, rng: np.random.Generator) -> MixedBatch:
    """Mix every patch of a batch with another one, by mixup or CutMix.

    Args:
        batch: Batch as loaded.
        own: Augmentation with the parameters of both; where both are set, one is drawn.
        rng: Random generator.
    """
    ways = [(way, a) for way, a in ((mixup, own.mixup), (cutmix, own.cutmix)) if a]
    images, target = batch
    if not ways or len(images) == 1:
        return MixedBatch(images, ((1.0, target),))
    way, a = ways[int(rng.integers(len(ways)))]
    share = float(rng.beta(a, a))
    step = int(rng.integers(1, len(images)))  # never 0: a patch is not its own partner
    partners = images.roll(step, 0), target.roll(step, 0)
    if way is mixup:
        return mixup(batch, partners, share)
    return cutmix(batch, partners, cutmix_box(images.shape[-1], 1 - share, rng))


def cutmix_box(size: int, area: float, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a random square in a patch.

    Args:
        size: Side of the patch, in pixels.
        area: Area of the square, as a share of the patch's.
        rng: Random generator.
    """
    side = round(size * math.sqrt(area))
    row, col = (int(rng.integers(size - side + 1)) for _ in range(2))
    return slice(row, row + side), slice(col, col + side)
