"""Borders of labelled regions as arcs that neighbours share, without a loop over pixels.

The corners of pixels are the lattice on which everything lies. A *vertex* is a corner at which the
outline of a region turns, or at which more than two regions meet; an *arc* is a border between
two regions, from one *node* to the next; the outline of a region is a cycle of arcs. A border that
is simplified or smoothed as an arc is the same for both of its neighbours, so no gap can open.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import sparse

Bools = NDArray[np.bool_]

Ints = NDArray[np.int32]

EAST, SOUTH, WEST, NORTH = range(4)
"""Headings of an outline, which has its region on its right."""

OUTSIDE = -1
"""Label of what lies around a raster."""


@dataclass(frozen=True, eq=False)
class Arcs:
    """Polylines between nodes, each stored once."""

    xy: NDArray[Any]
    """(points, 2) column and row of pixel corners, the arcs one after the other; first and last
    point of each are nodes."""

    offsets: NDArray[np.int64]
    """(arcs + 1,) where each begins."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(arcs,) points."""
        return np.diff(self.offsets)

    @property
    def is_closed(self) -> Bools:
        """(arcs,) whether an arc ends where it begins."""
        return np.asarray((self.xy[self.offsets[:-1]] == self.xy[self.offsets[1:] - 1]).all(axis=1))

    def kept(self, keep: Bools) -> Self:
        """The arcs with some of their points; each keeps its ends."""
        lengths = np.add.reduceat(keep, self.offsets[:-1], dtype=np.int64)
        return replace(self, xy=self.xy[keep], offsets=_offsets(lengths))


@dataclass(frozen=True, eq=False)
class Coverage:
    """Regions that fill a raster, by the arcs around them."""

    arcs: Arcs

    steps: Ints
    """(steps,) number of an arc, or ``~number`` where it is followed backwards; the steps of a ring
    stand together, and the rings of a region, the outer one first."""

    rings: NDArray[np.int64]
    """(rings + 1,) where each begins in ``steps``."""

    regions: NDArray[np.int64]
    """(regions + 1,) where each begins in ``rings``."""

    def points(self, regions: NDArray[np.integer]) -> NDArray[np.int64]:
        """(regions,) points of the outlines of some regions, closing ones included."""
        arcs = np.where(self.steps < 0, ~self.steps, self.steps)
        own = _offsets(self.arcs.lengths[arcs] - 1)[self.rings]
        first, last = self.regions[regions], self.regions[regions + 1]
        return own[last] - own[first] + last - first

    def polygons(self, regions: NDArray[np.integer]) -> NDArray[Any]:
        """(regions,) shapely polygons of some regions, in corners of pixels (column, row).

        Args:
            regions: Numbers of regions.
        """
        counts = np.diff(self.regions)[regions]
        rings = ranges(self.regions[regions], counts)
        lengths = np.diff(self.rings)[rings]
        steps = self.steps[ranges(self.rings[rings], lengths)]
        backwards = steps < 0
        arcs = np.where(backwards, ~steps, steps)
        # A step gives the points of its arc but for the last, with which the next step begins.
        sizes = self.arcs.lengths[arcs] - 1
        start = np.where(backwards, self.arcs.offsets[arcs + 1] - 1, self.arcs.offsets[arcs])
        points = ranges(start, sizes, np.where(backwards, -1, 1))
        ends = _offsets(sizes)[_offsets(lengths)]
        xy = self.arcs.xy[points].astype(np.float64)
        closed = np.insert(xy, ends[1:], xy[ends[:-1]], axis=0)
        offsets = (ends + np.arange(len(ends)), _offsets(counts))
        made = shapely.from_ragged_array(shapely.GeometryType.POLYGON, closed, offsets)
        return np.asarray(made, object)


def ranges(
    starts: NDArray[np.integer], counts: NDArray[np.integer], step: Any = 1
) -> NDArray[np.int64]:
    """Numbers from each start on, as many as its count, one range after the other.

    Args:
        starts: (ranges,) first number.
        counts: (ranges,) how many.
        step: (ranges,) from number to number, or one for all.

    >>> ranges(np.array([5, 9]), np.array([3, 2]), np.array([1, -1])).tolist()
    [5, 6, 7, 9, 8]
    """
    before = np.arange(int(counts.sum())) - np.repeat(_offsets(counts)[:-1], counts)
    steps = np.repeat(np.broadcast_to(step, starts.shape), counts)
    return np.asarray(np.repeat(starts, counts) + before * steps, np.int64)


