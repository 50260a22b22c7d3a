"""The step: survey the sources, divide the ground, extract the patches."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from shutil import rmtree

import numpy as np

from geoseg.errors import EmptyError, GeosegError, InputError
from geoseg.labels.legend import Legend
from geoseg.labels.pixel_classes import (
    Meaning,
    counted_meanings,
    doubts_of_codings,
    hints_at_other_coding,
)
from geoseg.patches.extract import (
    FILES,
    UNFINISHED,
    Cut,
    SourceSurvey,
    WindowStatistics,
    cut_source,
    fault_of,
    judge_all,
    kind_of,
    open_source,
    runs,
    survey_source,
)
from geoseg.patches.index import write_index
from geoseg.patches.patch_set import refuse_unfit_for_png
from geoseg.patches.record import (
    SPLITS,
    ClassShares,
    Patch,
    PatchSetRecord,
    PatchTable,
    Source,
    Split,
    TileOptions,
    hint_at_few_polygons,
    warn_of_few_labels,
)
from geoseg.patches.splits import divide
from geoseg.raster.atomic import refuse_existing, staged
from geoseg.raster.folders import PATCH_SET
from geoseg.raster.lists import beside, match_by_name, match_by_order
from geoseg.raster.paths import GdalName, unique_names
from geoseg.raster.threads import Each, in_order, one_by_one
from geoseg.text import subject

MAX_GSD_RATIO = 1.2
"""Orthophotos whose GSD differ by more are reported."""

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many of how many."""


@dataclass(frozen=True)
class TilePlan:
    """Numbers for a dry run."""

    sources: int

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
        EmptyError: If there is no window, or they cannot be divided into splits even if no one
            is left out and all classes are everywhere.
    """
    _refuse_signed(sources, options)
    failures: dict[str, str] = {}
    widest = 0

    def look(source: Source, *, may_be_elsewhere: bool = False) -> SourceSurvey:
        nonlocal widest
        with open_source(source, legend, options, may_be_elsewhere=may_be_elsewhere) as opened:
            kind, grid, meaning = kind_of(opened.ortho), opened.grid, opened.reference.meaning
        todo = runs(grid, options)
        widest = max([widest, *(run[-1].col_stop - run[0].col_off for run in todo)])
        windows = list(chain(*todo))
        return SourceSurvey(
            source=source,
            grid=grid,
            kind=kind,
            windows=windows,
            classes=np.ones((len(windows), len(legend))) / len(legend),
            valid=np.ones(len(windows)),
            totals=np.zeros(1 + len(legend)),
            meaning=meaning,
        )

    found = judge_all(sources, look, failures, options)
    if not found:
        raise InputError("; ".join(dict.fromkeys(failures.values())))
    bands, dtype, _ = found[0].kind
    if options.storage == "png":
        refuse_unfit_for_png(bands, dtype)
    windows = sum(len(each.windows) for each in found)
    if not windows:
        raise _no_patch_left({})
    divide(found, options)
    pixel = bands * np.dtype(dtype).itemsize + 1
    memory = widest * options.patch_size * (pixel + 10) * options.threads
    return TilePlan(len(found), windows, windows * options.patch_size**2 * pixel, memory, failures)


def _refuse_signed(sources: Sequence[Source], options: TileOptions) -> None:
    """Refuse an index of what cannot be opened by the names that it would hold."""
    if options.storage != "index":
        return
    named = [path for each in sources for path in (each.ortho, each.reference)]
    for path in (*named, *options.read.stacked):
        if isinstance(path, GdalName) and path.has_secrets:
            raise InputError(
                f"{path}: is signed, and an index keeps no signatures; use credentials (as "
                f"AWS_ACCESS_KEY_ID), or write pixels, without --index-only"
            )


def _no_patch_left(dropped: Mapping[str, int]) -> EmptyError:
    return EmptyError(
        f"no patch is left; windows dropped: {dict(dropped)}. Is the patch larger than the raster "
        f"with --edge drop, or are --min-valid and --min-labelled too strict?"
    )


@dataclass
class TileReport:
    """What tiling did."""

    patches: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    classes: ClassShares | None = None
    split_block: int | None = None
    meanings: dict[str, int] = field(default_factory=dict)
    """How references name classes, in words, and how many of them do."""

    def _repr_html_(self) -> str | None:
        """Shares of the classes, for notebooks."""
        return self.classes.to_html() if self.classes else None

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
    each: Each = one_by_one,
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
        each: Looks at the sources, and cuts them.

    Raises:
        EmptyError: If no patch is left.
        InputError: If every source has a fault.
        OutputError: If the folder cannot be written.
    """
    refuse_existing(output, overwrite=overwrite, kind=PATCH_SET)
    _refuse_signed(sources, options)
    report = TileReport()
    tiling = _Tiling(legend, options, report, progress, each)
    surveyed = tiling.survey_all(sources)
    division = divide(surveyed, options)
    report.drop("on the border between splits", division.dropped)
    report.warnings += division.warnings
    report.split_block = division.block
    with staged(output, overwrite=overwrite, kind=PATCH_SET) as folder:
        tiling.cut_all(surveyed, division.splits, folder)
    return report


