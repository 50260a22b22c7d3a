"""How alike the pixels are that two sources both show, if one lies on the other as is said."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from geoseg.core.window import Window
from geoseg.errors import GeosegError
from geoseg.io.patch_record import Patch
from geoseg.io.patches import PatchSet

NEAR = 2
"""Pixels by which the place that is said is improved."""

LEAST_SIDE = 12
"""Narrower strips are not compared, in pixels."""

SPREAD = 9
"""Pairs of patches that stand for all the ground that two sources share."""


class Moments(NamedTuple):
    """Sums over the pixels that two patches both show, each patch less its own mean."""

    both: float
    """Products of the two."""

    first: float
    """Squares of the first's."""

    second: float
    """Squares of the second's."""

    @property
    def correlation(self) -> float:
        """-1..1."""
        return float(self.both / np.sqrt(self.first * self.second))


def likeness(patch_set: PatchSet, one: Patch, other: Patch, rows: int, cols: int) -> float:
    """Correlation of what two patches both show, -1..1; NaN if that is little or without contrast.

    Args:
        patch_set: Their set.
        one: A patch.
        other: A patch of another source.
        rows: How far below the first source's corner the second's lies, in pixels.
        cols: How far to the right of it.
    """
    found = _moments(patch_set, one, other, rows, cols)
    return found.correlation if found else float("nan")


def likeness_everywhere(
    patch_set: PatchSet, first: int, second: int, rows: int, cols: int
) -> float:
    """Correlation over all ground that two sources share, of pairs of patches spread over it.

    Each patch is taken less its own mean, and those of more contrast count more: water, of which
    two pictures share nothing but the noise, hardly does. NaN if they share little.

    Args:
        patch_set: Their set.
        first: Number of a source.
        second: Number of another.
        rows: How far below the first's corner the second's lies, in pixels.
        cols: How far to the right of it.
    """
    pairs = _spread_pairs(patch_set, first, second, rows, cols)
    found = (_moments(patch_set, one, other, rows, cols) for one, other in pairs)
    known = list(filter(None, found))
    total = Moments(*np.sum(known, axis=0)) if known else None
    return total.correlation if total else float("nan")


def _spread_pairs(
    patch_set: PatchSet, first: int, second: int, rows: int, cols: int
) -> list[tuple[Patch, Patch]]:
    """Pairs of patches that share much, as far from each other as can be."""
    patches = patch_set.patches
    corners = np.stack([patches.row_off, patches.col_off], axis=1).astype(float)
    one, other = (np.flatnonzero(patches.source == source) for source in (first, second))
    apart, nearest = KDTree(corners[other] + (rows, cols)).query(corners[one], p=np.inf)
    side = patches.size - apart
    chosen = np.flatnonzero(side >= max(side.max() / 2, LEAST_SIDE))
    chosen = chosen[farthest(corners[one[chosen]], SPREAD)]
    pairs = zip(one[chosen].tolist(), other[nearest[chosen]].tolist(), strict=True)
    return [(patches[mine], patches[theirs]) for mine, theirs in pairs]


def farthest(places: NDArray[np.float64], most: int) -> list[int]:
    """Numbers of places far from each other: the first, then always the one farthest from all.

    Args:
        places: (n, 2).
        most: How many.

    >>> farthest(np.array([[0, 0], [0, 1], [0, 5], [0, 9]]), 3)
    [0, 3, 2]
    """
    chosen: list[int] = []
    away = np.full(len(places), np.inf)
    while len(chosen) < most and away.any():
        chosen.append(int(np.argmax(away)))
        away = np.minimum(away, np.square(places - places[chosen[-1]]).sum(axis=1))
    return chosen


def _moments(patch_set: PatchSet, one: Patch, other: Patch, rows: int, cols: int) -> Moments | None:
    """Those of the place nearby where the two are most alike; None if nothing can be said."""
    moved = other.window.moved(rows, cols)
    common = one.window.intersection(moved)
    if common is None or min(common.height, common.width) < LEAST_SIDE:
        return None
    try:
        first = _smooth(patch_set, one)[common.relative_to(one.window).slices]
        second = _smooth(patch_set, other)[common.relative_to(moved).slices]
    except GeosegError:
        return None
    height, width = first.shape
    inner = Window(row_off=NEAR, col_off=NEAR, height=height - 2 * NEAR, width=width - 2 * NEAR)
    steps = range(-NEAR, NEAR + 1)
    found = [
        _sums(first[inner.slices], second[inner.moved(row, col).slices])
        for row in steps
        for col in steps
    ]
    return max(filter(None, found), key=lambda each: each.correlation, default=None)


def _smooth(patch_set: PatchSet, patch: Patch) -> NDArray[np.float32]:
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(
        patch_set.read(patch).image.mean(axis=0), 1.5, truncate=2
    )
    return smooth


def _sums(one: NDArray[np.float32], other: NDArray[np.float32]) -> Moments | None:
    known = np.isfinite(one) & np.isfinite(other)
    if known.mean() < 0.25 or not np.ptp(one[known]) or not np.ptp(other[known]):  # noqa: PLR2004
        return None
    first, second = one[known].astype(float), other[known].astype(float)
    first, second = first - first.mean(), second - second.mean()
    return Moments(float(first @ second), float(first @ first), float(second @ second))
