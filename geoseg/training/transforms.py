"""Augmentations of one sample: symmetries, affine transforms, values, erased parts.

NaN marks pixels without data throughout. Values stay in units of the file, and each band is
changed relative to its own range, so that 8-bit, 16-bit and elevation bands are treated alike.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, functional
from torchvision.transforms.v2.functional import adjust_gamma

from geoseg.labels.legend import IGNORE
from geoseg.labels.lookup import color_bands
from geoseg.patches.patch_set import Sample
from geoseg.patches.record import PatchSetRecord
from geoseg.training.augment import Augmentation, Symmetries

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

    Args:
        sample: Image and mask.
        position: 0..7; the remainder by 4 is the number of quarter turns, and from 4 on the
            sample is mirrored first.
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
    """Side of the crop that is enlarged to the whole, as a share of the patch's."""

    place: tuple[float, float] = (0.0, 0.0)
    """Row and column of the crop's centre relative to the patch's, in half sides."""

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


def draw_affine(augmentation: Augmentation, rng: np.random.Generator) -> Affine:
    """A random transform; a scale is as likely as its inverse."""
    own = augmentation
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
    """2nd percentile of the training pixels."""

    span: Tensor
    """Range from the 2nd to the 98th percentile."""

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
    """An image with changed colours; values are not clipped, and NaN stays.

    Args:
        image: (bands, size, size) in units of the file.
        own: Strengths.
        bands: Statistics of the bands.
        rng: Random generator.
    """
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
    result.addcmul_(adjust_gamma(share, power).sub_(share), bands.span)


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
    """A blurred image; pixels without data have no weight and stay without.

    scipy's filter runs along rows, then columns, where torchvision's computes a two-dimensional
    convolution.

    Args:
        image: (bands, height, width).
        sigma: Standard deviation of the Gaussian, in pixels.
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
    starts_stops = []
    for _ in range(2):
        length = max(round(rng.uniform(*ERASE_SIDE_SHARES) * size), 1)
        start = int(rng.integers(size - length + 1))
        starts_stops.append(slice(start, start + length))
    rows, cols = starts_stops
    return rows, cols
