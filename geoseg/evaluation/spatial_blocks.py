"""Counts in squares of ground: what resampling and rankings of places are made of."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from geoseg.evaluation.matching import Detections, Hits, Matches, ObjectCounts
from geoseg.raster.window import Window

Tallied = tuple[NDArray[np.int64], NDArray[np.int64]]
"""What was found, each once, and how often."""

WAITING = 1 << 18
"""Numbers that wait to be merged into a table."""


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

    def of_pixels(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The squares of pixels.

        Args:
            pixels: (n,) their numbers on the map, in reading order.

        >>> Squares(side=2, height=4, width=4).of_pixels(np.array([0, 3, 14])).tolist()
        [0, 1, 3]
        """
        rows, cols = np.divmod(pixels, self.width)
        return rows // self.side * self.columns + cols // self.side

    def parts(self, window: Window) -> Iterator[tuple[int, Window]]:
        """The squares that a window touches, by number, and its pixels in each."""
        last_col = (window.col_stop - 1) // self.side
        for row in range(window.row_off // self.side, (window.row_stop - 1) // self.side + 1):
            for col in range(window.col_off // self.side, last_col + 1):
                number = row * self.columns + col
                if (part := self.window(number).intersection(window)) is not None:
                    yield number, part

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
        places = tuple(each.astype(np.int32) for each in np.divmod(keys, how_many))
        return sparse.coo_array((counts, places), shape=(len(self), how_many)).tocsr()


class SquareTable:
    """Counts of squares that come part by part, in one sparse table.

    Parts are merged as they come, so that memory is that of the table. Where even that would be
    too large, squares are joined by fours, as often as it takes: larger ones are as good to draw
    from, if there are many.
    """

    def __init__(self, squares: Squares, how_many: int, *, most: int | None = None) -> None:
        """Begin.

        Args:
            squares: Which squares.
            how_many: How many kinds there are.
            most: Numbers that the table holds at most; None: as many as there are.
        """
        self._given = self._squares = squares
        self._how_many = how_many
        self._most = most
        self._waiting: list[Tallied] = []
        self._numbers = 0
        self._table = squares.matrix([], how_many)

    def add(self, tallied: Tallied) -> None:
        """Count what `Squares.tally` has found."""
        self._waiting.append(tallied)
        self._numbers += len(tallied[0])
        if self._numbers > WAITING:
            self._merge()

    @property
    def squares(self) -> Squares:
        """Whose counts these are; larger than given if they have been joined."""
        self._merge()
        return self._squares

    @property
    def counts(self) -> sparse.csr_array:
        """(squares, how_many) of all that was added."""
        self._merge()
        return self._table

    def _merge(self) -> None:
        if not self._waiting:
            return
        arrived = self._given.matrix(self._waiting, self._how_many)
        self._waiting, self._numbers = [], 0
        self._table = self._table + _joined(arrived, self._given, self._squares)
        while self._most is not None and self._table.nnz > self._most and len(self._squares) > 1:
            larger = replace(self._squares, side=2 * self._squares.side)
            self._table = _joined(self._table, self._squares, larger)
            self._squares = larger


def _joined(table: sparse.csr_array, squares: Squares, larger: Squares) -> sparse.csr_array:
    """The table of squares that are some whole times as large."""
    if larger == squares:
        return table
    rows, cols = np.divmod(np.arange(len(squares), dtype=np.int32), np.int32(squares.columns))
    times = larger.side // squares.side
    places = rows // times * larger.columns + cols // times, rows * squares.columns + cols
    ones = np.ones(len(squares), np.int64)
    joining = sparse.coo_array((ones, places), shape=(len(larger), len(squares))).tocsr()
    return joining @ table


def _counted(keys: NDArray[np.int64], size: int) -> Tallied:
    """The keys that there are, and how often; all are below ``size``."""
    if size > keys.size:
        each, count = np.unique(keys, return_counts=True)
        return each, count
    count = np.bincount(keys, minlength=size)
    each = np.flatnonzero(count)
    return each, count[each]


Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class DrawnObjects(ObjectCounts):
    """Objects of squares that are drawn; of those of the map only the ones found are known."""

    found: Hits = field(kw_only=True, compare=False, repr=False)
    """These."""

    @property
    def hits(self) -> Hits:
        """The objects that are found."""
        return self.found


@dataclass(frozen=True, eq=False, kw_only=True)
class ObjectSquares:
    """The objects of a class by square.

    An object lies where its first pixel is, in reading order. One of the map that is one of the
    reference lies where that is, so that both are drawn together.
    """

    reference: Numbers
    """(objects of the reference,) square of each."""

    mapped: Numbers
    """(objects of the map,) square of each."""

    detections: Detections
    """The objects of the map."""

    @classmethod
    def of(cls, matches: Matches, squares: Squares) -> Self:
        """Objects of a map divided into squares."""
        return cls(
            reference=squares.of_pixels(matches.reference),
            mapped=squares.of_pixels(matches.mapped),
            detections=matches.counts.detections,
        )

    @classmethod
    def none(cls) -> Self:
        """No objects."""
        nothing = np.empty(0, np.int64)
        return cls(reference=nothing, mapped=nothing, detections=Detections.of(np.empty(0)))

    def after(self, squares: int) -> Self:
        """The same on a map whose squares follow others."""
        return replace(self, reference=self.reference + squares, mapped=self.mapped + squares)

    def __add__(self, other: Self) -> Self:
        return type(self)(
            reference=np.concatenate([self.reference, other.reference]),
            mapped=np.concatenate([self.mapped, other.mapped]),
            detections=self.detections + other.detections,
        )

    @property
    def squares(self) -> int:
        """In how many there are objects."""
        return len(np.union1d(self.reference, self.mapped))

    def drawn(self, times: NDArray[np.int64]) -> DrawnObjects:
        """The objects of squares that count several times or not at all.

        Args:
            times: (squares,) how often each counts.
        """
        squares, there = self._reference_by_square
        often = times[self._by_score]
        hits = self.detections.ranks.counted(often)
        return DrawnObjects(
            reference=int(times[squares] @ there),
            mapped=int(often.sum()),
            matched=int(hits.times.sum()),
            iou_sum=float(hits.times @ hits.ious),
            found=hits,
        )

    @cached_property
    def _reference_by_square(self) -> tuple[Numbers, Numbers]:
        """Squares, and how many objects of the reference each has."""
        squares, there = np.unique(self.reference, return_counts=True)
        return squares, there

    @cached_property
    def _by_score(self) -> Numbers:
        """Squares of the map's objects by falling score: sorted once for all draws."""
        return self.mapped[self.detections.ranks.order]
