"""All counts of a map by square of ground, from which squares can be drawn again."""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from geoseg.core.borders import BorderCounts, border_labels, near_border
from geoseg.core.confusion import ConfusionMatrix
from geoseg.core.scores import IGNORE
from geoseg.core.squares import Squares, Tallied
from geoseg.evaluation.block import Block

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


@dataclass(frozen=True, eq=False)
class SquareCounts:
    """Counts of the squares in which anything counts; those of several maps stand together."""

    table: sparse.csr_array
    """(squares, kinds)."""

    kinds: Kinds
    """What is counted."""

    def __add__(self, other: Self) -> Self:
        return type(self)(sparse.vstack([self.table, other.table]).tocsr(), self.kinds)

    def __len__(self) -> int:
        return int(self.table.shape[0])


class SquareTally:
    """Counts of each square of ground, in one sparse table."""

    def __init__(self, squares: Squares, kinds: Kinds) -> None:
        self._squares = squares
        self._kinds = kinds
        self._tallied: list[Tallied] = []
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
        """Keep for later."""
        self._tallied += looked

    def result(self) -> dict[str, Any]:
        """Fields of the comparison."""
        table = self._squares.matrix(self._tallied, len(self._kinds))
        total = np.asarray(table.sum(axis=0))
        along = {k: v for k, v in self._kinds.unpacked(total).items() if k != "confusion"}
        counted = np.diff(table.indptr) > 0
        return {**along, "squares": SquareCounts(table[counted], self._kinds)}
