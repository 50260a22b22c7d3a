"""A look at one patch: all that checking needs to know of its pixels, in a few hundred bytes."""

import hashlib
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from geoseg.core.scores import IGNORE
from geoseg.io.patches import Sample

HUGE = 1e30
"""Larger values stand for no data: the lowest float32 (-3.4e38) is a common one."""

CELLS = 9
"""Rows and columns of the shrunk picture of which a difference hash is made."""

MIN_CONTRAST = 0.05
"""Of the cells of a shrunk picture, over that of its pixels: less is noise, and has no hash."""

SAMPLE = 13
"""Every so many pixels a value is taken for the 98th percentile."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is known of a patch once its pixels are gone."""

    image: bytes = b""
    """Hash of the decoded pixels."""

    mask: bytes = b""
    """Hash of the classes."""

    is_constant: bool = False
    """Whether every band has one value."""

    is_telling: bool = False
    """Whether the mask shows something that two patches hardly share by chance."""

    labelled: float = 0.0
    """Share of pixels with a class."""

    extreme: bool = False
    """Whether a value is infinite or beyond `HUGE`."""

    black: float = 0.0
    """Share of the pixels with data that are 0 in all bands."""

    low: NDArray[np.float32]
    """(bands,) smallest values; NaN without data."""

    high: NDArray[np.float32]
    """(bands,) 98th percentiles, from a sample."""

    top: NDArray[np.float32]
    """(bands,) largest values."""

    is_two_valued: bool = False
    """Whether no value of the last band lies between its smallest and largest."""

    is_gray: bool = False
    """Whether all bands are the same."""

    hash: NDArray[np.uint8] | None = None
    """(16,) difference hash; None without contrast or with pixels missing."""


def look_at(sample: Sample) -> Look:
    """Look at a patch.

    Args:
        sample: Its pixels.
    """
    image, mask = sample
    known = ~np.isnan(image[0])
    pixels = image.reshape(len(image), -1) if known.all() else image[:, known]
    empty = not pixels.size
    low, high, top = _no_figures(len(image)) if empty else _figures(pixels)
    extreme = bool((low < -HUGE).any() or (top > HUGE).any())
    return Look(
        image=_hash(image),
        mask=_hash(mask),
        is_constant=empty or bool((low == top).all()),
        is_telling=is_telling(mask),
        labelled=float(np.mean(mask != IGNORE)),
        extreme=extreme,
        black=0.0 if empty or low.any() else float((pixels == 0).all(axis=0).mean()),
        low=low,
        high=high,
        top=top,
        is_two_valued=bool(((pixels[-1] == low[-1]) | (pixels[-1] == top[-1])).all()),
        is_gray=len(image) > 1 and all(map(partial(np.array_equal, pixels[0]), pixels[1:])),
        hash=None if empty or extreme else difference_hash(image.mean(axis=0)),
    )


def is_telling(mask: NDArray[np.uint8]) -> bool:
    """Whether a mask shows a shape: borders longer than half a side, and not straight stripes.

    Masks of one class are common, and so are those with a few pixels of another in a corner or
    those cut by the straight edge of the data; that two patches have the same one says nothing.

    >>> is_telling(np.array([[1, 2], [1, 2]], np.uint8))
    False
    >>> is_telling(np.array([[1, 2], [1, 1]], np.uint8))
    True
    """
    down, right = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    are_stripes = not down.any() or not right.any()
    borders = np.count_nonzero(down) + np.count_nonzero(right)
    return bool(not are_stripes and borders > sum(mask.shape) / 4)


def difference_hash(gray: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """Where a picture gets brighter downwards and to the right, once it is shrunk to 9 x 9.

    It changes little with compression, and not at all with brightness and contrast.

    Args:
        gray: (height, width), NaN where there is no data.

    Returns:
        (16,) bytes of 128 bits; None if pixels are missing, or for a picture without contrast or
        smaller than 9 x 9.

    Source: N. Krawetz 2013, "Kind of Like That" (dHash), of rows and columns alike.
    """
    height, width = gray.shape
    if min(gray.shape) < CELLS or not np.isfinite(gray).all():
        return None
    rows, cols = (np.arange(CELLS) * length // CELLS for length in (height, width))
    sums = np.add.reduceat(np.add.reduceat(gray, rows, axis=0), cols, axis=1)
    small = sums / np.outer(np.diff(rows, append=height), np.diff(cols, append=width))
    if np.ptp(small) <= MIN_CONTRAST * np.ptp(gray):
        return None
    down, right = small[1:, :-1] > small[:-1, :-1], small[:-1, 1:] > small[:-1, :-1]
    return np.packbits(np.concatenate([down.ravel(), right.ravel()]))


Figures = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""(bands,) smallest values, 98th percentiles, largest values."""


def _figures(pixels: NDArray[np.float32]) -> Figures:
    high = np.percentile(pixels[:, ::SAMPLE], 98, axis=1).astype(np.float32)
    return pixels.min(axis=1), high, pixels.max(axis=1)


def _no_figures(bands: int) -> Figures:
    nothing = np.full(bands, np.nan, np.float32)
    return nothing, nothing, nothing


def _hash(array: NDArray[np.generic]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).digest()
