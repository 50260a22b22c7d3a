"""Findings about a patch set, and their report: JSON, an HTML page, images."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError, GeosegError, InputError
from geoseg.labels.lookup import visible_bands
from geoseg.labels.style import Stretch, class_colors
from geoseg.options import CALL, option, threads_option
from geoseg.patches.index import write_part
from geoseg.patches.patch_set import PatchSet, Sample
from geoseg.patches.record import SPLITS, PatchSetRecord, Split
from geoseg.raster.atomic import staged, without_nan
from geoseg.raster.folders import CHECK, KIND, PATCH_SET
from geoseg.raster.statistics import BandStatistics

Severity = Literal["error", "warning"]

ScanProgress = Callable[[Iterable[Any], int], Iterable[Any]]
"""Passes items through and shows progress; the number is their count."""

Scans = Any
"""(patches,) record array of what `check` keeps of each patch; see `scan_fields`."""

SPOILING = (
    "unreadable",
    "leaks",
    "contradictions",
    "outliers",
    "not-finite",
    "missing-splits",
)
"""Findings that spoil a training or its metrics: errors. All others are warnings."""

ADVICE: Mapping[str, str] = {
    "unreadable": (
        "mend or restore the files, or complete the legend; --drop unreadable leaves them out"
    ),
    "leaks": (
        "validation and test metrics will flatter: put scenes of the same ground into one split "
        "(`geoseg tile --pairs` with a split column, or --split block), or --drop leaks, which "
        "leaves out the patches of the split that can spare them"
    ),
    "contradictions": (
        "one image cannot have two truths: correct the labels, or --drop contradictions"
    ),
    "outliers": ("such masks belong to none of the images: inspect them, and --drop outliers"),
    "not-finite": ("declare the value without data (`geoseg tile --nodata`), or --drop not-finite"),
    "missing-splits": "give training and validation more ground when tiling",
    "identical-masks": (
        "see whether the labels were mixed up; --drop identical-masks leaves them out"
    ),
    "duplicates": (
        "repeated patches count as often as they occur; --drop duplicates keeps one of each"
    ),
    "near-duplicates": (
        "copies that were compressed, brightened or resaved: keep them in one split when splitting "
        "anew; --drop near-duplicates keeps one of each"
    ),
    "constant-images": (
        "nothing can be learnt from them, often they have no data: tile with --nodata, or "
        "--drop constant-images"
    ),
    "unlabelled": (
        "they cost time and teach nothing: tile with --min-labelled, or --drop unlabelled"
    ),
    "missing-classes": (
        "what training lacks is never predicted, what validation lacks is never judged: split "
        "otherwise (another --seed, a smaller --split-block), or take the class from the legend"
    ),
    "value-ranges": ("see that all orthophotos hold the bands and units that the model will meet"),
}
"""How to mend each finding, in the order of reports."""

DROPPABLE = (
    "unreadable",
    "leaks",
    "contradictions",
    "outliers",
    "not-finite",
    "identical-masks",
    "duplicates",
    "near-duplicates",
    "constant-images",
    "unlabelled",
)
"""Findings about single patches, which can be dropped."""


def parse_findings(text: str) -> tuple[str, ...]:
    """Kinds of findings that can be dropped; ``all`` of them.

    Raises:
        ValueError: If one cannot.
    """
    kinds = DROPPABLE if text == "all" else tuple(each.strip() for each in text.split(","))
    if unknown := [kind for kind in kinds if kind not in DROPPABLE]:
        raise ValueError(
            f"{', '.join(map(repr, unknown))} cannot be dropped; choose from all, "
            f"{', '.join(DROPPABLE)}"
        )
    return kinds


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """What becomes of findings."""

    drop: tuple[str, ...] = option(
        (),
        group=CALL,
        metavar="FINDING[,FINDING]",
        parse=parse_findings,
        help="Leave out the patches of these findings (all: of every one), and write what is left "
        "as a patch set that refers to the pixels of this one.",
    )
    strict: bool = option(False, group=CALL, help="Exit with 1 if there are warnings, too.")
    workers: int | None = threads_option(CALL)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something wrong with patches, which are given by their numbers in the set."""

    kind: str
    """A key of `ADVICE`."""

    what: str
    """A sentence with numbers."""

    patches: tuple[int, ...] = ()

    drop: tuple[int, ...] = ()
    """Patches to leave out to mend it."""

    groups: tuple[tuple[int, ...], ...] = ()
    """Patches to look at side by side, the worst group first."""

    details: tuple[str, ...] = ()
    """Facts about single sources or groups, a line each."""

    @classmethod
    def of_groups(
        cls, kind: str, what: str, groups: Iterable[Sequence[int]], *, keep_first: bool = False
    ) -> Self:
        """A finding about groups of patches, all of which are to be dropped.

        Args:
            kind: A key of `ADVICE`.
            what: A sentence that goes on after the number of patches.
            groups: Numbers of patches.
            keep_first: Whether the first of each group is kept.
        """
        listed = tuple(tuple(group) for group in groups)
        numbers = tuple(sorted(number for group in listed for number in group))
        drop = tuple(sorted(number for group in listed for number in group[keep_first:]))
        what = f"{len(numbers)} {what}"
        return cls(kind=kind, what=what, patches=numbers, drop=drop, groups=listed)

    @property
    def severity(self) -> Severity:
        """``error`` if it spoils a training or its metrics."""
        return "error" if self.kind in SPOILING else "warning"

    @property
    def advice(self) -> str:
        """Way out."""
        return ADVICE[self.kind]

    def to_dict(self, names: list[str]) -> dict[str, Any]:
        """The finding for JSON, with the names of all patches of the set."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "what": self.what,
            "advice": self.advice,
            "details": list(self.details),
            "patches": [names[number] for number in self.patches],
            "drop": [names[number] for number in self.drop],
            "groups": [[names[number] for number in group] for group in self.groups],
        }


def in_order(findings: list[Finding]) -> list[Finding]:
    """Errors first, then as `ADVICE` has them."""
    order = list(ADVICE)
    return sorted(findings, key=lambda each: order.index(each.kind))


def class_shares(patch_set: PatchSet) -> dict[Split, NDArray[np.float64]]:
    """(classes,) shares of the labelled pixels of each split that has patches."""
    shares = {}
    for split in SPLITS:
        patches = patch_set.in_split(split)
        if len(patches):
            total = patches.class_shares.sum(axis=0)
            shares[split] = total / max(total.sum(), 1e-12)
    return shares


@dataclass(frozen=True)
class CheckReport:
    """Findings of a patch set."""

    patch_set: PatchSet
    findings: list[Finding]

    @property
    def errors(self) -> list[Finding]:
        """Findings that spoil a training or its metrics."""
        return [each for each in self.findings if each.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """Findings to look into."""
        return [each for each in self.findings if each.severity == "warning"]

    @property
    def counted(self) -> str:
        """Number of errors and warnings, in words."""
        numbers = (len(self.errors), "error"), (len(self.warnings), "warning")
        return ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in numbers)

    def without(self, kinds: Iterable[str]) -> list[int]:
        """Numbers of the patches that are left once some findings are dropped.

        Raises:
            EmptyError: If none is left.
        """
        wanted = set(kinds) & set(DROPPABLE)
        dropped = {n for each in self.findings if each.kind in wanted for n in each.drop}
        left = [n for n in range(len(self.patch_set.patches)) if n not in dropped]
        if not left:
            raise EmptyError(f"{self.patch_set.folder}: no patch is left without {sorted(wanted)}")
        return left

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        patches = self.patch_set.patches
        names = [self.patch_set.name_of(patch) for patch in patches]
        legend = self.patch_set.record.legend.names
        return {
            KIND: CHECK.name,
            "patches": str(self.patch_set.folder),
            "counts": dict(Counter(patch.split for patch in patches)),
            "class_shares": {
                split: dict(zip(legend, shares.tolist(), strict=True))
                for split, shares in class_shares(self.patch_set).items()
            },
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "findings": [finding.to_dict(names) for finding in self.findings],
        }


PAGE = Path(__file__).with_name("check.html.j2")
"""Template of the report."""

ACROSS, MOST_ROWS = 6, 6
"""Patches in a row of a sheet, and rows."""

SIDE = 128
"""Larger patches are shrunk to this side by leaving pixels out, in pixels."""

TILE_INCHES = 1.5

LONGEST_NAME = 30

GRAY = (136, 136, 136)


def draw_sheet(path: Path, patch_set: PatchSet, finding: Finding) -> bool:
    """Draw patches of a finding as PNG, the worst groups first.

    Returns:
        Whether there was anything to draw.
    """
    rows = _rows(finding.groups)
    if not rows:
        return False
    from matplotlib.figure import Figure

    height = 2 * len(rows) * (TILE_INCHES + 0.2)
    figure = Figure(figsize=(ACROSS * (TILE_INCHES + 0.1), height), layout="constrained")
    grid = figure.subplots(2 * len(rows), ACROSS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for at, row in enumerate(rows):
        for column, number in enumerate(row):
            _draw(grid[2 * at : 2 * at + 2, column], patch_set, number)
    figure.savefig(path, dpi=SIDE / TILE_INCHES, metadata={"Software": None})
    return True


def _rows(groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """Patches by row: groups of one or two follow each other, larger ones have rows of their own.

    >>> _rows([(1, 2), (3, 4), (5, 6, 7)])
    [[1, 2, 3, 4], [5, 6, 7]]
    """
    rows: list[list[int]] = []
    was_small = False
    for group in groups:
        shown, small = list(group[:ACROSS]), len(group) <= 2  # noqa: PLR2004
        if small and was_small and len(rows[-1]) + len(shown) <= ACROSS:
            rows[-1] += shown
        elif len(rows) == MOST_ROWS:
            break
        else:
            rows.append(shown)
        was_small = small
    return rows


def _draw(axes: NDArray[Any], patch_set: PatchSet, number: int) -> None:
    patch = patch_set.patches[number]
    source = patch_set.record.sources[patch.source].name
    if len(source) > LONGEST_NAME:
        half = LONGEST_NAME // 2
        source = f"{source[:half]}…{source[-half:]}"
    place = f"{patch.split}, row {patch.window.row_off}, column {patch.window.col_off}"
    axes[0].set_title(f"{source}\n{place}", fontsize=5, pad=1.5)
    try:
        sample = patch_set.read(patch)
    except GeosegError:
        axes[0].text(0.5, 0.5, "cannot be read", ha="center", fontsize=5)
        return
    step = max(patch_set.record.size // SIDE, 1)
    colors = class_colors(patch_set.record.legend, GRAY)
    image = in_colors(sample, patch_set.record.band_names)
    axes[0].imshow(image[::step, ::step], interpolation="nearest")
    axes[1].imshow(colors[sample.mask[::step, ::step]], interpolation="nearest")


def in_colors(sample: Sample, names: Sequence[str]) -> NDArray[np.uint8]:
    """(height, width, 3) red, green, blue, or one band three times; black without data."""
    visible = visible_bands(sample.image, names)
    known = np.isfinite(visible)
    stretch = Stretch.of(visible[known])
    return stretch(np.where(known, visible, np.nan)).transpose(1, 2, 0)


def _cleaned_record(patch_set: PatchSet, kept: Sequence[int]) -> PatchSetRecord:
    """The record of some patches of a set, which refers to the pixels of that one.

    If training patches are left out, the statistics of the bands are those of the training
    patches that are left (ground in several of them counts as often), and the pixels of each
    class become fewer in proportion.
    """
    record = patch_set.record
    pixels = None if record.storage == "index" else record.pixels or patch_set.folder
    left = PatchSet(patch_set.folder, record, patch_set.patches[np.array(kept)])
    trained = left.in_split("train")
    if not 0 < len(trained) < len(patch_set.in_split("train")):
        return replace(record, pixels=pixels)
    total = BandStatistics.empty(record.bands)
    for patch in trained:
        image = left.read(patch).image
        valid = ~np.isnan(image[0])
        total += BandStatistics.measure(np.nan_to_num(image).astype(record.dtype), valid)
    before = patch_set.in_split("train").class_shares.sum(axis=0)
    after = trained.class_shares.sum(axis=0)
    share = np.divide(after, before, out=np.zeros_like(after), where=before > 0)
    counts = tuple(np.rint(share * record.class_pixels).astype(int).tolist())
    return replace(record, pixels=pixels, statistics=total.by_name, class_pixels=counts)


def write_report(folder: Path, report: CheckReport, *, overwrite: bool) -> None:
    """Write ``check.json``, ``report.html`` and an image for each finding about patches.

    Raises:
        InputError: If the folder is that of the patch set.
        OutputError: If it cannot be written.
    """
    _refuse_own_folder(folder, report.patch_set)
    with staged(folder, overwrite=overwrite, kind=CHECK) as partial:
        _fill(partial, report)


def write_cleaned_set(
    folder: Path, report: CheckReport, kinds: Iterable[str], *, overwrite: bool
) -> int:
    """Write the patch set without the patches of some findings; the report lies in ``check/``.

    Returns:
        How many patches are left.

    Raises:
        EmptyError: If none is.
        InputError: If the folder is that of the patch set.
        GeosegError: If a training patch cannot be read, or the set not written.
    """
    patch_set = report.patch_set
    _refuse_own_folder(folder, patch_set)
    kept = report.without(kinds)
    with staged(folder, overwrite=overwrite, kind=PATCH_SET) as partial:
        partial.mkdir()
        write_part(partial, patch_set.folder, _cleaned_record(patch_set, kept), kept)
        _fill(partial / "check", report)
    return len(kept)


def _fill(folder: Path, report: CheckReport) -> None:
    """Write the report to a folder that is not there yet."""
    from jinja2 import Environment

    folder.mkdir()
    content = report.to_dict()
    text = json.dumps(without_nan(content), indent=1) + "\n"
    (folder / CHECK.record).write_text(text, encoding="utf-8", newline="\n")
    drawn = {
        each.kind
        for each in report.findings
        if draw_sheet(folder / f"{each.kind}.png", report.patch_set, each)
    }
    environment = Environment(autoescape=True, trim_blocks=True, keep_trailing_newline=True)
    page = environment.from_string(PAGE.read_text(encoding="utf-8")).render(
        folder=content["patches"],
        counted=report.counted,
        counts=content["counts"],
        shares=content["class_shares"],
        classes=report.patch_set.record.legend.names,
        findings=report.findings,
        drawn=drawn,
    )
    (folder / "report.html").write_text(page, encoding="utf-8", newline="\n")


def _refuse_own_folder(folder: Path, patch_set: PatchSet) -> None:
    """See that an output does not replace the patches."""
    for own in (patch_set.folder, patch_set.record.pixels):
        if own and own.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{folder}: holds the patches themselves; name another folder")
