"""The step: look at every patch, compare them, and say what is wrong with a patch set."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.checking.classes import class_shares, missing_classes
from geoseg.checking.findings import DROPPABLE, Finding, in_order
from geoseg.checking.leaks import Leaks, describe, lie_together, missing_splits
from geoseg.checking.places import places
from geoseg.checking.repeats import empties, in_several_splits, repeats
from geoseg.checking.same_ground import SameGround, same_ground, too_many
from geoseg.checking.survey import Survey, survey
from geoseg.checking.values import values
from geoseg.errors import EmptyError
from geoseg.io.folders import CHECK, KIND
from geoseg.io.patch_ground import Grounds, patch_footprints
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
    pairs = same_ground(patch_set, found, watch=watch("compare"))
    shares = class_shares(patch_set)
    findings = [
        *_unreadable(found),
        *_ground(patch_set, found, pairs),
        *_not_compared(patch_set, found),
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


def _ground(patch_set: PatchSet, found: Survey, pairs: list[SameGround]) -> Iterable[Finding]:
    """Leaks, and ground that occurs twice in one split though the footprints do not say so."""
    footprints = patch_footprints(patch_set)
    leaks = Leaks(patch_set)
    leaks.by_place(footprints)
    leaks.by_pixels(in_several_splits(found, patch_set.patches))
    harmless = leaks.by_ground(pairs)
    yield from leaks.finding()
    hidden = [
        pair
        for pair in harmless
        if not _placed_there(patch_set, footprints, pair) and not _copied(patch_set, found, pair)
    ]
    if hidden:
        yield Finding(
            kind="repeated-ground",
            what=f"{len(hidden)} pairs of sources show the same ground",
            details=tuple(describe(patch_set, pair) for pair in hidden),
        )


def _not_compared(patch_set: PatchSet, found: Survey) -> Iterable[Finding]:
    if count := too_many(patch_set, found):
        what = f"{count} patches have few corners, too many to compare each with all others"
        yield Finding(kind="not-compared", what=what)


def _copied(patch_set: PatchSet, found: Survey, pair: SameGround) -> bool:
    """Whether one source is an exact copy of the other, so that its patches are duplicates."""
    first, second = (
        found.image[patch_set.patches.source == source] for source in (pair.first, pair.second)
    )
    return pair.rows == pair.cols == 0 and bool(np.isin(second, first).all())


def _placed_there(patch_set: PatchSet, footprints: Grounds, pair: SameGround) -> bool:
    source = patch_set.patches.source
    return lie_together(footprints[source == pair.first], footprints[source == pair.second])
