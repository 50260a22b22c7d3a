"""A source open for tiling: pixels, where they are valid, and their classes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from geoseg.core.colors import misplaced_bands
from geoseg.core.grid import Grid
from geoseg.core.legend import Legend
from geoseg.core.scores import IGNORE
from geoseg.core.window import Window, offsets
from geoseg.errors import EmptyError, GridMismatchError, InputError, LegendError, NoPolygonError
from geoseg.io.patch_record import Source
from geoseg.io.raster import Pixels, RasterReader
from geoseg.io.reference import RasterReference, VectorReference, open_reference
from geoseg.io.vector import Area
from geoseg.tiling.options import TileOptions

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
    area: Area | None

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
            area = Area.open(aoi, grid, may_be_elsewhere=may_be_elsewhere) if aoi else None
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
