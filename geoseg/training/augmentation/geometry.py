"""Where the pixels of a sample come to lie: positions of a square, and one warp for the rest."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

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

    @property
    def matrix(self) -> NDArray[np.float32]:
        """(2, 3): from places in the result to places in the source.

        Both are (x, y), from -1 at the left and upper edge to 1. It is the inverse of turning
        what was sheared and scaled.
        """
        angle, slope = math.radians(self.angle), math.tan(math.radians(self.shear))
        cos, sin = math.cos(angle), math.sin(angle)
        forth = np.array([[cos, -sin], [sin, cos]]) @ [[1, -slope], [0, 1]] * self.scale
        back = np.linalg.inv(forth)
        centre = back @ self.place[::-1]
        return np.column_stack([back * self.side, centre]).astype(np.float32)


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
    grid = _grid(warp, len(mask))
    missing = np.asarray(np.isnan(image).any(axis=0))
    known = np.where(missing, np.float32(0), image) if missing.any() else image
    layers = torch.from_numpy(np.concatenate([known, ~missing[None]], dtype=np.float32))
    found = _sampled(layers, grid, mode="bilinear")
    picture, weight = found[:-1], found[-1]
    weight.masked_fill_(weight < SEEN, math.nan)
    labelled = mask.astype(np.float32)[None] - IGNORE  # 0, as it is outside, is not labelled
    classes = _sampled(torch.from_numpy(labelled), grid, mode="nearest")[0].numpy() + IGNORE
    classes[np.isnan(weight.numpy())] = IGNORE
    return Sample(picture.div_(weight).numpy(), classes.astype(np.uint8))


def _grid(warp: Warp, size: int) -> Tensor:
    """(1, size, size, 2) where each pixel of the result comes from, as `grid_sample` takes it."""
    (to_x, to_y), places = torch.from_numpy(warp.matrix), (torch.arange(size) * 2 + 1) / size - 1
    both = (a * places + (b * places + c)[:, None] for a, b, c in (to_x, to_y))
    return torch.stack(list(both), dim=-1)[None]


def _sampled(layers: Tensor, grid: Tensor, *, mode: Any) -> Tensor:
    """(n, height, width) values of layers at the places of a grid; 0 beyond the edge."""
    found = functional.grid_sample(layers[None], grid, mode=mode, align_corners=False)
    return found[0]
