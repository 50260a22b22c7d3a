"""Patches that show one picture twice: compressed, brightened or sharpened, under another name.

Exact copies have equal hashes of their pixels. Of the others, a difference hash says where a shrunk
picture gets brighter downwards and to the right; pairs with like hashes are held against each other
pixel by pixel, so that none is named by chance.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from geoseg.checking.survey import Survey
from geoseg.errors import GeosegError
from geoseg.io.patch_ground import patch_boxes
from geoseg.io.patches import PatchSet

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
