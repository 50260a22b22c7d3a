"""A look at one patch: all that checking needs to know of its pixels, in a few hundred bytes."""

import hashlib
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from geoseg.checking.landmarks import Landmarks, find_landmarks, thumbnail
from geoseg.core.scores import IGNORE
from geoseg.io.patches import Sample

HUGE = 1e30
"""Larger values stand for no data: the lowest float32 (-3.4e38) is a common one."""

FEW_CORNERS = 8
"""Pictures with fewer are also compared as a whole."""

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

    landmarks: Landmarks
    """Corners, if they were wanted, and the whole patch as one."""


def look_at(sample: Sample, *, landmarks: bool) -> Look:
    """Look at a patch.

    Args:
        sample: Its pixels.
        landmarks: Whether corners are wanted.
    """
    image, mask = sample
    known = ~np.isnan(image[0])
    pixels = image.reshape(len(image), -1) if known.all() else image[:, known]
    empty = not pixels.size
    low, high, top = _no_figures(len(image)) if empty else _figures(pixels)
    extreme = bool((low < -HUGE).any() or (top > HUGE).any())
    gray = image.mean(axis=0) if landmarks and not empty and not extreme else None
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
        landmarks=Landmarks.none() if gray is None else _landmarks(gray),
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


def _landmarks(gray: NDArray[np.float32]) -> Landmarks:
    """Corners; of a picture with few of them also the whole of it."""
    corners = find_landmarks(gray)
    return corners if len(corners) >= FEW_CORNERS else corners + thumbnail(gray)


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