def trace(labels: Ints, forced: Bools) -> Coverage:
    """The regions of a labelled raster, by the arcs around them.

    Args:
        labels: (height, width) number of the region of each pixel, from 0; a region is connected by
            sides of pixels.
        forced: (height + 1, width + 1) corners of pixels that are nodes if an outline passes them.

    Returns:
        The region of each label. Polygons are valid by OGC: where a region touches itself at a
        corner, what it encloses is a hole.
    """
    outlines = _Outlines(labels, forced)
    order, rings = outlines.in_order()
    starts = np.flatnonzero(outlines.cut[order])
    counts = np.diff(starts, append=len(order))
    ring_of_arc = np.searchsorted(starts, rings)
    follower = np.arange(1, len(starts) + 1)
    follower[ring_of_arc[1:] - 1] = ring_of_arc[:-1]
    first, last = order[starts], order[starts + counts - 1]
    ends = outlines.corner[first[follower]]
    twin = outlines.vertex(ends, (outlines.heading[last] + 2) % 4)
    arc_of = np.full(len(order) + 1, len(starts))  # the last: outside, which has no outline
    arc_of[first] = np.arange(len(starts))
    twins = arc_of[twin]
    own = np.arange(len(starts)) < twins
    number = np.cumsum(own) - 1
    steps = np.where(own, number, ~number[np.minimum(twins, len(starts) - 1)])
    corners = order[ranges(starts[own], counts[own])]
    offsets = _offsets(counts[own])
    path = np.insert(outlines.corner[corners], offsets[1:], ends[own])
    arcs = Arcs(outlines.place(path), offsets + np.arange(len(offsets)))
    return _sorted_rings(
        arcs, steps, ring_of_arc, outlines.region[order[rings[:-1]]], int(labels.max()) + 1
    )


