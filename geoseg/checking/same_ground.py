"""Sources that show the same ground, whatever they are called and wherever they are said to lie.

Landmarks with the same description vote for how one source lies on the other. Chance votes
scatter; what several agree on is tried on the pixels, where the votes are and everywhere else.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.checking.landmarks import KEYS, Landmarks, distance
from geoseg.checking.likeness import likeness, likeness_everywhere
from geoseg.checking.survey import Survey
from geoseg.io.patch_record import Patch
from geoseg.io.patches import PatchSet

NEIGHBOURS = 16
"""With so many others of the same description a landmark is compared."""

MOST_BITS = 20
"""Descriptions of one landmark differ in so many of their 96 bits at most."""

MOST_WHOLE = 20_000
"""So many shrunk pictures are each compared with all others; more only with those of a like key."""

CELL = 6
"""Votes within so many pixels are for the same place."""

LEAST_VOTES = 3
"""So many corners must agree; of whole pictures one is enough."""

TRIES = 5
"""Pairs of patches with votes whose pixels are compared, before those of all other ground are."""

LEAST_LIKENESS = 0.8
"""Correlation from which two pictures are taken to show the same ground."""

LEAST_LIKENESS_OF_WHOLE = 0.95
"""The same, if too few corners agree and it is pictures as a whole that do."""


BITS = (
    np.unpackbits(np.arange(1 << 16, dtype=np.uint16).view(np.uint8))
    .reshape(-1, 16)
    .sum(axis=1, dtype=np.uint8)
)
"""(65536,) how many bits are set."""


@dataclass(frozen=True, kw_only=True)
class SameGround:
    """Two sources that show the same ground."""

    first: int
    """Number of a source."""

    second: int
    """Number of another."""

    rows: int
    """How far below the first's corner the second's lies, in pixels."""

    cols: int
    """How far to the right of it."""

    votes: int
    """Landmarks that agree."""

    likeness: float
    """Correlation of the pixels that both show, -1..1."""


def same_ground(
    patch_set: PatchSet, found: Survey, *, watch: Callable[[Iterable[Any], int], Iterable[Any]]
) -> list[SameGround]:
    """Pairs of sources that show the same ground, in order.

    They must be of the same resolution and not turned. Exact copies and pictures that were
    compressed, brightened or moved by parts of a pixel are found.

    Args:
        patch_set: The set.
        found: Its landmarks.
        watch: Told of progress.
    """
    ballot = _ballot(patch_set, found)
    elected = list(ballot.elect())
    watched = watch(elected, len(elected)) if elected else ()
    seen = (_verified(patch_set, ballot, members) for members in watched)
    best: dict[tuple[int, int], SameGround] = {}
    for each in seen:
        if each and each.votes > getattr(best.get((each.first, each.second)), "votes", 0):
            best[each.first, each.second] = each
    return [best[pair] for pair in sorted(best)]


@dataclass(frozen=True)
class _Ballot:
    """Pairs of landmarks of different sources that may be the same, each a vote."""

    sources: NDArray[np.int64]
    """(n, 2)."""

    shift: NDArray[np.int64]
    """(n, 2) rows and columns by which the second source's pixels move onto the first's."""

    owners: NDArray[np.int64]
    """(n, 2) numbers of the patches."""

    is_whole: NDArray[np.bool_]
    """(n,) whether they stand for whole pictures."""

    def elect(self) -> Iterator[NDArray[np.int64]]:
        """Votes that agree on a place, for each pair of sources; enough of them."""
        parties: dict[tuple[int, ...], NDArray[np.int64]] = {}
        for phase in ((0, 0), (0, CELL // 2), (CELL // 2, 0), (CELL // 2, CELL // 2)):
            cells = np.column_stack([self.sources, (self.shift + phase) // CELL])
            order = np.lexsort(cells.T[::-1])
            ends = np.flatnonzero((cells[order][1:] != cells[order][:-1]).any(axis=1)) + 1
            for members in map(self._enough, np.split(order, ends)):
                pair = tuple(self.sources[members[:1]].ravel().tolist())
                if len(members) > len(parties.get(pair, ())):
                    parties[pair] = members
        yield from parties.values()

    def _enough(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """All votes of a place if enough of them are of corners, else those of whole pictures."""
        is_whole = self.is_whole[members]
        return members if np.count_nonzero(~is_whole) >= LEAST_VOTES else members[is_whole]


def _ballot(patch_set: PatchSet, found: Survey) -> _Ballot:
    marks, source = found.marks, _sources(patch_set, found)
    pairs = _alike(marks, source, _distinct(marks, source))
    place = np.stack([marks.rows, marks.cols], axis=1).astype(np.int64)
    return _Ballot(
        source[pairs],
        place[pairs[:, 0]] - place[pairs[:, 1]],
        found.owner[pairs].astype(np.int64),
        marks.is_whole[pairs[:, 0]],
    )


def too_many(patch_set: PatchSet, found: Survey) -> int:
    """How many pictures had to be compared as a whole, if they were more than `MOST_WHOLE`; or 0.

    Args:
        patch_set: The set.
        found: Its landmarks.
    """
    distinct = _distinct(found.marks, _sources(patch_set, found))
    count = int(np.count_nonzero(found.marks.is_whole[distinct]))
    return count if count > MOST_WHOLE else 0


def _sources(patch_set: PatchSet, found: Survey) -> NDArray[np.int64]:
    """(landmarks,) in which source each lies."""
    return patch_set.patches.source[found.owner].astype(np.int64)


def _distinct(marks: Landmarks, source: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of landmarks, one of those that several patches show."""
    place = np.stack([source, marks.rows, marks.cols, marks.is_whole], axis=1)
    numbers = np.unique(place, axis=0, return_index=True)[1] if len(place) else np.zeros(0, int)
    return np.sort(numbers).astype(np.int64)


