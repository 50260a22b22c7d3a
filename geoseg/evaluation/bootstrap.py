"""Confidence intervals: a spatial block bootstrap over the rows of counters."""

import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from geoseg.evaluation.comparison import Block, Measures, RowCounter
from geoseg.evaluation.matching import Matches, ObjectCounts
from geoseg.raster.grid import Grid, Length
from geoseg.raster.window import Window

Counts = NDArray[np.int64]

Bounds = NDArray[np.float64]

Name = TypeVar("Name", bound=Hashable)

MIN_BLOCKS = 2
"""Blocks that can be drawn in more than one way."""


@dataclass(frozen=True, kw_only=True)
class SpatialBlocks:
    """A map divided into squares, numbered in reading order; the last ones are cut at the edge.

    Their side and the map's height and width are in pixels.
    """

    side: int
    height: int
    width: int

    @classmethod
    def of(cls, grid: Grid, side: Length) -> Self:
        """The blocks of a map."""
        return cls(side=round(side.in_pixels(grid)), height=grid.height, width=grid.width)

    @property
    def columns(self) -> int:
        """Blocks in a row of blocks."""
        return -(-self.width // self.side)

    def __len__(self) -> int:
        return self.columns * -(-self.height // self.side)

    def window(self, number: int) -> Window:
        """The pixels of a block."""
        row, col = (each * self.side for each in divmod(number, self.columns))
        return Window(
            row_off=row,
            col_off=col,
            height=min(self.side, self.height - row),
            width=min(self.side, self.width - col),
        )

    def of_pixels(self, pixels: Counts) -> Counts:
        """The blocks of pixels.

        Args:
            pixels: (n,) their numbers on the map, in reading order.

        >>> SpatialBlocks(side=2, height=4, width=4).of_pixels(np.array([0, 3, 14])).tolist()
        [0, 1, 3]
        """
        rows, cols = np.divmod(pixels, self.width)
        return rows // self.side * self.columns + cols // self.side


@dataclass(frozen=True, eq=False)
class BlockRows:
    """Counts of a counter, a row for each spatial block; those of maps follow each other."""

    table: sparse.csr_array
    """(blocks, kinds)."""

    of_row: Callable[[Counts], Any]

    def __len__(self) -> int:
        return int(self.table.shape[0])

    def __add__(self, other: Self) -> Self:
        return type(self)(sparse.vstack([self.table, other.table]).tocsr(), self.of_row)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(blocks,) True where anything counts."""
        return np.diff(self.table.indptr) > 0

    def drawn(self, times: Counts) -> Any:
        """The counts if each block counts so many times, (blocks,)."""
        return self.of_row(times @ self.table)


class SpatialCounter:
    """Counts what another counter counts, for each spatial block; the total is their sum."""

    def __init__(self, counter: RowCounter, spatial: SpatialBlocks) -> None:
        self.halo = counter.halo
        self.field = counter.field
        self._counter = counter
        self._spatial = spatial
        self._found = [np.empty((2, 0), np.int64)]

    def count(self, block: Block) -> Counts:
        """(2, n) numbers ``spatial block * kinds + kind`` that occur, and their pixels."""
        # One bincount for a row of spatial blocks, over the column of blocks and the kind: with
        # blocks of 16 px 8 times as fast as counting each block alone. Most counts are 0, because
        # few pairs of classes meet in a block, so that only the others are kept.
        codes, kinds = self._counter.codes(block), self._counter.kinds
        side, columns = self._spatial.side, self._spatial.columns
        window, found = block.window, []
        cols = np.arange(window.col_off, window.col_stop) // side
        places = ((cols - cols[0]) * (kinds + 1)).astype(np.int32)
        size = (int(cols[-1] - cols[0]) + 1) * (kinds + 1)
        for row in range(window.row_off // side, (window.row_stop - 1) // side + 1):
            rows = slice(max(row * side - window.row_off, 0), (row + 1) * side - window.row_off)
            counts = np.bincount((codes[:, rows] + places).ravel(), minlength=size)
            counts = counts.reshape(-1, kinds + 1)[:, :-1]
            number, kind = counts.nonzero()
            keys = (row * columns + cols[0] + number) * kinds + kind
            found.append(np.stack([keys, counts[number, kind]]))
        return np.concatenate(found, axis=1)

    def add(self, counted: Counts) -> None:
        """Add a result of `count`."""
        self._found.append(counted)

    def compute(self) -> dict[str, Any]:
        """Fields of `EvaluationCounts`."""
        rows = self.rows
        return {self.field: rows.drawn(np.ones(len(rows), np.int64))}

    @cached_property
    def rows(self) -> BlockRows:
        """The counts of each spatial block."""
        keys, counts = np.concatenate(self._found, axis=1)
        shape = len(self._spatial), self._counter.kinds
        table = sparse.coo_array((counts, np.divmod(keys, shape[1])), shape=shape)
        return BlockRows(table.tocsr(), self._counter.of_row)


@dataclass(frozen=True, eq=False)
class BlockObjects:
    """Objects by spatial block: that of their first pixel, in reading order.

    A matched object of the map lies where its partner in the reference does, so that both are
    drawn together.
    """

    matches: Mapping[int, Matches]
    """Objects by class index; their places are numbers of spatial blocks."""

    blocks: int

    @classmethod
    def of(cls, matches: Mapping[int, Matches], spatial: SpatialBlocks) -> Self:
        """Objects of a map; their places are pixels."""
        return cls(
            {
                index: Matches(each.counts, *map(spatial.of_pixels, (each.reference, each.mapped)))
                for index, each in matches.items()
            },
            len(spatial),
        )

    def __add__(self, other: Self) -> Self:
        return type(self)(
            {
                index: Matches(
                    each.counts + other.matches[index].counts,
                    np.append(each.reference, other.matches[index].reference + self.blocks),
                    np.append(each.mapped, other.matches[index].mapped + self.blocks),
                )
                for index, each in self.matches.items()
            },
            self.blocks + other.blocks,
        )

    def drawn(self, times: Counts) -> dict[int, ObjectCounts]:
        """The objects of each class if each block counts so many times, (blocks,)."""
        found = {}
        for index, each in self.matches.items():
            detections = each.counts.detections.repeated(times[each.mapped])
            found[index] = ObjectCounts(
                reference=int(times[each.reference].sum()),
                mapped=len(detections.ious),
                matched=int(np.count_nonzero(detections.ious)),
                iou_sum=float(detections.ious.sum()),
                detections=detections,
            )
        return found


def intervals(
    counted: NDArray[np.bool_],
    metrics: Callable[[Counts], Mapping[Name, Any]],
    measures: Measures,
) -> dict[Name, Bounds]:
    """Bounds of metrics had the map been another one of the same kind.

    Neighbouring pixels are right or wrong together, so they are no independent draws. Whole
    blocks of ground are drawn instead, with replacement, and the metrics computed from the sum
    of their counts; the bounds are percentiles. A draw that leaves a metric undefined (no pixel
    of the class) does not count for it.

    Args:
        counted: (blocks,) bool, True for those that are drawn.
        metrics: From how often each block counts, (blocks,), to numbers or arrays by name.
        measures: Level, number of draws, seed.

    Returns:
        For each name the lower and upper bounds, (2, ...) of the metric's shape; NaN where it
        is undefined in all draws, or with fewer than two blocks.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile
    intervals); Lahiri 2003, Resampling Methods for Dependent Data, chapter 12 (spatial blocks).
    """
    if np.count_nonzero(counted) < MIN_BLOCKS:
        once = metrics(counted.astype(np.int64))
        return {name: np.full((2, *np.shape(value)), np.nan) for name, value in once.items()}
    samples: dict[Name, list[Any]] = {}
    for times in draws(counted, measures.bootstrap, measures.seed):
        for name, value in metrics(times).items():
            samples.setdefault(name, []).append(value)
    return {name: percentiles(np.array(each), measures.level) for name, each in samples.items()}


def draws(counted: NDArray[np.bool_], resamples: int, seed: int) -> Iterator[Counts]:
    """How often each block is drawn if as many are drawn as there are, with replacement.

    Args:
        counted: (blocks,) bool, True for those that are drawn.
        resamples: Number of draws.
        seed: Seed of the draws.

    >>> [each.tolist() for each in draws(np.array([True, False, True]), 2, seed=1)]
    [[1, 0, 1], [0, 0, 2]]
    """
    rng = np.random.default_rng(seed)
    blocks = np.flatnonzero(counted)
    for _ in range(resamples):
        drawn = blocks[rng.integers(len(blocks), size=len(blocks))]
        yield np.bincount(drawn, minlength=len(counted))


def percentiles(samples: Bounds, level: float) -> Bounds:
    """(2, ...) bounds of the middle share of the samples, NaN left out.

    >>> percentiles(np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan]]), 0.5).tolist()
    [[1.5, nan], [2.5, nan]]
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of what is undefined in all draws
        return np.nanquantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
