"""Patches that occur twice: same ground, same pixels, same mask, or near copies."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from geoseg.errors import GeosegError
from geoseg.patches.findings import Finding, ScanProgress, Scans
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import SPLITS, PatchTable, Split
from geoseg.patches.splits import Boxes, Grounds, patch_boxes, patch_windows

MIN_OUTLIER_IMAGES = 5
"""Images of different places with one mask from which on it is no mix-up of two or three."""

MIN_LABELLED_SHARE = 0.01
"""Share of labelled pixels below which a patch is called unlabelled."""


def duplicates(
    scans: Scans, patches: PatchTable, locations: NDArray[np.int64]
) -> Iterator[Finding]:
    """Duplicates, contradicting labels, masks that many images share.

    Images of one value are left out: they are all the same, and so are masks that are not
    `is_distinctive`. Images of one location (as of `co_located`) may well have one mask.
    """
    comparable = scans.is_read & ~scans.is_constant
    same_image = _groups(scans.image, comparable)
    if two_truths := [group for group in same_image if _kinds(scans.mask, group) > 1]:
        what = f"patches: {len(two_truths)} images occur with different masks"
        yield Finding.of_groups("contradictions", what, two_truths)
    one_truth = [group for group in same_image if _kinds(scans.mask, group) == 1]
    in_splits = (
        [number for number in group if patches.split[number] == split]
        for group in one_truth
        for split in range(len(SPLITS))
    )
    if same := [group for group in in_splits if len(group) > 1]:
        what = f"patches are {len(same)} different ones, image and mask"
        yield Finding.of_groups("duplicates", what, same, keep_first=True)
    same_mask = _groups(scans.mask, comparable & scans.is_distinctive)
    images = [  # that are neither copies of each other nor of one location
        min(_kinds(scans.image, group), len(np.unique(locations[group]))) for group in same_mask
    ]
    for kind, counts, what in (
        (
            "outliers",
            range(MIN_OUTLIER_IMAGES, len(patches) + 1),
            f"share a mask with {MIN_OUTLIER_IMAGES - 1} or more other images",
        ),
        ("identical-masks", range(2, MIN_OUTLIER_IMAGES), "share a mask with another image"),
    ):
        chosen = [g for g, count in zip(same_mask, images, strict=True) if count in counts]
        if chosen:
            sizes = ", ".join(str(len(group)) for group in chosen[:5])
            more = ", …" if len(chosen) > 5 else ""  # noqa: PLR2004 as listed
            masks = f"{len(chosen)} masks ({sizes}{more} patches)"
            yield Finding.of_groups(kind, f"patches {what}: {masks}", chosen)


def in_several_splits(scans: Scans, patches: PatchTable) -> list[list[int]]:
    """Groups of patches with the same pixels that are not all in one split."""
    groups = _groups(scans.image, scans.is_read & ~scans.is_constant)
    return [group for group in groups if len(set(patches.split[group].tolist())) > 1]


def empties(scans: Scans) -> Iterator[Finding]:
    """Constant images, and masks with hardly a label."""
    for kind, chosen, what in (
        ("constant-images", scans.is_constant, "images have one value only"),
        (
            "unlabelled",
            scans.labelled < MIN_LABELLED_SHARE,
            f"patches have a class on less than {MIN_LABELLED_SHARE:.0%}",
        ),
    ):
        if numbers := np.flatnonzero(scans.is_read & chosen).tolist():
            yield Finding.of_groups(kind, what, [[number] for number in numbers])


def _groups(hashes: NDArray[np.void], wanted: NDArray[np.bool_]) -> list[list[int]]:
    """Numbers of those patches that count with the same hash; the largest group first."""
    numbers = np.flatnonzero(wanted)
    numbers = numbers[np.argsort(hashes[numbers], kind="stable")]
    if not len(numbers):
        return []
    ends = np.flatnonzero(hashes[numbers][1:] != hashes[numbers][:-1]) + 1
    groups = [part.tolist() for part in np.split(numbers, ends) if len(part) > 1]
    return sorted(groups, key=lambda group: (-len(group), group))


def _kinds(hashes: NDArray[np.void], group: list[int]) -> int:
    return len({bytes(each) for each in hashes[group]})


EDGE_TOLERANCE_SHARE = 0.02
"""Share of their side by which patches must overlap; with less they only touch."""

MAX_OVERLAP_DISTANCE = 1e-9
"""Distance of polygons up to which they overlap, in units of their plane."""


@dataclass
class Leaks:
    """Patches that show ground of another split."""

    patch_set: PatchSet

    partner: dict[int, int] = field(default_factory=dict)
    """For each leaking patch one of another split that shows the same ground."""

    spared: set[int] = field(default_factory=set)
    """Patches to drop so that nothing leaks: training patches rather than validation patches."""

    details: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._splits = self.patch_set.patches.split
        self._sources = self.patch_set.patches.source
        self._windows = patch_windows(self.patch_set)

    def by_place(self, footprints: Grounds) -> None:
        """Patches of different splits that overlap: windows of one source, else footprints."""
        windows: Grounds = shapely.box(*_side_by_side(self._windows, self._sources).T)
        noted = self._overlapping(windows) | self._overlapping(footprints)
        if noted:
            self.details.append(f"the footprints of {len(noted)} patches reach into another split")

    def by_pixels(self, groups: Iterable[Sequence[int]], what: str) -> None:
        """Groups of patches that show the same image, in several splits; `what` follows a count."""
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

    def _overlapping(self, grounds: Grounds) -> set[int]:
        """Note the patches whose ground overlaps that of another split; their numbers."""
        noted: set[int] = set()
        for rank, foreign in permutations(range(len(SPLITS)), 2):
            mine, theirs = (np.flatnonzero(self._splits == each) for each in (rank, foreign))
            found = partners(grounds[mine], grounds[theirs])
            for at in np.flatnonzero(found >= 0).tolist():
                self._note(int(mine[at]), int(theirs[found[at]]), spare=rank < foreign)
                noted.add(int(mine[at]))
        return noted

    def _note(self, number: int, partner: int, *, spare: bool) -> None:
        self.partner.setdefault(number, partner)
        if spare:
            self.spared.add(number)


def partners(grounds: Grounds, others: Grounds) -> NDArray[np.int64]:
    """(n,) for each polygon the number of one of the others that it overlaps; -1: of none."""
    found = np.full(len(grounds), -1, np.int64)
    tree = shapely.STRtree(_drawn_in(others))
    if len(tree) and len(grounds):
        mine, theirs = tree.query_nearest(
            _drawn_in(grounds), max_distance=MAX_OVERLAP_DISTANCE, all_matches=False
        )
        found[mine] = theirs
    return found


def _drawn_in(grounds: Grounds) -> Grounds:
    """(n,) polygons that are smaller by `EDGE_TOLERANCE_SHARE` of their side."""
    corners, owner = shapely.get_coordinates(grounds, return_index=True)
    centres = shapely.centroid(grounds)
    middle = np.stack([shapely.get_x(centres), shapely.get_y(centres)], axis=1)[owner]
    smaller: Grounds = shapely.set_coordinates(
        grounds.copy(), middle + (1 - EDGE_TOLERANCE_SHARE) * (corners - middle)
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


MAX_DISTANCE_BITS = 12
"""Bits of 128 by which the hashes of an image and its copy differ at most."""

MAX_NEIGHBOURS = 16
"""Hashes with the same part that a hash is compared with."""

MIN_CORRELATION = 0.85
"""Correlation of two patches that show the same image, one of them strongly compressed."""

SAME_PLACE_PX = 2.0
"""Distance of the corners of patches up to which they are at one location."""

Pairs = NDArray[np.int64]
"""(n, 2) numbers of patches, the lower first."""


def near_copies(patch_set: PatchSet, scans: Scans, *, watch: ScanProgress) -> Pairs:
    """Patches of different sources that show the same image, though not to the bit.

    They must have the same resolution, be cut at the same place and not be rotated. Copies of 64
    px and more are found at JPEG quality 50, of smaller ones fewer.

    Args:
        patch_set: The set.
        scans: Scans of its patches.
        watch: Shows progress over pairs.
    """
    candidates = _similar(patch_set.patches.source, scans)
    watched = watch(candidates.tolist(), len(candidates)) if len(candidates) else ()
    same = [pair for pair in watched if _correlation(patch_set, *pair) >= MIN_CORRELATION]
    return np.array(same, np.int64).reshape(-1, 2)


def co_located(patch_set: PatchSet, pairs: Pairs) -> NDArray[np.int64]:
    """(n,) the location of every patch: a number that co-located patches share.

    Locations are known from footprints, from near copies and, without a georeference, from a
    reference that several images share.

    Raises:
        VectorError: If the footprints cannot be read.
    """
    return _components(len(patch_set.patches), np.concatenate([_by_frame(patch_set), pairs]))


def groups_of(pairs: Pairs, count: int) -> list[list[int]]:
    """Patches, of `count`, that are near copies of each other, directly or through others.

    >>> groups_of(np.array([[0, 2], [2, 3]]), 5)
    [[0, 2, 3]]
    """
    numbers = _components(count, pairs)
    concerned = np.unique(pairs)
    return [
        concerned[numbers[concerned] == each].tolist() for each in np.unique(numbers[concerned])
    ]


def _similar(source: NDArray[np.int32], scans: Scans) -> Pairs:
    """Pairs of different sources and pixels with similar hashes.

    Hashes are compared that agree in one of their eight parts of 16 bits.
    """
    chosen = np.flatnonzero(scans.has_hash)
    keys = np.ascontiguousarray(scans.hash[chosen]).view(np.uint16)
    parts = [np.zeros((0, 2), np.int64)]
    for part in keys.T:
        order = np.argsort(part, kind="stable")
        for step in range(1, MAX_NEIGHBOURS + 1):
            same = part[order][step:] == part[order][:-step]
            if not same.any():
                break
            parts.append(np.stack([order[:-step][same], order[step:][same]], axis=1))
    pairs = np.unique(np.sort(chosen[np.concatenate(parts)], axis=1), axis=0)
    one, other = pairs.T
    bits = np.unpackbits(scans.hash[one] ^ scans.hash[other], axis=1).sum(axis=1, dtype=int)
    near = (source[one] != source[other]) & (scans.image[one] != scans.image[other])
    return pairs[near & (bits <= MAX_DISTANCE_BITS)]


def _correlation(patch_set: PatchSet, one: int, other: int) -> float:
    """Correlation of two patches, -1..1; NaN if one cannot be read or has no contrast."""
    try:
        first, second = (
            patch_set.read(patch_set.patches[number]).image.mean(axis=0) for number in (one, other)
        )
    except GeosegError:
        return float("nan")
    known = np.isfinite(first) & np.isfinite(second)
    if not known.any() or not np.ptp(first[known]) or not np.ptp(second[known]):
        return float("nan")
    return float(np.corrcoef(first[known], second[known])[0, 1])


def _by_frame(patch_set: PatchSet) -> Pairs:
    """Patches that coincide in one frame."""
    boxes, frames = patch_boxes(patch_set)
    first: dict[Path, int] = {}
    sources = enumerate(patch_set.record.sources)
    shared = np.array([first.setdefault(source.reference, number) for number, source in sources])
    frames = np.where(frames < 0, frames, shared[frames])
    apart = 2 * SAME_PLACE_PX * frames
    found: Pairs = KDTree(np.column_stack([apart, boxes[:, :2]])).query_pairs(
        SAME_PLACE_PX, output_type="ndarray"
    )
    return found


def _components(count: int, pairs: Pairs) -> NDArray[np.int64]:
    """(count,) number of the group of each, of those that pairs join."""
    one, other = pairs.T
    graph = coo_array((np.ones(len(one), np.bool_), (one, other)), shape=(count, count))
    numbers: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return numbers
