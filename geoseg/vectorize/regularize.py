"""Right angles for polygons of buildings, in a layer of its own.

The walls of a building have one main direction, or stand at right angles to it: the mean of the
directions of its edges modulo 90 degrees, weighted by their squared length. Edges are turned into
it, short steps between parallel walls vanish, and neighbouring walls are intersected. Edges aslant
to it stay as they are. Buildings that share a wall get one direction and keep the wall in common.

Source: for the direction, Duchêne et al. (2003), "Quantitative and qualitative description of
building orientation", statistical weighting of walls.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.postprocess.components import joined
from geoseg.raster.grid import Grid
from geoseg.vectorize import cells
from geoseg.vectorize.stitch import NO_FEATURES, Features, Regions, join_features

LEAST_IOU = 0.8
"""With its source that a polygon with right angles has at least, to count."""

STEP_SHARE = 0.08
"""Length of the longest step that vanishes, as a share of the root of the building's area."""

LEAST_STEP_PX = 2.0
"""Of small buildings."""

ASLANT_DEGREES = 20.0
"""From the main direction that an edge differs at least to stay aslant."""

ASLANT_STEPS = 3.0
"""Length that it has at least, in steps."""

STRAY_STEPS = 2.0
"""Steps that a corner may lie off the border that it was made of."""

LEAST_WALLS = 4
"""Of a building."""

PARALLEL = 0.1
"""Sine of the angle up to which walls are not intersected."""

REACH_PX = 16.0
"""Pixels that a polygon may reach beyond the box of its source."""

WALL_STEPS = 2.0
"""Steps by which the line along which buildings touch may differ from a straight wall."""

WALL_SHARE = 0.1
"""Of its perimeter that a building shares with another at least, for a wall."""

MAX_POINTS = 20_000
"""Of a group of buildings; larger ones stay."""

Floats = NDArray[np.float64]

Polygons = NDArray[Any]

Bools = NDArray[np.bool_]

Counts = NDArray[np.int64]

NONE: Polygons = np.empty(0, object)

LINE, POLYGON = shapely.GeometryType.LINESTRING, shapely.GeometryType.POLYGON


def regularized_features(regions: Regions, grid: Grid, wanted: Bools) -> Iterator[Features]:
    """The polygons of some classes, with right angles where they can have them.

    Args:
        regions: Of the map.
        grid: Of the map.
        wanted: (256,) by class index.
    """
    regularizer = _Regularizer(grid, regions.complete(wanted), regions.divided_regions)
    for number in range(regions.cells):
        yield regularizer.add(number, regions.features(number, wanted))


