"""A map of class indices, read, written and filled by the nearest pixel in strips of rows."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.labels.legend import IGNORE
from geoseg.raster.atomic import writing
from geoseg.raster.grid import Grid
from geoseg.raster.reader import RasterReader
from geoseg.raster.storage import rasterio_window
from geoseg.raster.window import Window, blocks
from geoseg.raster.writer import RasterFormat, create

STRIP_PIXELS = 2_000_000
"""Of a strip that is computed at a time."""

MIN_STRIP_ROWS = 32
"""Of a strip, however wide the map."""

STORED_ROWS = 64
"""Rows of the blocks in which a map between two operations is stored."""

Indices = NDArray[np.uint8]
"""(height, width) class indices; 255 without data."""

Tell = Callable[[str, int, int], None]
"""Is told of progress: what is done, how many strips of how many."""


class Source(Protocol):
    """Whatever gives class indices."""

    def read(self, window: Window) -> Indices:
        """(height, width) class indices; 255 without data."""
        ...


class Change(NamedTuple):
    """A strip of the map before and after an operation."""

    window: Window
    before: Indices
    after: Indices


@dataclass(frozen=True)
class MapStrips:
    """A map in strips; the same strips in every pass."""

    source: Source
    grid: Grid
    rows: int
    """Of a strip; the last may have fewer."""

    tell: Tell = lambda *_: None

    @property
    def windows(self) -> list[Window]:
        """The strips, from the top down."""
        return list(blocks(self.grid.height, self.grid.width, rows=self.rows, cols=self.grid.width))

    def read(self, label: str) -> Iterator[tuple[int, Window, Indices]]:
        """Number, window and pixels of every strip: one pass over the map.

        Args:
            label: What is being done, for people.
        """
        windows = self.windows
        for number, window in enumerate(windows):
            yield number, window, self.source.read(window)
            self.tell(label, number + 1, len(windows))

    def around(self, window: Window, halo: int) -> tuple[Indices, Window]:
        """A strip with so many rows above and below as the map has, and the strip within it."""
        grown = Window(
            row_off=window.row_off - halo,
            col_off=0,
            height=window.height + 2 * halo,
            width=window.width,
        )
        wide = grown.clip(self.grid.height, self.grid.width) or window
        return self.source.read(wide), window.relative_to(wide)


def strip_rows(width: int) -> int:
    """Rows of a strip of a map so many pixels wide."""
    return max(STRIP_PIXELS // width, MIN_STRIP_ROWS)


class Stored:
    """A map between two operations, on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = RasterReader(path)

    def read(self, window: Window) -> Indices:
        """(height, width) class indices; 255 without data.

        Raises:
            RasterError: If it cannot be read.
        """
        image: NDArray[Any] = self._reader.read(window).image
        return image[0]

    def remove(self) -> None:
        """Release the file and its space."""
        self._reader.close()
        self._path.unlink()


def store(strips: Iterable[Change], path: Path, grid: Grid) -> Stored:
    """Write a map down, to be read again by the next operation.

    Raises:
        OutputError: If there is no space.
    """
    kind = RasterFormat(overviews="mode")
    options = {"tiled": False, "blockysize": STORED_ROWS, "compress": "zstd", "zstd_level": 1}
    with writing(path), create(path, grid, kind, **options) as dataset:
        for window, _, after in strips:
            dataset.write(after, 1, window=rasterio_window(window))
    return Stored(path)


INDEX_FACTOR = 256
"""A squared distance times this, plus a class: the lesser is nearer, or of the lower class."""

UNREACHED = np.int64(1 << 60)
"""Where there is nothing."""

NO_ROW = -1

CHUNK_PX = 500_000

Codes = NDArray[np.int64]

Columns = NDArray[np.int64]


