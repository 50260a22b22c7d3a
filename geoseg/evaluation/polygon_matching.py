"""Objects that are polygons in the map and in the reference, matched by their areas.

No pixel takes part: regularised outlines, touching houses and overlapping features are judged as
they are drawn. What cuts objects is the ground that counts: the grid, areas, unlabelled polygons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import STRtree

from geoseg.evaluation.matching import MIN_IOU, Detections, Matches, ObjectCounts, matched_pairs
from geoseg.labels.confusion import Counts, Floats
from geoseg.raster.grid import Grid

Shapes = NDArray[Any]
"""(n,) polygons in the CRS of a grid."""


@dataclass(frozen=True, eq=False)
class CountedGround:
    """The ground of a grid in which objects count."""

    grid: Grid

    areas: Sequence[Shapes] = ()
    """Ground counts that lies in all of them; each is several polygons."""

    unlabelled: Shapes | None = None
    """Polygons whose ground does not count."""

    def cut(self, shapes: Shapes) -> Shapes:
        """The parts of polygons on this ground; empty where less than a pixel is left of them.

        Args:
            shapes: (n,) polygons.

        Returns:
            (n,) polygons; those that lie inside are as they were.
        """
        ground: Any = shapely.Polygon(self.grid.corners)
        for area in self.areas:
            ground = ground.intersection(shapely.union_all(valid(area)))
        if self.unlabelled is not None and len(self.unlabelled):
            ground = ground.difference(shapely.union_all(valid(self.unlabelled)))
        shapely.prepare(ground)
        kept = shapes.copy()
        beyond = np.flatnonzero(~shapely.covers(ground, shapes))
        parts = shapely.intersection(shapes[beyond], ground)
        pixel = abs(self.grid.transform.determinant)
        kept[beyond] = np.where(shapely.area(parts) < pixel, shapely.Polygon(), parts)
        return kept


def valid(shapes: Shapes) -> Shapes:
    """Polygons without rings that cross, which reprojection may leave."""
    broken = ~shapely.is_valid(shapes)
    if not broken.any():
        return shapes
    mended = shapes.copy()
    mended[broken] = shapely.make_valid(shapes[broken])
    return mended


def match_polygons(
    reference: Shapes, mapped: Shapes, ground: CountedGround, scores: Floats | None = None
) -> Matches:
    """Match the polygons of a map with those of a reference by the IoU of their areas.

    Each is matched once, the best pairs first, from an IoU of 0.5 on, as in `ObjectMatcher`.

    Args:
        reference: (n,) polygons of the reference.
        mapped: (m,) polygons of the map.
        ground: What counts.
        scores: (m,) score of each of the map's, if known; NaN counts as 0.
    """
    truth, found = ground.cut(valid(reference)), ground.cut(valid(mapped))
    own = shapely.area(truth) > 0
    kept = shapely.area(found) > 0
    truth, found = truth[own], found[kept]
    matched = matched_pairs(*overlaps(truth, found))
    firsts, others = (_pixels(each, ground.grid) for each in (truth, found))
    ious = np.zeros(len(found))
    for other, (one, iou) in matched.items():
        ious[other], others[other] = iou, firsts[one]
    counts = ObjectCounts(
        reference=len(truth),
        mapped=len(found),
        matched=len(matched),
        iou_sum=float(ious.sum()),
        left_out=int(np.count_nonzero(_on_grid(reference, ground.grid) & ~own)),
        by_area=1,
        detections=Detections.of(ious, None if scores is None else np.nan_to_num(scores[kept])),
    )
    return Matches(counts, firsts, others)


def overlaps(reference: Shapes, mapped: Shapes) -> tuple[Counts, Floats]:
    """Pairs of polygons with an IoU of 0.5 or more.

    Args:
        reference: (n,) valid polygons.
        mapped: (m,) valid polygons.

    Returns:
        (pairs, 2) indices into both, and (pairs,) IoU.
    """
    ends = STRtree(mapped).query(reference, predicate="intersects").T
    areas, others = shapely.area(reference)[ends[:, 0]], shapely.area(mapped)[ends[:, 1]]
    similar = np.minimum(areas, others) >= MIN_IOU * np.maximum(areas, others)  # IoU is below
    ends, areas, others = ends[similar], areas[similar], others[similar]
    shared = shapely.area(shapely.intersection(reference[ends[:, 0]], mapped[ends[:, 1]]))
    ious = shared / (areas + others - shared)
    enough = ious >= MIN_IOU
    return ends[enough].astype(np.int64), ious[enough]


def _on_grid(shapes: Shapes, grid: Grid) -> NDArray[np.bool_]:
    return np.asarray(shapely.intersects(shapely.Polygon(grid.corners), shapes))


def _pixels(shapes: Shapes, grid: Grid) -> Counts:
    """(n,) number of a pixel in each polygon, in reading order."""
    x, y = shapely.get_coordinates(shapely.point_on_surface(shapes)).T
    a, b, c, d, e, f = (~grid.transform)[:6]
    cols = np.clip(a * x + b * y + c, 0, grid.width - 1).astype(np.int64)
    rows = np.clip(d * x + e * y + f, 0, grid.height - 1).astype(np.int64)
    return rows * grid.width + cols