class _Regularizer:
    """Takes polygons as they are complete, and gives those whose neighbours are all known.

    What it holds are polygons beside unfinished ones.
    """

    def __init__(self, grid: Grid, complete: Counts, divided: Counts) -> None:
        """Nothing is known yet.

        Args:
            grid: Of the map.
            complete: (cells,) number of the cell with which all regions of each are complete.
            divided: Numbers of regions that stay divided, and are not changed.
        """
        self._ratio, self._divided = pixel_ratio(grid), divided
        self._complete = complete.reshape(-(-grid.height // cells.CELL_PX), -1)
        self._waiting = NO_FEATURES
        self._settled = NONE
        """Polygons that are decided, and may have neighbours that are not."""

    def add(self, number: int, features: Features) -> Features:
        """What can be decided after a cell.

        Args:
            number: Of the cell.
            features: Complete with it.
        """
        stays = np.isin(features.regions, self._divided)
        waiting = join_features(self._waiting, features.taken(~stays))
        count, row = _rows(waiting.polygons)
        late = np.zeros(count, np.bool_)
        late[row[self._complete_with(waiting.polygons) > number]] = True
        ready, self._waiting = waiting.taken(~late[row]), waiting.taken(late[row])
        fixed = [features.polygons[stays], self._settled, self._waiting.polygons]
        found, flags = regularized(
            self._scaled(ready.polygons), self._scaled(np.concatenate(fixed))
        )
        polygons = ready.polygons.copy()
        polygons[flags] = shapely.transform(found[flags], lambda xy: xy / [1, self._ratio])
        ready = ready._replace(polygons=polygons, regularised=flags)
        settled = np.concatenate([*fixed[:2], polygons])
        needed = self._complete_with(settled) > number
        waits = shapely.box(*_reach(self._waiting.polygons).T)
        needed[shapely.STRtree(settled).query(waits)[1]] = True
        self._settled = settled[needed]
        return join_features(features.taken(stays), ready)

    def _scaled(self, polygons: Polygons) -> Polygons:
        """Polygons in units of the width of a pixel on the ground."""
        return np.asarray(shapely.transform(polygons, lambda xy: xy * [1, self._ratio]), object)

    def _complete_with(self, polygons: Polygons) -> Counts:
        """(polygons,) number of the cell with which all is complete that may touch them."""
        found = np.empty(len(polygons), np.int64)
        rows, columns = self._complete.shape
        for number, box in enumerate((_reach(polygons) // cells.CELL_PX).astype(int).tolist()):
            left, top, right, bottom = np.clip(box, 0, [columns - 1, rows - 1] * 2)
            found[number] = self._complete[top : bottom + 1, left : right + 1].max()
        return found


def _reach(polygons: Polygons) -> Floats:
    """(polygons, 4) boxes in which something may touch what polygons become."""
    return np.asarray(shapely.bounds(polygons) + 2 * REACH_PX * np.array([-1, -1, 1, 1]))


def pixel_ratio(grid: Grid) -> float:
    """Height of a pixel on the ground over its width, in the middle of the map."""
    column, row = grid.width / 2, grid.height / 2
    places = [(column, row), (column + 1, row), (column, row + 1)]
    xs, ys = zip(*(grid.transform @ place for place in places), strict=True)
    if (found := grid.on_ellipsoid(xs, ys)) is None:
        width, height = (float(np.hypot(xs[k] - xs[0], ys[k] - ys[0])) for k in (1, 2))
    else:
        lons, lats, geod = found
        width, height = (geod.inv(lons[0], lats[0], lons[k], lats[k])[2] for k in (1, 2))
    return float(height / width)


def regularized(polygons: Polygons, obstacles: Polygons = NONE) -> tuple[Polygons, Bools]:
    """Buildings with right angles, where they can have them.

    Those that share a wall, as in a terrace, get them together or not at all, and keep the wall in
    common. Of others that would overlap, the smaller one ends where the larger one does.

    Args:
        polygons: (buildings,) polygons that do not overlap, in units of about a pixel.
        obstacles: Others that stay as they are, and are not to be overlapped.

    Returns:
        (buildings,) polygons that do not overlap either, and (buildings,) whether each has right
        angles; the others are as given.
    """
    count, row = _rows(polygons)
    members = np.split(np.argsort(row, kind="stable"), np.cumsum(np.bincount(row))[:-1])
    placing = _Placing(polygons, row, members[:count])
    tree = shapely.STRtree(obstacles)
    for number in np.argsort([-shapely.area(own).sum() for own in placing.given], kind="stable"):
        if (made := placing.found[number]) is not None:
            near = obstacles[np.unique(tree.query(made, predicate="intersects")[1])]
            placing.place(int(number), made, near)
    placed, done = polygons.copy(), np.zeros(len(polygons), np.bool_)
    for number in set(range(count)) - placing.stays:
        placed[members[number]], done[members[number]] = placing.placed[number], True
    return placed, done


class _Placing:
    """Rows of buildings that are placed one after the other, each where there is room."""

    def __init__(
        self, polygons: Polygons, row: NDArray[np.int32], members: list[NDArray[np.int64]]
    ) -> None:
        """Place those that have no right angles.

        Args:
            polygons: (buildings,) as given.
            row: (buildings,) number of its row.
            members: Buildings of each row.
        """
        self.given = [polygons[own] for own in members]
        self.found = [_row_with_right_angles(own) for own in self.given]
        self.placed: dict[int, Polygons] = {}
        self.stays: set[int] = set()
        shapes = polygons.copy()
        for own, made in zip(members, self.found, strict=True):
            shapes[own] = polygons[own] if made is None else made
        self._neighbours: list[set[int]] = [set() for _ in members]
        for other in (shapes, polygons):  # any row may come to stay as it was given
            pairs = row[shapely.STRtree(other).query(shapes, predicate="intersects")]
            for one, two in pairs[:, pairs[0] != pairs[1]].T.tolist():
                self._neighbours[one].add(two)
                self._neighbours[two].add(one)
        for number, made in enumerate(self.found):
            if made is None:
                self.stay(number)

    def place(self, number: int, shapes: Polygons, obstacles: Polygons) -> None:
        """Place a row with right angles; it ends where others are."""
        near = [self.placed[each] for each in self._neighbours[number] if each in self.placed]
        cut = _clipped(shapes, np.concatenate([obstacles, *near]), self.given[number])
        if cut is None:
            self.stay(number)
        else:
            self.placed[number] = cut

    def stay(self, number: int) -> None:
        """A row stays as it was given, and those that were placed make room."""
        waiting = [number]
        while waiting:
            number = waiting.pop()
            self.stays.add(number)
            self.placed[number] = self.given[number]
            for each in sorted(self._neighbours[number] & self.placed.keys() - self.stays):
                cut = _clipped(self.placed[each], self.given[number], self.given[each])
                if cut is None:
                    waiting.append(each)
                else:
                    self.placed[each] = cut


def _rows(polygons: Polygons) -> tuple[int, NDArray[np.int32]]:
    """How many rows of buildings that share walls there are, and the row of each building."""
    one, other, lengths = _contacts(polygons)
    wall = lengths > WALL_SHARE * np.minimum(*shapely.length(polygons[np.stack([one, other])]))
    return joined(one[wall], other[wall], len(polygons))


def _are_alike(found: Polygons, polygons: Polygons) -> bool:
    """Whether polygons are valid, and much like others, beyond whose boxes they hardly reach."""
    if (shapely.get_type_id(found) != POLYGON).any() or not shapely.is_valid(found).all():
        return False
    if np.abs(shapely.bounds(found) - shapely.bounds(polygons)).max() > REACH_PX:
        return False
    common = shapely.area(shapely.intersection(found, polygons))
    union = shapely.area(found) + shapely.area(polygons) - common
    return bool((common >= LEAST_IOU * union).all())


def _clipped(shapes: Polygons, others: Polygons, given: Polygons) -> Polygons | None:
    """Polygons without what others cover; None if one of them is not much like it was given."""
    beside = others[np.unique(shapely.STRtree(others).query(shapes, predicate="intersects")[1])]
    cut = shapely.difference(shapes, shapely.union_all(beside)) if len(beside) else shapes
    return cut if _are_alike(cut, given) else None


def _row_with_right_angles(polygons: Polygons) -> Polygons | None:
    """Buildings that share walls, with right angles and the same walls in common; or None."""
    if shapely.get_num_coordinates(polygons).sum() > MAX_POINTS:
        return None
    step = max(STEP_SHARE * float(np.sqrt(np.median(shapely.area(polygons)))), LEAST_STEP_PX)
    angle = main_direction(shapely.simplify(polygons, step / 2))
    outline = polygons[0] if len(polygons) == 1 else shapely.coverage_union_all(polygons)
    parts = [_with_right_angles(part, angle, step) for part in shapely.get_parts(outline)]
    if any(part is None for part in parts):
        return None
    found = np.array(parts, object)
    divided = found if len(polygons) == 1 else _divided(found, polygons, angle, step)
    return divided if divided is not None and _are_alike(divided, polygons) else None


def main_direction(polygons: Polygons) -> float:
    """The direction of the walls, in radians from 0 to a quarter turn."""
    xy, ring = shapely.get_coordinates(shapely.get_rings(polygons), return_index=True)
    edges = np.diff(xy, axis=0)[np.diff(ring) == 0]
    turns = 4 * np.arctan2(edges[:, 1], edges[:, 0])
    weights = (edges**2).sum(axis=1)
    angle = np.arctan2((weights * np.sin(turns)).sum(), (weights * np.cos(turns)).sum()) / 4
    return float(angle % (np.pi / 2))


def _with_right_angles(polygon: Any, angle: float, step: float) -> Any:
    """A polygon with right angles, or None; holes narrower than a step are filled."""
    outer, *holes = shapely.get_rings(polygon)
    wide = [each for each in holes if not shapely.Polygon(each).buffer(-step / 2).is_empty]
    rings = [_ring(shapely.get_coordinates(each), angle, step) for each in (outer, *wide)]
    if any(ring is None for ring in rings):
        return None
    made = shapely.Polygon(rings[0], rings[1:])
    return made if made.is_valid else None


class _Walls(NamedTuple):
    """Lines along the walls of a ring, one after the other."""

    normals: Floats
    """(walls, 2) of length 1, across each."""

    offsets: Floats
    """(walls,) of the line along the normal."""

    lengths: Floats
    """(walls,) weights."""

    kinds: NDArray[np.int64]
    """(walls,) 0: across the main direction, 1: along it, -1: aslant."""

    def corners(self) -> Floats:
        """(walls, 2) where each wall meets the one before; NaN if they are parallel."""
        before, offset = np.roll(self.normals, 1, axis=0), np.roll(self.offsets, 1)
        cross = before[:, 0] * self.normals[:, 1] - before[:, 1] * self.normals[:, 0]
        cross = np.where(np.abs(cross) < PARALLEL, np.nan, cross)
        x = offset * self.normals[:, 1] - self.offsets * before[:, 1]
        y = before[:, 0] * self.offsets - self.normals[:, 0] * offset
        return np.stack([x, y], axis=1) / cross[:, None]

    def without(self, number: int) -> "_Walls":
        """One wall less."""
        parts: Any = (np.delete(each, number, axis=0) for each in self)
        return _Walls(*parts)

    def merged(self, number: int) -> "_Walls":
        """A wall and the next, which is parallel, become one between them."""
        other = (number + 1) % len(self.offsets)
        length = self.lengths[number] + self.lengths[other]
        share = self.lengths[other] / length if length else 0.5
        offset = (1 - share) * self.offsets[number] + share * self.offsets[other]
        offsets, lengths = self.offsets.copy(), self.lengths.copy()
        offsets[number], lengths[number] = offset, length
        return self._replace(offsets=offsets, lengths=lengths).without(other)


def _ring(xy: Floats, angle: float, step: float) -> Floats | None:
    """(points, 2) a ring with right angles; None if it vanishes.

    Args:
        xy: (points, 2) the ring, closed.
        angle: Main direction, in radians.
        step: Longest step that vanishes.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    border = shapely.linearrings(xy)
    for aslant in (ASLANT_STEPS * step, np.inf):
        corners = _without_steps(_walls(xy @ turn, step, aslant), step).corners() @ turn.T
        known = len(corners) >= LEAST_WALLS and np.isfinite(corners).all()
        if known and shapely.distance(shapely.points(corners), border).max() <= STRAY_STEPS * step:
            return np.asarray(corners)
    return None


def _walls(xy: Floats, step: float, aslant: float) -> _Walls:
    """The walls of a ring whose main direction is that of the axes; some may stay aslant.

    A wall lies at the mean of what it replaces, so that areas stay.
    """
    kept = shapely.get_coordinates(shapely.simplify(shapely.LinearRing(xy), step / 2))[:-1]
    place = {(x, y): number for number, (x, y) in enumerate(xy[:-1].tolist())}
    at = np.sort([place[x, y] for x, y in kept.tolist()])
    pieces = np.diff(xy, axis=0)
    lengths = np.hypot(*pieces.T)
    sums = np.zeros((2 * len(lengths) + 1, 3))
    weighted = np.column_stack([(xy[:-1] + pieces / 2) * lengths[:, None], lengths])
    np.cumsum(np.concatenate([weighted, weighted]), axis=0, out=sums[1:])
    ends = np.append(at[1:], at[0] + len(lengths))
    whole = sums[ends] - sums[at]
    middle = whole[:, :2] / whole[:, 2:]
    chords = np.roll(xy[at], -1, axis=0) - xy[at]
    long = np.hypot(*chords.T)
    kinds = (np.abs(chords[:, 0]) > np.abs(chords[:, 1])).astype(np.int64)
    sine = np.abs(chords).min(axis=1) / np.maximum(long, 1e-9)
    kinds[(sine > np.sin(np.radians(ASLANT_DEGREES))) & (long > aslant)] = -1
    normals = np.where((kinds == 1)[:, None], [0.0, 1.0], [1.0, 0.0])
    free = kinds < 0
    normals[free] = np.column_stack([-chords[:, 1], chords[:, 0]])[free] / long[free, None]
    walls = _Walls(normals, (middle * normals).sum(axis=1), long, kinds)
    return _connected(walls, xy[at], step)


def _connected(walls: _Walls, starts: Floats, step: float) -> _Walls:
    """Parallel neighbours become one wall, or get one between them."""
    rows: list[tuple[Any, ...]] = []
    for number, row in enumerate(zip(*walls, strict=True)):
        normal, offset, _, kind = row
        before = walls.kinds[number - 1]
        if kind == before >= 0 and abs(offset - walls.offsets[number - 1]) > step:
            across = normal[::-1]
            rows.append((across, float(across @ starts[number]), 0.0, 1 - kind))
        rows.append(row)
    columns: Any = (np.array(column) for column in zip(*rows, strict=True))
    walls = _Walls(*columns)
    number = 0
    while number < len(walls.kinds) and len(walls.kinds) > LEAST_WALLS:
        if walls.kinds[number] == walls.kinds[(number + 1) % len(walls.kinds)] >= 0:
            walls = walls.merged(number)
        else:
            number += 1
    return walls


def _without_steps(walls: _Walls, step: float) -> _Walls:
    """Short walls vanish, the shortest first; what they were between becomes one wall."""
    while (count := len(walls.kinds)) > LEAST_WALLS:
        corners = walls.corners()
        lengths = np.hypot(*(np.roll(corners, -1, axis=0) - corners).T)
        lengths[~np.isfinite(lengths)] = 0
        number = int(np.argmin(lengths))
        if lengths[number] > step:
            break
        before, after = walls.kinds[number - 1], walls.kinds[(number + 1) % count]
        walls = walls.without(number)
        if before == after >= 0:
            walls = walls.merged((number - 1) % (count - 1))
    return walls


def _divided(outlines: Polygons, polygons: Polygons, angle: float, step: float) -> Polygons | None:
    """Outlines of groups, divided by the walls between the buildings.

    Args:
        outlines: Of groups of buildings, with right angles.
        polygons: (buildings,) the buildings.
        angle: Main direction, in radians.
        step: Longest step that vanishes.
    """
    one, other, _ = _contacts(polygons)
    contacts = shapely.intersection(polygons[one], polygons[other])
    walls = [_wall(contact, angle, step) for contact in contacts]
    lines = shapely.union_all([*shapely.boundary(outlines), *walls])
    faces = shapely.get_parts(shapely.polygonize([lines]))
    tree = shapely.STRtree(polygons)
    face, building = tree.query(faces, predicate="intersects")
    shared = shapely.area(shapely.intersection(faces[face], polygons[building]))
    order = np.lexsort((building, -shared, face))
    owner = np.full(len(faces), -1)
    firsts = order[np.unique(face[order], return_index=True)[1]]
    firsts = firsts[shared[firsts] > 0]
    owner[face[firsts]] = building[firsts]
    if set(owner.tolist()) - {-1} != set(range(len(polygons))):
        return None
    made = [shapely.coverage_union_all(faces[owner == each]) for each in range(len(polygons))]
    return None if any(each.geom_type != "Polygon" for each in made) else np.array(made, object)


def _contacts(polygons: Polygons) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Pairs of polygons of a coverage that touch along a line, and how long it is."""
    one, other = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    one, other = one[one < other], other[one < other]
    lengths = shapely.length(shapely.intersection(polygons[one], polygons[other]))
    return one[lengths > 0], other[lengths > 0], lengths[lengths > 0]


def _wall(contact: Any, angle: float, step: float) -> Any:
    """A straight wall where two buildings touch, drawn out at both ends; else what there is."""
    parts = shapely.get_parts(contact)
    lines = shapely.multilinestrings(parts[shapely.get_type_id(parts) == LINE])
    across = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    xy = shapely.get_coordinates(lines) @ across
    along = int(np.argmax(np.ptp(xy, axis=0)))
    if np.ptp(xy[:, 1 - along]) > WALL_STEPS * step:
        return lines
    ends = np.tile(shapely.get_coordinates(shapely.centroid(lines)) @ across, (2, 1))
    ends[:, along] = xy[:, along].min() - 2 * step, xy[:, along].max() + 2 * step
    return shapely.linestrings(ends @ across.T)
