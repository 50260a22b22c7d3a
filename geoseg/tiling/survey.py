"""What is on each window: shares of valid pixels and of classes."""

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.core.parallel import map_in_order
from geoseg.core.window import Window
from geoseg.tiling.options import TileOptions
from geoseg.tiling.source import OpenSource, Run, region


@dataclass(frozen=True)
class Survey:
    """The windows of a source and what is on them."""

    windows: list[Window]
    """In reading order."""

    valid: NDArray[np.float64]
    """(n,) share of pixels with data."""

    classes: NDArray[np.float64]
    """(n, classes) share of each class."""

    @property
    def labelled(self) -> NDArray[np.float64]:
        """(n,) share of pixels with a class."""
        return self.classes.sum(axis=1)

    def only(self, wanted: NDArray[np.bool_]) -> Self:
        """The windows that are wanted."""
        windows = [window for window, keep in zip(self.windows, wanted, strict=True) if keep]
        return type(self)(windows, self.valid[wanted], self.classes[wanted])

    def keep(self, options: TileOptions) -> NDArray[np.bool_]:
        """(n,) which windows hold enough data and classes."""
        tolerance = 1e-9
        return (
            (self.valid > 0)
            & (self.labelled > 0)
            & (self.valid >= options.min_valid - tolerance)
            & (self.labelled >= options.min_labelled - tolerance)
        )


def survey(source: OpenSource, todo: Sequence[Run], classes: int, pool: Executor) -> Survey:
    """Look at all windows of a source; the orthophoto is read only if it may have holes."""

    def look(run: Run) -> NDArray[np.float64]:
        return _shares(source, run, classes)

    with closing(map_in_order(pool, look, todo)) as parts:
        shares = np.concatenate([np.zeros((0, classes + 1)), *parts])
    windows = [window for run in todo for window in run]
    return Survey(windows, shares[:, 0], shares[:, 1:])


def _shares(source: OpenSource, run: Run, classes: int) -> NDArray[np.float64]:
    """Shares of the windows of a run, from sums over columns.

    Returns:
        (n, 1 + classes): valid, then each class.
    """
    where = region(run, source.grid)
    valid = source.valid(where)
    mask = source.mask(where, valid)
    layers = [valid, *(mask == index for index in range(classes))]
    counts = np.zeros((len(layers), where.width + 1), np.int64)
    for row, layer in zip(counts, layers, strict=True):
        row[1:] = np.cumsum(layer.sum(axis=0, dtype=np.uint32))
    starts = np.array([window.col_off for window in run]) - where.col_off
    stops = np.minimum(starts + run[0].width, where.width)
    return (counts[:, stops] - counts[:, starts]).T / (run[0].height * run[0].width)
