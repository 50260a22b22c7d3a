"""A map of class indices, read, written and filled by the nearest pixel in strips of rows."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TypeVar

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

Flags = NDArray[np.bool_]
"""(256,) whether a class index is meant."""

R = TypeVar("R")

Tell = Callable[[str, int, int], None]
"""Is told of progress: what is done, how many strips of how many."""


class Source(Protocol):
    """Whatever gives class indices. Where it is unpickled, it is opened again."""

    def read(self, window: Window) -> Indices:
        """(height, width) class indices; 255 without data."""
        ...

    def close(self) -> None:
        """Release files."""


class Change(NamedTuple):
    """A strip of the map after an operation."""

    window: Window
    after: Indices

    pixels: int
    """Those that have changed."""


@dataclass(frozen=True)
class Strip:
    """Rows of a map: all that one pass needs to do its work there."""

    source: Source
    grid: Grid
    window: Window

    known: Any = None
    """What an earlier pass has found out about it."""

    def read(self) -> Indices:
        """(height, width) class indices; 255 without data."""
        return self.source.read(self.window)

    def around(self, halo: int) -> tuple[Indices, Window]:
        """The pixels with so many rows above and below as the map has, and the strip in them."""
        grown = Window(
            row_off=self.window.row_off - halo,
            col_off=0,
            height=self.window.height + 2 * halo,
            width=self.window.width,
        )
        wide = grown.clip(self.grid.height, self.grid.width) or self.window
        return self.source.read(wide), self.window.relative_to(wide)


class EachStrip(Protocol):
    """Calls a function with each strip of a map, as `map` does, or in other processes."""

    def __call__(self, work: Callable[[Strip], R], strips: Sequence[Strip], /) -> Iterator[R]:
        """What it returns, in order."""
        ...


@dataclass(frozen=True)
class MapStrips:
    """A map in strips; the same strips in every pass."""

    source: Source
    grid: Grid
    rows: int
    """Of a strip; the last may have fewer."""

    tell: Tell = lambda *_: None
    each: EachStrip = map

    def survey(
        self, label: str, work: Callable[[Strip], R], known: Sequence[Any] | None = None
    ) -> Iterator[R]:
        """What a function returns of each strip, from the top down: one pass over the map.

        Args:
            label: What is being done, for people.
            work: The function. Strips do not see what becomes of each other.
            known: What each strip is given along.
        """
        height, width = self.grid.height, self.grid.width
        windows = list(blocks(height, width, rows=self.rows, cols=width))
        given = known or [None] * len(windows)
        strips = [Strip(self.source, self.grid, *each) for each in zip(windows, given, strict=True)]
        for number, found in enumerate(self.each(work, strips), start=1):
            yield found
            self.tell(label, number, len(windows))

    def change(
        self,
        label: str,
        work: Callable[[Strip, Indices], Indices],
        known: Sequence[Any] | None = None,
    ) -> Iterator[Change]:
        """The strips after a function was called with each and its pixels: one pass."""
        return self.survey(label, partial(_changed, work), known)


def _changed(work: Callable[[Strip, Indices], Indices], strip: Strip) -> Change:
    before = strip.read()
    after = work(strip, before)
    return Change(strip.window, after, int(np.count_nonzero(before != after)))


def strip_rows(width: int) -> int:
    """Rows of a strip of a map so many pixels wide."""
    return max(STRIP_PIXELS // width, MIN_STRIP_ROWS)


class Stored:
    """A map between two operations, on disk."""

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        return type(self), (self._path,)

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

    def close(self) -> None:
        """Release the file."""
        self._reader.close()

    def remove(self) -> None:
        """Release the file and its space."""
        self.close()
        self._path.unlink()


def store(strips: Iterable[Change], path: Path, grid: Grid) -> Stored:
    """Write a map down, to be read again by the next operation.

    Raises:
        OutputError: If there is no space.
    """
    kind = RasterFormat(overviews="mode")
    options = {"tiled": False, "blockysize": STORED_ROWS, "compress": "zstd", "zstd_level": 1}
    with writing(path), create(path, grid, kind, **options) as dataset:
        for each in strips:
            dataset.write(each.after, 1, window=rasterio_window(each.window))
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

    Exact at any distance, in memory of a few bytes for each column of each strip: of what lies
    above and below a strip only the nearest pixel of each column can count. Of equally near pixels
    the class of lowest index counts. Nodata stays, and is passed over.

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
    edges = strips.survey("what is known", partial(_edges, known=known))
    tops, bottoms = map(list, zip(*edges, strict=True))
    above, below = _seen(bottoms), _seen(tops[::-1])[::-1]
    work = partial(_filled, known=known, filled=filled, reach=reach)
    yield from strips.change("nearest", work, list(zip(above, below, strict=True)))


def _filled(
    strip: Strip, indices: Indices, *, known: Flags, filled: Flags, reach: float
) -> Indices:
    """A strip with its pixels replaced; of it is known what is seen above and below."""
    seeds, wanted = known[indices], filled[indices]
    after = indices.copy()
    codes = _along_columns(indices, seeds, strip.window.row_off, *strip.known)
    rows = np.flatnonzero(wanted.any(axis=1))
    chunk = max(CHUNK_PX // strip.window.width, 1)
    for start in range(0, len(rows), chunk):
        some = rows[start : start + chunk]
        best = least_codes(codes[some])
        near = wanted[some] & (best < UNREACHED) & (best // INDEX_FACTOR <= reach**2)
        after[some] = np.where(near, best % INDEX_FACTOR, after[some])
    return after


class Edge(NamedTuple):
    """The first known pixel of each column, seen from somewhere above or below it."""

    rows: NDArray[np.int32]
    """(width,) row on the map; `NO_ROW` where the column has none."""

    classes: Indices
    """(width,)."""

    @classmethod
    def nothing(cls, width: int) -> Self:
        """No column has one."""
        return cls(np.full(width, NO_ROW, np.int32), np.full(width, IGNORE, np.uint8))

    @classmethod
    def of(cls, indices: Indices, seeds: NDArray[np.bool_], start: int, step: int) -> Self:
        """The first of a strip whose rows begin at ``start`` and go on by ``step``."""
        first = seeds.argmax(axis=0)
        found = seeds.any(axis=0)
        classes = indices[first, np.arange(len(first))]
        rows = np.where(found, start + step * first, NO_ROW).astype(np.int32)
        return cls(rows, np.where(found, classes, IGNORE))

    def replaced(self, nearer: Self) -> Self:
        """What is seen with something nearer in between."""
        found = nearer.rows != NO_ROW
        return type(self)(
            np.where(found, nearer.rows, self.rows), np.where(found, nearer.classes, self.classes)
        )


def _edges(strip: Strip, *, known: Flags) -> tuple[Edge, Edge]:
    """What is seen of a strip from above, and from below."""
    indices, window = strip.read(), strip.window
    seeds = known[indices]
    top = Edge.of(indices, seeds, window.row_off, 1)
    return top, Edge.of(indices[::-1], seeds[::-1], window.row_stop - 1, -1)


def _seen(edges: Sequence[Edge]) -> list[Edge]:
    """What each strip sees of all those that come before it."""
    seen = [Edge.nothing(len(edges[0].rows))]
    for edge in edges[:-1]:
        seen.append(seen[-1].replaced(edge))
    return seen


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
