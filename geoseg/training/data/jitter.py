"""Windows anywhere instead of on the lattice, on the ground of their own split alone."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.io.patch_record import Patch
from geoseg.io.patch_table import PatchTable

UP, DOWN, LEFT, RIGHT = range(4)


@dataclass(frozen=True)
class Jitter:
    """How far each window of a split may be moved: half the way to its neighbours in it.

    The neighbours cover what it comes to cover, so it stays inside the raster and on the ground
    of its split as exactly as they do. All windows together reach every position between them.
    """

    reach: NDArray[np.int32]
    """(n, 4) pixels up, down, left and right; 0 where there is no neighbour."""

    corners: NDArray[np.bool_]
    """(n, 2, 2) whether there is a neighbour above (0) or below, on the left (0) or right."""

    @classmethod
    def among(cls, patches: PatchTable) -> Self:
        """What the patches of one split let each other do."""
        jitter = cls(np.zeros((len(patches), 4), np.int32), np.zeros((len(patches), 2, 2), bool))
        for source in np.unique(patches.source):
            here = np.flatnonzero(patches.source == source)
            own = _among_one(patches.row_off[here], patches.col_off[here], patches.size)
            jitter.reach[here], jitter.corners[here] = own.reach, own.corners
        return jitter

    def moved(self, patch: Patch, number: int, rng: np.random.Generator) -> Patch:
        """A patch somewhere near its place.

        Args:
            patch: On its lattice.
            number: Its place among the patches.
            rng: Decides.
        """
        up, down, left, right = (self.reach[number] // 2).tolist()
        rows, cols = (int(rng.integers(-back, on + 1)) for back, on in ((up, down), (left, right)))
        straight = bool(rng.integers(2))
        if rows and cols and not self.corners[number, int(rows > 0), int(cols > 0)]:
            rows, cols = (rows, 0) if straight else (0, cols)
        return replace(patch, window=patch.window.moved(rows, cols))


def _among_one(rows: NDArray[np.int32], cols: NDArray[np.int32], size: int) -> Jitter:
    """Of the windows of one source, by their offsets, (n,) each."""
    heights, row = np.unique(rows, return_inverse=True)
    widths, col = np.unique(cols, return_inverse=True)
    places = np.sort(row * (len(widths) + 2) + col)

    def steps(down: int, right: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How far the neighbour is, in rows and columns; 0 where there is none."""
        there = np.clip(row + down, 0, len(heights) - 1), np.clip(col + right, 0, len(widths) - 1)
        wanted = there[0] * (len(widths) + 2) + there[1]
        found = places[np.searchsorted(places, wanted).clip(max=len(places) - 1)] == wanted
        distance = abs(heights[there[0]] - rows), abs(widths[there[1]] - cols)
        near = found & (distance[0] <= size) & (distance[1] <= size)
        return near * distance[0], near * distance[1]

    straight = [steps(-1, 0)[0], steps(1, 0)[0], steps(0, -1)[1], steps(0, 1)[1]]
    corners = [[np.minimum(*steps(down, right)) > 0 for right in (-1, 1)] for down in (-1, 1)]
    return Jitter(np.stack(straight, axis=1).astype(np.int32), np.moveaxis(np.array(corners), 2, 0))
