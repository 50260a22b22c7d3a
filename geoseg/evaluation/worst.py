"""The squares of a map in which most pixels are wrong."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoseg.core.confusion import ConfusionMatrix
from geoseg.core.grid import Grid
from geoseg.core.squares import Squares, Tallied
from geoseg.core.window import Window
from geoseg.evaluation.block import Block
from geoseg.evaluation.comparison import Pair

SIDE = 256
"""Of the squares, in pixels."""


@dataclass(frozen=True, eq=False)
class WorstWindow:
    """A square in which a map is often wrong."""

    pair: Pair
    """The map and its reference."""

    grid: Grid
    """Of the map."""

    window: Window
    """Where on it."""

    confusion: ConfusionMatrix
    """Of its pixels."""

    @property
    def errors(self) -> int:
        """Pixels that are wrong."""
        return self.confusion.total - int(self.confusion.counts.trace())


class WorstTally:
    """Finds the squares of a map with the most wrong pixels."""

    halo = 0

    def __init__(self, pair: Pair, grid: Grid, classes: int, *, most: int, side: int) -> None:
        """Prepare.

        Args:
            pair: The map and its reference.
            grid: Of the map.
            classes: How many there are.
            most: Squares wanted.
            side: Of a square, in pixels.
        """
        self._pair = pair
        self._grid = grid
        self._classes = classes
        self._most = most
        self._squares = Squares(side=side, height=grid.height, width=grid.width)
        self._tallied: list[Tallied] = []

    def look(self, block: Block) -> Tallied:
        """Pairs of classes in the block's parts of squares."""
        pairs = block.reference.astype(np.int64) * self._classes + block.mapped
        return self._squares.tally(
            pairs, block.window, counts=block.known, how_many=self._classes**2
        )

    def add(self, looked: Tallied) -> None:
        """Keep for later."""
        self._tallied.append(looked)

    def result(self) -> dict[str, Any]:
        """Nothing for the comparison."""
        return {}

    @property
    def worst(self) -> list[WorstWindow]:
        """The worst squares, most errors first; squares without an error are none of them."""
        table = self._squares.matrix(self._tallied, self._classes**2)
        right = table[:, :: self._classes + 1].sum(axis=1)
        wrong = np.asarray(table.sum(axis=1) - right)
        order = np.argsort(-wrong, kind="stable")[: self._most]
        shape = (self._classes, self._classes)
        return [
            WorstWindow(
                self._pair,
                self._grid,
                self._squares.window(number),
                ConfusionMatrix(table[[number]].toarray().reshape(shape)),
            )
            for number in order.tolist()
            if wrong[number]
        ]


def ranked(windows: Iterable[WorstWindow], most: int) -> list[WorstWindow]:
    """The worst of all maps, most errors first."""
    return sorted(windows, key=lambda each: -each.errors)[:most]


def worst_rows(windows: Sequence[WorstWindow], names: Sequence[str]) -> list[dict[str, Any]]:
    """A row of a table for each window.

    Args:
        windows: The worst first.
        names: Of the classes.
    """
    return [
        {
            "rank": rank,
            "map": each.pair.name,
            "errors": each.errors,
            "pixels": each.confusion.total,
            "share_wrong": each.errors / each.confusion.total,
            "mostly": _mostly(each.confusion, names),
            "row_off": each.window.row_off,
            "col_off": each.window.col_off,
            "height": each.window.height,
            "width": each.window.width,
            **dict(zip(BOUNDS, each.grid.part(each.window).bounds, strict=True)),
        }
        for rank, each in enumerate(windows, 1)
    ]


BOUNDS = ("x_min", "y_min", "x_max", "y_max")
"""Columns of the corners, in the CRS of the map."""


def _mostly(confusion: ConfusionMatrix, names: Sequence[str]) -> str:
    """The commonest confusion in words."""
    wrong = confusion.counts * (1 - np.eye(len(names), dtype=np.int64))
    row, col = divmod(int(wrong.argmax()), len(names))
    return f"{names[row]} mapped as {names[col]}"
