"""Colours of any raster: bytes as they are, other values stretched; and their averages."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (2, 98)
"""Of a band's values: these become black and white."""


@dataclass(frozen=True)
class Stretch:
    """Which values become black and white."""

    low: NDArray[np.float64]
    """Black: one value for all bands, or (bands, 1, 1)."""

    high: NDArray[np.float64]
    """White: likewise."""

    @classmethod
    def of(cls, values: NDArray[Any]) -> Self:
        """The stretch that suits some values.

        Args:
            values: (n,) of all bands together, or (bands, n) of each.
        """
        if not values.size:
            return cls(np.zeros((1, 1)), np.ones((1, 1)))
        low, high = np.percentile(values, PERCENTILES, axis=-1)[..., None, None]
        return cls(low, high)

    def __call__(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """(bands, height, width) bytes."""
        stretched = (image - self.low) / np.maximum(self.high - self.low, 1e-9)
        return (255 * np.nan_to_num(stretched).clip(0, 1)).astype(np.uint8)


def visible_bands(image: NDArray[Any]) -> NDArray[Any]:
    """(3, height, width): the first three bands, or the first one three times."""
    return image[:3] if len(image) > 2 else image[[0, 0, 0]]  # noqa: PLR2004


def with_alpha(colors: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(height, width, 4) red, green, blue, alpha; transparent black where not valid."""
    shown = valid.astype(np.uint8)
    return np.concatenate([colors * shown, shown[None] * np.uint8(255)]).transpose(1, 2, 0)


def averaged(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A picture with one pixel for each square of pixels; the last ones may be cut.

    What is transparent has no part in the mean, and a pixel is transparent only if all of
    its square is.

    Args:
        picture: (height, width, 4) red, green, blue, alpha: 0 or 255.
        side: Of the squares, in pixels.
    """
    if side == 1:
        return picture
    height, width = (-(-length // side) for length in picture.shape[:2])
    padding = [(0, height * side - picture.shape[0]), (0, width * side - picture.shape[1]), (0, 0)]
    squares = np.pad(picture, padding).reshape(height, side, width, side, 4)
    shown = squares[..., 3:] > 0
    count = np.maximum(shown.sum(axis=(1, 3), dtype=np.uint16), 1)
    mean = (squares[..., :3] * shown).sum(axis=(1, 3), dtype=np.uint32) / count
    alpha = shown.any(axis=(1, 3)) * np.uint8(255)
    return np.concatenate([np.rint(mean).astype(np.uint8), alpha], axis=2)
