"""The step: look at every patch, compare them, and say what is wrong with a patch set."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError
from geoseg.labels.legend import Legend
from geoseg.patches.duplicates import (
    Leaks,
    Pairs,
    empties,
    groups_of,
    in_several_splits,
    missing_splits,
    near_copies,
    partners,
    places,
    repeats,
)
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import SPLITS, Split
from geoseg.patches.scan import DROPPABLE, Finding, Survey, in_order, survey
from geoseg.patches.splits import patch_footprints
from geoseg.raster.folders import CHECK, KIND

OTHER_UNITS = 10
"""Sources whose bright pixels are so many times brighter or darker than usual are told."""

BLACK = 0.25
"""Patches with so large a share of pure 0 may have no data there."""

BYTE = 255

TOPS = (1, BYTE, 65535)
"""What a mask calls visible."""

ALPHA_BANDS = (2, 4)
"""Grey or colours, and alpha."""


def values(patch_set: PatchSet, found: Survey) -> list[Finding]:
    """Infinite values, empty bands, alpha as a band, other units."""
    extreme = np.flatnonzero(found.extreme).tolist()
    findings = []
    if extreme:
        findings.append(
            Finding(
                kind="not-finite",
                what=f"{len(extreme)} images hold infinite or absurdly large values",
                patches=tuple(extreme),
                drop=tuple(extreme),
                groups=tuple((number,) for number in extreme),
            )
        )
    if details := [*_of_the_set(patch_set, found), *_of_sources(patch_set, found)]:
        black = np.flatnonzero(found.black >= BLACK).tolist()
        findings.append(
            Finding(
                kind="value-ranges",
                what="the values look odd",
                groups=tuple((number,) for number in black),
                details=tuple(details),
            )
        )
    return findings


def _of_the_set(patch_set: PatchSet, found: Survey) -> Iterator[str]:
    read = found.is_read
    if not np.isfinite(found.top).any():
        return
    low, top = np.nanmin(found.low), np.nanmax(found.top)
    dtype = np.dtype(patch_set.record.dtype)
    if dtype.kind in "iu" and dtype.itemsize > 1 and low >= 0 and top <= BYTE:
        yield f"the pixels are {dtype}, but no value is above {top:.0f}: 8-bit data"
    if _is_alpha(found):
        number, opaque = found.top.shape[1], np.nanmax(found.top[:, -1])
        bands = ",".join(map(str, range(1, number)))
        yield (
            f"band {number} is 0 or {opaque:.0f} everywhere, an alpha: leave it out, "
            f"--bands {bands}"
        )
    if found.is_gray[read].all() and read.any():
        yield "all bands are the same: grey pictures stored as colours"
    black = int(np.count_nonzero(found.black >= BLACK))
    if black and patch_set.record.read.nodata is None:
        yield f"{black} images are 0 on {BLACK:.0%} or more: no data? Then tile with --nodata 0"
    statistics = patch_set.record.statistics
    if dtype.kind == "f" and statistics and max(statistics["p98"]) <= 1 < top / OTHER_UNITS:
        yield f"98 % of the training values are at most 1, the largest is {top:.6g}"


def _of_sources(patch_set: PatchSet, found: Survey) -> Iterator[str]:
    source, sources = patch_set.patches.source, patch_set.record.sources
    names = patch_set.record.band_names
    has_data = np.isfinite(found.top).all(axis=1)
    varies = has_data & ~found.is_constant
    several = len(np.unique(source[varies])) > 1
    usual = np.median(found.high[varies], axis=0) if several else None
    for number in np.unique(source[varies]).tolist():
        own = has_data & (source == number)
        low, top = found.low[own].min(axis=0), found.top[own].max(axis=0)
        for band in np.flatnonzero(low == top).tolist():
            yield f"{sources[number].name}: {names[band]} is {top[band]:.6g} everywhere"
        if usual is not None:
            high = np.median(found.high[own & varies], axis=0)
            yield from _other_units(sources[number].name, high, usual)


def _other_units(name: str, high: NDArray[np.float32], usual: NDArray[np.float32]) -> Iterable[str]:
    """A line for a source whose median patch is much brighter or darker than that of all.

    Args:
        name: The source's.
        high: (bands,) the 98th percentile of its median patch.
        usual: (bands,) that of the median patch of all sources.
    """
    comparable = (usual > 0) & (high > 0)
    if not comparable.any():
        return
    ratio = float(np.median(high[comparable] / usual[comparable]))
    if not 1 / OTHER_UNITS < ratio < OTHER_UNITS:
        yield (
            f"{name}: values reach {high.max():.6g}, those of most patches {usual.max():.6g}: "
            f"other units?"
        )


def _is_alpha(found: Survey) -> bool:
    """Whether the last band holds a lowest and a highest value only, and is of use nowhere."""
    bands = found.top.shape[1]
    known = np.isfinite(found.top[:, -1])
    if bands not in ALPHA_BANDS or not known.any():
        return False
    low, top = found.low[known, -1], found.top[known, -1]
    ends = {0.0, float(top.max())}
    both = {*low.tolist(), *top.tolist()} <= ends and top.max() in TOPS
    return bool(both and found.is_two_valued[known].all())


def class_shares(patch_set: PatchSet) -> dict[Split, NDArray[np.float64]]:
    """Of each split that has patches, the (classes,) shares of its labelled pixels."""
    shares = {}
    for split in SPLITS:
        patches = patch_set.in_split(split)
        if len(patches):
            total = patches.class_shares.sum(axis=0)
            shares[split] = total / max(total.sum(), 1e-12)
    return shares


def missing_classes(legend: Legend, shares: dict[Split, NDArray[np.float64]]) -> Iterable[Finding]:
    """Classes of the legend that a split does not show."""
    everywhere = sum(shares.values(), np.zeros(len(legend)))
    details = [
        f"{name} is nowhere"
        for name, share in zip(legend.names, everywhere, strict=True)
        if not share
    ]
    for split, own in shares.items():
        lacking = [
            name
            for name, here, anywhere in zip(legend.names, own, everywhere, strict=True)
            if anywhere and not here
        ]
        if lacking:
            details.append(f"{split} lacks {', '.join(lacking)}")
    if details:
        yield Finding(
            kind="missing-classes",
            what=f"classes of the legend are missing: {'; '.join(details)}",
        )


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
