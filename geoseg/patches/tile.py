"""The step: survey the sources, divide the ground, extract the patches."""

import csv
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from geoseg.errors import InputError
from geoseg.labels.legend import Legend
from geoseg.labels.pixel_classes import (
    Meaning,
    counted_meanings,
    doubts_of_codings,
    hints_at_other_coding,
)
from geoseg.labels.reference import RasterReference, VectorReference
from geoseg.patches.extract import (
    SOURCE_FAILURES,
    Kind,
    PatchExtraction,
    SourceSurvey,
    WindowStatistics,
    judge_all,
    no_patch_left,
    open_source,
    remove_files,
    runs,
    same_kind,
    survey,
)
from geoseg.patches.index import write_index
from geoseg.patches.options import TileOptions
from geoseg.patches.patch_set import PatchSet, refuse_unfit_for_png
from geoseg.patches.record import (
    SPLITS,
    ClassShares,
    Patch,
    PatchSetRecord,
    PatchTable,
    Source,
    Split,
    hint_at_few_polygons,
    warn_of_few_labels,
)
from geoseg.patches.splits import Fate, SurveyedSource, divide
from geoseg.patches.training_ground import content_of
from geoseg.raster.atomic import refuse_existing, staged
from geoseg.raster.facts import doubts_of
from geoseg.raster.folders import PATCH_SET
from geoseg.raster.paths import match_by_name, match_by_order, unique_names
from geoseg.raster.reader import RasterReader
from geoseg.raster.threads import reading_pool
from geoseg.raster.vector import is_vector
from geoseg.text import subject


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
        EmptyError: If there is no window, or they cannot be divided into splits.
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
        self._surveyed: list[SurveyedSource] = []

    def add(self, source: Source, _: object, may_be_elsewhere: bool) -> None:
        """Open a source and count its windows.

        Raises:
            GeosegError: What is wrong with it.
        """
        options = self.options
        with open_source(source, self.legend, options, may_be_elsewhere=may_be_elsewhere) as opened:
            self._kind = same_kind(opened, self._kind)
            todo = runs(opened.grid, options)
            grid = opened.grid
            self._pixel = opened.ortho.bands * opened.ortho.dtype.itemsize + 1
        self.sources += 1
        windows = [window for run in todo for window in run]
        shares = np.ones((len(windows), len(self.legend))) / len(self.legend)
        nothing = np.zeros(1 + len(self.legend))
        survey = SourceSurvey(windows, np.ones(len(windows)), shares)
        self._surveyed.append(SurveyedSource(source, grid, survey, nothing, self._kind))
        self._windows += len(windows)
        self._row = max([self._row, *(run[-1].col_stop - run[0].col_off for run in todo)])

    def plan(self) -> TilePlan:
        """Numbers for a dry run.

        Raises:
            InputError: If every source has a fault, or the bands are not for PNG.
            EmptyError: If there is no window, or they cannot be divided into splits even if no one
                is left out and all classes are everywhere.
        """
        options, windows = self.options, self._windows
        if self._kind is None:
            raise InputError("; ".join(self.failures.values()))
        if options.storage == "png":
            refuse_unfit_for_png(*self._kind[:2])
        if not windows:
            raise no_patch_left({})
        divide(self._surveyed, options)
        memory = self._row * options.patch_size * (self._pixel + 10) * worker_count(options)
        pixels = windows * options.patch_size**2 * self._pixel
        return TilePlan(self.sources, windows, pixels, memory, self.failures)


def worker_count(options: TileOptions) -> int:
    """Threads to use."""
    return options.workers or os.cpu_count() or 1


