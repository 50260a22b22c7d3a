"""Objects of a class that touch each other, told apart by a watershed.

The height of a pixel is its distance to the border of the class, times its smoothed score squared:
high in the middle of an object, low in a neck between two, and where the classifier doubts. A pixel
belongs to the peak that the steepest ascent leads to. Peaks are then joined, the highest pass
first: two of them are one object unless the pass between them is clearly lower than both.

Source: the watershed by steepest ascent and merging of peaks by prominence is that of Chazal,
Guibas, Oudot and Skraba (2013), "Persistence-based clustering in Riemannian manifolds" (ToMATo);
here prominence is a ratio, so that it means the same for large and small objects.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

HALO_PX = 128
"""Pixels around a cell that are looked at, so that neighbours agree on objects at their frame."""

NECK = 0.6
"""A pass below this share of the lower of two peaks divides them."""

MIN_PEAK = 3.0
"""Height that a peak has at least: half the width, in pixels, of the narrowest object."""

SCORE_SIGMA_PX = 1.0
"""Of the filter of scores."""

SCORE_POWER = 2
"""So that a score of 0.75 between two objects of score 1 is a neck."""

Labels = NDArray[np.int32]


def split(mask: NDArray[np.bool_], scores: NDArray[Any] | None = None) -> Labels:
    """Number the objects of a class.

    Args:
        mask: (height, width) bool, True for pixels of the class.
        scores: (height, width) their score, 0..1; None: by the distance to the border alone.

    Returns:
        (height, width) number of the object, from 1; 0 for other pixels. Objects are connected by
        sides of pixels.
    """
    labels = np.zeros(mask.shape, np.int32)
    place = np.flatnonzero(mask)
    if not len(place):
        return labels
    height = _heights(mask, scores).ravel()[place]
    number = np.full(np.add(mask.shape, 2), -1, np.int32)
    number[1:-1, 1:-1][mask] = np.arange(len(place))
    pairs = [(number[:, :-1], number[:, 1:]), (number[:-1], number[1:])]
    beside = [each[:, (each >= 0).all(axis=0)] for each in map(np.stack, pairs)]
    one, other = np.concatenate(beside, axis=1)
    order = np.argsort(height, kind="stable")
    rank = np.empty(len(place), np.int64)
    rank[order] = np.arange(len(place))
    tops = _tops(rank, one, other)
    is_peak = tops == np.arange(len(tops))
    basin = (np.cumsum(is_peak) - 1)[tops]
    low, high = np.sort(np.stack([basin[one], basin[other]]), axis=0)
    passes = np.minimum(rank[one], rank[other])
    joined = _joined(low, high, passes, height[order], height[is_peak])
    labels.ravel()[place] = joined[basin] + 1
    return labels


def _heights(mask: NDArray[np.bool_], scores: NDArray[Any] | None) -> NDArray[np.float64]:
    """(height, width) distance to the border, times the score squared."""
    distance = np.ones(mask.shape) if mask.all() else ndimage.distance_transform_edt(mask)
    if scores is None:
        return distance
    weight = ndimage.gaussian_filter(mask.astype(np.float64), SCORE_SIGMA_PX)
    own = ndimage.gaussian_filter(np.where(mask, scores, 0).astype(np.float64), SCORE_SIGMA_PX)
    smoothed = np.divide(own, weight, out=np.zeros(own.shape), where=mask)
    return np.asarray(distance * smoothed**SCORE_POWER)


def _tops(rank: NDArray[np.int64], one: Labels, other: Labels) -> NDArray[np.int64]:
    """(pixels,) the pixel at which the steepest ascent from each ends.

    Args:
        rank: (pixels,) order by height.
        one: (pairs,) pixels.
        other: (pairs,) pixels beside them.
    """
    best = rank.copy()
    np.maximum.at(best, one, rank[other])
    np.maximum.at(best, other, rank[one])
    pixel = np.empty(len(rank), np.int64)
    pixel[rank] = np.arange(len(rank))
    above = pixel[best]
    while not np.array_equal(above, further := above[above]):
        above = further
    return above


def _joined(
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    passes: NDArray[np.int64],
    heights: NDArray[np.float64],
    peaks: NDArray[np.float64],
) -> NDArray[np.int64]:
    """(basins,) the object that each basin belongs to.

    Args:
        low: (pairs,) basin of a pixel.
        high: (pairs,) basin of the one beside it, not the lower number.
        passes: (pairs,) rank of the lower of the two pixels.
        heights: (pixels,) by rank.
        peaks: (basins,) height of the highest pixel.
    """
    count = len(peaks)
    between = low != high
    pair, rank = low[between] * count + high[between], passes[between]
    order = np.lexsort((-rank, pair))
    pair, first = np.unique(pair[order], return_index=True)
    rank = rank[order][first]
    # Only passes of the highest tree matter: around any other there is a way that is no lower.
    cost = (len(heights) - rank).astype(np.float64)
    graph = sparse.coo_matrix((cost, np.divmod(pair, count)), shape=(count, count))
    tree = sparse.csgraph.minimum_spanning_tree(graph).tocoo()
    order = np.lexsort((tree.col, tree.row, tree.data))
    levels = heights[len(heights) - tree.data[order].astype(np.int64)]
    leader, peak = list(range(count)), peaks.tolist()

    def root(each: int) -> int:
        while leader[each] != each:
            leader[each] = leader[leader[each]]
            each = leader[each]
        return each

    for start, end, level in zip(
        tree.row[order].tolist(), tree.col[order].tolist(), levels.tolist(), strict=True
    ):
        lower, upper = sorted((root(start), root(end)), key=peak.__getitem__)
        if level >= NECK * peak[lower] or peak[lower] < MIN_PEAK:
            leader[lower] = upper
    return np.unique([root(each) for each in range(count)], return_inverse=True)[1]
