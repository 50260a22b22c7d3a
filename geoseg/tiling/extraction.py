"""Cut the windows of a source into patches and measure what training will see."""

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.core.grid import Grid
from geoseg.core.parallel import map_in_order
from geoseg.core.scores import IGNORE
from geoseg.core.statistics import BandStatistics, histogram
from geoseg.core.window import Window
from geoseg.io.patch_files import padded, write_image, write_mask
from geoseg.io.patch_record import Patch
from geoseg.io.patches import PatchSet
from geoseg.io.raster import Pixels
from geoseg.tiling.source import OpenSource, Run, region


@dataclass(frozen=True)
class Measured:
    """Statistics of the ground that training windows cover, each pixel counted once."""

    bands: BandStatistics
    """Of the valid pixels."""

    classes: NDArray[np.int64]
    """(classes,) pixels of each class."""

    @classmethod
    def nothing(cls, bands: int, classes: int) -> Self:
        """No pixel measured yet."""
        return cls(BandStatistics.empty(bands), np.zeros(classes, np.int64))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.bands + other.bands, self.classes + other.classes)


@dataclass(frozen=True)
class Extraction:
    """The work on one source: which windows become patches, and what is measured."""

    source: OpenSource
    patches: Sequence[Patch]
    patch_set: PatchSet

    def run_all(self, todo: Sequence[Run], pool: Executor) -> Measured:
        """Write the patches of all runs and measure the training ground."""
        regions = _own_regions(todo, self.source.grid)
        with closing(map_in_order(pool, self._run, todo, regions)) as parts:
            return sum(parts, start=self._nothing)

    @property
    def _nothing(self) -> Measured:
        return Measured.nothing(self.source.ortho.bands, len(self.patch_set.record.legend))

    @cached_property
    def _patches_by_row(self) -> dict[int, list[Patch]]:
        rows: dict[int, list[Patch]] = {}
        for patch in self.patches:
            rows.setdefault(patch.window.row_off, []).append(patch)
        return rows

    def _run(self, run: Run, own: Window) -> Measured:
        """Write the patches of a run, and measure the training ground in its own region."""
        wanted = set(run)
        row = self._patches_by_row.get(run[0].row_off, [])
        stored = self.patch_set.record.storage != "index"
        patches = [patch for patch in row if stored and patch.window in wanted]
        covered = self._training_ground(own)
        if not patches and not covered.any():
            return self._nothing
        where = region(run, self.source.grid) if patches else own
        pixels, mask = self.source.read(where)
        for patch in patches:
            self._write(patch, where, pixels, mask)
        rows, cols = own.relative_to(where).slices
        counted = pixels.valid[rows, cols] & covered
        classes = histogram(mask[rows, cols][counted])[: len(self.patch_set.record.legend)]
        return Measured(BandStatistics.measure(pixels.image[:, rows, cols], counted), classes)

    def _training_ground(self, own: Window) -> NDArray[np.bool_]:
        """Which pixels of a region belong to a training window."""
        covered = np.zeros((own.height, own.width), np.bool_)
        for row_off in range(own.row_off - self.patch_set.record.size + 1, own.row_stop):
            for patch in self._patches_by_row.get(row_off, []):
                if patch.split == "train" and (part := patch.window.intersection(own)):
                    covered[part.relative_to(own).slices] = True
        return covered

    def _write(self, patch: Patch, where: Window, pixels: Pixels, mask: NDArray[np.uint8]) -> None:
        record = self.patch_set.record
        part = patch.window.intersection(where)
        if part is None:
            raise ValueError(f"{patch.window} lies outside {where}")
        rows, cols = part.relative_to(where).slices
        size, storage = record.size, record.storage
        grid = self.source.grid.part(patch.window)
        image = padded(Pixels(pixels.image[:, rows, cols], pixels.valid[rows, cols]), size)
        classes = np.full((size, size), IGNORE, np.uint8)
        classes[: part.height, : part.width] = mask[rows, cols]
        write_image(
            self.patch_set.image_path(patch),
            image,
            grid,
            storage=storage,
            nodata=self.source.ortho.nodata,
        )
        write_mask(
            self.patch_set.mask_path(patch), classes, grid, storage=storage, legend=record.legend
        )


def remove_files(patch_set: PatchSet, patches: Sequence[Patch]) -> None:
    """Take back what was written of a source that failed."""
    paths: list[Path] = []
    for patch in patches:
        paths += [patch_set.image_path(patch), patch_set.mask_path(patch)]
    for path in paths:
        path.unlink(missing_ok=True)


def _own_regions(todo: Sequence[Run], grid: Grid) -> list[Window]:
    """A part of the raster for each run, without overlap, so that pixels count once.

    A run's part begins at its first window and ends where the next run's begins.
    """
    tops = sorted({run[0].row_off for run in todo})
    lefts = sorted({run[0].col_off for run in todo})
    bottoms = dict(pairwise(tops))
    rights = dict(pairwise(lefts))
    parts = []
    for run in todo:
        whole = region(run, grid)
        bottom = bottoms.get(whole.row_off, whole.row_stop)
        right = rights.get(whole.col_off, whole.col_stop)
        parts.append(
            Window(
                row_off=whole.row_off,
                col_off=whole.col_off,
                height=bottom - whole.row_off,
                width=right - whole.col_off,
            )
        )
    return parts
