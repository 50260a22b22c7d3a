"""Rasters as images: stretched values, colours of classes, averages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import RasterError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import ValueColors, shown_bands
from geoseg.raster.reader import RasterReader, ReadOptions
from geoseg.raster.storage import Color
from geoseg.raster.tolerant import sample_values
from geoseg.text import short_list

MAX_MASK_VALUES = 32
"""Whole numbers up to which one band is a mask of classes, not a grey image."""

STRETCH_PERCENTILES = (2, 98)
"""Percentiles of values that become black and white."""

WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Stretch:
    """Values that become black and white."""

    low: NDArray[np.float64]
    """Value of black: one for all bands, or (bands, 1, 1)."""

    high: NDArray[np.float64]
    """Value of white, likewise."""

    @classmethod
    def of(cls, values: NDArray[Any]) -> Self:
        """The stretch that suits some values.

        Args:
            values: (n,) of all bands together, or (bands, n) of each.
        """
        if not values.size:
            return cls(np.zeros((1, 1)), np.ones((1, 1)))
        low, high = np.percentile(values, STRETCH_PERCENTILES, axis=-1)[..., None, None]
        return cls(low, high)

    def __call__(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """(bands, height, width) bytes; NaN is black."""
        stretched = (image - self.low) / np.maximum(self.high - self.low, 1e-9)
        return (255 * np.nan_to_num(stretched).clip(0, 1)).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class BandChoice:
    """Bands of orthophotos shown as red, green and blue, or one in grey."""

    numbers: tuple[int, ...] = ()
    """Numbers in the file, from 1."""

    names: tuple[str, ...] = ()
    """Names in the file; with neither, `shown_bands` of its names."""

    def options_for(self, path: Path) -> ReadOptions:
        """Options that read the bands to be shown; all of a raster of one band or with a palette.

        Raises:
            RasterError: If it cannot be read, or has no band of such a name.
        """
        with RasterReader(path) as reader:
            if reader.palette or reader.bands == 1:
                return ReadOptions()
            if self.numbers:
                return ReadOptions(bands=self.numbers)
            places = self._places(path, reader.band_names) if self.names else None
            places = places or shown_bands(reader.band_names)
            return ReadOptions(bands=tuple(reader.band_numbers[place] for place in places))

    def _places(self, path: Path, names: Sequence[str]) -> tuple[int, ...]:
        known = [name.casefold() for name in names]
        if missing := [name for name in self.names if name.casefold() not in known]:
            raise RasterError(
                f"{path}: has no band {missing[0]!r}; its bands are {short_list(names)}"
            )
        return tuple(known.index(name.casefold()) for name in self.names)


def painter_of(reader: RasterReader, tags: Mapping[str, Any]) -> Callable[[Any], Any]:
    """A function that turns pixels of a raster into colours: (3, height, width) bytes.

    Bytes stay as they are, other values are stretched. One band of a few whole numbers is a mask
    of classes, which would be black as it is: each value gets a colour.

    Args:
        reader: Reader of the bands to be shown.
        tags: Tags of the raster; with those of geoseg it is no mask from elsewhere.
    """
    if reader.bands > 1 and reader.dtype == np.uint8:
        return np.asarray
    values = sample_values(reader)
    if reader.bands == 1 and "kind" not in tags and is_value_mask(values):
        return ValueColors()
    if reader.dtype == np.uint8:
        return in_grey
    stretch = Stretch.of(values)
    return stretch if reader.bands > 1 else lambda image: stretch(in_grey(image))


def is_value_mask(values: NDArray[Any]) -> bool:
    """Whether the values of a band may be classes: a few whole numbers."""
    return values.dtype.kind in "iu" and 0 < len(np.unique(values)) <= MAX_MASK_VALUES


def class_colors(legend: Legend, unlabelled: Color = WHITE) -> NDArray[np.uint8]:
    """(256, 3) colours of class indices; indexed with an array of them it gives their image."""
    colors = np.full((IGNORE + 1, 3), unlabelled, np.uint8)
    colors[: len(legend)] = [each.color for each in legend.classes]
    return colors


def in_grey(image: NDArray[Any]) -> NDArray[Any]:
    """(3, height, width) of (1, height, width)."""
    return image[[0, 0, 0]]


def with_alpha(colors: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(height, width, 4) red, green, blue, alpha; transparent black where not valid."""
    shown = valid.astype(np.uint8)
    return np.concatenate([colors * shown, shown[None] * np.uint8(255)]).transpose(1, 2, 0)


def averaged(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """An image with the mean of each square of pixels; the last ones may be cut.

    Transparent pixels do not count, and a mean is transparent only if all of its square is.

    Args:
        picture: (height, width, 4) red, green, blue, alpha: 0 or 255.
        side: Side of the squares, in pixels.
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
