"""What tiling would do, known before a pixel is read."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from geoseg.core.legend import Legend
from geoseg.errors import InputError
from geoseg.io.patch_files import refuse_unfit_for_png
from geoseg.io.patch_record import Source
from geoseg.tiling.options import TileOptions
from geoseg.tiling.source import Kind, judge_all, no_patch_left, open_source, runs, same_kind


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

    failures: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with which source, as far as that shows without reading its pixels."""


def plan(sources: Sequence[Source], legend: Legend, options: TileOptions) -> TilePlan:
    """What tiling would do; it opens all files and reads no pixel.

    Raises:
        InputError: If every source has a fault, or the bands are not for PNG.
        EmptyError: If there is no window.
    """
    planned = _Planned(legend, options)
    judge_all(sources, planned.add, planned.failures, options)
    return planned.plan()


class _Planned:
    """What is known of the sources that have been opened."""

    def __init__(self, legend: Legend, options: TileOptions) -> None:
        self.legend = legend
        self.options = options
        self.sources = 0
        self.failures: dict[str, str] = {}
        self._kind: Kind | None = None
        self._pixel = 1
        self._windows = 0
        self._row = 0

    def add(self, source: Source, _: object, may_be_elsewhere: bool) -> None:
        """Open a source and count its windows.

        Raises:
            GeosegError: What is wrong with it.
        """
        options = self.options
        with open_source(source, self.legend, options, may_be_elsewhere=may_be_elsewhere) as opened:
            self._kind = same_kind(opened, self._kind)
            todo = runs(opened.grid, options)
            self._pixel = opened.ortho.bands * opened.ortho.dtype.itemsize + 1
        self.sources += 1
        self._windows += sum(map(len, todo))
        self._row = max([self._row, *(run[-1].col_stop - run[0].col_off for run in todo)])

    def plan(self) -> TilePlan:
        """Numbers for a dry run.

        Raises:
            InputError: If every source has a fault, or the bands are not for PNG.
            EmptyError: If there is no window.
        """
        options, windows = self.options, self._windows
        if self._kind is None:
            raise InputError("; ".join(self.failures.values()))
        if options.storage == "png":
            refuse_unfit_for_png(*self._kind[:2])
        if not windows:
            raise no_patch_left({})
        memory = self._row * options.patch_size * (self._pixel + 10) * worker_count(options)
        pixels = windows * options.patch_size**2 * self._pixel
        return TilePlan(self.sources, windows, pixels, memory, self.failures)


def worker_count(options: TileOptions) -> int:
    """Threads to use."""
    return options.workers or os.cpu_count() or 1
