"""Where a large map is divided: parts with about the same number of windows with data."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.prediction.blend import WindowGrid
from geoseg.raster.reader import RasterReader
from geoseg.raster.window import Window
from geoseg.raster.writer import BLOCK_PX

MOST_WINDOWS = 1024
"""Windows of a part, about, at most: what is lost with a worker stays small."""

LEAST_ROWS = 10
"""Rows of windows of a part, where it need not be smaller: at its edge a row is computed twice."""

PARTS_PER_WORKER = 2
"""Parts for each worker, if they are not too small: the fast do more."""

OVERVIEW_PX = 1024
"""Longest side of the picture in which is looked for data, in pixels."""


def part_count(rows: int, windows: int, blocks: int, workers: float) -> int:
    """Parts that a map is divided into, about.

    Args:
        rows: Rows of windows.
        windows: All windows.
        blocks: Rows of storage blocks, which are not divided.
        workers: Workers for each map.

    >>> part_count(22, 484, 24, 2), part_count(75, 5625, 98, 2), part_count(18, 324, 24, 0.1)
    (2, 6, 1)
    """
    alike = max(round(workers), 1)  # each has as many: one part more keeps the others waiting
    gained = min(PARTS_PER_WORKER * workers, rows / LEAST_ROWS) / alike
    rounds = max(round(gained), ceil(windows / (MOST_WINDOWS * alike)), 1)
    return max(1, min(rounds * alike, blocks, rows))


def divide(
    window_grid: WindowGrid, whole: Window, counts: Sequence[int], parts: int
) -> list[tuple[int, int]]:
    """Rows of the parts of a map, counted from its top.

    Args:
        window_grid: All windows of the orthophoto.
        whole: The map, on the orthophoto's pixels.
        counts: Windows with data in each row of windows that reaches the map.
        parts: How many parts are wanted; there may be fewer.

    Returns:
        First row and row after the last, of each; whole storage blocks.
    """
    starts = [row.start - whole.row_off for row in window_grid.rows(whole)]
    sums = [0, *accumulate(counts)]
    edges = [*range(0, whole.height, BLOCK_PX), whole.height]

    def load(top: int, bottom: int) -> int:
        first = sum(start + window_grid.size <= top for start in starts)
        return sums[sum(start < bottom for start in starts)] - sums[first]

    def cuts(most: int) -> list[int]:
        """Edges of parts with so many windows at most, a single block aside."""
        found = [0]
        for before, edge in pairwise(edges[1:]):
            if load(found[-1], edge) > most:
                found.append(before)
        return [*found, whole.height]

    low, high = max(sums[-1] // parts, 1), max(sums[-1], 1)
    while low < high:
        middle = (low + high) // 2
        if len(cuts(middle)) - 1 <= parts:
            high = middle
        else:
            low = middle + 1
    found = cuts(low)
    return list(pairwise(found))


def windows_with_data(
    ortho: RasterReader, window_grid: WindowGrid, whole: Window, area: Any | None = None
) -> list[int]:
    """Windows with data in each row of windows that reaches a map, by a small picture of it.

    Args:
        ortho: The orthophoto.
        window_grid: Its windows.
        whole: The map, on its pixels.
        area: The AOI.

    Raises:
        RasterError: If the orthophoto cannot be read.
    """
    rows, cols = window_grid.rows(whole), window_grid.cols(whole)
    if not ortho.may_have_invalid_pixels and area is None:
        return [len(cols)] * len(rows)
    valid: Any = ortho.read_overview(OVERVIEW_PX).valid
    step = max(ortho.grid.height, ortho.grid.width) / max(valid.shape)
    if area is not None:
        coarse = area.read(ortho.grid.window, max(int(step), 1))
        valid &= _resized(coarse, valid.shape)
    sides = [_span(each.start, window_grid.size, step) for each in cols]
    found = []
    for row in rows:
        strip = valid[slice(*_span(row.start, window_grid.size, step))].any(axis=0)
        found.append(sum(bool(strip[low:high].any()) for low, high in sides))
    return found


def _span(start: int, size: int, step: float) -> tuple[int, int]:
    """Pixels of the small picture that a window covers, one at least."""
    low = max(int(start / step), 0)
    return low, max(ceil((start + size) / step), low + 1)


def _resized(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows, cols = (np.arange(n) * m // n for n, m in zip(shape, mask.shape, strict=True))
    return np.asarray(mask[np.ix_(rows, cols)], np.bool_)
