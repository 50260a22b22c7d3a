"""Colours of classes, bands by name, lookup of pixel values, and confidence in labels."""

import colorsys
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import LegendError, UnknownCodeError
from geoseg.raster.storage import Color
from geoseg.text import exact, named_number

PALETTE = (
    *("#d7301f", "#7f7f7f", "#b8e186", "#1b7837", "#2c7fb8", "#fec44f", "#8c6bb1", "#8c510a"),
    *("#f768a1", "#35978f", "#bf812d", "#4d4d4d", "#c51b7d", "#542788", "#e08214", "#80cdc1"),
)
"""Default colours of classes."""


class LeastConfidence(NamedTuple):
    """A column of polygons, and the number from which on they are labels."""

    column: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """A column and a number.

        Raises:
            ValueError: If it is of another form.

        >>> str(LeastConfidence.parse("sure = .5"))
        'sure=0.5'
        """
        column, value = named_number(text)
        if not column or not np.isfinite(value):
            raise ValueError(f"{text!r} is no column and number such as confidence=0.5")
        return cls(column, value)

    def __str__(self) -> str:
        """As it is written."""
        return f"{self.column}={exact(self.value)}"


def parse_color(text: object) -> Color:
    """A colour from ``"#rrggbb"``.

    >>> parse_color("#d7301f")
    (215, 48, 31)
    """
    if not is_color(text):
        raise LegendError(f'a colour is written "#rrggbb", got {text!r}')
    digits = str(text)[1:]
    return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def to_hex(color: Color) -> str:
    """``"#rrggbb"``; `parse_color` is its inverse."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def default_color(number: int) -> str:
    """The default colour of a class; each number has its own.

    >>> default_color(0), default_color(16)
    ('#d7301f', '#eb42b3')
    """
    if number < len(PALETTE):
        return PALETTE[number]
    hue = number * 0.618034 % 1  # the golden ratio spreads hues evenly
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.55 + 0.17 * (number % 3), 0.95 - number / 600)
    return to_hex((round(255 * red), round(255 * green), round(255 * blue)))


def is_color(text: object) -> bool:
    """Whether a value is a colour in the form ``"#rrggbb"``."""
    return isinstance(text, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", text) is not None


def pack_rgb(color: Color) -> int:
    """A colour as one 24-bit number."""
    return (color[0] << 16) | (color[1] << 8) | color[2]


def rgb_codes(image: NDArray[Any]) -> NDArray[np.uint32]:
    """(...) colours as 24-bit numbers, of an image of (3, ...) whose values fit into bytes.

    Raises:
        LegendError: If values do not fit.
    """
    image = image[:3]
    found = image.astype(np.uint8)
    if image.dtype != np.uint8 and (found != image).any():
        raise LegendError(
            f"colours have 8 bits, but the image holds {image.dtype} from {image.min()} to "
            f"{image.max()}; convert it (gdal_translate -ot Byte -scale)"
        )
    red, green, blue = found.astype(np.uint32)
    return (red << 16) | (green << 8) | blue


RGB = ("red", "green", "blue")
"""Names of the visible bands."""


def color_bands(names: Sequence[str]) -> tuple[int, ...] | None:
    """Indices (from 0) of the bands named red, green and blue; None if one is missing.

    >>> color_bands(["Blue", "green", "red", "nir"]), color_bands(["gray"])
    ((2, 1, 0), None)
    """
    known = [name.casefold() for name in names]
    return tuple(map(known.index, RGB)) if set(RGB) <= set(known) else None


NAMELESS = re.compile(r"((band|channel|b)[ _-]?\d*|gr[ae]y|undefined)?")
"""Generic band names, which say nothing of the content."""


def find_bands(names: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...] | None:
    """Indices (from 0) of bands by name; None if one is missing, ambiguous or generic.

    >>> find_bands(["Blue", "green", "red", "nir"], ["red", "green", "blue"])
    (2, 1, 0)
    >>> find_bands(["blue", "green", "red"], ["band 1", "band 2", "band 3"])
    """
    known, sought = ([name.strip().casefold() for name in each] for each in (names, wanted))
    if any(NAMELESS.fullmatch(name) or known.count(name) != 1 for name in sought):
        return None
    return tuple(map(known.index, sought))


def class_bands(names: Sequence[str], classes: Sequence[str]) -> tuple[int, ...] | None:
    """Indices (from 0) of the bands that hold the scores of classes; None if they are of others.

    By name; in their order if none has a name but that of a colour or number.

    >>> class_bands(["tree", "car"], ["car", "tree"]), class_bands(["red", "band 2"], ["a", "b"])
    ((1, 0), (0, 1))
    >>> class_bands(["tree", "car"], ["car", "road"])
    """
    if sorted(names) == sorted(classes):
        return tuple(map(list(names).index, classes))
    known = [name.strip().casefold() for name in names]
    nameless = all(name in RGB or NAMELESS.fullmatch(name) for name in known)
    return tuple(range(len(names))) if nameless and len(names) == len(classes) else None


def misplaced_bands(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Names of bands that are present, but at another position than wanted.

    >>> misplaced_bands(["blue", "green", "red", "band 4"], ["red", "green", "blue", "nir"])
    ['blue', 'red']
    """
    known, sought = ([name.strip().casefold() for name in each] for each in (names, wanted))
    return [
        name
        for place, name in enumerate(known)
        if not NAMELESS.fullmatch(name)
        and known.count(name) == sought.count(name) == 1
        and sought.index(name) != place
    ]


