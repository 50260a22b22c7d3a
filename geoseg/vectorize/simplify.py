"""Arcs with fewer points, or rounder ones, none of which crosses another.

Visvalingam and Whyatt (1993), "Line generalisation by repeated elimination of points": the point
whose triangle with its two neighbours is smallest goes first, until all triangles are larger than
the tolerance squared. Before, the steps of stairs go, of which slopes in rasters are made. A point
may only go if no other point lies in its triangle, edges included: then no other arc passes through
it, and what was a valid coverage stays one. Nodes stay.

Points are taken in rounds: in each all go whose triangle is smaller than those of their neighbours.
Such triangles have no side in common, so it does not matter which goes first, and a round is a few
operations on arrays.
"""

import numpy as np
from numpy.typing import NDArray

from geoseg.vectorize.trace import Arcs, Bools, ranges

MIN_INNER_CLOSED = 3
"""Points besides its node that a closed arc keeps, so that a single pixel stays a square."""

MIN_INNER_PARALLEL = 1
"""Points besides its nodes that an arc keeps if another one joins the same nodes."""

EMPTY_BELOW = 1
"""Twice the area, in pixels, up to which a triangle between corners of pixels holds no other corner
(Pick's theorem)."""

MAX_SIDE = 1 << 20
"""More rows and columns than a raster has that is traced at once."""

ROUNDING = 1e-6
"""Far below the distance of a line between corners of pixels of a cell from a third corner."""

LATER = np.uint64(63)
"""Bit that puts points of one side of an arc behind those of the other."""

SPLINE = (1 / 6, 1 / 2, 5 / 6)
"""Places on the curve that replaces a corner."""

Ints = NDArray[np.int64]


def simplify(arcs: Arcs, tolerance: float, shape: tuple[int, int]) -> Arcs:
    """Leave out points of arcs between corners of pixels.

    Args:
        arcs: With whole coordinates.
        tolerance: Root of the largest triangle that may go, in pixels.
        shape: (height, width) of the raster.
    """
    if not tolerance or not len(arcs.xy):
        return arcs
    thinning = _Thinning(arcs, tolerance, shape)
    waiting = np.flatnonzero(thinning.is_inner)
    while len(waiting):
        waiting = thinning.round(waiting)
    return arcs.kept(thinning.there)


