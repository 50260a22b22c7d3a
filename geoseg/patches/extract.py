"""One source of a patch set: its windows, what lies on them, and the patches cut from it."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, compress, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import (
    ClusterError,
    EmptyError,
    GeosegError,
    GridMismatchError,
    InputError,
    LegendError,
    NoPolygonError,
)
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import misplaced_bands
from geoseg.labels.pixel_classes import Meaning
from geoseg.labels.reference import VectorReference
from geoseg.patches.corrections import CorrectedReference, is_corrected
from geoseg.patches.patch_set import OpenSource, PatchSet, padded, write_image, write_mask
from geoseg.patches.record import Patch, PatchSetRecord, PatchTable, Source, TileOptions
from geoseg.patches.training_ground import content_of
from geoseg.raster.atomic import writing
from geoseg.raster.doubts import doubts_of
from geoseg.raster.grid import Grid
from geoseg.raster.reader import Pixels, RasterReader
from geoseg.raster.statistics import BandStatistics, histogram
from geoseg.raster.threads import Each, map_in_order, one_by_one, reading_pool
from geoseg.raster.window import Window, offsets

SOURCE_FAILURES = (InputError, GridMismatchError, LegendError, EmptyError, ClusterError)
"""What is wrong with one source, or with all workers that had it, does not stop the others."""

RUN_COLUMNS = 8192
"""Columns that are read at a time, so that memory does not grow with a raster's width."""

SHARE_TOLERANCE = 1e-9
"""By which a share of pixels may fall short."""

UNFINISHED = ".unfinished"
"""Folder in that of a patch set; holds patches of sources that are being cut."""

FILES = ("images", "masks")
"""Folders of a patch set that hold the files of patches."""

Kind = tuple[int, str, tuple[str, ...]]
"""Bands of an orthophoto, numpy's name of their type, and their names."""

Run = list[Window]
"""Neighbouring windows of one row."""

Fate = Literal["blank", "outside"] | None
"""No polygon of the reference lies on an orthophoto, or it lies outside of the areas that count."""


@dataclass(frozen=True, kw_only=True)
class SourceSurvey:
    """What is known of a source before it is cut."""

    source: Source
    grid: Grid
    kind: Kind

    windows: list[Window]
    """Those with enough on them, in reading order."""

    classes: NDArray[np.float64]
    """(windows, classes) share of each class in the pixels."""

    valid: NDArray[np.float64]
    """(windows,) share of pixels with data."""

    totals: NDArray[np.float64]
    """(1 + classes,) sums over all windows: of the share with data, and of each class."""

    fate: Fate = None
    """Why nothing but background is labelled, if that is known."""

    meaning: Meaning
    """How the reference names classes."""

    is_corrected: bool = False
    """Whether corrections lie on it."""

    left_out: int = 0
    """Windows with too little on them."""

    warnings: tuple[str, ...] = ()
    """Doubts about the orthophoto, and remarks on the reference."""


@contextmanager
def open_source(
    source: Source, legend: Legend, options: TileOptions, *, may_be_elsewhere: bool = False
) -> Iterator[OpenSource]:
    """Open a source and see that its parts fit; with `may_be_elsewhere` no polygon need lie on it.

    Raises:
        NoPolygonError: If one need, and none does.
        GeosegError: What is wrong with the orthophoto, the reference or the AOI.
    """
    with (
        RasterReader(source.ortho, options.read) as ortho,
        closing(
            OpenSource.open(ortho, source, legend, options, may_be_elsewhere=may_be_elsewhere)
        ) as opened,
    ):
        yield opened


def judge_all(
    sources: Sequence[Source],
    judge: Callable[..., SourceSurvey],
    failures: dict[str, str],
    options: TileOptions,
    *,
    each: Each = one_by_one,
    progress: Callable[[int], None] = lambda _: None,
) -> list[SourceSurvey]:
    """Judge sources, and those on which no polygon lies once more when all others are known.

    Where there are polygons on another orthophoto, such a one may just be without an object.

    Args:
        sources: All.
        judge: Given a source, says what is known of it or raises; with ``may_be_elsewhere`` no
            polygon need lie on the orthophoto.
        failures: Takes what is wrong with which source, by name, in order.
        options: How sources are read.
        each: Calls ``judge``.
        progress: Told how many have been looked at.

    Returns:
        What is known of the sources without a fault, in order.
    """
    found: dict[int, SourceSurvey | GeosegError] = {}
    for count, (number, answer) in enumerate(each(judge, dict(enumerate(sources))), start=1):
        found[number] = answer
        progress(count)
    references = {
        sources[n].reference for n, one in found.items() if not isinstance(one, GeosegError)
    }
    known = {*references, options.aoi, options.reference.labelled_areas}
    again = {
        number: sources[number]
        for number, reason in found.items()
        if isinstance(reason, NoPolygonError) and references and reason.may_be_right(known)
    }
    found |= dict(each(partial(judge, may_be_elsewhere=True), again))
    surveyed: list[SourceSurvey] = []
    for number, source in enumerate(sources):
        answer = found[number]
        if isinstance(answer, GeosegError):
            failures[source.name] = fault_of(answer)
        elif other := _other_kind(answer, surveyed[:1]):
            failures[source.name] = other
        else:
            surveyed.append(answer)
    return surveyed


