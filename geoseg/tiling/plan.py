"""What tiling would do, known before a pixel is read."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from geoseg.io.patch_record import Source
from geoseg.io.raster import RasterReader
from geoseg.tiling.options import TileOptions
from geoseg.tiling.source import runs


@dataclass(frozen=True)
class TilePlan:
    """Numbers for a dry run."""

    sources: int
    """Orthophotos."""

    windows: int
    """Windows before any is left out."""

    pixel_bytes: int
    """Bytes of the pixels and masks of all windows, uncompressed."""

    memory: int
    """Bytes that are needed at a time, roughly."""


def plan(sources: Sequence[Source], options: TileOptions) -> TilePlan:
    """What tiling would do.

    Raises:
        RasterError: If an orthophoto cannot be opened.
    """
    windows, row = 0, 0
    pixel = 1
    for source in sources:
        with RasterReader(source.ortho, options.read) as reader:
            todo = runs(reader.grid, options)
            pixel = reader.bands * reader.dtype.itemsize + 1
        windows += sum(map(len, todo))
        row = max([row, *(run[-1].col_stop - run[0].col_off for run in todo)])
    memory = row * options.patch_size * (pixel + 10) * worker_count(options)
    return TilePlan(len(sources), windows, windows * options.patch_size**2 * pixel, memory)


def worker_count(options: TileOptions) -> int:
    """Threads to use."""
    return options.workers or os.cpu_count() or 1
