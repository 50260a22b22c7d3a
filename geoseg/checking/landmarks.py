"""Landmarks: corners of a picture, described so that they are known again in another one.

A landmark is where the ground has a corner, not where a window happens to lie. Two pictures of
the same ground therefore have the same landmarks, however the windows were cut, whatever the
compression, and whether one is brighter than the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

KEYS = 3
"""Independent parts of a description; one that is the same makes two landmarks candidates."""

KEY_BITS = 32
"""Comparisons in a part: few parts are the same by chance."""

REACH = 14
"""How far from a landmark its description looks, in pixels."""

APART = 6
"""No other corner as strong lies within so many pixels of a landmark."""

SMOOTH = 2.0
"""Standard deviation of the smoothing before pixels are compared, in pixels."""

LEAST_CONTRAST = 0.02
"""Of the picture's range: fainter corners are noise."""

MOST = 40
"""Landmarks kept of a patch, the strongest."""

SHRUNK = 8
"""Side of a picture shrunk to be compared as a whole, in pixels."""


@dataclass(frozen=True)
class Landmarks:
    """Corners and their descriptions."""

    rows: NDArray[np.int32]
    """(n,) in pixels from the top of the picture."""

    cols: NDArray[np.int32]
    """(n,) in pixels from its left."""

    keys: NDArray[np.uint32]
    """(n, KEYS) parts of the descriptions."""

    is_whole: NDArray[np.bool_]
    """(n,) whether it stands for the whole picture, and lies in its centre."""

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def none(cls) -> Self:
        """Of a picture without any."""
        nothing = np.zeros(0, np.int32)
        return cls(nothing, nothing, np.zeros((0, KEYS), np.uint32), np.zeros(0, np.bool_))

    @classmethod
    def joined(cls, several: Sequence[Self]) -> Self:
        """All landmarks of several pictures."""
        if not several:
            return cls.none()
        columns = ([getattr(each, f.name) for each in several] for f in fields(cls))
        return cls(*map(np.concatenate, columns))

    def moved(self, rows: int, cols: int) -> Self:
        """The same landmarks, further down and to the right, in pixels."""
        return replace(self, rows=self.rows + np.int32(rows), cols=self.cols + np.int32(cols))

    def __add__(self, other: Self) -> Self:
        return self.joined([self, other])


def _comparisons() -> NDArray[np.int64]:
    """(KEYS * KEY_BITS, 4) offsets of the two pixels that each bit compares, always the same.

    Source: Calonder et al. 2010, "BRIEF: Binary Robust Independent Elementary Features"; drawn
    evenly (their G I), with which the bits depend least on each other.
    """
    rng = np.random.default_rng(0)
    return rng.integers(-REACH, REACH + 1, (KEYS * KEY_BITS, 4))


COMPARISONS = _comparisons()


def find_landmarks(gray: NDArray[np.float32]) -> Landmarks:
    """The strongest corners of a picture.

    Args:
        gray: (height, width), NaN where there is no data; near these no corner counts.
    """
    known = np.isfinite(gray)
    if min(gray.shape) <= 2 * REACH or not known.any():
        return Landmarks.none()
    low, high = np.percentile(gray[known], (2, 98))
    if high <= low:
        return Landmarks.none()
    filled = np.where(known, gray, low).astype(np.float32)
    strength = _corners((filled - low) / (high - low))
    strength[~_inside(known)] = 0
    peaks = strength == ndimage.maximum_filter(strength, size=2 * APART + 1)
    rows, cols = np.nonzero(peaks & (strength > LEAST_CONTRAST**2))
    best = np.argsort(-strength[rows, cols], kind="stable")[:MOST]
    rows, cols = rows[best], cols[best]
    return Landmarks(
        rows.astype(np.int32),
        cols.astype(np.int32),
        _describe(filled, rows, cols),
        np.zeros(len(rows), np.bool_),
    )


def thumbnail(gray: NDArray[np.float32]) -> Landmarks:
    """The whole picture as a landmark, for pictures too small to have others.

    It is shrunk to 8 x 8, and the bits say where it gets brighter downwards and to the right.
    A picture with gaps, or without contrast, has none.

    Args:
        gray: (height, width), NaN where there is no data.
    """
    height, width = gray.shape
    if min(gray.shape) < SHRUNK or not np.isfinite(gray).all() or np.ptp(gray) == 0:
        return Landmarks.none()
    rows, cols = (np.arange(SHRUNK) * length // SHRUNK for length in (height, width))
    sums = np.add.reduceat(np.add.reduceat(gray, rows, axis=0), cols, axis=1)
    small = sums / np.outer(np.diff(rows, append=height), np.diff(cols, append=width))
    down, right = small[1:] > small[:-1], small[:, 1:] > small[:, :-1]
    bits = np.concatenate([down[:6].ravel(), right[:, :6].ravel()])[None]
    row, col = (np.array([length // 2], np.int32) for length in (height, width))
    return Landmarks(row, col, _packed(bits), np.ones(1, np.bool_))


def distance(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> NDArray[np.int64]:
    """(n,) bits in which descriptions differ.

    Args:
        one: (n, KEYS).
        other: (n, KEYS).
    """
    differing = np.ascontiguousarray(one ^ other)
    return np.unpackbits(differing.view(np.uint8), axis=-1).sum(axis=-1, dtype=np.int64)


def _corners(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Twice the harmonic mean of the squared contrasts along the two axes of each place.

    Source: Harris and Stephens 1988; det/trace is Noble's measure (1988), which has no parameter.
    """
    along_rows, along_cols = (
        ndimage.gaussian_filter(gray, 1.5, order=order) for order in ((1, 0), (0, 1))
    )
    a, b, c = (
        ndimage.gaussian_filter(product, SMOOTH)
        for product in (along_rows**2, along_cols**2, along_rows * along_cols)
    )
    strength: NDArray[np.float32] = (a * b - c**2) / (a + b + 1e-12)
    return strength


def _inside(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a description looks at known pixels only."""
    size = 2 * REACH + 1
    if known.all():
        inside = np.zeros_like(known)
        inside[REACH:-REACH, REACH:-REACH] = True
        return inside
    return ndimage.minimum_filter(known, size=size, mode="constant", cval=0)


def _describe(
    gray: NDArray[np.float32], rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """(n, KEYS): each bit says which of two smoothed pixels is the brighter."""
    smooth = ndimage.gaussian_filter(gray, SMOOTH)
    first_row, first_col, second_row, second_col = COMPARISONS.T
    brighter = (
        smooth[rows[:, None] + first_row, cols[:, None] + first_col]
        > smooth[rows[:, None] + second_row, cols[:, None] + second_col]
    )
    return _packed(brighter)


def _packed(bits: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """(n, KEYS) from (n, KEYS * KEY_BITS)."""
    parts = bits.reshape(-1, KEYS, KEY_BITS)
    powers = np.uint32(1) << np.arange(KEY_BITS, dtype=np.uint32)
    return (parts * powers).sum(axis=-1, dtype=np.uint32)
