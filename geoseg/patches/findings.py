"""Findings about a patch set, and the report that holds them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError
from geoseg.options import CALL, option, threads_option
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import SPLITS, Split
from geoseg.raster.folders import CHECK, KIND

Severity = Literal["error", "warning"]

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


"""Findings about single patches, which can be dropped."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something wrong with patches, which are given by their numbers in the set."""

    kind: str
    """A key of `ADVICE`."""

    what: str
    """A sentence with numbers."""

    patches: tuple[int, ...] = ()
    """Patches concerned, in order."""

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
        """The finding for JSON.

        Args:
            names: Names of all patches of the set.
        """
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
    """The patch set."""

    findings: list[Finding]
    """Findings, errors first."""

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