def fault_of(failure: GeosegError) -> str:
    """What is wrong with a source.

    Raises:
        GeosegError: The failure, if it is not that of one source, such as a full disk.
    """
    if not isinstance(failure, SOURCE_FAILURES):
        raise failure
    return str(failure)


def _other_kind(own: SourceSurvey, first: Sequence[SourceSurvey]) -> str | None:
    """How bands and type of a source differ from those of the first, if there is one."""
    if not first:
        return None
    path, (bands, dtype, names), others = own.source.ortho, own.kind, first[0].kind
    if (bands, dtype) != others[:2]:
        return (
            f"{path}: has {bands} bands of {dtype}, the first orthophoto {others[0]} of "
            f"{others[1]}; choose bands with --bands, or tile them apart"
        )
    if misplaced := misplaced_bands(names, others[2]):
        return (
            f"{path}: its bands are {', '.join(names)}, those of the first orthophoto "
            f"{', '.join(others[2])}: {', '.join(misplaced)} in other places; bring them into "
            f"one order, for example with `gdal_translate -b 3 -b 2 -b 1`"
        )
    return None


def kind_of(ortho: RasterReader) -> Kind:
    """Bands and type of an orthophoto."""
    return ortho.bands, ortho.dtype.name, ortho.band_names


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


def survey_source(
    source: Source, legend: Legend, options: TileOptions, *, may_be_elsewhere: bool = False
) -> SourceSurvey:
    """Look at a source before it is cut.

    Args:
        source: The orthophoto and its reference.
        legend: The classes.
        options: How it will be cut.
        may_be_elsewhere: Whether no polygon need lie on the orthophoto.

    Raises:
        NoPolygonError: If one need, and none does.
        GeosegError: What is wrong with the orthophoto, the reference or the AOI.
    """
    with (
        reading_pool(options.threads) as pool,
        open_source(source, legend, options, may_be_elsewhere=may_be_elsewhere) as opened,
    ):
        doubts = doubts_of(source.ortho, options.read)
        content = pool.submit(content_of, source.ortho)
        todo = runs(opened.grid, options)
        shares = survey(opened, todo, len(legend), pool)
        reference = opened.reference  # read to its end
        kept = has_enough(shares, options)
        return SourceSurvey(
            source=replace(source, content=content.result()),
            grid=opened.grid,
            kind=kind_of(opened.ortho),
            windows=list(compress(chain(*todo), kept)),
            classes=shares[kept, 1:],
            valid=shares[kept, 0],
            totals=shares.sum(axis=0),
            fate=_fate_of(opened),
            meaning=reference.meaning,
            is_corrected=is_corrected(reference),
            left_out=int((~kept).sum()),
            warnings=(*doubts, *reference.notes),
        )


def _fate_of(opened: OpenSource) -> Fate:
    reference = opened.reference
    if is_corrected(reference):
        return None
    if isinstance(reference, CorrectedReference):
        reference = reference.base
    if any(area and area.is_elsewhere for area in (opened.area, reference.labelled)):
        return "outside"
    if not (isinstance(reference, VectorReference) and reference.is_elsewhere):
        return None
    return "blank" if reference.meaning.fills_gaps or not reference.classes.is_own else "outside"


def survey(
    source: OpenSource, todo: Sequence[Run], classes: int, pool: Executor
) -> NDArray[np.float64]:
    """Measure all windows of a source; the orthophoto is read only if it may have holes.

    Returns:
        (windows, 1 + classes) share of the pixels with data, then of each class.
    """

    def work(run: Run) -> NDArray[np.float64]:
        return _shares(source, run, classes)

    with closing(map_in_order(pool, work, todo)) as parts:
        return np.concatenate([np.zeros((0, classes + 1)), *parts])


def _shares(source: OpenSource, run: Run, classes: int) -> NDArray[np.float64]:
    """Those of the windows of a run, from sums over columns."""
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


def has_enough(shares: NDArray[np.float64], options: TileOptions) -> NDArray[np.bool_]:
    """Which windows hold enough data and classes.

    Args:
        shares: (windows, 1 + classes) as `survey` gives them.
        options: What is enough.
    """
    valid, labelled = shares[:, 0], shares[:, 1:].sum(axis=1)
    return (
        (valid > 0)
        & (labelled > 0)
        & (valid >= options.min_valid - SHARE_TOLERANCE)
        & (labelled >= options.min_labelled - SHARE_TOLERANCE)
    )


@dataclass(frozen=True)
class WindowStatistics:
    """Statistics of the ground that training windows cover, each pixel counted once."""

    bands: BandStatistics

    classes: NDArray[np.int64]
    """(classes,) pixels of each class."""

    @classmethod
    def nothing(cls, bands: int, classes: int) -> Self:
        """No pixel measured yet."""
        return cls(BandStatistics.empty(bands), np.zeros(classes, np.int64))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.bands + other.bands, self.classes + other.classes)


