"""Values of a source become class indices by a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import LegendError

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
        raise LegendError(unknown_message("values", [str(value) for value in found], counts))
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


def unknown_message(kind: str, found: list[str], counts: NDArray[np.int64]) -> str:
    """Says which values, colours or attributes of a source have no class, and what to do."""
    most = np.argsort(-counts)[:5]
    listed = ", ".join(f"{found[i]} ({counts[i]}x)" for i in most)
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""  # noqa: PLR2004
    return (
        f"{kind} without a class: {listed}{more}. Add them to a class of the legend "
        f"(`values`, `colors` or `attributes`) or to its `ignore` list"
    )