@dataclass(frozen=True)
class _Tiling:
    """What the two passes over the sources share."""

    legend: Legend
    options: TileOptions
    report: TileReport
    progress: Progress
    each: Each

    def survey_all(self, sources: Sequence[Source]) -> list[SourceSurvey]:
        """Look at all sources; those with a fault are reported and left out."""
        report, options = self.report, self.options
        surveyed = judge_all(
            sources,
            partial(survey_source, legend=self.legend, options=options),
            report.failures,
            options,
            each=self.each,
            progress=lambda number: self.progress("survey", number, len(sources)),
        )
        for each in surveyed:
            report.warnings += [said for said in each.warnings if said not in report.warnings]
            report.drop("too little data or labels", each.left_out)
        if not any(each.windows for each in surveyed):
            self._raise_empty()
        if options.corrections is not None and not any(each.is_corrected for each in surveyed):
            raise EmptyError(
                f"{options.corrections}: no correction lies on the orthophotos; are there any, and "
                f"are the CRS right?"
            )
        self._warn_of_sources(surveyed)
        self._tell_of_codings([each.meaning for each in surveyed])
        return surveyed

    def _warn_of_sources(self, surveyed: Sequence[SourceSurvey]) -> None:
        """Warn of orthophotos on which no polygon lies, and of different GSD."""
        for fate, told in {
            "outside": "outside of the areas that count: nothing is labelled there",
            "blank": f"without a polygon: {self.options.reference.blank_ground(self.legend)}",
        }.items():
            if names := [each.source.ortho.name for each in surveyed if each.fate == fate]:
                self.report.warnings.append(f"{subject(names, 'orthophotos')} {told}")
        known = [each.grid.gsd for each in surveyed if each.grid.gsd]
        if known and max(known) > MAX_GSD_RATIO * min(known):
            self.report.warnings.append(
                f"the orthophotos' GSD differ: {min(known):.3g} to {max(known):.3g} m/px"
            )

    def _tell_of_codings(self, found: Sequence[Meaning]) -> None:
        """Say how references name classes, if they differ, and of the other ISPRS coding."""
        options = self.options
        corrected = ", but for corrections" if options.corrections else ""
        areas = {options.reference.labelled_areas: corrected, options.aoi: ""}
        outside = "".join(
            f"; nothing is labelled outside of {path.name}{but}"
            for path, but in areas.items()
            if path
        )
        meanings = counted_meanings(found)
        self.report.meanings = {f"{said}{outside}": count for said, count in meanings.items()}
        self.report.warnings += doubts_of_codings(found, self.legend)
        self.report.hints += hints_at_other_coding(found, self.legend)

    def cut_all(
        self,
        surveyed: Sequence[SourceSurvey],
        splits: Sequence[Sequence[Split | None]],
        folder: Path,
    ) -> None:
        """Write the patches, their footprints and what they share."""
        record = self._new_record(surveyed)
        for name in (*FILES, UNFINISHED) if record.storage != "index" else (UNFINISHED,):
            (folder / name).mkdir(parents=True)
        rows = zip(surveyed, splits, strict=True)
        cuts = [Cut(each.source, _patches(each, own, record.size)) for each, own in rows]
        kept: list[Patch] = []
        total = WindowStatistics.nothing(record.bands, len(self.legend))
        for number, found in enumerate(in_order(self._cut(cuts, record, folder))):
            if isinstance(found, GeosegError):
                self.report.failures[cuts[number].source.name] = fault_of(found)
            else:
                total += found
                kept += cuts[number].patches.of_source(number)
        rmtree(folder / UNFINISHED)
        if not kept:
            self._raise_empty()
        self._tell_of_classes(surveyed, PatchTable.of(kept, size=record.size))
        record = replace(
            record,
            statistics=total.bands.by_name,
            class_pixels=tuple(total.classes.tolist()),
        )
        write_index(folder, record, kept, [each.grid for each in surveyed])

    def _cut(
        self, cuts: Sequence[Cut], record: PatchSetRecord, folder: Path
    ) -> Iterator[tuple[int, WindowStatistics | GeosegError]]:
        """Cut all sources; what each has shown of its training ground, or its fault."""
        shared = replace(record, sources=())
        work = partial(cut_source, folder=folder, record=shared, options=self.options)
        for done, found in enumerate(self.each(work, dict(enumerate(cuts))), start=1):
            yield found
            self.progress("write", done, len(cuts))

    def _tell_of_classes(self, surveyed: Sequence[SourceSurvey], patches: PatchTable) -> None:
        """Say what each split holds, and if little of the ground is labelled."""
        report, reference = self.report, self.options.reference
        counts = {split: len(patches.in_split(split)) for split in SPLITS}
        report.patches = {split: count for split, count in counts.items() if count}
        report.classes = ClassShares.of(patches, self.legend)
        report.warnings += report.classes.warnings()
        valid, *classes = np.sum([each.totals for each in surveyed], axis=0).tolist()
        labelled, background = sum(classes), self.legend.background
        report.warnings += warn_of_few_labels(labelled / valid)
        drawn = any(each.meaning.fills_gaps for each in surveyed)
        told = reference.labelled_areas is not None or reference.only_polygons
        if drawn and background is not None and not told:
            covered = labelled - classes[self.legend.background_index]
            report.hints += hint_at_few_polygons(covered / labelled, background)

    def _new_record(self, surveyed: Sequence[SourceSurvey]) -> PatchSetRecord:
        known_gsd = [each.grid.gsd for each in surveyed if each.grid.gsd]
        bands, dtype, band_names = surveyed[0].kind
        if self.options.storage == "png":
            refuse_unfit_for_png(bands, dtype)
        return PatchSetRecord(
            size=self.options.patch_size,
            stride=self.options.step,
            storage=self.options.storage,
            legend=self.legend,
            sources=tuple(each.source for each in surveyed),
            read=self.options.read,
            reference=self.options.reference,
            aoi=self.options.aoi,
            corrections=self.options.corrections,
            ignore_border=self.options.ignore_border,
            bands=bands,
            band_names=band_names,
            dtype=dtype,
            gsd=float(np.median(known_gsd)) if known_gsd else None,
        )

    def _raise_empty(self) -> None:
        if self.report.failures:
            raise InputError("; ".join(dict.fromkeys(self.report.failures.values())))
        raise _no_patch_left(self.report.dropped)


def _patches(each: SourceSurvey, splits: Sequence[Split | None], size: int) -> PatchTable:
    """The windows of a source that are in a split."""
    rows = zip(each.windows, splits, each.valid.tolist(), each.classes.tolist(), strict=True)
    patches = [
        Patch(source=0, window=window, split=split, valid_share=valid, class_shares=tuple(classes))
        for window, split, valid, classes in rows
        if split is not None
    ]
    return PatchTable.of(patches, size=size)


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
    orthos = [beside(row["ortho"].strip(), path.parent) for row in rows]
    return [
        Source(
            name=name,
            ortho=ortho,
            reference=beside((row["reference"] or "").strip(), path.parent),
            split=split,  # type: ignore[arg-type]  # checked above
        )
        for name, ortho, row, split in zip(unique_names(orthos), orthos, rows, splits, strict=True)
    ]


def _sources(orthos: Sequence[Path], references: Sequence[Path]) -> list[Source]:
    named = zip(unique_names(orthos), orthos, references, strict=True)
    return [Source(name=name, ortho=ortho, reference=truth) for name, ortho, truth in named]
