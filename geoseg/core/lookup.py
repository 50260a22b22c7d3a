"""Values of a source become class indices by a table."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import UnknownCodeError

UNKNOWN = 254
"""Index of pixels that the table does not name; it leaves `geoseg.core` only as an error."""

AT_A_TIME = 1 << 17
"""Pixels that are looked at at a time, so that they stay in the processor's cache."""

Bytes = NDArray[np.uint8]


def look_up(values: NDArray[Any], pairs: Mapping[int, int]) -> NDArray[np.uint8]:
    """Replace each value by its index; refuse what has none.

    Bytes go through a table, unless all that there are lie where the table only subtracts:
    that is ten times as fast.
    """
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
    """Indices by mere subtraction, if that gives what the table says for all values there are.

    Bytes are a ring: subtracting 1 from 0 gives 255, which is `IGNORE`. It is cut below the
    value that becomes `IGNORE`, so that this one and the classes are neighbours.
    """
    shift = np.uint8((table == 0).argmax())
    ring = np.arange(256, dtype=np.uint8)
    right = ((table == ring - shift) & (table != UNKNOWN))[ring + shift - np.uint8(1)]
    flat, indices = values.reshape(-1), np.empty(values.size, np.uint8)
    for start in range(0, values.size, AT_A_TIME):
        few = slice(start, start + AT_A_TIME)
        np.subtract(flat[few], shift, out=indices[few])
        cut = indices[few] + np.uint8(1)
        least = 0 if right[0] else cut.min()
        if not right[least : int(cut.max()) + 1].all():
            return None
    return indices.reshape(values.shape)


def counted(codes: Iterable[str], counts: NDArray[np.int64]) -> dict[str, int]:
    """How often each code occurs."""
    return dict(zip(codes, counts.tolist(), strict=True))


def nearest(
    points: NDArray[np.uint8], codes: NDArray[np.uint8], tolerance: float
) -> NDArray[np.int64]:
    """The nearest code of each point, or -1 where the nearest is farther than the tolerance.

    Of codes that are equally near it is the first.

    Args:
        points: (n, 3) colours.
        codes: (codes, 3) colours.
        tolerance: Largest distance in the cube of red, green and blue.

    >>> nearest(np.array([[250, 3, 0], [9, 9, 9]]), np.array([[0, 0, 255], [255, 0, 0]]), 8)
    array([ 1, -1])
    """
    steps = points[:, None].astype(np.int32) - codes.astype(np.int32)
    squares = (steps**2).sum(axis=2)
    best = squares.argmin(axis=1)
    return np.where(squares.min(axis=1) <= tolerance**2, best, -1)