class _Thinning:
    """Arcs as linked lists, from which points are taken."""

    def __init__(self, arcs: Arcs, tolerance: float, shape: tuple[int, int]) -> None:
        count = len(arcs.xy)
        self._x, self._y = (axis.astype(np.int64) for axis in arcs.xy.T)
        self._tolerance, self._limit = tolerance, 2 * tolerance**2
        self._before = np.arange(-1, count - 1)
        self._after = np.arange(1, count + 1)
        self.there = np.ones(count, np.bool_)
        self._standing = np.zeros((shape[0] + 1, shape[1] + 1), np.bool_)
        self._standing[self._y, self._x] = True
        is_end = np.zeros(count, np.bool_)
        is_end[arcs.offsets[:-1]] = is_end[arcs.offsets[1:] - 1] = True
        self._arc = np.repeat(np.arange(len(arcs.lengths)), arcs.lengths)
        self._spare = arcs.lengths - 2 - _least_inner(arcs)
        # Of equal triangles the one first in this order goes first. A line at 45 degrees has
        # nothing but equal ones, on its left and right in turns: those of one side go first, all at
        # once, and the others then lie on a straight line. In reading order these would go one in
        # each round. Which side is first changes from arc to arc, so that classes keep their areas.
        self._shuffled = _shuffled(self._y * (shape[1] + 1) + self._x) >> np.uint64(1)
        self._order = self._shuffled.copy()
        self._left_first = (self._shuffled[arcs.offsets[:-1]] & np.uint64(1)).astype(np.bool_)
        self._weight = np.full(count, np.inf)
        self._double_area = np.zeros(count, np.int64)  # 0 at nodes, positive where it turns right
        self.is_inner = ~is_end

    def round(self, changed: Ints) -> Ints:
        """Take all points that may go now.

        Args:
            changed: Points whose triangles are not known yet.

        Returns:
            Points whose triangles have changed by it, and the small ones that still wait.
        """
        self._double_area[changed] = self._double_areas(changed)
        self._weight[changed] = self._weights(changed)
        turns_right = self._double_area[changed] > 0
        later = (turns_right == self._left_first[self._arc[changed]]).astype(np.uint64)
        self._order[changed] = self._shuffled[changed] | (later << LATER)
        small = changed[self._weight[changed] <= self._limit]
        small = small[self._spare[self._arc[small]] > 0]
        least = self._is_least(small)
        taken, waiting = small[least], small[~least]
        free = self._is_free(taken)
        self._weight[taken[~free]] = np.inf  # until a neighbour goes
        taken = self._with_spare(taken[free])
        self.there[taken] = False
        self._standing[self._y[taken], self._x[taken]] = False
        before, after = self._before[taken], self._after[taken]
        self._after[before], self._before[after] = after, before
        np.subtract.at(self._spare, self._arc[taken], 1)
        # The neighbours' neighbours may be steps now, or none any more.
        further = self._before[before], np.minimum(self._after[after], len(self.there) - 1)
        beside = np.unique(np.concatenate([before, after, *further, waiting]))
        return beside[self.is_inner[beside] & self.there[beside]] if len(taken) else beside[:0]

    def _weights(self, points: Ints) -> NDArray[np.float64]:
        """Twice the areas of points' triangles; 0 for steps of stairs that are low enough.

        A slope of one pixel in ten is stairs of steps whose triangles have five pixels: they grow
        with the length of the steps, though the border moves by less than a pixel. So where an arc
        turns the other way before and after a point, the height of its triangle decides. All steps
        are equal, so that those of one side go first: if the small ones of both sides did, a
        zigzag would be left. At the end of a strip an arc turns the same way twice: that stays.
        """
        before, after = self._before[points], self._after[points]
        own, earlier, later = (self._double_area[each] for each in (points, before, after))
        weights = np.abs(own).astype(np.float64)
        width = np.hypot(self._x[after] - self._x[before], self._y[after] - self._y[before])
        is_step = (own * earlier <= 0) & (own * later <= 0) & (weights <= self._tolerance * width)
        return np.where(is_step, 0, weights)

    def _double_areas(self, points: Ints) -> Ints:
        """Twice the areas of points' triangles; positive where the arc turns right."""
        x, y, before, after = self._x, self._y, self._before[points], self._after[points]
        area = (x[points] - x[before]) * (y[after] - y[before])
        area -= (x[after] - x[before]) * (y[points] - y[before])
        return area

    def _is_least(self, points: Ints) -> Bools:
        """Whether a point's triangle is smaller than those of both neighbours."""
        least = np.ones(len(points), np.bool_)
        weight, order = self._weight[points], self._order[points]
        for beside in (self._before[points], self._after[points]):
            other = self._weight[beside]
            least &= (weight < other) | ((weight == other) & (order < self._order[beside]))
        return least

    def _with_spare(self, points: Ints) -> Ints:
        """Of each arc no more points than it can spare."""
        points = np.sort(points)
        arcs = self._arc[points]
        first = np.flatnonzero(np.diff(arcs, prepend=-1))
        rank = np.arange(len(arcs)) - np.repeat(first, np.diff(first, append=len(arcs)))
        return points[rank < self._spare[arcs]]

    def _is_free(self, points: Ints) -> Bools:
        """Whether no other point lies in a point's triangle or on its edges."""
        free = np.ones(len(points), np.bool_)
        large = np.flatnonzero(np.abs(self._double_area[points]) > EMPTY_BELOW)
        few = points[large]
        corners = np.stack([few, self._before[few], self._after[few]])
        free[large] = are_free(self._x[corners], self._y[corners], self._standing)
        return free


def are_free(x: Ints, y: Ints, standing: Bools) -> Bools:
    """(triangles,) whether none but its own corners stands in a triangle or on its edges.

    Args:
        x: (3, triangles) columns.
        y: (3, triangles) rows.
        standing: (rows, columns) corners of pixels that are points of arcs.
    """
    flat = np.ptp(x, axis=0) < np.ptp(y, axis=0)
    x, y = np.where(flat, y, x), np.where(flat, x, y)  # few, long rows instead of many short ones
    top, bottom = y.min(axis=0), y.max(axis=0)
    row = ranges(top, bottom - top + 1)
    owner = np.repeat(np.arange(x.shape[1]), bottom - top + 1)
    low, high = np.full(len(row), float(MAX_SIDE)), np.full(len(row), -1.0)
    for one, other in ((0, 1), (1, 2), (2, 0)):
        y0, y1 = y[one][owner], y[other][owner]
        crosses = (np.minimum(y0, y1) <= row) & (row <= np.maximum(y0, y1)) & (y0 != y1)
        x0, x1 = x[one][owner], x[other][owner]
        at = x0 + (row - y0) * (x1 - x0) / np.where(crosses, y1 - y0, 1)
        low = np.where(crosses, np.minimum(low, at), low)
        high = np.where(crosses, np.maximum(high, at), high)
    left = np.ceil(low - ROUNDING).astype(np.int64)
    counts = np.maximum(np.floor(high + ROUNDING).astype(np.int64) - left + 1, 0)
    column, row, owner = ranges(left, counts), np.repeat(row, counts), np.repeat(owner, counts)
    turned = flat[owner]
    found = standing[np.where(turned, column, row), np.where(turned, row, column)]
    for corner in range(3):
        found &= (column != x[corner][owner]) | (row != y[corner][owner])
    free = np.ones(x.shape[1], np.bool_)
    free[owner[found]] = False
    return free


