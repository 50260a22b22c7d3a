"""Ground that lies in two splits: by its place, by its pixels, or by both."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.checking.findings import Finding
from geoseg.core.blocks import Boxes
from geoseg.io.patch_ground import Grounds, patch_windows
from geoseg.io.patch_record import SPLITS, Split
from geoseg.io.patches import PatchSet

HAIR = 0.02
"""Patches whose edges overlap by less than this share of their side only touch."""

NEAREST = 1e-9
"""Polygons no farther from each other than this overlap, in units of their plane."""


class Part(NamedTuple):
    """Some patches of a set."""

    numbers: NDArray[np.int64]
    """(n,) in the set."""

    grounds: Grounds
    """(n,) what they show, in a plane that parts to be compared share."""


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
        self._windows = patch_windows(self.patch_set)

    def by_place(self, footprints: Grounds) -> None:
        """Patches of different splits that overlap: of one source their windows, else footprints.

        Args:
            footprints: (n,) of all patches; None: it has no place.
        """
        numbers = np.arange(len(footprints))
        windows = Part(numbers, polygons(_side_by_side(self._windows, self._sources)))
        placed = Part(numbers, footprints)
        noted = self._compare(windows, windows) | self._compare(placed, placed)
        if noted:
            self.details.append(f"the footprints of {len(noted)} patches reach into another split")

    def by_pixels(self, groups: Iterable[Sequence[int]], what: str) -> None:
        """Groups of patches that show the same picture, in several splits.

        Args:
            groups: Numbers of patches.
            what: Follows their number in a report.
        """
        count = 0
        for group in groups:
            ranks = self._splits[list(group)]
            for number, rank in zip(group, ranks, strict=True):
                other = next(n for n, r in zip(group, ranks, strict=True) if r != rank)
                self._note(number, other, spare=bool(rank < ranks.max()))
            count += len(group)
        if count:
            self.details.append(f"{count} patches {what}")

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

    def _compare(self, part: Part, others: Part) -> set[int]:
        """Note the patches of a part that overlap others of another split; their numbers."""
        noted: set[int] = set()
        for rank, foreign in permutations(range(len(SPLITS)), 2):
            mine = np.flatnonzero(self._splits[part.numbers] == rank)
            theirs = np.flatnonzero(self._splits[others.numbers] == foreign)
            found = partners(part.grounds[mine], others.grounds[theirs])
            for at in np.flatnonzero(found >= 0).tolist():
                number = int(part.numbers[mine[at]])
                self._note(number, int(others.numbers[theirs[found[at]]]), spare=rank < foreign)
                noted.add(number)
        return noted

    def _note(self, number: int, partner: int, *, spare: bool) -> None:
        self.partner.setdefault(number, partner)
        if spare:
            self.spared.add(number)


def polygons(boxes: Boxes) -> Grounds:
    """(n,) the same as polygons."""
    rows_cols: Grounds = shapely.box(*boxes.T)
    return rows_cols


def partners(grounds: Grounds, others: Grounds) -> NDArray[np.int64]:
    """(n,) for each polygon the number of one of the others that it overlaps; -1: of none.

    Args:
        grounds: (n,) polygons; None overlaps nothing.
        others: (m,).
    """
    found = np.full(len(grounds), -1, np.int64)
    tree = shapely.STRtree(_drawn_in(others))
    if len(tree) and len(grounds):
        mine, theirs = tree.query_nearest(
            _drawn_in(grounds), max_distance=NEAREST, all_matches=False
        )
        found[mine] = theirs
    return found


def _drawn_in(grounds: Grounds) -> Grounds:
    """(n,) polygons whose edges have moved towards the centre by half of `HAIR` of their side."""
    corners, owner = shapely.get_coordinates(grounds, return_index=True)
    centres = shapely.centroid(grounds)
    middle = np.stack([shapely.get_x(centres), shapely.get_y(centres)], axis=1)[owner]
    smaller: Grounds = shapely.set_coordinates(
        grounds.copy(), middle + (1 - HAIR) * (corners - middle)
    )
    return smaller


def _side_by_side(windows: Boxes, sources: NDArray[np.int32]) -> Boxes:
    """Windows of different sources, laid beside each other."""
    span = windows[:, 3].max(initial=0) + 1
    aside = sources * span
    nothing = np.zeros_like(aside)
    return windows + np.stack([nothing, aside, nothing, aside], axis=1)


def missing_splits(counts: dict[Split, int]) -> Iterable[Finding]:
    """Training and validation, if one has no patch."""
    if empty := [split for split in SPLITS[:2] if not counts.get(split)]:
        yield Finding(kind="missing-splits", what=f"no patch is for {' and for '.join(empty)}")