MAX_GSD_RATIO = 1.2
"""Orthophotos whose GSD differ by more are reported."""

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many of how many."""


@dataclass
class TileReport:
    """What tiling did."""

    patches: dict[str, int] = field(default_factory=dict)
    """Patches in each split."""

    dropped: dict[str, int] = field(default_factory=dict)
    """Windows left out, by reason."""

    failures: dict[str, str] = field(default_factory=dict)
    """What is wrong with which source."""

    warnings: list[str] = field(default_factory=list)
    """What the user should know."""

    hints: list[str] = field(default_factory=list)
    """What the user may not have thought of."""

    classes: ClassShares | None = None
    """What each split holds."""

    split_block: int | None = None
    """Side of a spatial block, in pixels."""

    meanings: dict[str, int] = field(default_factory=dict)
    """How references name classes, in words, and how many of them do."""

    def drop(self, reason: str, count: int) -> None:
        """Count windows that are left out."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count


def tile(
    sources: Sequence[Source],
    legend: Legend,
    output: Path,
    *,
    options: TileOptions,
    overwrite: bool = False,
    progress: Progress = lambda *_: None,
) -> TileReport:
    """Cut orthophotos and their references into a patch set.

    A source with a fault is left out and reported; the others are tiled.

    Args:
        sources: What to cut.
        legend: The classes.
        output: Folder to write.
        options: How.
        overwrite: Whether to replace an existing patch set.
        progress: Told after every source.

    Raises:
        EmptyError: If no patch is left.
        InputError: If every source has a fault.
        OutputError: If the folder cannot be written.
    """
    refuse_existing(output, overwrite=overwrite, kind=PATCH_SET)
    report = TileReport()
    with reading_pool(worker_count(options)) as pool:
        tiling = _Tiling(legend, options, report, pool)
        surveyed = tiling.survey_all(sources, progress)
        division = divide(surveyed, options)
        report.drop("on the border between splits", division.dropped)
        report.warnings += division.warnings
        report.split_block = division.block
        with staged(output, overwrite=overwrite, kind=PATCH_SET) as folder:
            tiling.extract_all(surveyed, division.splits, folder, progress)
    return report


