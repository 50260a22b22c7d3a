"""What may be found in a patch set, and how bad each of it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning"]

SPOILING = (
    "unreadable",
    "leaks",
    "contradictions",
    "outliers",
    "not-finite",
    "missing-splits",
)
"""Findings that spoil a training or its figures: errors. The others are warnings."""

ADVICE: Mapping[str, str] = {
    "unreadable": (
        "mend or restore the files, or complete the legend; --drop unreadable leaves them out"
    ),
    "leaks": (
        "validation and test figures will flatter: put scenes of the same ground into one split "
        "(`geoseg tile --pairs` with a split column, or --split block), or --drop leaks, which "
        "leaves out the patches of the split that can spare them"
    ),
    "contradictions": (
        "one picture cannot have two truths: correct the labels, or --drop contradictions"
    ),
    "outliers": ("such masks belong to none of the pictures: look at them, and --drop outliers"),
    "not-finite": ("declare the value without data (`geoseg tile --nodata`), or --drop not-finite"),
    "missing-splits": "give training and validation more ground when tiling",
    "identical-masks": (
        "look whether the labels were mixed up; --drop identical-masks leaves them out"
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
"""What to do about each finding; in the order of reports."""

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
"""Findings about single patches, which can be left out."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something found, and the patches that it concerns, by their numbers in the set."""

    kind: str
    """A key of `ADVICE`."""

    what: str
    """A sentence with numbers."""

    patches: tuple[int, ...] = ()
    """All that are concerned, in order."""

    drop: tuple[int, ...] = ()
    """Those to be left out to mend it."""

    groups: tuple[tuple[int, ...], ...] = ()
    """Patches to be looked at side by side, the worst group first."""

    details: tuple[str, ...] = ()
    """What is known of single sources or groups, a line each."""

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return "error" if self.kind in SPOILING else "warning"

    @property
    def advice(self) -> str:
        """What to do."""
        return ADVICE[self.kind]

    def to_dict(self, names: list[str]) -> dict[str, Any]:
        """For JSON.

        Args:
            names: Of all patches of the set.
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