class Cut(NamedTuple):
    """What is to be cut from a source."""

    source: Source
    patches: PatchTable
    """In which it is source 0."""

    @property
    def ortho(self) -> Path:
        """The orthophoto."""
        return self.source.ortho


def cut_source(
    cut: Cut, folder: Path, record: PatchSetRecord, options: TileOptions
) -> WindowStatistics:
    """Write the patches of a source, all or none, and measure its training ground.

    Args:
        cut: The source and its patches.
        folder: Folder of the patch set.
        record: What the patches of all sources share; which sources there are does not matter.
        options: As the source was surveyed.

    Raises:
        GeosegError: What is wrong with the source.
        OutputError: If a file cannot be written.
    """
    with (
        reading_pool(options.threads) as pool,
        open_source(cut.source, record.legend, options, may_be_elsewhere=True) as opened,
        writing(folder),
        TemporaryDirectory(dir=folder / UNFINISHED, ignore_cleanup_errors=True) as name,
    ):
        own = PatchSet(Path(name), replace(record, sources=(cut.source,)), cut.patches)
        for files in FILES:
            (own.folder / files).mkdir()
        measured = PatchExtraction(opened, own).run_all(runs(opened.grid, options), pool)
        for file in own.folder.glob("*/*"):
            file.replace(folder / file.relative_to(own.folder))
    return measured


class PatchExtraction:
    """The work on one source: its patches are written, its training ground is measured."""

    def __init__(self, source: OpenSource, patch_set: PatchSet) -> None:
        """Prepare for a source that is the only one of a patch set."""
        self._source = source
        self._patch_set = patch_set
        self._rows: defaultdict[int, list[Patch]] = defaultdict(list)
        for patch in patch_set.patches:
            self._rows[patch.window.row_off].append(patch)

    def run_all(self, todo: Sequence[Run], pool: Executor) -> WindowStatistics:
        """Write the patches of all runs and measure the training ground."""
        regions = _own_regions(todo, self._source.grid)
        with closing(map_in_order(pool, self._run, todo, regions)) as parts:
            return sum(parts, start=self._nothing)

    @property
    def _nothing(self) -> WindowStatistics:
        record = self._patch_set.record
        return WindowStatistics.nothing(self._source.ortho.bands, len(record.legend))

    def _run(self, run: Run, own: Window) -> WindowStatistics:
        """Write the patches of a run, and measure the training ground in its own region."""
        record, wanted = self._patch_set.record, set(run)
        row = self._rows.get(run[0].row_off, []) if record.storage != "index" else []
        patches = [patch for patch in row if patch.window in wanted]
        covered = self._training_ground(own)
        if not patches and not covered.any():
            return self._nothing
        where = region(run, self._source.grid) if patches else own
        pixels = self._source.ortho.read(where)
        mask = self._source.mask(where, pixels.valid)
        for patch in patches:
            self._write(patch, where, pixels, mask)
        rows, cols = own.relative_to(where).slices
        counted = pixels.valid[rows, cols] & covered
        classes = histogram(mask[rows, cols][counted])[: len(record.legend)]
        return WindowStatistics(
            BandStatistics.measure(pixels.image[:, rows, cols], counted), classes
        )

    def _training_ground(self, own: Window) -> NDArray[np.bool_]:
        """Which pixels of a region belong to a training window."""
        covered = np.zeros((own.height, own.width), np.bool_)
        for row_off in range(own.row_off - self._patch_set.record.size + 1, own.row_stop):
            for patch in self._rows.get(row_off, []):
                if patch.split == "train" and (part := patch.window.intersection(own)):
                    covered[part.relative_to(own).slices] = True
        return covered

    def _write(self, patch: Patch, where: Window, pixels: Pixels, mask: NDArray[np.uint8]) -> None:
        patch_set, record = self._patch_set, self._patch_set.record
        part = patch.window.intersection(where)
        if part is None:
            raise ValueError(f"{patch.window} lies outside {where}")
        rows, cols = part.relative_to(where).slices
        grid = self._source.grid.part(patch.window)
        image = padded(Pixels(pixels.image[:, rows, cols], pixels.valid[rows, cols]), record.size)
        classes = np.full((record.size, record.size), IGNORE, np.uint8)
        classes[: part.height, : part.width] = mask[rows, cols]
        storage, nodata = record.storage, self._source.ortho.nodata
        write_image(patch_set.image_path(patch), image, grid, storage=storage, nodata=nodata)
        write_mask(patch_set.mask_path(patch), classes, grid, storage=storage, legend=record.legend)


def _own_regions(todo: Sequence[Run], grid: Grid) -> list[Window]:
    """A part of the raster for each run, without overlap, so that pixels count once.

    A run's part begins at its first window and ends where the next run's begins.
    """
    bottoms = dict(pairwise(sorted({run[0].row_off for run in todo})))
    rights = dict(pairwise(sorted({run[0].col_off for run in todo})))
    parts = []
    for run in todo:
        whole = region(run, grid)
        top, left = whole.row_off, whole.col_off
        height = bottoms.get(top, whole.row_stop) - top
        width = rights.get(left, whole.col_stop) - left
        parts.append(Window(row_off=top, col_off=left, height=height, width=width))
    return parts
