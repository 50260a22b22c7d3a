"""Reading damaged rasters: what cannot be read is without data, and counted."""

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
    """A reader to which the blocks of a file that cannot be read are pixels without data.

    A window that cannot be read is read again block by block (tiles or strips, as the file
    is stored), and only those that fail are left out. What a window holds depends on the
    file alone, not on what was read before. To be used from any number of threads; whoever
    has opened the raster closes it.

    Args:
        reader: The raster, open.
        log: File in which failures outlive the process; those of an earlier one count.

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
        """The raster's."""
        return self._reader.path

    @property
    def grid(self) -> Grid:
        """The raster's."""
        return self._reader.grid

    @property
    def bands(self) -> int:
        """How many bands a read gives."""
        return self._reader.bands

    @property
    def band_names(self) -> tuple[str, ...]:
        """What they are called."""
        return self._reader.band_names

    @property
    def dtype(self) -> np.dtype[Any]:
        """The raster's."""
        return self._reader.dtype

    @property
    def failed(self) -> list[Window]:
        """Blocks of which something could not be read, each whole and once, in reading order."""
        with self._lock:
            return sorted(self._failed)

    @property
    def failed_pixels(self) -> int:
        """Pixels of those blocks."""
        return sum(block.height * block.width for block in self.failed)

    @property
    def first_error(self) -> str | None:
        """What is wrong with the first of them in reading order."""
        return None if self._first is None else self._first[1]

    def read(self, window: Window) -> Pixels:
        """Pixels of a window as `RasterReader.read` gives them; 0 where they cannot be read.

        Raises:
            RasterError: If the raster has no pixel there.
        """
        return self._read(window, self._reader.read, np.zeros(1, self.dtype))

    def read_floats(self, window: Window) -> Pixels:
        """Pixels as `RasterReader.read_floats` gives them; NaN where they cannot be read.

        Raises:
            RasterError: If the raster has no pixel there.
        """
        return self._read(window, self._reader.read_floats, np.full(1, np.nan, np.float32))

    def _read(self, window: Window, read: Callable[[Window], Pixels], gap: Any) -> Pixels:
        """A window, or what can be read of it.

        Args:
            window: Where.
            read: The reader's way.
            gap: (1,) what stands for a pixel that cannot be read.
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
        """The blocks that a window inside the raster touches, cut at the raster's edge."""
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
        """Take over what an earlier process has found.

        A line that it was killed at is dropped, so that the next one is no part of it: what
        the line was of is not finished, and will be read again.
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
    """A failure as it stands in the log."""
    return json.dumps([asdict(block), reason]) + "\n"


def _parsed(line: str) -> tuple[Window, str] | None:
    """A failure from the log; None if the line is not whole."""
    try:
        place, reason = parse_json(line)
        return Window(**place), str(reason)
    except (ValueError, TypeError):
        return None


def sample_values(reader: RasterReader | TolerantReader, side: int = 256) -> NDArray[Any]:
    """(n,) valid values of windows spread over a raster, to judge its range by.

    Args:
        reader: An open raster.
        side: Of each window, in pixels.
    """
    height, width = reader.grid.height, reader.grid.width
    values = []
    for row_off in np.linspace(0, max(height - side, 0), 4).astype(int):
        for col_off in np.linspace(0, max(width - side, 0), 4).astype(int):
            window = Window(row_off=row_off, col_off=col_off, height=side, width=side)
            image, valid = reader.read(window.clip(height, width) or window)
            values.append(image[:, valid].ravel())
    return np.concatenate(values)
