"""Ground that lies in two splits: by its place, by its pixels, or by both."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.checking.findings import Finding
from geoseg.checking.same_ground import SameGround
from geoseg.core.blocks import Boxes
from geoseg.io.patch_record import SPLITS, Split
from geoseg.io.patches import PatchSet

HAIR = 0.02
"""Windows whose edges overlap by less than this share of their side only touch."""


@dataclass
class Leaks:
    """Patches that show ground of another split."""

    patch_set: PatchSet
    """Whose they are."""

    partner: dict[int, int] = field(default_factory=dict)
    """For each patch one of another split that shows the same ground."""

    spared: set[int] = field(default_factory=set)
    """Patches without which nothing leaks: those for training rather than for judging."""

    details: list[str] = field(default_factory=list)
    """How they were found."""

    def __post_init__(self) -> None:
        self._splits = self.patch_set.patches.split
        self._sources = self.patch_set.patches.source

    def by_place(self, boxes: Boxes, frames: NDArray[np.int64]) -> None:
        """Patches of different splits whose footprints overlap."""
        before = len(self.partner)
        apart = _in_one_frame(boxes, frames)
        self._compare(np.arange(len(boxes)), apart)
        if count := len(self.partner) - before:
            self.details.append(f"the footprints of {count} patches reach into another split")

    def by_pixels(self, groups: Iterable[Sequence[int]]) -> None:
        """Groups of patches with identical pixels, in several splits."""
        count = 0
        for group in groups:
            ranks = self._splits[list(group)]
            for number, rank in zip(group, ranks, strict=True):
                other = next(n for n, r in zip(group, ranks, strict=True) if r != rank)
                self._note(number, other, spare=bool(rank < ranks.max()))
            count += len(group)
        if count:
            self.details.append(f"{count} patches have the very pixels of one in another split")

    def by_ground(self, pairs: Iterable[SameGround]) -> list[SameGround]:
        """Sources that show the same ground; those are given back that are in one split."""
        harmless = []
        size = self.patch_set.record.size
        patches = self.patch_set.patches
        corners = np.stack([patches.row_off, patches.col_off], axis=1).astype(float)
        boxes = np.concatenate([corners, corners + size], axis=1)
        for pair in pairs:
            first = np.flatnonzero(self._sources == pair.first)
            second = np.flatnonzero(self._sources == pair.second)
            shift = np.array([pair.rows, pair.cols] * 2)
            numbers = np.concatenate([first, second])
            count = self._compare(numbers, np.concatenate([boxes[first], boxes[second] + shift]))
            if count:
                self.details.append(f"{describe(self.patch_set, pair)}: {count} patches")
            else:
                harmless.append(pair)
        return harmless

    def finding(self) -> Iterable[Finding]:
        """The finding, if there is one."""
        if not self.partner:
            return
        total = np.bincount(self._splits, minlength=len(SPLITS))
        numbers = np.array(sorted(self.partner))
        leaking = np.bincount(self._splits[numbers], minlength=len(SPLITS))
        shares = [
            f"{own} of {all_} {split} patches"
            for own, all_, split in zip(leaking, total, SPLITS, strict=True)
            if own
        ]
        judging = [number for number in numbers.tolist() if self._splits[number]]
        yield Finding(
            kind="leaks",
            what=f"{' and '.join(shares)} show ground that another split shows too",
            patches=tuple(numbers.tolist()),
            drop=tuple(sorted(self.spared)),
            groups=tuple((number, self.partner[number]) for number in judging),
            details=tuple(self.details),
        )

    def _compare(self, numbers: NDArray[np.int64], boxes: Boxes) -> int:
        """Note the patches whose boxes overlap one of another split; how many there are."""
        noted: set[int] = set()
        for low, high in combinations(range(len(SPLITS)), 2):
            one, other = (np.flatnonzero(self._splits[numbers] == rank) for rank in (low, high))
            for mine, theirs, spare in ((other, one, False), (one, other, True)):
                found = partners(boxes[mine], boxes[theirs])
                for at in np.flatnonzero(found >= 0).tolist():
                    number = int(numbers[mine[at]])
                    self._note(number, int(numbers[theirs[found[at]]]), spare=spare)
                    noted.add(number)
        return len(noted)

    def _note(self, number: int, partner: int, *, spare: bool) -> None:
        self.partner.setdefault(number, partner)
        if spare:
            self.spared.add(number)


def describe(patch_set: PatchSet, pair: SameGround) -> str:
    """Which sources show the same ground, and how they lie on each other."""
    one, other = (patch_set.record.sources[n].name for n in (pair.first, pair.second))
    place = (
        "pixel on pixel"
        if pair.rows == pair.cols == 0
        else f"moved by {pair.rows} rows, {pair.cols} columns"
    )
    return f"{one} shows the ground of {other}, {place} (correlation {pair.likeness:.2f})"


def lie_together(
    boxes: Boxes, frames: NDArray[np.int64], one: NDArray[np.int64], other: NDArray[np.int64]
) -> bool:
    """Whether the footprints of some patches overlap those of others, all of one frame each."""
    if frames[one[0]] != frames[other[0]]:
        return False
    return bool((partners(boxes[one], boxes[other]) >= 0).any())


def partners(boxes: Boxes, others: Boxes) -> NDArray[np.int64]:
    """(n,) for each box the number of one of the others that it overlaps; -1: of none.

    Args:
        boxes: (n, 4), ends exclusive.
        others: (m, 4).
    """
    found = np.full(len(boxes), -1, np.int64)
    if len(boxes) and len(others):
        hair = HAIR * (boxes[:, 2:] - boxes[:, :2])
        inner = np.concatenate([boxes[:, :2] + hair, boxes[:, 2:] - hair], axis=1)
        tree = shapely.STRtree(shapely.box(*others.T))
        mine, theirs = tree.query_nearest(
            shapely.box(*inner.T), max_distance=1e-9, all_matches=False
        )
        found[mine] = theirs
    return found


def _in_one_frame(boxes: Boxes, frames: NDArray[np.int64]) -> Boxes:
    """Boxes of different frames, laid beside each other."""
    if not len(boxes):
        return boxes
    span = boxes[:, 3].max() - boxes[:, 1].min() + 1
    aside = (frames - frames.min())[:, None] * span
    return boxes + np.concatenate([np.zeros_like(aside), aside] * 2, axis=1)


def missing_splits(counts: dict[Split, int]) -> Iterable[Finding]:
    """Training and validation, if one has no patch."""
    if empty := [split for split in SPLITS[:2] if not counts.get(split)]:
        yield Finding(kind="missing-splits", what=f"no patch is for {' and for '.join(empty)}")