def fill_nearest(
    strips: MapStrips, classes: Collection[int], reach: float = math.inf
) -> Iterator[Change]:
    """Replace pixels of classes by the class of the nearest labelled pixel of any other.

    Exact at any distance, in memory that does not grow with the map's height: of what lies
    above and below a strip only the nearest pixel of each column can count. Of equally near
    pixels the class of lowest index counts. Nodata stays, and is passed over.

    Args:
        strips: The map.
        classes: Indices of what is replaced.
        reach: How far the nearest pixel may be, in pixels from centre to centre.

    Source: Distances by columns, then along rows: Felzenszwalb and Huttenlocher, Distance
        transforms of sampled functions, Theory of Computing 8 (2012).
    """
    known = np.ones(INDEX_FACTOR, np.bool_)
    known[[*classes, IGNORE]] = False
    filled = np.zeros(INDEX_FACTOR, np.bool_)
    filled[list(classes)] = True
    below = _below(strips, known)
    above = Edge.nothing(strips.grid.width)
    for number, window, indices in strips.read("nearest"):
        seeds, wanted = known[indices], filled[indices]
        after = indices.copy()
        codes = _along_columns(indices, seeds, window.row_off, above, below[number])
        rows = np.flatnonzero(wanted.any(axis=1))
        chunk = max(CHUNK_PX // window.width, 1)
        for start in range(0, len(rows), chunk):
            some = rows[start : start + chunk]
            best = least_codes(codes[some])
            near = wanted[some] & (best < UNREACHED) & (best // INDEX_FACTOR <= reach**2)
            after[some] = np.where(near, best % INDEX_FACTOR, after[some])
        above = above.replaced(Edge.of(indices[::-1], seeds[::-1], window.row_stop - 1, -1))
        yield Change(window, indices, after)


class Edge(NamedTuple):
    """The first known pixel of each column, seen from somewhere above or below it."""

    rows: NDArray[np.int64]
    """(width,) row on the map; `NO_ROW` where the column has none."""

    classes: Indices
    """(width,)."""

    @classmethod
    def nothing(cls, width: int) -> Self:
        """No column has one."""
        return cls(np.full(width, NO_ROW, np.int64), np.full(width, IGNORE, np.uint8))

    @classmethod
    def of(cls, indices: Indices, seeds: NDArray[np.bool_], start: int, step: int) -> Self:
        """The first of a strip whose rows begin at ``start`` and go on by ``step``."""
        first = seeds.argmax(axis=0)
        found = seeds.any(axis=0)
        classes = indices[first, np.arange(len(first))]
        return cls(np.where(found, start + step * first, NO_ROW), np.where(found, classes, IGNORE))

    def replaced(self, nearer: Self) -> Self:
        """What is seen with something nearer in between."""
        found = nearer.rows != NO_ROW
        return type(self)(
            np.where(found, nearer.rows, self.rows), np.where(found, nearer.classes, self.classes)
        )


def _below(strips: MapStrips, known: NDArray[np.bool_]) -> list[Edge]:
    """What is seen below each strip."""
    edges = [
        Edge.of(indices, known[indices], window.row_off, 1)
        for _, window, indices in strips.read("what is known")
    ]
    seen = [Edge.nothing(strips.grid.width)]
    for edge in edges[:0:-1]:
        seen.append(seen[-1].replaced(edge))
    return seen[::-1]


def _along_columns(
    indices: Indices, seeds: NDArray[np.bool_], start: int, above: Edge, below: Edge
) -> Codes:
    """(height, width) code of the nearest known pixel of each pixel's own column."""
    upper = _downwards(indices, seeds, np.arange(len(indices)) + start, above)
    lower = _downwards(indices[::-1], seeds[::-1], np.arange(len(indices))[::-1] + start, below)
    return np.minimum(upper, lower[::-1])


def _downwards(
    indices: Indices, seeds: NDArray[np.bool_], rows: NDArray[np.int64], before: Edge
) -> Codes:
    """Codes of the last known pixel that was passed, going down every column."""
    height, width = indices.shape
    steps = np.arange(1, height + 1)[:, None]
    last = np.maximum.accumulate(np.where(seeds, steps, 0), axis=0)
    passed = np.vstack([before.classes[None], indices])
    classes = passed[last, np.arange(width)]
    distance = np.where(last > 0, steps - last, np.abs(rows[:, None] - before.rows))
    codes = distance.astype(np.int64) ** 2 * INDEX_FACTOR + classes
    return np.where(classes == IGNORE, UNREACHED, codes)


def least_codes(codes: Codes) -> Codes:
    """The nearest by columns becomes the nearest in the plane.

    Args:
        codes: (height, width) of the nearest known pixel in each pixel's column.

    Returns:
        (height, width) the least of ``codes`` in the same row, with the square of the columns
        in between added to the distance. `UNREACHED` or more where there is none.

    The column that it is from never moves left as one goes right; so it is sought for every
    2nd column between those of every 4th, and so on. And it is no farther than what the
    column itself has.
    """
    height, width = codes.shape
    best = np.empty_like(codes)
    source = np.full((height, width + 1), width - 1, np.int64)
    whole = np.zeros((height, 1), np.int64)
    best[:, :1], source[:, :1] = _least_between(codes, np.array([0]), whole, whole + width - 1)
    step = 1 << (width - 1).bit_length()
    while step := step // 2:
        cols = np.arange(step, width, 2 * step)
        if cols.size:
            low, high = source[:, cols - step], source[:, np.minimum(cols + step, width)]
            best[:, cols], source[:, cols] = _least_between(codes, cols, low, high)
    return best


def _least_between(
    codes: Codes, cols: Columns, low: Columns, high: Columns
) -> tuple[Codes, Columns]:
    """The least code for some columns, and the column that it is from.

    Args:
        codes: (height, width).
        cols: (columns,) for which it is sought.
        low: (height, columns) where to begin, in each row.
        high: (height, columns) where to end; included.
    """
    own = codes[:, cols] // INDEX_FACTOR
    radius = np.minimum(np.sqrt(own).astype(np.int64) + 1, codes.shape[1])
    low, high = np.maximum(low, cols - radius), np.minimum(high, cols + radius)
    lengths = (high - low + 1).ravel()
    ends = np.cumsum(lengths)
    starts = ends - lengths
    steps = np.arange(ends[-1])
    looked = steps + np.repeat(low.ravel() - starts, lengths)
    rows = np.arange(len(codes))[:, None]
    distance = steps + np.repeat((low - cols).ravel() - starts, lengths)
    offset = np.repeat((rows * codes.shape[1] + low).ravel() - starts, lengths)
    found = codes.ravel()[steps + offset] + distance**2 * INDEX_FACTOR
    least = np.minimum.reduceat(found, starts)
    hits = np.flatnonzero(found == np.repeat(least, lengths))
    first = hits[np.searchsorted(hits, starts)]
    return least.reshape(low.shape), looked[first].reshape(low.shape)
