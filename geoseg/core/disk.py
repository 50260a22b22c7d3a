"""What lies within a distance of each pixel."""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Kind = TypeVar("Kind", np.uint8, np.bool_)


def fold_disk(values: NDArray[Kind], distance: float, fold: np.ufunc) -> NDArray[Kind]:
    """The smallest or largest value, or whether any is True, in the disk around each pixel.

    The disk holds the pixels whose centres are at most ``distance`` away; what of it lies
    beyond the edge is left out. A disk is rows of different length: rows are folded to each
    length once, growing by one pixel on either side, and then folded over the rows above and
    below, so that the effort grows with the radius and not with the area.

    Args:
        values: (height, width).
        distance: Radius of the disk, in pixels.
        fold: ``np.minimum``, ``np.maximum`` or ``np.logical_or``: the order and repetition of
            its operands must not matter.

    Returns:
        (height, width).

    >>> fold_disk(np.array([[0, 0, 0, 7]], np.uint8), 2, np.maximum)
    array([[0, 7, 7, 7]], dtype=uint8)
    """
    folded, run, reach = values.copy(), values, 0
    for rows in range(math.floor(distance), -1, -1):
        while reach < math.floor(math.sqrt(distance**2 - rows**2)):
            run, reach = _grown(run, fold), reach + 1
        if rows == 0:
            fold(folded, run, out=folded)
        elif rows < len(values):
            fold(folded[rows:], run[:-rows], out=folded[rows:])
            fold(folded[:-rows], run[rows:], out=folded[:-rows])
    return folded


def _grown(run: NDArray[Kind], fold: np.ufunc) -> NDArray[Kind]:
    """Each pixel folded with its neighbours on the left and right."""
    grown = run.copy()
    fold(grown[:, 1:], run[:, :-1], out=grown[:, 1:])
    fold(grown[:, :-1], run[:, 1:], out=grown[:, :-1])
    return grown
