"""Ground that lies in two splits: by its place, by its pixels, or by both."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from geoseg.errors import GeosegError
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import SPLITS, PatchTable, Split
from geoseg.patches.scan import Finding, Survey
from geoseg.patches.splits import Boxes, Grounds, patch_boxes, patch_windows

OUTLIERS = 5
"""So many images of different places with one mask are no coincidence of two or three mix-ups."""

LEAST_LABELLED = 0.01
"""Patches with a smaller share of labelled pixels are called unlabelled."""


def repeats(found: Survey, patches: PatchTable, places: NDArray[np.int64]) -> list[Finding]:
    """Duplicates, contradicting labels, masks that many images share.

    Images of one value are left out of all this: they are all the same, and so are the masks
    that `is_telling` calls silent. Images of one place may well have one mask.

    Args:
        found: What is known of the patches.
        patches: All of the set.
        places: (n,) number of the place of each.
    """
    comparable = found.is_read & ~found.is_constant
    same_image = _groups(found.image, comparable)
    one_truth = [group for group in same_image if _kinds(found.mask, group) == 1]
    two_truths = [group for group in same_image if _kinds(found.mask, group) > 1]
    in_one_split = [
        same for group in one_truth for same in _by_split(group, patches) if len(same) > 1
    ]
    same_mask = [
        group
        for group in _groups(found.mask, comparable & found.is_telling)
        if _different(found, places, group) > 1
    ]
    return [
        *_contradictions(two_truths),
        *_duplicates(in_one_split),
        *_same_masks(found, places, same_mask),
    ]


def in_several_splits(found: Survey, patches: PatchTable) -> list[list[int]]:
    """Groups of patches with the same pixels, of which not all are in one split."""
    groups = _groups(found.image, found.is_read & ~found.is_constant)
    return [group for group in groups if len(set(patches.split[group].tolist())) > 1]


def empties(found: Survey) -> list[Finding]:
    """Constant images, and masks with hardly a label."""
    constant = np.flatnonzero(found.is_read & found.is_constant).tolist()
    unlabelled = np.flatnonzero(found.is_read & (found.labelled < LEAST_LABELLED)).tolist()
    whats = {
        "constant-images": (constant, "images have one value only"),
        "unlabelled": (unlabelled, f"patches have a class on less than {LEAST_LABELLED:.0%}"),
    }
    return [
        Finding(
            kind=kind,
            what=f"{len(numbers)} {what}",
            patches=tuple(numbers),
            drop=tuple(numbers),
            groups=tuple((number,) for number in numbers),
        )
        for kind, (numbers, what) in whats.items()
        if numbers
    ]


def _contradictions(groups: list[list[int]]) -> Iterable[Finding]:
    if groups:
        numbers = _all(groups)
        yield Finding(
            kind="contradictions",
            what=f"{len(numbers)} patches: {len(groups)} images occur with different masks",
            patches=numbers,
            drop=numbers,
            groups=tuple(map(tuple, groups)),
        )


def _duplicates(groups: list[list[int]]) -> Iterable[Finding]:
    if groups:
        numbers = _all(groups)
        yield Finding(
            kind="duplicates",
            what=f"{len(numbers)} patches are {len(groups)} different ones, image and mask",
            patches=numbers,
            drop=tuple(sorted(number for group in groups for number in group[1:])),
            groups=tuple(map(tuple, groups)),
        )


def _same_masks(
    found: Survey, places: NDArray[np.int64], groups: list[list[int]]
) -> Iterable[Finding]:
    many = [group for group in groups if _different(found, places, group) >= OUTLIERS]
    few = [group for group in groups if _different(found, places, group) < OUTLIERS]
    for kind, chosen, what in (
        ("outliers", many, f"share a mask with {OUTLIERS - 1} or more other images"),
        ("identical-masks", few, "share a mask with another image"),
    ):
        if chosen:
            numbers = _all(chosen)
            sizes = ", ".join(str(len(group)) for group in chosen[:5])
            yield Finding(
                kind=kind,
                what=f"{len(numbers)} patches {what}: {len(chosen)} masks ({sizes}"
                f"{', …' if len(chosen) > 5 else ''} patches)",  # noqa: PLR2004 as listed
                patches=numbers,
                drop=numbers,
                groups=tuple(map(tuple, chosen)),
            )


def _groups(hashes: NDArray[np.void], wanted: NDArray[np.bool_]) -> list[list[int]]:
    """Numbers of those with the same hash, where there are two or more; the largest first.

    Args:
        hashes: (n,).
        wanted: (n,) which count.
    """
    numbers = np.flatnonzero(wanted)
    numbers = numbers[np.argsort(hashes[numbers], kind="stable")]
    if not len(numbers):
        return []
    ends = np.flatnonzero(hashes[numbers][1:] != hashes[numbers][:-1]) + 1
    groups = [part.tolist() for part in np.split(numbers, ends) if len(part) > 1]
    return sorted(groups, key=lambda group: (-len(group), group))


def _different(found: Survey, places: NDArray[np.int64], group: list[int]) -> int:
    """How many images of a group are neither copies of each other nor of the same place."""
    return min(_kinds(found.image, group), len(np.unique(places[group])))


def _kinds(hashes: NDArray[np.void], group: list[int]) -> int:
    return len({bytes(each) for each in hashes[group]})


def _by_split(group: list[int], patches: PatchTable) -> list[list[int]]:
    return [
        [number for number in group if patches.split[number] == split]
        for split in range(len(SPLITS))
    ]


def _all(groups: list[list[int]]) -> tuple[int, ...]:
    return tuple(sorted(number for group in groups for number in group))


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


MAX_DISTANCE_BITS = 12
"""Hashes of a picture and its copy differ in so many of their 128 bits at most."""

KEY_BITS = 16
"""Pairs are looked for among hashes that agree in one of their parts of so many bits."""

NEIGHBOURS = 16
"""With so many others of the same part a hash is compared."""

MIN_CORRELATION = 0.85
"""Of the pixels of two patches that show the same picture, one of them strongly compressed."""

SAME_PLACE_PX = 2.0
"""Patches whose corners are no farther from each other lie at the same place."""

Pairs = NDArray[np.int64]
"""(n, 2) numbers of patches, the lower first."""


def near_copies(
    patch_set: PatchSet, found: Survey, *, watch: Callable[[Iterable[Any], int], Iterable[Any]]
) -> Pairs:
    """Patches of different sources that show the same picture, though not to the bit.

    They must be of the same resolution, cut at the same place and not turned. Of patches of 64 px
    and more a copy is found at JPEG quality 50; of smaller ones fewer are.

    Args:
        patch_set: The set.
        found: What is known of its patches.
        watch: Told of progress.
    """
    candidates = _alike(patch_set.patches.source, found)
    watched = watch(candidates.tolist(), len(candidates)) if len(candidates) else ()
    same = [pair for pair in watched if _correlation(patch_set, *pair) >= MIN_CORRELATION]
    return np.array(same, np.int64).reshape(-1, 2)


def places(patch_set: PatchSet, pairs: Pairs) -> NDArray[np.int64]:
    """(n,) the place of every patch, a number that others at the same place have too.

    Places are known from the footprints, from near copies, and, for pictures without a place on
    the earth, from a reference that several of them share.

    Args:
        patch_set: The set.
        pairs: Near copies.

    Raises:
        VectorError: If the footprints cannot be read.
    """
    return _components(len(patch_set.patches), np.concatenate([_by_frame(patch_set), pairs]))


def groups_of(pairs: Pairs, count: int) -> list[list[int]]:
    """Patches that are near copies of each other, by way of others or at once.

    Args:
        pairs: Near copies.
        count: Patches of the set.

    >>> groups_of(np.array([[0, 2], [2, 3]]), 5)
    [[0, 2, 3]]
    """
    numbers = _components(count, pairs)
    concerned = np.unique(pairs)
    return [
        concerned[numbers[concerned] == each].tolist() for each in np.unique(numbers[concerned])
    ]


def _alike(source: NDArray[np.int32], found: Survey) -> Pairs:
    """Pairs of different sources and pixels with like hashes."""
    chosen = np.flatnonzero(found.has_hash)
    keys = np.ascontiguousarray(found.hashes[chosen]).view(np.uint16)
    parts = [np.zeros((0, 2), np.int64)]
    for part in keys.T:
        order = np.argsort(part, kind="stable")
        for step in range(1, NEIGHBOURS + 1):
            same = part[order][step:] == part[order][:-step]
            if not same.any():
                break
            parts.append(np.stack([order[:-step][same], order[step:][same]], axis=1))
    pairs = np.unique(np.sort(chosen[np.concatenate(parts)], axis=1), axis=0)
    one, other = pairs.T
    bits = np.unpackbits(found.hashes[one] ^ found.hashes[other], axis=1).sum(axis=1, dtype=int)
    near = (source[one] != source[other]) & (found.image[one] != found.image[other])
    return pairs[near & (bits <= MAX_DISTANCE_BITS)]


def _correlation(patch_set: PatchSet, one: int, other: int) -> float:
    """Of the brightness of two patches, -1..1; NaN if one cannot be read or has no contrast."""
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
