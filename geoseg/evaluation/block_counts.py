"""All counts of a map by square of ground, from which squares can be drawn again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from geoseg.evaluation.block import COLUMNS, Block
from geoseg.evaluation.boundary import BorderCounts, border_labels, near_border
from geoseg.evaluation.calibration import LEVELS, ScoreCounts
from geoseg.evaluation.score_map import ScoreMap
from geoseg.evaluation.spatial_blocks import ObjectSquares, Squares, SquareTable, Tallied
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import IGNORE

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


BORDER_KINDS = len(fields(BorderCounts))
"""What is counted along the borders of a class."""


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """What is counted, as places in a row of numbers: pairs of classes, and along borders."""

    classes: int
    """How many there are."""

    boundary: float = 0
    """Within which borders are the same, in pixels; 0: nothing is counted along borders."""

    erode: float = 0
    """From borders of the reference, in pixels; 0: nothing is counted without them."""

    @property
    def pairs(self) -> int:
        """Pairs of classes."""
        return self.classes**2

    @property
    def border_start(self) -> int:
        """Where the kinds along borders begin."""
        return self.pairs * (2 if self.erode else 1)

    def __len__(self) -> int:
        return self.border_start + (BORDER_KINDS * self.classes if self.boundary else 0)

    def unpacked(self, row: NDArray[np.int64]) -> dict[str, Any]:
        """Fields of a `Comparison` from a row of counts, (kinds,)."""
        shape = (self.classes, self.classes)
        found: dict[str, Any] = {"confusion": ConfusionMatrix(row[: self.pairs].reshape(shape))}
        if self.erode:
            eroded = row[self.pairs : 2 * self.pairs]
            found["eroded"] = ConfusionMatrix(eroded.reshape(shape))
        if self.boundary:
            along = row[self.border_start :].reshape(BORDER_KINDS, self.classes)
            found["borders"] = BorderCounts(*along)
        return found


@dataclass(frozen=True, eq=False, kw_only=True)
class SquareCounts:
    """Counts of all squares of a map; those of several maps follow each other."""

    table: sparse.csr_array
    """(squares, kinds)."""

    kinds: Kinds
    """What is counted."""

    regions: Mapping[str | None, sparse.csr_array] = field(default_factory=dict)
    """(squares, pairs of classes) of each region, by name; None is the ground outside of all."""

    objects: Mapping[int, ObjectSquares] = field(default_factory=dict)
    """Of the classes whose objects are matched, by index."""

    def __add__(self, other: Self) -> Self:
        return type(self)(
            table=_stacked(self.table, other.table),
            kinds=self.kinds,
            regions={
                name: _stacked(self.region(name), other.region(name))
                for name in {**self.regions, **other.regions}
            },
            objects={
                index: self.objects.get(index, ObjectSquares.none())
                + other.objects.get(index, ObjectSquares.none()).after(self.squares)
                for index in {**self.objects, **other.objects}
            },
        )

    @property
    def squares(self) -> int:
        """How many there are."""
        return int(self.table.shape[0])

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(squares,) True where anything counts."""
        return np.diff(self.table.indptr) > 0

    def __len__(self) -> int:
        return int(np.count_nonzero(self.counted))

    def region(self, name: str | None) -> sparse.csr_array:
        """(squares, pairs of classes) of a region, which may lie on another map."""
        nowhere = sparse.csr_array((self.squares, self.kinds.pairs), dtype=np.int64)
        return self.regions.get(name, nowhere)

    def drawn(self, times: NDArray[np.int64]) -> dict[str, Any]:
        """Fields of a `Comparison` of squares that count several times or not at all.

        Args:
            times: (squares,) how often each counts.
        """
        found = self.kinds.unpacked(times @ self.table)
        if self.objects:
            found["objects"] = {index: each.drawn(times) for index, each in self.objects.items()}
        return found

    def drawn_regions(self, times: NDArray[np.int64]) -> list[ConfusionMatrix]:
        """Of each region, and of the ground outside if there are regions."""
        return [self._confusion(times @ table) for table in self.regions.values()]

    def drawn_parts(
        self, times: NDArray[np.int64], stops: NDArray[np.int64]
    ) -> list[ConfusionMatrix]:
        """Of each of several maps.

        Args:
            times: (squares,) how often each counts.
            stops: (maps,) where each map's squares end.
        """
        starts, pairs = np.append(0, stops), self.kinds.pairs
        places = times, np.arange(self.squares), starts
        drawn = sparse.csr_array(places, shape=(len(stops), self.squares)) @ self.table
        return [self._confusion(row[:pairs]) for row in drawn.toarray()]

    def _confusion(self, pairs: NDArray[np.int64]) -> ConfusionMatrix:
        return ConfusionMatrix(pairs.reshape(self.kinds.classes, self.kinds.classes))


def _stacked(one: sparse.csr_array, other: sparse.csr_array) -> sparse.csr_array:
    return sparse.vstack([one, other]).tocsr()


class SquareTally:
    """Counts of each square of ground, in one sparse table."""

    def __init__(self, squares: Squares, kinds: Kinds) -> None:
        self._squares = squares
        self._kinds = kinds
        self._table = SquareTable(squares, len(kinds))
        reach = max(kinds.boundary + 1 if kinds.boundary else 0, kinds.erode)
        self.halo = int(np.ceil(reach))

    def look(self, block: Block) -> list[Tallied]:
        """Counts of the block's parts of squares."""
        kinds, known = self._kinds, block.known
        pairs = block.reference.astype(np.int64) * kinds.classes + block.mapped
        found = [self._tally(block, pairs, known)]
        if kinds.erode:
            kept = known & ~near_border(block.all_reference, kinds.erode)[block.inner]
            found.append(self._tally(block, pairs + kinds.pairs, kept))
        if kinds.boundary:
            found += self._along_borders(block)
        return found

    def _along_borders(self, block: Block) -> list[Tallied]:
        counts: NDArray[np.bool_] = np.zeros(block.all_mapped.shape, np.bool_)
        counts[block.inner] = block.known
        marked = border_labels(
            block.all_reference, block.all_mapped, counts=counts, distance=self._kinds.boundary
        )
        starts = self._kinds.border_start + self._kinds.classes * np.arange(len(marked))
        inner = marked[:, *block.inner]
        return [
            self._tally(block, each + start, each != IGNORE)
            for each, start in zip(inner, starts, strict=True)
        ]

    def _tally(self, block: Block, kinds: NDArray[Any], counts: NDArray[np.bool_]) -> Tallied:
        return self._squares.tally(kinds, block.window, counts=counts, how_many=len(self._kinds))

    def add(self, looked: list[Tallied]) -> None:
        """Sum up."""
        for each in looked:
            self._table.add(each)

    def result(self) -> dict[str, Any]:
        """Fields of the comparison."""
        table = self._table.counts
        total = np.asarray(table.sum(axis=0))
        along = {k: v for k, v in self._kinds.unpacked(total).items() if k != "confusion"}
        return {**along, "squares": SquareCounts(table=table, kinds=self._kinds)}
