"""Patches at the same place: pictures of several dates, or several versions of one picture."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from geoseg.checking.same_ground import SameGround
from geoseg.io.patch_ground import patch_boxes, patch_windows
from geoseg.io.patches import PatchSet

NEAR = 2.0
"""Patches whose corners are no farther from each other lie at the same place, in pixels."""


def places(patch_set: PatchSet, pairs: Iterable[SameGround]) -> NDArray[np.int64]:
    """(n,) the place of every patch, a number that others at the same place have too.

    Places are known from the footprints, from what the pixels show, and, for pictures without a
    place on the earth, from a reference that several of them share.

    Args:
        patch_set: The set.
        pairs: Sources that show the same ground.

    Raises:
        VectorError: If the footprints cannot be read.
    """
    edges = [_by_frame(patch_set), *(_by_pixels(patch_set, pair) for pair in pairs)]
    one, other = np.concatenate(edges).T
    count = len(patch_set.patches)
    graph = coo_array((np.ones(len(one), np.bool_), (one, other)), shape=(count, count))
    numbers: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return numbers


def _by_frame(patch_set: PatchSet) -> NDArray[np.int64]:
    """(m, 2) numbers of patches that coincide in one frame."""
    boxes, frames = patch_boxes(patch_set)
    first: dict[Path, int] = {}
    sources = enumerate(patch_set.record.sources)
    shared = np.array([first.setdefault(source.reference, number) for number, source in sources])
    frames = np.where(frames < 0, frames, shared[frames])
    apart = 2 * NEAR * frames
    found: NDArray[np.int64] = KDTree(np.column_stack([apart, boxes[:, :2]])).query_pairs(
        NEAR, output_type="ndarray"
    )
    return found


def _by_pixels(patch_set: PatchSet, pair: SameGround) -> NDArray[np.int64]:
    """(m, 2) numbers of patches of two sources that coincide on the ground that both show."""
    corners = patch_windows(patch_set)[:, :2]
    source = patch_set.patches.source
    one, other = (np.flatnonzero(source == each) for each in (pair.first, pair.second))
    moved = corners[other] + (pair.rows, pair.cols)
    apart, nearest = KDTree(moved).query(corners[one], distance_upper_bound=NEAR)
    coincide = np.isfinite(apart)
    return np.stack([one[coincide], other[nearest[coincide]]], axis=1)
