"""Damaged rasters: unreadable blocks are nodata, and counted."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError, GridMismatchError, RasterError, ServerError
from geoseg.raster.atomic import write_text, writing
from geoseg.raster.grid import Grid, cover, missing_transform, window_on
from geoseg.raster.reader import Pixels, RasterFile, RasterReader, ReadOptions, reflected
from geoseg.raster.records import parse_json
from geoseg.raster.window import Window, spread_windows


class TolerantReader:
    """A reader that gives nodata where blocks of the file cannot be read.

    A window that cannot be read is read again block by block (tiles or strips, as stored), and
    only the blocks that fail are left out. The result depends on the file alone, not on earlier
    reads. Safe for threads. The caller closes the raster.

    Args:
        reader: An open raster.
        log: File that keeps failures for a resumed process.

    Raises:
        OutputError: If the log cannot be written.
    """

    def __init__(self, reader: RasterReader, log: Path | None = None) -> None:
        self._reader = reader
        self._log = log
        self._lock = threading.Lock()
        self._failed: set[Window] = set()
        self._first: tuple[Window, str] | None = None
        if log is not None and log.exists():
            self._recall(log)

    @property
    def path(self) -> Path:
        """File of the raster."""
        return self._reader.path

    @property
    def grid(self) -> Grid:
        """Grid of the raster."""
        return self._reader.grid

    @property
    def bands(self) -> int:
        """Number of bands."""
        return self._reader.bands

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands."""
        return self._reader.band_names

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self._reader.dtype

    @property
    def failed(self) -> list[Window]:
        """Blocks that could not be read in full, in reading order."""
        with self._lock:
            return sorted(self._failed)

    @property
    def failed_pixels(self) -> int:
        """Pixels of those blocks."""
        return sum(block.height * block.width for block in self.failed)

    @property
    def first_error(self) -> str | None:
        """Error of the first of them, in reading order."""
        return None if self._first is None else self._first[1]

    def read(self, window: Window) -> Pixels:
        """Like `RasterReader.read`, with 0 where pixels cannot be read.

        Raises:
            RasterError: If the raster has no pixel there.
            ServerError: If the server that it is on fails.
        """
        return self._read(window, self._reader.read, np.zeros(1, self.dtype))

    def read_floats(self, window: Window) -> Pixels:
        """Like `RasterReader.read_floats`, with NaN where pixels cannot be read.

        Raises:
            RasterError: If the raster has no pixel there.
            ServerError: If the server that it is on fails.
        """
        return self._read(window, self._reader.read_floats, np.full(1, np.nan, np.float32))

    def _read(self, window: Window, read: Callable[[Window], Pixels], gap: Any) -> Pixels:
        """Read a window, or what can be read of it."""
        try:
            return read(window)
        except ServerError:  # no damage
            raise
        except RasterError:
            inside = window.clip(self.grid.height, self.grid.width)
            if inside is None:
                raise
        image = np.full((self.bands, inside.height, inside.width), gap, gap.dtype)
        valid = np.zeros(image.shape[1:], np.bool_)
        for block in self._blocks(inside):
            part = block.intersection(inside) or block
            rows, cols = part.relative_to(inside).slices
            try:
                image[:, rows, cols], valid[rows, cols] = read(part)
            except ServerError:
                raise
            except RasterError as error:
                self._note(block, part, str(error))
        return reflected(Pixels(image, valid), inside, window)

    def _blocks(self, window: Window) -> Iterator[Window]:
        """The file's blocks that a window touches, clipped to the raster."""
        height, width = self._reader.block_shape
        for row_off in range(window.row_off // height * height, window.row_stop, height):
            for col_off in range(window.col_off // width * width, window.col_stop, width):
                block = Window(row_off=row_off, col_off=col_off, height=height, width=width)
                yield block.clip(self.grid.height, self.grid.width) or block

    def _note(self, block: Window, part: Window, reason: str) -> None:
        with self._lock:
            if self._log is not None and block not in self._failed:
                with writing(self._log), self._log.open("a", encoding="utf-8") as log:
                    log.write(_line(block, reason))
            self._add(block, part, reason)

    def _recall(self, log: Path) -> None:
        """Take over failures from an earlier process.

        An incomplete last line is dropped; its block will be read again.
        """
        text = log.read_text(encoding="utf-8", errors="replace")
        known = [known for line in text.splitlines() if (known := _parsed(line))]
        whole = "".join(_line(*each) for each in known)
        if whole != text:
            write_text(log, whole)
        for block, reason in known:
            self._add(block, block, reason)

    def _add(self, block: Window, part: Window, reason: str) -> None:
        self._failed.add(block)
        self._first = min(self._first or (part, reason), (part, reason))


def _line(block: Window, reason: str) -> str:
    """A line of the log."""
    return json.dumps([asdict(block), reason]) + "\n"


def _parsed(line: str) -> tuple[Window, str] | None:
    """A failure from a line of the log; None if it is incomplete."""
    try:
        place, reason = parse_json(line)
        return Window(**place), str(reason)
    except (ValueError, TypeError):
        return None


def sample_values(reader: RasterReader | TolerantReader, side: int = 256) -> NDArray[Any]:
    """(bands, n) valid values of windows spread evenly over a raster."""
    windows = spread_windows(reader.grid.height, reader.grid.width, size=side, per_axis=4)
    parts = map(reader.read, windows)
    return np.concatenate([image[:, valid] for image, valid in parts], axis=1)


class AlignedRaster:
    """A raster read on a grid: as it is where the pixels coincide, else resampled (nearest).

    A file without a georeference is on the grid if it has the same size.

    Raises:
        EmptyError: If the raster does not overlap the grid.
        GridMismatchError: If the pixels do not coincide and resampling is off or impossible.
        RasterError: If the file cannot be read.
    """

    def __init__(
        self,
        path: Path,
        grid: Grid,
        options: ReadOptions | None = None,
        *,
        resample: bool = False,
        palette_index: bool = False,
    ) -> None:
        self.path = path
        self._file = RasterFile(path, options or ReadOptions(), palette_index=palette_index)
        self.extent = self._window = grid.window
        own = self._file.grid
        without_place = not own.is_georeferenced or (resample and not grid.is_georeferenced)
        if without_place and (own.height, own.width) == (grid.height, grid.width):
            return
        extent: Window | None
        try:
            self._window = own.window_of(grid)
            part = self._window.clip(own.height, own.width)
            extent = part and part.relative_to(self._window)
        except GridMismatchError as error:
            self._file.close()
            if not resample or not own.is_georeferenced or not grid.is_georeferenced:
                raise GridMismatchError(f"{path}: {_why_not(own, grid, error)}") from error
            options = replace(options or ReadOptions(), on=grid)
            self._file = RasterFile(path, options, palette_index=palette_index)
            extent = window_on(grid, own)
        if extent is None:
            self._file.close()
            raise EmptyError(f"{path}: does not overlap the raster it belongs to")
        self.extent = extent

    @property
    def bands(self) -> int:
        """Number of bands."""
        return self._file.bands

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its pixels."""
        return self._file.dtype

    @property
    def has_palette(self) -> bool:
        """Whether its values are indices of colours."""
        return self._file.palette is not None

    def read(self, window: Window, step: int = 1) -> Pixels:
        """Pixels of a window of the grid; not valid beyond the raster's edge.

        Args:
            window: Window of the grid.
            step: Pixels of the grid per pixel read, along each axis; overviews are used.

        Raises:
            RasterError: If the file cannot be read there.
        """
        own = self._file.grid
        wanted = window.moved(self._window.row_off, self._window.col_off)
        inside = wanted.clip(own.height, own.width)
        shape = window.shrunk(step)
        if inside == wanted:
            return self._file.read(inside, (shape.height, shape.width))
        image = np.zeros((self._file.bands, shape.height, shape.width), self._file.dtype)
        valid = np.zeros((shape.height, shape.width), np.bool_)
        if inside is not None:
            part = inside.relative_to(wanted).shrunk(step)
            pixels = self._file.read(inside, (part.height, part.width))
            image[:, *part.slices] = pixels.image
            valid[part.slices] = pixels.valid
        return Pixels(image, valid)

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def _why_not(own: Grid, grid: Grid, error: GridMismatchError) -> str:
    if why := missing_transform(own.crs, grid.crs):
        return why
    how = "resample it with --resample" if own.is_georeferenced else "georeference it"
    return f"not on the grid of the raster it belongs to: {error}; {how}"


def share_ground(one: Grid, other: Grid) -> bool:
    """Whether two rasters overlap; without a georeference, whether they have the same size."""
    if not one.is_georeferenced or not other.is_georeferenced:
        return (one.height, one.width) == (other.height, other.width)
    try:
        window = other.window_of(cover(one, other))
    except GridMismatchError:
        return False
    return window.clip(other.height, other.width) is not None