def smooth(arcs: Arcs, shape: tuple[int, int]) -> Arcs:
    """Round the corners of arcs: a quadratic B-spline, for which they are the control points.

    A corner is rounded within the triangle of its neighbours, and only if no other point lies in
    that; so nothing can cross. Nodes stay, but for those at which the outline of an island begins.

    Args:
        arcs: With whole coordinates.
        shape: (height, width) of the raster.
    """
    x, y = (axis.astype(np.int64) for axis in arcs.xy.T)
    standing = np.zeros((shape[0] + 1, shape[1] + 1), np.bool_)
    standing[y, x] = True
    firsts, lasts = arcs.offsets[:-1], arcs.offsets[1:] - 1
    is_end = np.zeros(len(x), np.bool_)
    is_end[firsts] = is_end[lasts] = True
    inner = np.flatnonzero(~is_end)
    islands = np.flatnonzero(_are_islands(arcs, shape))
    corners = np.concatenate([inner, firsts[islands]])
    before = np.concatenate([inner - 1, lasts[islands] - 1])
    triangles = np.stack([corners, before, corners + 1])
    free = are_free(x[triangles], y[triangles], standing)
    corners, before = corners[free], before[free]
    xy = arcs.xy.astype(np.float64)
    counts = np.ones(len(x), np.int64)
    counts[corners] = len(SPLINE)
    rounded = np.repeat(xy, counts, axis=0)
    places = np.cumsum(counts) - counts
    start, end = (xy[before] + xy[corners]) / 2, (xy[corners] + xy[corners + 1]) / 2
    for number, t in enumerate(SPLINE):
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * xy[corners] + t**2 * end
        rounded[places[corners] + number] = curve
    rounded[places[lasts[islands]]] = rounded[places[firsts[islands]]]
    lengths = np.add.reduceat(counts, firsts)
    return Arcs(rounded, np.insert(np.cumsum(lengths), 0, 0))


def _are_islands(arcs: Arcs, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(arcs,) whether an arc surrounds a region on its own: its node is a corner like others."""
    column, row = arcs.xy.T
    ends = np.stack([arcs.offsets[:-1], arcs.offsets[1:] - 1])
    nodes = row[ends].astype(np.int64) * (shape[1] + 1) + column[ends]
    _, where, count = np.unique(nodes, return_inverse=True, return_counts=True)
    at_frame = (row % shape[0] == 0) | (column % shape[1] == 0)
    alone = count[where.reshape(nodes.shape)[0]] == 2  # noqa: PLR2004 its own two ends
    return np.asarray(arcs.is_closed & alone & ~at_frame[ends[0]])


def _least_inner(arcs: Arcs) -> Ints:
    """(arcs,) points besides its ends that each keeps, so that no region collapses."""
    ends = np.stack([arcs.offsets[:-1], arcs.offsets[1:] - 1])
    column, row = arcs.xy.T.astype(np.int64)
    nodes = np.sort(row[ends] * (column.max() + 1) + column[ends], axis=0)
    pairs = nodes[0] * (nodes.max() + 1) + nodes[1]
    _, where, count = np.unique(pairs, return_inverse=True, return_counts=True)
    least = np.where(count[where] > 1, MIN_INNER_PARALLEL, 0)
    least[arcs.is_closed] = MIN_INNER_CLOSED
    return np.asarray(least)


def _shuffled(numbers: Ints) -> NDArray[np.uint64]:
    """An order of places without a pattern, the same in every process.

    Source: the finaliser of MurmurHash3 (Appleby, public domain).
    """
    mixed = numbers.astype(np.uint64)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed ^= mixed >> np.uint64(33)
        mixed *= np.uint64(factor)
    return np.asarray(mixed ^ (mixed >> np.uint64(33)))