class _Outlines:
    """Vertices of all outlines, and the next of each.

    The four pixels around a corner decide where an outline that arrives there goes on: to the left
    if the pixel ahead on its left belongs to the region, else straight on if the one ahead on its
    right does, else to the right. So it keeps to the pixel that it has on its left: a region
    that touches itself at a corner is cut there into outline and hole, which OGC asks for.
    Between two vertices an outline is straight. Along one line of the lattice outlines of one
    heading do not overlap, so where they start and where they end alternate: the n-th start in
    reading order (by columns for the vertical ones) belongs to the n-th end. This replaces a walk
    along each outline by two sorted lists.
    """

    def __init__(self, labels: Ints, forced: Bools) -> None:
        height, width = labels.shape
        self._columns = width + 1
        padded = np.full((height + 2, width + 2), OUTSIDE, np.int32)
        padded[1:-1, 1:-1] = labels
        beside, below = padded[:, :-1] != padded[:, 1:], padded[:-1] != padded[1:]
        across, along = beside[:-1] | beside[1:], below[:, :-1] | below[:, 1:]
        corners = np.flatnonzero((across & along) | (forced & (across | along)))
        rows, columns = np.divmod(corners, self._columns)
        nw, ne, sw, se = (padded[rows + dy, columns + dx] for dy in (0, 1) for dx in (0, 1))
        sides = [one != other for one, other in ((nw, ne), (sw, se), (nw, sw), (ne, se))]
        at_frame = (rows % height == 0) | (columns % width == 0)
        is_node = (np.sum(sides, axis=0) > 2) | at_frame | forced[rows, columns]  # noqa: PLR2004
        self._corners = corners
        arrives, leaves = self._turns(nw, ne, sw, se)
        out = np.zeros((4, len(corners)), np.bool_)
        for heading in range(4):
            out[leaves[heading][arrives[heading]], np.flatnonzero(arrives[heading])] = True
        self._vertices = np.where(out, np.cumsum(out, dtype=np.int32).reshape(out.shape) - 1, -1)
        headings, at = np.nonzero(out)
        self.heading = headings.astype(np.int8)
        self.corner = at.astype(np.int32)
        self.cut = is_node[at]
        self.next = np.empty(len(at), np.int32)
        self.region = np.empty(len(at), np.int32)
        by_columns = np.argsort(corners % self._columns, kind="stable")
        for heading, region in zip(range(4), (sw, nw, ne, se), strict=True):
            order = by_columns if heading in {SOUTH, NORTH} else np.arange(len(corners))
            ends = order[arrives[heading][order]]
            begins = self._vertices[heading, order[out[heading, order]]]
            self.next[begins] = self._vertices[leaves[heading][ends], ends]
            self.region[begins] = region[ends]

    @staticmethod
    def _turns(nw: Ints, ne: Ints, sw: Ints, se: Ints) -> tuple[list[Bools], list[NDArray[Any]]]:
        """By heading: at which corners an outline arrives, and with which heading it goes on."""
        arrives, leaves = [], []
        for heading, (own, left, ahead, ahead_left) in enumerate(
            ((sw, nw, se, ne), (nw, ne, sw, se), (ne, se, nw, sw), (se, sw, ne, nw))
        ):
            arrives.append((own != left) & (own != OUTSIDE))
            right = np.where(ahead == own, heading, (heading + 1) % 4)
            leaves.append(np.where(ahead_left == own, (heading - 1) % 4, right).astype(np.int8))
        return arrives, leaves

    def vertex(self, at: Ints, heading: NDArray[np.integer]) -> Ints:
        """Vertices by index of their corner and heading; -1 where there is none."""
        return np.asarray(self._vertices[heading, at])

    def place(self, at: Ints) -> Ints:
        """(corners, 2) column and row of corners by their index."""
        rows, columns = np.divmod(self._corners[at], self._columns)
        return np.stack([columns, rows], axis=1).astype(np.int32)

    def in_order(self) -> tuple[Ints, NDArray[np.int64]]:
        """All vertices, outline by outline, and where each outline begins.

        Each begins at a node; one without nodes at its first corner in reading order, so that both
        of its sides begin alike, which becomes a node, too. The outlines are chained to one path,
        which a depth-first search in compiled code then follows.
        """
        size = len(self.next)
        count, outline = sparse.csgraph.connected_components(self._graph(self.next))
        rank = np.where(self.cut, self.corner, self.corner + np.int64(len(self._corners)))
        least = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(least, outline, rank)
        begins = np.empty(count, np.int32)
        best = np.flatnonzero(rank == least[outline])
        begins[outline[best]] = best
        self.cut[begins] = True
        ends = np.empty(size, np.int32)
        ends[self.next] = np.arange(size, dtype=np.int32)
        path = self.next.copy()
        path[ends[begins]] = np.roll(begins, -1)
        order = sparse.csgraph.depth_first_order(
            self._graph(path), int(begins[0]), return_predecessors=False
        )
        return order, _offsets(np.bincount(outline, minlength=count))

    @staticmethod
    def _graph(following: Ints) -> Any:
        size = len(following)
        ends = np.arange(size + 1, dtype=np.int32)
        return sparse.csr_array((np.ones(size, np.int8), following, ends), shape=(size, size))


def _sorted_rings(
    arcs: Arcs, steps: NDArray[Any], rings: NDArray[np.int64], regions: Ints, count: int
) -> Coverage:
    """Rings grouped by region, the outer one first: the only one whose area is positive."""
    forward = steps >= 0
    own = np.where(forward, steps, ~steps)
    lengths = np.diff(rings)
    order = np.lexsort((_double_areas(arcs, own, forward, rings) < 0, regions))
    starts = rings[:-1][order]
    grouped = _offsets(np.bincount(regions, minlength=count))
    return Coverage(
        arcs,
        steps[ranges(starts, lengths[order])].astype(np.int32),
        _offsets(lengths[order]),
        grouped,
    )


def _double_areas(
    arcs: Arcs, steps: NDArray[Any], forward: Bools, rings: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(rings,) twice the area by the shoelace formula: negative for holes."""
    x, y = arcs.xy.astype(np.int64).T
    cross = np.zeros(len(x), np.int64)
    cross[:-1] = x[:-1] * y[1:] - x[1:] * y[:-1]
    cross[arcs.offsets[1:] - 1] = 0  # between two arcs
    whole = np.add.reduceat(cross, arcs.offsets[:-1])
    signed = np.where(forward, whole[steps], -whole[steps])
    return np.asarray(np.add.reduceat(signed, rings[:-1]))


def _offsets(counts: NDArray[Any]) -> NDArray[np.int64]:
    """Where each group begins, and where the last ends."""
    found = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=found[1:])
    return found