def shown_bands(names: Sequence[str]) -> tuple[int, ...]:
    """Indices (from 0) of the bands shown as red, green and blue, or of the one shown in grey.

    Bands named so in any order; else the first three, or the first.

    >>> shown_bands(["blue", "green", "red", "nir"]), shown_bands(["b1", "b2", "b3", "b4"])
    ((2, 1, 0), (0, 1, 2))
    >>> shown_bands(["gray", "height"])
    (0,)
    """
    return color_bands(names) or ((0, 1, 2) if len(names) > 2 else (0,))  # noqa: PLR2004


def visible_bands(image: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
    """(3, height, width): `shown_bands` of a (bands, height, width) image, one band three times."""
    bands = shown_bands(names)
    return image[list(bands if len(bands) > 1 else bands * 3)]


class ValueColors:
    """Colours of categorical values: each value has its own.

    >>> ValueColors({7: (0, 0, 0)})(np.array([[[0, 1, 7]]]))[0].tolist()
    [[215, 127, 0]]
    """

    def __init__(self, known: Mapping[int, Color] | None = None) -> None:
        self._known = known or {}

    def of(self, value: int) -> Color:
        """The colour of a value."""
        return self._known.get(value) or parse_color(default_color(value % (1 << 16)))

    def __call__(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """(3, height, width) of (1, height, width) values."""
        values, places = np.unique(image[0], return_inverse=True)
        colors = np.array([self.of(value) for value in values.tolist()], np.uint8)
        return colors[places.reshape(image.shape[1:])].transpose(2, 0, 1)


UNKNOWN = 254
"""Index of values without a class; callers see it only as an error."""

CHUNK_PIXELS = 1 << 17
"""Pixels per step, so that they stay in the processor's cache."""

Bytes = NDArray[np.uint8]


def look_up(values: NDArray[Any], pairs: Mapping[int, int]) -> NDArray[np.uint8]:
    """Replace each value by its index.

    Args:
        values: Any shape.
        pairs: Index of each value.

    Raises:
        UnknownCodeError: If a value has no index.
    """
    # Bytes: one table of 256 entries, or better (5 to 10 times as fast) a subtraction, which numpy
    # vectorises and indexing does not. Wider types: binary search among the few known values;
    # a table of their range could take gigabytes, and np.unique would sort all pixels.
    if values.dtype == np.uint8:
        table = _table(pairs)
        if (subtracted := _subtracted(values, table)) is not None:
            return subtracted
        indices = table[values]
    else:
        known = np.array(sorted(pairs), np.int64)
        order = np.array([pairs[value] for value in sorted(pairs)], np.uint8)
        nearest = np.searchsorted(known, values).clip(max=len(known) - 1)
        indices = np.where(known[nearest] == values, order[nearest], np.uint8(UNKNOWN))
    if (unknown := indices == UNKNOWN).any():
        found, counts = np.unique(values[unknown], return_counts=True)
        raise UnknownCodeError("values", counted(map(str, found), counts))
    return indices


def _table(pairs: Mapping[int, int]) -> Bytes:
    """(256,) the index of each byte."""
    table = np.full(256, UNKNOWN, np.uint8)
    for value, index in pairs.items():
        if 0 <= value < len(table):
            table[value] = index
    return table


def _subtracted(values: Bytes, table: Bytes) -> Bytes | None:
    """Indices by subtracting a constant, if that agrees with the table for all values present.

    Returns None if it does not.
    """
    # Legends mostly number their classes 1, 2, 3... with 0 for unlabelled. Bytes wrap around, so
    # that subtracting 1 makes 0 `IGNORE` (255) as well. Whether the constant is right for a chunk
    # follows from its lowest and highest value alone: on the ring of bytes, cut just below the
    # value that becomes `IGNORE`, every value between them must be one where table and
    # subtraction agree.
    shift = np.uint8((table == 0).argmax())
    ring = np.arange(256, dtype=np.uint8)
    right = ((table == ring - shift) & (table != UNKNOWN))[ring + shift - np.uint8(1)]
    flat, indices = values.reshape(-1), np.empty(values.size, np.uint8)
    for start in range(0, values.size, CHUNK_PIXELS):
        few = slice(start, start + CHUNK_PIXELS)
        np.subtract(flat[few], shift, out=indices[few])
        cut = indices[few] + np.uint8(1)
        least = 0 if right[0] else cut.min()
        if not right[least : int(cut.max()) + 1].all():
            return None
    return indices.reshape(values.shape)


def counted(codes: Iterable[str], counts: NDArray[np.int64]) -> dict[str, int]:
    """Counts by code."""
    return dict(zip(codes, counts.tolist(), strict=True))


def nearest(
    points: NDArray[np.uint8], codes: NDArray[np.uint8], tolerance: float
) -> NDArray[np.int64]:
    """Index of the nearest code of each point; -1 beyond the tolerance. Ties go to the first.

    Args:
        points: (n, 3) colours.
        codes: (codes, 3) colours.
        tolerance: Largest Euclidean distance in RGB.

    >>> nearest(np.array([[250, 3, 0], [9, 9, 9]]), np.array([[0, 0, 255], [255, 0, 0]]), 8)
    array([ 1, -1])
    """
    steps = points[:, None].astype(np.int32) - codes.astype(np.int32)
    squares = (steps**2).sum(axis=2)
    best = squares.argmin(axis=1)
    return np.where(squares.min(axis=1) <= tolerance**2, best, -1)