def _alike(
    marks: Landmarks, source: NDArray[np.int64], chosen: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(n, 2) numbers of landmarks of different sources with like descriptions.

    Args:
        marks: All.
        source: (landmarks,) in which each lies.
        chosen: Numbers of those to compare.
    """
    parts = [np.zeros((0, 2), np.int64)]
    whole = chosen[marks.is_whole[chosen]]
    if len(whole) <= MOST_WHOLE:
        parts += (_of_different_sources(pairs, marks, source) for pairs in _all_pairs(marks, whole))
    for part in range(KEYS):
        order = chosen[np.argsort(marks.keys[chosen, part], kind="stable")]
        keys = marks.keys[order, part]
        for step in range(1, NEIGHBOURS + 1):
            same = keys[step:] == keys[:-step]
            if not same.any():
                break
            pairs = np.stack([order[:-step][same], order[step:][same]], axis=1)
            parts.append(_of_different_sources(pairs, marks, source))
    pairs = np.unique(np.concatenate(parts), axis=0)
    swap = source[pairs[:, 0]] > source[pairs[:, 1]]
    pairs[swap] = pairs[swap, ::-1]
    return pairs


def _of_different_sources(
    pairs: NDArray[np.int64], marks: Landmarks, source: NDArray[np.int64]
) -> NDArray[np.int64]:
    one, other = pairs.T
    pairs = pairs[(source[one] != source[other]) & (marks.is_whole[one] == marks.is_whole[other])]
    one, other = pairs.T
    return pairs[distance(marks.keys[one], marks.keys[other]) <= MOST_BITS]


def _all_pairs(marks: Landmarks, chosen: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """(n, 2) pairs of shrunk pictures, each with all after it, as far as they are alike."""
    halves = np.ascontiguousarray(marks.keys[chosen]).view(np.uint16)
    for at, own in enumerate(halves):
        bits = BITS[halves[at + 1 :] ^ own].sum(axis=1)
        near = chosen[at + 1 :][bits <= MOST_BITS]
        yield np.stack([np.full_like(near, chosen[at]), near], axis=1)


def _verified(
    patch_set: PatchSet, ballot: _Ballot, members: NDArray[np.int64]
) -> SameGround | None:
    """What the pixels say of votes that agree."""
    rows, cols = np.median(ballot.shift[members], axis=0).round().astype(int).tolist()
    pairs = np.unique(ballot.owners[members], axis=0).tolist()
    patches = [(patch_set.patches[one], patch_set.patches[other]) for one, other in pairs]
    patches.sort(key=lambda pair: -_shared_area(pair[0], pair[1], rows, cols))
    tried = [likeness(patch_set, one, other, rows, cols) for one, other in patches[:TRIES]]
    known = [each for each in tried if np.isfinite(each)]
    least = LEAST_LIKENESS_OF_WHOLE if ballot.is_whole[members].all() else LEAST_LIKENESS
    if not known or median(known) < least:
        return None
    first, second = ballot.sources[members[0]].tolist()
    found = likeness_everywhere(patch_set, first, second, rows, cols)
    if not found >= least:  # or not known
        return None
    return SameGround(
        first=first, second=second, rows=rows, cols=cols, votes=len(members), likeness=found
    )


def _shared_area(one: Patch, other: Patch, rows: int, cols: int) -> int:
    shared = one.window.intersection(other.window.moved(rows, cols))
    return shared.height * shared.width if shared else 0