@dataclass(frozen=True)
class _Tiling:
    """What the two passes over the sources share."""

    legend: Legend
    options: TileOptions
    report: TileReport
    pool: Executor
    meanings: list[Meaning] = field(default_factory=list)
    """How references name classes, one each."""

    def survey_all(self, sources: Sequence[Source], progress: Progress) -> list[SurveyedSource]:
        """Look at all sources; those with a fault are reported and left out."""
        done = judge_all(
            sources,
            self._survey,
            self.report.failures,
            self.options,
            lambda number: progress("survey", number, len(sources)),
        )
        in_order = [done[number] for number in sorted(done)]
        for fate in ("outside", "blank"):
            names = [each.source.ortho.name for each in in_order if each.fate == fate]
            if names:
                self.report.warnings.append(
                    f"{subject(names, 'orthophotos')} {self._told_of(fate)}"
                )
        if not any(each.survey.windows for each in in_order):
            self._raise_empty()
        self._warn_of_mixed_gsd(in_order)
        self._tell_of_codings()
        return in_order

    def _told_of(self, fate: Fate) -> str:
        """What is to be said of orthophotos on which no polygon lies."""
        if fate == "outside":
            return "outside of the areas that count: nothing is labelled there"
        return f"without a polygon: {self.options.reference.blank_ground(self.legend)}"

    def _survey(
        self, source: Source, done: Mapping[int, SurveyedSource], may_be_elsewhere: bool
    ) -> SurveyedSource:
        with open_source(
            source, self.legend, self.options, may_be_elsewhere=may_be_elsewhere
        ) as opened:
            own = same_kind(opened, _kind_of(done))
            self.report.warnings += doubts_of(source.ortho, self.options.read)
            content = self.pool.submit(content_of, source.ortho)
            todo = runs(opened.grid, self.options)
            found = survey(opened, todo, len(self.legend), self.pool)
            self._tell_meaning(opened.reference)
            fate: Fate = "outside" if opened.is_outside else "blank" if opened.is_blank else None
        kept = found.only(found.keep(self.options))
        left_out = len(found.windows) - len(kept.windows)
        self.report.drop("too little data or labels", left_out)
        totals = np.array([found.valid.sum(), *found.classes.sum(axis=0)])
        known = replace(source, content=content.result())
        return SurveyedSource(known, opened.grid, kept, totals, own, fate)

    def _tell_meaning(self, reference: RasterReference | VectorReference) -> None:
        """Note how a reference that was read to its end names classes."""
        self.meanings.append(reference.meaning)
        self.report.warnings += [
            note for note in reference.notes if note not in self.report.warnings
        ]

    def _tell_of_codings(self) -> None:
        """Say how references name classes, if they differ, and of the other ISPRS coding."""
        areas = [path for path in (self.options.reference.labelled_areas, self.options.aoi) if path]
        outside = "".join(f"; nothing is labelled outside of {path.name}" for path in areas)
        meanings = counted_meanings(self.meanings)
        self.report.meanings = {f"{said}{outside}": count for said, count in meanings.items()}
        self.report.warnings += doubts_of_codings(self.meanings, self.legend)
        self.report.hints += hints_at_other_coding(self.meanings, self.legend)

    def extract_all(
        self,
        surveyed: Sequence[SurveyedSource],
        splits: Sequence[Sequence[Split | None]],
        folder: Path,
        progress: Progress,
    ) -> None:
        """Write the patches, their footprints and what they share."""
        patch_set = self._new_patch_set(surveyed, folder)
        for name in ("images", "masks") if self.options.storage != "index" else ("",):
            (folder / name).mkdir(parents=True)
        kept: list[Patch] = []
        total = WindowStatistics.nothing(patch_set.record.bands, len(self.legend))
        for number, (each, own) in enumerate(zip(surveyed, splits, strict=True)):
            patches = _patches(each, own, number)
            try:
                total += self._extract(each, patches, patch_set)
                kept += patches
            except SOURCE_FAILURES as error:
                self.report.failures[each.source.name] = str(error)
                remove_files(patch_set, patches)
            progress("write", number + 1, len(surveyed))
        if not kept:
            self._raise_empty()
        counts = Counter(patch.split for patch in kept)
        self.report.patches = {split: counts[split] for split in SPLITS if split in counts}
        table = PatchTable.of(kept, size=patch_set.record.size)
        self.report.classes = ClassShares.of(table, self.legend)
        self.report.warnings += self.report.classes.warnings()
        self._tell_of_labels(surveyed)
        record = replace(
            patch_set.record,
            statistics=total.bands.by_name,
            class_pixels=tuple(total.classes.tolist()),
        )
        write_index(folder, record, kept, [each.grid for each in surveyed])

    def _tell_of_labels(self, surveyed: Sequence[SurveyedSource]) -> None:
        """Say if little of the ground is labelled, or covered by polygons."""
        valid, *classes = np.sum([each.totals for each in surveyed], axis=0).tolist()
        labelled = sum(classes)
        self.report.warnings += warn_of_few_labels(labelled / valid)
        reference, background = self.options.reference, self.legend.background
        drawn = any(is_vector(each.source.reference) for each in surveyed)
        told = reference.labelled_areas is not None or reference.only_polygons
        if drawn and background is not None and not told:
            covered = labelled - classes[self.legend.background_index]
            self.report.hints += hint_at_few_polygons(covered / labelled, background)

    def _extract(
        self, each: SurveyedSource, patches: Sequence[Patch], patch_set: PatchSet
    ) -> WindowStatistics:
        with open_source(each.source, self.legend, self.options, may_be_elsewhere=True) as opened:
            todo = runs(opened.grid, self.options)
            return PatchExtraction(opened, patches, patch_set).run_all(todo, self.pool)

    def _new_patch_set(self, surveyed: Sequence[SurveyedSource], folder: Path) -> PatchSet:
        known_gsd = [each.grid.gsd for each in surveyed if each.grid.gsd]
        with RasterReader(surveyed[0].source.ortho, self.options.read) as reader:
            if self.options.storage == "png":
                refuse_unfit_for_png(reader.bands, reader.dtype.name)
            record = PatchSetRecord(
                size=self.options.patch_size,
                stride=self.options.step,
                storage=self.options.storage,
                legend=self.legend,
                sources=tuple(each.source for each in surveyed),
                read=self.options.read,
                reference=self.options.reference,
                aoi=self.options.aoi,
                bands=reader.bands,
                band_names=reader.band_names,
                dtype=reader.dtype.name,
                gsd=float(np.median(known_gsd)) if known_gsd else None,
            )
        return PatchSet(folder, record, [])

    def _warn_of_mixed_gsd(self, surveyed: Sequence[SurveyedSource]) -> None:
        known = [each.grid.gsd for each in surveyed if each.grid.gsd]
        if known and max(known) > MAX_GSD_RATIO * min(known):
            self.report.warnings.append(
                f"the orthophotos' GSD differ: {min(known):.3g} to {max(known):.3g} m/px"
            )

    def _raise_empty(self) -> None:
        if self.report.failures:
            raise InputError("; ".join(self.report.failures.values()))
        raise no_patch_left(self.report.dropped)


