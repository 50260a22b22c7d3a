"""Smoothing that invents no class: the commonest class around a pixel."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from geoseg.core.scores import IGNORE
from geoseg.postprocessing.strips import Change, Indices, MapStrips


def majority(strips: MapStrips, side: int) -> Iterator[Change]:
    """Give each pixel the commonest class of a square around it.

    A pixel changes only where one class alone is the commonest. Nodata and what lies beyond
    the map do not count; nodata stays.

    Args:
        strips: The map.
        side: Of the square, in pixels; odd.
    """
    half = side // 2
    for _, window, indices in strips.read("majority"):
        wide, inner = strips.around(window, half)
        above = half - inner.row_off
        below = half - (len(wide) - inner.row_stop)
        padded = np.pad(wide, ((above, below), (half, half)), constant_values=IGNORE)
        yield Change(window, indices, commonest(padded, side))


def commonest(indices: Indices, side: int) -> Indices:
    """The commonest class of the square around each pixel.

    Args:
        indices: (height, width) with half a side more on all sides than is wanted.
        side: Of the square, in pixels; odd.

    Returns:
        (height, width) without the margin; the pixel's own where several are equally common.
    """
    half = side // 2
    own = indices[half : len(indices) - half, half : indices.shape[1] - half]
    winner, most = own.copy(), np.zeros(own.shape, np.int32)
    for index in np.unique(indices[indices != IGNORE]):
        count = _box_sums(indices == index, side)
        winner[count == most] = IGNORE
        winner[count > most] = index
        np.maximum(most, count, out=most)
    return np.where((winner == IGNORE) | (own == IGNORE), own, winner)


def _box_sums(mask: NDArray[np.bool_], side: int) -> NDArray[np.int32]:
    """How many pixels of the square around each are True, without the margin."""
    rows = np.cumsum(mask, axis=0, dtype=np.int32)
    rows[side:] -= rows[:-side].copy()
    cols = np.cumsum(rows[side - 1 :], axis=1, dtype=np.int32)
    cols[:, side:] -= cols[:, :-side].copy()
    return cols[:, side - 1 :]
