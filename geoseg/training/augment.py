"""Augmentation specs such as ``d4,rotation:30,noise:0.02``; changes of samples, mixing of batches.

NaN marks pixels without data throughout. Values stay in units of the file, and each band is
changed relative to its own range, so that 8-bit, 16-bit and elevation bands are treated alike.
"""

import math
import re
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, functional

from geoseg.errors import TrainingError
from geoseg.labels.legend import IGNORE
from geoseg.labels.lookup import color_bands
from geoseg.patches.patch_set import Sample
from geoseg.patches.record import PatchSetRecord

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

STRENGTHS = {
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
"""Strength if none is given, and maximum."""


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
    """Weighted mean of each patch (its share is 0..1) and a partner; one without data is left out.

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
    training pixels: 0.1 means the same for 8 bit, 16 bit and metres. Maxima apply either way.
    """

    symmetries: Symmetries = "none"
    """Symmetries of a square, equally likely."""

    rotation: float = 0.0
    shear: float = 0.0
    """Maxima in degrees; uncovered corners have no data."""

    scale: tuple[float, float] = (1.0, 1.0)
    """Range of scale factors; around a shrunk patch there is no data."""

    crop: float = 1.0
    """Smallest side of a random crop, as a share of the patch's; it is enlarged to the whole."""

    brightness: float = 0.0
    """Maximum offset, as a share of each band's range."""

    contrast: float = 0.0
    saturation: float = 0.0
    """Maximum changes of the factors on distances from the mean, and of colours from their grey:
    0.2 is 0.8..1.2."""

    gamma: float = 0.0
    """Maximum change of the exponent on values as shares of the range: 0.2 is 1/1.2..1.2."""

    noise: float = 0.0
    blur: float = 0.0
    """Maximum standard deviations, as a share of each band's range and in pixels; in half of the
    patches."""

    band_dropout: float = 0.0
    erasing: float = 0.0
    """Probabilities that a band, but never all, and that a rectangle lose their data; classes still
    count."""

    mixup: float = 0.0
    cutmix: float = 0.0
    """Parameters a: the weight, and the area, that a patch keeps are drawn from Beta(a, a)."""

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
        for word in map(str.strip, text.lower().split(",")):
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
    """The augmentation with one more word, which the user asked for, or a preset did."""
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
    """Mix every patch of a batch with another one, by mixup or CutMix; of both, one is drawn."""
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
    """Rows and columns of a random square; its area is a share of the patch's."""
    side = round(size * math.sqrt(area))
    row, col = (int(rng.integers(size - side + 1)) for _ in range(2))
    return slice(row, row + side), slice(col, col + side)


SYMMETRIES: dict[Symmetries, tuple[int, ...]] = {
    "none": (0,),
    "flips": (0, 2, 4, 6),
    "d4": tuple(range(8)),
}
"""Symmetries of a square by name; see `rotate_flip`."""

MIN_DATA_SHARE = 0.5
"""A resampled pixel has data if at least this share of its sources has."""


def rotate_flip(sample: Sample, position: int) -> Sample:
    """A sample in one of the eight symmetries of a square.

    The remainder of the position, 0..7, by 4 is the number of quarter turns; from 4 on the sample
    is mirrored first.
    """
    image, mask = sample
    if position >= 4:  # noqa: PLR2004 mirrored
        image, mask = image[..., ::-1], mask[..., ::-1]
    turns = position % 4
    image, mask = np.rot90(image, turns, (-2, -1)), np.rot90(mask, turns)
    return Sample(np.ascontiguousarray(image), np.ascontiguousarray(mask))


class Affine(NamedTuple):
    """Rotation, scale, shear and crop as one transform, so that pixels are resampled once."""

    angle: float = 0.0
    """Degrees, clockwise."""

    scale: float = 1.0
    """Factor; above 1 objects become larger."""

    shear: float = 0.0
    """Degrees along the rows."""

    side: float = 1.0
    place: tuple[float, float] = (0.0, 0.0)
    """Crop that is enlarged to the whole: its side as a share of the patch's, and row and column of
    its centre relative to the patch's, in half sides."""

    def to_torchvision(self, size: int) -> dict[str, Any]:
        """Arguments of torchvision's `affine` for a patch of a size, in pixels.

        The crop becomes a translation of its centre to the patch's, and a larger scale.
        """
        down, right = (-place * size / 2 / self.side for place in self.place)
        return {
            "angle": self.angle,
            "translate": [right, down],
            "scale": self.scale / self.side,
            "shear": [self.shear, 0.0],
        }


def draw_affine(own: Augmentation, rng: np.random.Generator) -> Affine:
    """A random transform; a scale is as likely as its inverse."""
    side = rng.uniform(own.crop, 1)
    low, high = own.scale
    return Affine(
        angle=rng.uniform(-own.rotation, own.rotation),
        scale=math.exp(rng.uniform(math.log(low), math.log(high))),
        shear=rng.uniform(-own.shear, own.shear),
        side=side,
        place=(rng.uniform(side - 1, 1 - side), rng.uniform(side - 1, 1 - side)),
    )


def apply_affine(sample: Sample, transform: Affine) -> Sample:
    """A sample under a transform: image bilinear, mask nearest, no data outside.

    torchvision would spread NaN to all neighbours. So the image is resampled with 0 for NaN,
    together with its mask of data as one more layer, and divided by it: a normalised convolution,
    in which neighbours without data have no weight.
    """
    image, mask = sample
    how = transform.to_torchvision(len(mask))
    missing = np.asarray(np.isnan(image).any(axis=0))
    known = np.where(missing, np.float32(0), image) if missing.any() else image
    layers = torch.from_numpy(np.concatenate([known, ~missing[None]], dtype=np.float32))
    found = functional.affine(layers, **how, interpolation=InterpolationMode.BILINEAR)
    result, weight = found[:-1], found[-1]
    weight.masked_fill_(weight < MIN_DATA_SHARE, math.nan)
    # torchvision fills with 0 outside: shifted by IGNORE, that is "unlabelled"
    labelled = torch.from_numpy(mask.astype(np.float32)[None] - IGNORE)
    classes = functional.affine(labelled, **how)[0].numpy() + IGNORE
    classes[np.isnan(weight.numpy())] = IGNORE
    return Sample(result.div_(weight).numpy(), classes.astype(np.uint8))


LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma, ITU-R BT.601."""

BLUR_TRUNCATE_SIGMAS = 2.0
"""Radius of the Gaussian kernel, in standard deviations."""

ERASE_SIDE_SHARES = (0.1, 0.4)
"""Shortest and longest side of an erased rectangle, as shares of the patch's."""

APPLY_PROBABILITY = 0.5
"""Probability of noise and of blur in a patch."""


@dataclass(frozen=True, kw_only=True)
class BandStatistics:
    """Statistics of the bands of a patch set; (bands, 1, 1) each."""

    low: Tensor
    span: Tensor
    """2nd percentile of the training pixels, and the range from there to the 98th."""

    mean: Tensor
    """Mean of the training pixels."""

    rgb: tuple[int, ...] | None
    """Indices of red, green and blue; None if one is missing."""

    @classmethod
    def of(cls, record: PatchSetRecord) -> Self:
        """Statistics from the record of a patch set."""
        low, high, mean = (
            torch.tensor(record.statistics[name], dtype=torch.float32)[:, None, None]
            for name in ("p2", "p98", "mean")
        )
        return cls(low=low, span=high - low, mean=mean, rgb=color_bands(record.band_names))


def color_jitter(
    image: NDArray[np.float32], own: Augmentation, bands: BandStatistics, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A (bands, size, size) image with changed colours; values are not clipped, and NaN stays."""
    result = torch.from_numpy(image).clone()
    if own.gamma:
        _adjust_gamma(result, bands, (1 + own.gamma) ** rng.uniform(-1, 1))
    if own.saturation and bands.rgb:
        _adjust_saturation(result, bands.rgb, 1 + rng.uniform(-1, 1) * own.saturation)
    if own.brightness or own.contrast:
        factor = 1 + rng.uniform(-1, 1) * own.contrast
        added = rng.uniform(-1, 1) * own.brightness * bands.span
        result.mul_(factor).add_(bands.mean * (1 - factor) + added)
    if own.blur and rng.random() < APPLY_PROBABILITY:
        result = torch.from_numpy(gaussian_blur(result.numpy(), rng.uniform(0, own.blur)))
    if own.noise and rng.random() < APPLY_PROBABILITY:
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        spread = rng.uniform(0, own.noise) * bands.span
        result.addcmul_(torch.randn(result.shape, generator=generator), spread)
    return result.numpy()


def _adjust_gamma(result: Tensor, bands: BandStatistics, power: float) -> None:
    """Gamma inside the range of each band; values outside it stay unchanged."""
    share = ((result - bands.low) / bands.span.clamp(min=1e-9)).clamp_(0, 1)
    result.addcmul_(functional.adjust_gamma(share, power).sub_(share), bands.span)


def _adjust_saturation(result: Tensor, rgb: tuple[int, ...], factor: float) -> None:
    """Red, green and blue nearer to or farther from their luma.

    Not torchvision's, which clips values to 0..1.
    """
    red, green, blue = (result[band] for band in rgb)
    grey = (
        (red * LUMA_WEIGHTS[0]).add_(green, alpha=LUMA_WEIGHTS[1]).add_(blue, alpha=LUMA_WEIGHTS[2])
    )
    grey.mul_(1 - factor)
    for color in (red, green, blue):
        color.mul_(factor).add_(grey)


def gaussian_blur(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A blurred (bands, height, width) image; pixels without data have no weight and stay without.

    scipy's filter runs along rows, then columns, where torchvision's computes a two-dimensional
    convolution. Sigma is in pixels.
    """
    missing = np.isnan(image)
    if not missing.any():
        return _gaussian(image, sigma)
    weight = _gaussian((~missing).astype(np.float32), sigma)
    smooth = _gaussian(np.where(missing, np.float32(0), image), sigma)
    return np.where(missing, np.float32(math.nan), smooth / np.maximum(weight, 1e-6))


def _gaussian(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return ndimage.gaussian_filter(
        image, (0, sigma, sigma), mode="reflect", truncate=BLUR_TRUNCATE_SIGMAS
    )


def erase(
    image: NDArray[np.float32], own: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """An image without data in a random rectangle or in random bands."""
    if own.erasing and rng.random() < own.erasing:
        image = image.copy()
        image[:, *erase_box(image.shape[-1], rng)] = np.nan
    if own.band_dropout:
        lost = rng.random(len(image)) < own.band_dropout
        if lost.all():
            lost[rng.integers(len(image))] = False
        image = np.where(lost[:, None, None], np.float32(math.nan), image)
    return image


def erase_box(size: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a random rectangle inside a square."""

    def side() -> slice:
        length = max(round(rng.uniform(*ERASE_SIDE_SHARES) * size), 1)
        start = int(rng.integers(size - length + 1))
        return slice(start, start + length)

    return side(), side()
