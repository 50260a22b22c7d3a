"""Damaged rasters: unreadable blocks are nodata, and counted."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import RasterError
from geoseg.raster.atomic import write_text, writing
from geoseg.raster.grid import Grid
from geoseg.raster.reader import Pixels, RasterReader, reflected
from geoseg.raster.records import parse_json
from geoseg.raster.window import Window


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
        """
        return self._read(window, self._reader.read, np.zeros(1, self.dtype))

    def read_floats(self, window: Window) -> Pixels:
        """Like `RasterReader.read_floats`, with NaN where pixels cannot be read.

        Raises:
            RasterError: If the raster has no pixel there.
        """
        return self._read(window, self._reader.read_floats, np.full(1, np.nan, np.float32))

    def _read(self, window: Window, read: Callable[[Window], Pixels], gap: Any) -> Pixels:
        """Read a window, or what can be read of it.

        Args:
            window: Window to read.
            read: Method of the reader.
            gap: (1,) fill for pixels that cannot be read.
        """
        try:
            return read(window)
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
    """(n,) valid values of windows spread evenly over a raster.

    Args:
        reader: An open raster.
        side: Side of each window, in pixels.
    """
    height, width = reader.grid.height, reader.grid.width
    values = []
    for row_off in np.linspace(0, max(height - side, 0), 4).astype(int):
        for col_off in np.linspace(0, max(width - side, 0), 4).astype(int):
            window = Window(row_off=row_off, col_off=col_off, height=side, width=side)
            image, valid = reader.read(window.clip(height, width) or window)
            values.append(image[:, valid].ravel())
    return np.concatenate(values)
