"""What becomes of the values of a picture: each band is changed in its own range."""

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
from geoseg.training.augment import Augmentation, Positions

POSITIONS: dict[Positions, tuple[int, ...]] = {
    "none": (0,),
    "flips": (0, 2, 4, 6),
    "d4": tuple(range(8)),
}
"""Positions of a square that each word chooses from; see `turned`."""

SEEN = 0.5
"""A pixel has data if at least so much of what it is made of has."""


def turned(sample: Sample, position: int) -> Sample:
    """A sample in one of the eight positions of a square.

    Args:
        sample: As read.
        position: 0..7; the remainder by 4 is the number of quarter turns, and from 4 on the
            sample is mirrored first.
    """
    image, mask = sample
    if position >= 4:  # noqa: PLR2004 mirrored
        image, mask = image[..., ::-1], mask[..., ::-1]
    turns = position % 4
    image, mask = np.rot90(image, turns, (-2, -1)), np.rot90(mask, turns)
    return Sample(np.ascontiguousarray(image), np.ascontiguousarray(mask))


class Warp(NamedTuple):
    """Where a picture comes to lie, all at once; as it is by default."""

    angle: float = 0.0
    """Degrees, clockwise."""

    scale: float = 1.0
    """Above 1 things become larger."""

    shear: float = 0.0
    """Degrees, along the rows."""

    side: float = 1.0
    """Share of the side of the part that is enlarged to the whole, after all else."""

    place: tuple[float, float] = (0.0, 0.0)
    """Rows and columns of that part's centre from the whole's, in half sides."""

    def affine(self, size: int) -> dict[str, Any]:
        """What torchvision takes to do it with a picture of so many pixels on each side.

        The part is enlarged by a larger scale, once its centre has come to the picture's.
        """
        down, right = (-place * size / 2 / self.side for place in self.place)
        return {
            "angle": self.angle,
            "translate": [right, down],
            "scale": self.scale / self.side,
            "shear": [self.shear, 0.0],
        }


def draw_warp(augmentation: Augmentation, rng: np.random.Generator) -> Warp:
    """A warp at random; factors as likely as their inverses."""
    own = augmentation
    side = rng.uniform(own.crop, 1)
    low, high = own.scale
    return Warp(
        angle=rng.uniform(-own.rotation, own.rotation),
        scale=math.exp(rng.uniform(math.log(low), math.log(high))),
        shear=rng.uniform(-own.shear, own.shear),
        side=side,
        place=(rng.uniform(side - 1, 1 - side), rng.uniform(side - 1, 1 - side)),
    )


def warped(sample: Sample, warp: Warp) -> Sample:
    """A sample warped: pictures bilinear, classes nearest; what lay outside has no data.

    Pixels without data take no part: those beside them are made of their other neighbours.
    """
    image, mask = sample
    how = warp.affine(len(mask))
    missing = np.asarray(np.isnan(image).any(axis=0))
    known = np.where(missing, np.float32(0), image) if missing.any() else image
    layers = torch.from_numpy(np.concatenate([known, ~missing[None]], dtype=np.float32))
    found = functional.affine(layers, **how, interpolation=InterpolationMode.BILINEAR)
    picture, weight = found[:-1], found[-1]
    weight.masked_fill_(weight < SEEN, math.nan)
    labelled = torch.from_numpy(mask.astype(np.float32)[None] - IGNORE)  # 0, as outside, is not
    classes = functional.affine(labelled, **how)[0].numpy() + IGNORE
    classes[np.isnan(weight.numpy())] = IGNORE
    return Sample(picture.div_(weight).numpy(), classes.astype(np.uint8))


GREY = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey: ITU-R BT.601."""

BLUR_REACH = 2.0
"""The Gaussian is cut off after so many standard deviations."""

HOLE = (0.1, 0.4)
"""Shortest and longest side of what is erased, of the patch's."""

HALF = 0.5


@dataclass(frozen=True, kw_only=True)
class Bands:
    """What is known of the bands of a patch set; (bands, 1, 1) each."""

    low: Tensor
    """2nd percentile of the training pixels."""

    span: Tensor
    """From there to the 98th."""

    mean: Tensor
    """Of the training pixels."""

    visible: tuple[int, ...] | None
    """Which are red, green and blue, if they are there."""

    @classmethod
    def of(cls, record: PatchSetRecord) -> Self:
        """What a patch set says of its bands."""
        low, high, mean = (
            torch.tensor(record.statistics[name], dtype=torch.float32)[:, None, None]
            for name in ("p2", "p98", "mean")
        )
        return cls(low=low, span=high - low, mean=mean, visible=color_bands(record.band_names))


def recolored(
    image: NDArray[np.float32], own: Augmentation, bands: Bands, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A picture in other colours; values are not cut off, and NaN stays.

    Args:
        image: (bands, size, size) in units of the file.
        own: What is done.
        bands: What is known of the bands.
        rng: Decides.
    """
    picture = torch.from_numpy(image).clone()
    if own.gamma:
        _bend(picture, bands, (1 + own.gamma) ** rng.uniform(-1, 1))
    if own.saturation and bands.visible:
        _saturate(picture, bands.visible, 1 + rng.uniform(-1, 1) * own.saturation)
    if own.brightness or own.contrast:
        factor = 1 + rng.uniform(-1, 1) * own.contrast
        added = rng.uniform(-1, 1) * own.brightness * bands.span
        picture.mul_(factor).add_(bands.mean * (1 - factor) + added)
    if own.blur and rng.random() < HALF:
        picture = torch.from_numpy(blurred(picture.numpy(), rng.uniform(0, own.blur)))
    if own.noise and rng.random() < HALF:
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        spread = rng.uniform(0, own.noise) * bands.span
        picture.addcmul_(torch.randn(picture.shape, generator=generator), spread)
    return picture.numpy()


def _bend(picture: Tensor, bands: Bands, power: float) -> None:
    """Gamma inside the range of each band; beyond its ends values stay as they are."""
    share = ((picture - bands.low) / bands.span.clamp(min=1e-9)).clamp_(0, 1)
    picture.addcmul_(adjust_gamma(share, power).sub_(share), bands.span)


def _saturate(picture: Tensor, visible: tuple[int, ...], factor: float) -> None:
    """Red, green and blue nearer to or farther from their grey."""
    red, green, blue = (picture[band] for band in visible)
    grey = (red * GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])
    grey.mul_(1 - factor)
    for color in (red, green, blue):
        color.mul_(factor).add_(grey)


def blurred(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A picture blurred; pixels without data take no part and stay so.

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
    return ndimage.gaussian_filter(image, (0, sigma, sigma), mode="reflect", truncate=BLUR_REACH)


def dropped(
    image: NDArray[np.float32], own: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A picture that lost a rectangle or bands, which have no data then."""
    if own.erasing and rng.random() < own.erasing:
        image = image.copy()
        image[:, *hole(image.shape[-1], rng)] = np.nan
    if own.band_dropout:
        lost = rng.random(len(image)) < own.band_dropout
        if lost.all():
            lost[rng.integers(len(image))] = False
        image = np.where(lost[:, None, None], np.float32(math.nan), image)
    return image


def hole(size: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a rectangle inside a square."""
    starts_stops = []
    for _ in range(2):
        length = max(round(rng.uniform(*HOLE) * size), 1)
        start = int(rng.integers(size - length + 1))
        starts_stops.append(slice(start, start + length))
    rows, cols = starts_stops
    return rows, cols
