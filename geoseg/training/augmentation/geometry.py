"""Where the pixels of a sample come to lie: positions of a square, and one warp for the rest."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode, functional

from geoseg.core.scores import IGNORE
from geoseg.io.patches import Sample
from geoseg.training.augmentation.recipe import Augmentation, Positions

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
