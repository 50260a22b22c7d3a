"""Counts in squares of ground: what resampling and rankings of places are made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from geoseg.core.window import Window

Tallied = tuple[NDArray[np.int64], NDArray[np.int64]]
"""What was found, each once, and how often."""


@dataclass(frozen=True, kw_only=True)
class Squares:
    """A map divided into squares, numbered in reading order; the last ones are cut at the edge."""

    side: int
    """In pixels."""

    height: int
    """Rows of the map, in pixels."""

    width: int
    """Columns of the map, in pixels."""

    @property
    def columns(self) -> int:
        """Squares in a row of them."""
        return -(-self.width // self.side)

    def __len__(self) -> int:
        return self.columns * -(-self.height // self.side)

    def window(self, number: int) -> Window:
        """The pixels of a square."""
        row, col = divmod(number, self.columns)
        whole = Window(
            row_off=row * self.side, col_off=col * self.side, height=self.side, width=self.side
        )
        return whole.clip(self.height, self.width) or whole

    def tally(
        self,
        kinds: NDArray[Any],
        window: Window,
        *,
        counts: NDArray[np.bool_],
        how_many: int,
    ) -> Tallied:
        """Count the kinds of pixels in each square.

        Args:
            kinds: (height, width) whole numbers below ``how_many``, where pixels count.
            window: Where on the map.
            counts: (height, width) bool, True where a pixel counts.
            how_many: How many kinds there are.

        Returns:
            The numbers ``square * how_many + kind`` that are found, and their pixels.

        >>> squares = Squares(side=2, height=2, width=3)
        >>> everywhere = np.ones((2, 3), np.bool_)
        >>> kinds = np.array([[0, 0, 1], [0, 1, 1]])
        >>> squares.tally(kinds, Window(row_off=0, col_off=0, height=2, width=3),
        ...               counts=everywhere, how_many=2)
        (array([0, 1, 3]), array([3, 1, 2]))
        """
        rows = np.arange(window.row_off, window.row_stop) // self.side * self.columns
        cols = np.arange(window.col_off, window.col_stop) // self.side
        found = []
        for number in np.unique(rows):  # a row of squares at a time
            here = rows == number
            keys = ((cols - cols[0]) * how_many + kinds[here])[counts[here]]
            each, count = _counted(keys, (cols[-1] - cols[0] + 1) * how_many)
            found.append((each + (number + cols[0]) * how_many, count))
        keys, counted = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return keys, counted

    def matrix(self, tallied: list[Tallied], how_many: int) -> sparse.csr_array:
        """(squares, how_many) counts, the sum of what `tally` has found."""
        nothing = np.empty(0, np.int64)
        keys = np.concatenate([nothing, *(keys for keys, _ in tallied)])
        counts = np.concatenate([nothing, *(counts for _, counts in tallied)])
        places = np.divmod(keys, how_many)
        return sparse.coo_array((counts, places), shape=(len(self), how_many)).tocsr()


def _counted(keys: NDArray[np.int64], size: int) -> Tallied:
    """The keys that there are, and how often; all are below ``size``."""
    if size > keys.size:
        each, count = np.unique(keys, return_counts=True)
        return each, count
    count = np.bincount(keys, minlength=size)
    each = np.flatnonzero(count)
    return each, count[each]
