"""The step: look at every patch, compare them, and say what is wrong with a patch set."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.checking.classes import class_shares, missing_classes
from geoseg.checking.findings import DROPPABLE, Finding, in_order
from geoseg.checking.leaks import Leaks, missing_splits, partners
from geoseg.checking.near_copies import Pairs, groups_of, near_copies, places
from geoseg.checking.repeats import empties, in_several_splits, repeats
from geoseg.checking.survey import Survey, survey
from geoseg.checking.values import values
from geoseg.errors import EmptyError
from geoseg.io.folders import CHECK, KIND
from geoseg.io.patch_ground import patch_footprints
from geoseg.io.patches import PatchSet

Watch = Callable[[str], Callable[[Iterable[Any], int], Iterable[Any]]]
"""For a name, what gives items on and tells of progress."""


@dataclass(frozen=True)
class CheckReport:
    """What was found in a patch set."""

    patch_set: PatchSet
    """The set."""

    findings: list[Finding]
    """Errors first."""

    @property
    def errors(self) -> list[Finding]:
        """What spoils a training or its figures."""
        return [each for each in self.findings if each.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """What is worth a look."""
        return [each for each in self.findings if each.severity == "warning"]

    @property
    def counted(self) -> str:
        """How many of each there are, in words."""
        numbers = (len(self.errors), "error"), (len(self.warnings), "warning")
        return ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in numbers)

    def without(self, kinds: Iterable[str]) -> list[int]:
        """Numbers of the patches that are left without those of some findings.

        Raises:
            EmptyError: If none is.
        """
        wanted = set(kinds) & set(DROPPABLE)
        dropped = {n for each in self.findings if each.kind in wanted for n in each.drop}
        left = [n for n in range(len(self.patch_set.patches)) if n not in dropped]
        if not left:
            raise EmptyError(f"{self.patch_set.folder}: no patch is left without {sorted(wanted)}")
        return left

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
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


def check(folder: Path, *, workers: int | None = None, watch: Watch) -> CheckReport:
    """Find what is wrong with a patch set.

    Every patch is read once; what is kept of each is less than a kilobyte.

    Args:
        folder: The set.
        workers: Threads that read; None: one per processor.
        watch: Told of progress.

    Raises:
        PatchSetError: If it is incomplete or damaged.
    """
    patch_set = PatchSet.open(folder)
    threads = workers or os.cpu_count() or 1
    found = survey(patch_set, workers=threads, watch=watch("look"))
    pairs = near_copies(patch_set, found, watch=watch("compare"))
    shares = class_shares(patch_set)
    findings = [
        *_unreadable(found),
        *_ground(patch_set, found, pairs),
        *missing_splits(dict(Counter(patch.split for patch in patch_set.patches))),
        *missing_classes(patch_set.record.legend, shares),
        *repeats(found, patch_set.patches, places(patch_set, pairs)),
        *empties(found),
        *values(patch_set, found),
    ]
    return CheckReport(patch_set, in_order(findings))


def _unreadable(found: Survey) -> Iterable[Finding]:
    if found.failures:
        numbers = tuple(sorted(found.failures))
        reasons = Counter(found.failures[number] for number in numbers)
        yield Finding(
            kind="unreadable",
            what=f"{len(numbers)} patches cannot be read",
            patches=numbers,
            drop=numbers,
            details=tuple(reason for reason, _ in reasons.most_common()),
        )


def _ground(patch_set: PatchSet, found: Survey, pairs: Pairs) -> Iterable[Finding]:
    """Leaks, and pictures that occur twice in one split though the footprints do not say so."""
    footprints = patch_footprints(patch_set)
    leaks = Leaks(patch_set)
    leaks.by_place(footprints)
    exact = in_several_splits(found, patch_set.patches)
    leaks.by_pixels(exact, "have the very pixels of one in another split")
    split = patch_set.patches.split
    groups = groups_of(pairs, len(split))
    leaking = [group for group in groups if len(set(split[group].tolist())) > 1]
    leaks.by_pixels(leaking, "show the picture of one in another split, stored otherwise")
    yield from leaks.finding()
    hidden = [
        group
        for group in groups
        if group not in leaking and (partners(footprints[group[:1]], footprints[group[1:]]) < 0)[0]
    ]
    if hidden:
        numbers = tuple(sorted(number for group in hidden for number in group))
        yield Finding(
            kind="near-duplicates",
            what=f"{len(numbers)} patches are {len(hidden)} different pictures, stored otherwise",
            patches=numbers,
            drop=tuple(sorted(number for group in hidden for number in group[1:])),
            groups=tuple(map(tuple, hidden)),
        )
