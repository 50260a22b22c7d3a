"""A source open for tiling: pixels, where they are valid, and their classes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError, GridMismatchError, InputError, LegendError, NoPolygonError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import misplaced_bands
from geoseg.labels.reference import RasterReference, VectorReference, open_reference
from geoseg.patches.options import TileOptions
from geoseg.patches.patch_set import PatchSet, padded, write_image, write_mask
from geoseg.patches.record import Patch, Source
from geoseg.raster.grid import Grid
from geoseg.raster.polygons import AreaOfInterest
from geoseg.raster.reader import Pixels, RasterReader
from geoseg.raster.statistics import BandStatistics, histogram
from geoseg.raster.threads import map_in_order
from geoseg.raster.window import Window, offsets

T = TypeVar("T")

SOURCE_FAILURES = (InputError, GridMismatchError, LegendError, EmptyError)
"""What is wrong with one source does not stop the others."""

RUN_COLUMNS = 8192
"""Columns that are read at a time, so that memory does not grow with a raster's width."""

Kind = tuple[int, str, tuple[str, ...]]
"""Bands of an orthophoto and numpy's name of their type."""

Run = list[Window]
"""Neighbouring windows of one row."""


@dataclass(frozen=True)
class OpenSource:
    """An orthophoto with its reference, to be read from any number of threads."""

    ortho: RasterReader
    reference: RasterReference | VectorReference
    area: AreaOfInterest | None

    @property
    def grid(self) -> Grid:
        """The orthophoto's."""
        return self.ortho.grid

    def mask(self, window: Window, valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Class indices of a window inside the raster; 255 where unlabelled or without data.

        Args:
            window: Where.
            valid: (height, width) bool.
        """
        mask = self.reference.read(window)
        mask[~valid] = IGNORE
        if self.area is not None:
            mask[~self.area.read(window)] = IGNORE
        return mask

    def valid(self, window: Window) -> NDArray[np.bool_]:
        """Where a window inside the raster has data; without reading it if all have."""
        if not self.ortho.may_have_invalid_pixels:
            return np.ones((window.height, window.width), np.bool_)
        return self.ortho.read(window).valid

    def read(self, window: Window) -> tuple[Pixels, NDArray[np.uint8]]:
        """Pixels and class indices of a window inside the raster."""
        pixels = self.ortho.read(window)
        return pixels, self.mask(window, pixels.valid)

    @property
    def is_blank(self) -> bool:
        """Whether the reference are polygons and none lies on the orthophoto."""
        return isinstance(self.reference, VectorReference) and self.reference.is_elsewhere

    @property
    def is_outside(self) -> bool:
        """Whether it lies outside of the AOI or of the labelled areas."""
        areas = (self.area, self.reference.labelled)
        return any(area is not None and area.is_elsewhere for area in areas)


@contextmanager
def open_source(
    source: Source, legend: Legend, options: TileOptions, *, may_be_elsewhere: bool = False
) -> Iterator[OpenSource]:
    """Open a source and see that its parts belong together.

    Args:
        source: The files.
        legend: The classes.
        options: How they are read.
        may_be_elsewhere: Whether no polygon need lie on the orthophoto.

    Raises:
        NoPolygonError: If one need, and none does.
        GeosegError: What is wrong with the orthophoto, the reference or the AOI.
    """
    with RasterReader(source.ortho, options.read) as ortho:
        reference = open_reference(
            source.reference,
            legend=legend,
            grid=ortho.grid,
            options=options.reference,
            may_be_elsewhere=may_be_elsewhere,
        )
        try:
            aoi, grid = options.aoi, ortho.grid
            area = (
                AreaOfInterest.open(aoi, grid, may_be_elsewhere=may_be_elsewhere) if aoi else None
            )
            yield OpenSource(ortho, reference, area)
        finally:
            reference.close()


def judge_all(
    sources: Sequence[Source],
    judge: Callable[[Source, Mapping[int, T], bool], T],
    failures: dict[str, str],
    options: TileOptions,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[int, T]:
    """Judge sources in order, but those on which no polygon lies when all others are known.

    Where there are polygons on another orthophoto, such a one may just be without an object.

    Args:
        sources: All.
        judge: Given a source, what is known of others by number, and whether no polygon need lie
            on the orthophoto, gives what is known of it or raises.
        failures: Takes what is wrong with which source, by name.
        options: How sources are read.
        progress: Told how many have been opened.

    Returns:
        What is known of the sources without a fault, by number.
    """
    done: dict[int, T] = {}
    absent: dict[int, NoPolygonError] = {}
    for number, source in enumerate(sources):
        try:
            done[number] = judge(source, done, False)
        except NoPolygonError as error:
            absent[number] = error
        except SOURCE_FAILURES as error:
            failures[source.name] = str(error)
        progress(number + 1)
    others = [sources[number] for number in done]
    for number, reason in absent.items():
        try:
            if not _is_believed(reason, others, options):
                raise reason
            done[number] = judge(sources[number], done, True)
        except SOURCE_FAILURES as error:
            failures[sources[number].name] = str(error)
    return done


def _is_believed(error: NoPolygonError, others: Iterable[Source], options: TileOptions) -> bool:
    """Whether an orthophoto on which no polygon lies may be right, as there are some on others.

    Args:
        error: What was said of it.
        others: Sources that are right.
        options: How they are read.
    """
    references = {each.reference for each in others}
    known = {*references, options.aoi, options.reference.labelled_areas}
    return bool(references) and error.may_be_right(known)


def same_kind(opened: OpenSource, first: Kind | None) -> Kind:
    """Bands and type of a source, which must be those of the first."""
    own = (opened.ortho.bands, opened.ortho.dtype.name, opened.ortho.band_names)
    if first is not None and own[:2] != first[:2]:
        raise InputError(
            f"{opened.ortho.path}: has {own[0]} bands of {own[1]}, the first orthophoto "
            f"{first[0]} of {first[1]}; choose bands with --bands, or tile them apart"
        )
    if first is not None and (misplaced := misplaced_bands(own[2], first[2])):
        raise InputError(
            f"{opened.ortho.path}: its bands are {', '.join(own[2])}, those of the first "
            f"orthophoto {', '.join(first[2])}: {', '.join(misplaced)} in other places; bring "
            f"them into one order, for example with `gdal_translate -b 3 -b 2 -b 1`"
        )
    return own


def no_patch_left(dropped: Mapping[str, int]) -> EmptyError:
    """What is to be said when there is nothing to write.

    Args:
        dropped: Windows left out, by reason.
    """
    return EmptyError(
        f"no patch is left; windows dropped: {dict(dropped)}. Is the patch larger than the raster "
        f"with --edge drop, or are --min-valid and --min-labelled too strict?"
    )


def runs(grid: Grid, options: TileOptions) -> list[Run]:
    """All windows of a raster in reading order, in runs that are read at a time."""
    size, step = options.patch_size, options.step
    cols = offsets(grid.width, size, step, options.edge)
    per_run = max((RUN_COLUMNS - size) // step + 1, 1)
    return [
        [
            Window(row_off=row_off, col_off=col_off, height=size, width=size)
            for col_off in cols[start : start + per_run]
        ]
        for row_off in offsets(grid.height, size, step, options.edge)
        for start in range(0, len(cols), per_run)
    ]


def region(run: Run, grid: Grid) -> Window:
    """The pixels of a raster that a run covers."""
    first, last = run[0], run[-1]
    hull = Window(
        row_off=first.row_off,
        col_off=first.col_off,
        height=first.height,
        width=last.col_stop - first.col_off,
    )
    inside = hull.clip(grid.height, grid.width)
    if inside is None:
        raise ValueError(f"{hull} lies outside the raster")
    return inside


@dataclass(frozen=True)
class WindowStatistics:
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
class PatchExtraction:
    """The work on one source: which windows become patches, and what is measured."""

    source: OpenSource
    patches: Sequence[Patch]
    patch_set: PatchSet

    def run_all(self, todo: Sequence[Run], pool: Executor) -> WindowStatistics:
        """Write the patches of all runs and measure the training ground."""
        regions = _own_regions(todo, self.source.grid)
        with closing(map_in_order(pool, self._run, todo, regions)) as parts:
            return sum(parts, start=self._nothing)

    @property
    def _nothing(self) -> WindowStatistics:
        return WindowStatistics.nothing(self.source.ortho.bands, len(self.patch_set.record.legend))

    @cached_property
    def _patches_by_row(self) -> dict[int, list[Patch]]:
        rows: dict[int, list[Patch]] = {}
        for patch in self.patches:
            rows.setdefault(patch.window.row_off, []).append(patch)
        return rows

    def _run(self, run: Run, own: Window) -> WindowStatistics:
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
        return WindowStatistics(
            BandStatistics.measure(pixels.image[:, rows, cols], counted), classes
        )

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


@dataclass(frozen=True)
class SourceSurvey:
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


def survey(source: OpenSource, todo: Sequence[Run], classes: int, pool: Executor) -> SourceSurvey:
    """Look at all windows of a source; the orthophoto is read only if it may have holes."""

    def look(run: Run) -> NDArray[np.float64]:
        return _shares(source, run, classes)

    with closing(map_in_order(pool, look, todo)) as parts:
        shares = np.concatenate([np.zeros((0, classes + 1)), *parts])
    windows = [window for run in todo for window in run]
    return SourceSurvey(windows, shares[:, 0], shares[:, 1:])


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
