"""Pixels by their scores, in all and in each square of ground."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from geoseg.core.squares import Squares, SquareTable, Tallied
from geoseg.core.thresholds import LEVELS
from geoseg.evaluation.block import Block
from geoseg.evaluation.calibration import ScoreCounts
from geoseg.evaluation.class_map import COLUMNS
from geoseg.io.score_map import ScoreMap

PIXELS = 64 * COLUMNS
"""Of a block that are counted at a time, so that they stay in the processor's cache."""

MOST = 1 << 22
"""Numbers of a table by square, of 12 bytes each: 50 MB.

A square may have all levels of all classes, 2 x 255 numbers for each class; most are 0 and take no
memory. What is too much all the same, such as six classes whose scores are all over the levels in
2304 squares of 256 px, is counted in squares of twice the side: exact levels and fewer squares
rather than all squares and levels that are only about right.
"""


@dataclass(frozen=True, eq=False)
class ScoreSquares:
    """Score counts of all squares of a map; those of several maps follow each other."""

    table: sparse.csr_array
    """(squares, kinds), each row as of `ScoreCounts.row`."""

    classes: int
    """How many there are."""

    larger: int = 1
    """How many times the side that was asked for the squares have."""

    def __add__(self, other: Self) -> Self:
        table = sparse.vstack([self.table, other.table]).tocsr()
        return type(self)(table, self.classes, max(self.larger, other.larger))

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(squares,) True where anything counts."""
        return np.diff(self.table.indptr) > 0

    def drawn(self, times: NDArray[np.int64]) -> ScoreCounts:
        """Counts of squares that count several times or not at all.

        Args:
            times: (squares,) how often each counts.
        """
        return ScoreCounts.of_row(times @ self.table, self.classes)

    def each_class(self) -> Iterator[Self]:
        """The counts of each class alone."""
        first = self.table.shape[1] - 2 * self.classes * LEVELS
        common = np.arange(first)
        for index in range(self.classes):
            inside = first + index * LEVELS + np.arange(LEVELS)
            own = np.concatenate([common, inside, inside + self.classes * LEVELS])
            yield type(self)(self.table[:, own], 1, self.larger)


class ScoreTally:
    """Pixels by their scores."""

    halo = 0

    def __init__(self, scores: ScoreMap, classes: int, squares: Squares | None = None) -> None:
        """Prepare.

        Args:
            scores: Of the map.
            classes: How many there are.
            squares: Into which the map is divided, if they are to be counted one by one, too.
        """
        self._scores = scores
        self._counts = ScoreCounts.zeros(classes)
        self._squares = squares
        if squares is not None:
            self._table = SquareTable(squares, len(self._counts.row), most=MOST)

    def look(self, block: Block) -> tuple[ScoreCounts, list[Tallied]]:
        """Counts of the block, and of its part of each square."""
        scores, valid = self._scores.read(block.window)
        parts = [(0, block.window)] if self._squares is None else self._squares.parts(block.window)
        total, tallied = ScoreCounts.zeros(len(scores)), []
        for number, part in parts:
            own = ScoreCounts.zeros(len(scores))
            rows, cols = part.relative_to(block.window).slices
            step = max(PIXELS // part.width, 1)
            for start in range(rows.start, rows.stop, step):
                few = slice(start, min(start + step, rows.stop)), cols
                own += ScoreCounts.count(
                    block.reference[few], block.mapped[few], scores[:, *few], valid=valid[few]
                )
            total += own
            if self._squares is not None:
                row = own.row
                kinds = np.flatnonzero(row)
                tallied.append((number * len(row) + kinds, row[kinds]))
        return total, tallied

    def add(self, looked: tuple[ScoreCounts, list[Tallied]]) -> None:
        """Sum up."""
        total, tallied = looked
        self._counts += total
        for each in tallied:
            self._table.add(each)

    def result(self) -> dict[str, Any]:
        """Fields of the comparison."""
        found: dict[str, Any] = {"scores": self._counts}
        if self._squares is not None:
            classes = len(self._counts.thresholds.support)
            table = self._table.counts
            larger = self._table.squares.side // self._squares.side
            found["score_squares"] = ScoreSquares(table, classes, larger)
        return found