def _patches(each: SurveyedSource, splits: Sequence[Split | None], source: int) -> list[Patch]:
    found = each.survey
    rows = zip(found.windows, splits, found.valid.tolist(), found.classes.tolist(), strict=True)
    return [
        Patch(
            source=source,
            window=window,
            split=split,
            valid_share=valid,
            class_shares=tuple(classes),
        )
        for window, split, valid, classes in rows
        if split is not None
    ]


def _kind_of(surveyed: Mapping[int, SurveyedSource]) -> Kind | None:
    """Bands and type of the first orthophoto; None if none is known yet."""
    return surveyed[min(surveyed)].kind if surveyed else None


def pair_by_order(orthos: Sequence[Path], references: Sequence[Path]) -> list[Source]:
    """The first reference belongs to the first orthophoto, and so on; one may serve all.

    Raises:
        InputError: If the numbers differ.
    """
    return _sources(orthos, match_by_order(orthos, references))


def pair_by_name(orthos: Sequence[Path], references: Sequence[Path]) -> list[Source]:
    """The reference with the orthophoto's name, or one that begins or ends with it.

    Raises:
        InputError: If an orthophoto has no reference, or several that fit equally.
    """
    return _sources(orthos, match_by_name(orthos, references))


def pairs_from_csv(path: Path) -> list[Source]:
    """Pairs from a table with the columns ``ortho``, ``reference`` and perhaps ``split``.

    Relative paths count from the table's folder.

    Raises:
        InputError: If the table or a column is missing, it is not UTF-8, or a split has another
            name than train, val or test.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8; save it as such (Excel: CSV UTF-8)") from error
    except (OSError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if not rows or not {"ortho", "reference"} <= set(rows[0]):
        raise InputError(f"{path}: needs a heading with ortho,reference and at least one row")
    splits = [(row.get("split") or "").strip() or None for row in rows]
    if wrong := sorted({split for split in splits if split and split not in SPLITS}):
        raise InputError(f"{path}: split is train, val or test, not {wrong}")
    orthos = [path.parent / row["ortho"].strip() for row in rows]
    return [
        Source(
            name=name,
            ortho=ortho,
            reference=path.parent / (row["reference"] or "").strip(),
            split=split,  # type: ignore[arg-type]  # checked above
        )
        for name, ortho, row, split in zip(unique_names(orthos), orthos, rows, splits, strict=True)
    ]


def _sources(orthos: Sequence[Path], references: Sequence[Path]) -> list[Source]:
    return [
        Source(name=name, ortho=ortho, reference=reference)
        for name, ortho, reference in zip(unique_names(orthos), orthos, references, strict=True)
    ]
