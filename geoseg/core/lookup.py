"""Values of a source become class indices by a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import LegendError

UNKNOWN = 254
"""Index of pixels that the table does not name; it leaves `geoseg.core` only as an error."""


def look_up(values: NDArray[Any], pairs: Mapping[int, int]) -> NDArray[np.uint8]:
    """Replace each value by its index; refuse what has none."""
    if values.dtype == np.uint8:
        table = np.full(256, UNKNOWN, np.uint8)
        for value, index in pairs.items():
            if 0 <= value < len(table):
                table[value] = index
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


def unknown_message(kind: str, found: list[str], counts: NDArray[np.int64]) -> str:
    """Says which values, colours or attributes of a source have no class, and what to do."""
    most = np.argsort(-counts)[:5]
    listed = ", ".join(f"{found[i]} ({counts[i]}x)" for i in most)
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""  # noqa: PLR2004
    return (
        f"{kind} without a class: {listed}{more}. Add them to a class of the legend "
        f"(`values`, `colors` or `attributes`) or to its `ignore` list"
    )
