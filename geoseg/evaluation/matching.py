"""Objects of a class: matches between a map and its reference, precision, recall, AP.

Objects of rasters are matched by their pixels. Those that are polygons on both sides are matched by
their areas, and no pixel takes part: regularised outlines, touching houses and overlapping features
are judged as they are drawn. What cuts them is the ground that counts: the grid, areas, unlabelled
polygons.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import STRtree

from geoseg.labels.confusion import Additive, Counts, Floats, divide
from geoseg.options import CONNECTIVITY, Connectivity
from geoseg.postprocess.components import Components
from geoseg.raster.grid import Grid
from geoseg.raster.polygons import Labels, Numbers

AP_IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""From which IoU on objects are the same, for the averaged AP: 0.50, 0.55 .. 0.95."""

RECALLS: Floats = np.linspace(0, 1, 101)
"""At which precision is looked up, and averaged."""


@dataclass(frozen=True, eq=False)
class Detections:
    """Objects of a map, which add up over maps."""

    ious: Floats
    """(objects,) IoU with the reference's object that each is; 0 if it is none."""

    scores: Floats
    """(objects,) mean score of each; all the same if none is known."""

    scored: bool = True

    @classmethod
    def of(cls, ious: Floats, scores: Floats | None = None) -> Self:
        """Objects with scores, or without."""
        return cls(ious, np.ones(len(ious)) if scores is None else scores, scores is not None)

    def __add__(self, other: Self) -> Self:
        if not (len(self.ious) and len(other.ious)):
            return self if len(self.ious) else other
        return type(self)(
            np.concatenate([self.ious, other.ious]),
            np.concatenate([self.scores, other.scores]),
            self.scored and other.scored,
        )

    def repeated(self, times: Counts) -> Self:
        """The objects if each counts so many times, (objects,)."""
        order, times = self._order, times[self._order]
        return type(self)(
            self.ious[order].repeat(times), self.scores[order].repeat(times), self.scored
        )

    @cached_property
    def _order(self) -> Counts:
        """(objects,) their places by falling score."""
        return np.argsort(-self.scores, kind="stable")

    @cached_property
    def _hits(self) -> tuple[Floats, Counts]:
        """(hits,) IoU by falling score, and objects with at least this score."""
        falling, ious = -self.scores[self._order], self.ious[self._order]
        hits = np.flatnonzero(ious)
        return ious[hits], np.searchsorted(falling, falling[hits], side="right")

    def average_precision(self, reference: int, iou: float) -> float:
        """Mean precision over 101 recalls; NaN if the reference has no objects.

        Objects are taken by falling score, those of the same score at once. At each recall
        counts the highest precision with that recall or more, 0 if it is never reached; it is
        never higher than where an object has just been found. Without scores there is a single
        such point.

        Args:
            reference: Objects of the reference.
            iou: IoU from which an object is found, 0.5 or more.

        Source: COCO's evaluation (Lin et al. 2014, arXiv:1405.0312; ``pycocotools``), for
            objects of all sizes and without its limit of 100 for each image.
        """
        if not reference:
            return float("nan")
        ious, taken = self._hits
        enough = ious >= iou
        found = np.arange(1, np.count_nonzero(enough) + 1)
        precision = np.maximum.accumulate((found / taken[enough])[::-1])[::-1]
        reached = np.searchsorted(found / reference, RECALLS, side="left")
        return float(np.append(precision, 0)[reached].mean())


@dataclass(frozen=True)
class ObjectCounts(Additive):
    """Objects of a class, which add up over maps."""

    reference: int = 0
    mapped: int = 0
    matched: int = 0
    """Pairs of the same object, from an IoU of 0.5 on."""

    iou_sum: float = 0.0
    """Sum of the IoU of these pairs."""

    left_out: int = 0
    """Polygons of the reference without a pixel that counts."""

    by_area: int = 0
    """Maps whose objects are polygons, matched with polygons by their areas."""

    detections: Detections = field(
        default_factory=lambda: Detections.of(np.empty(0)), compare=False, repr=False
    )

    @property
    def precision(self) -> float:
        """Share of the map's objects that are there; NaN if it has none."""
        return float(divide(self.matched, self.mapped))

    @property
    def recall(self) -> float:
        """Share of the reference's objects that are found; NaN if it has none."""
        return float(divide(self.matched, self.reference))

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN if there are no objects at all."""
        return float(divide(2 * self.matched, self.mapped + self.reference))

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the pairs; NaN if there are none."""
        return float(divide(self.iou_sum, self.matched))

    @property
    def ap50(self) -> float:
        """Average precision at an IoU of 0.5; NaN if the reference has no objects."""
        return self.detections.average_precision(self.reference, AP_IOUS[0])

    @property
    def ap(self) -> float:
        """Mean of the average precision at `AP_IOUS`; NaN if the reference has no objects."""
        each = [self.detections.average_precision(self.reference, iou) for iou in AP_IOUS]
        return float(np.mean(each))


MIN_IOU = 0.5
"""IoU from which an object of the map and one of the reference are the same."""


class Matches(NamedTuple):
    """Counts of the objects of a map and a reference, and their places."""

    counts: ObjectCounts
    reference: Numbers
    """(objects of the reference,) pixel of each, the first, by its number in reading order."""

    mapped: Numbers
    """(objects of the map,) likewise; of a matched object, the first pixel of its partner."""


class ObjectMatcher:
    """Matches the objects of a map with those of a reference, both in strips from the top down.

    Memory grows with the number of objects and not with the map.

    Source: as in the SpaceNet challenges (Van Etten et al. 2018, arXiv:1807.01232): objects are the
    same from an IoU of 0.5 on, and each is matched once, the best pairs first.
    """

    def __init__(
        self,
        *,
        numbered: bool = False,
        map_numbered: bool = False,
        connectivity: Connectivity = CONNECTIVITY,
    ) -> None:
        """Begin.

        Args:
            numbered: Whether objects of the reference come as `Labels`, numbered from the
                beginning, such as polygons, rather than as connected pixels.
            map_numbered: Whether those of the map do.
            connectivity: Which pixels are connected.
        """
        self._reference = _Side(None if numbered else Components(connectivity))
        self._mapped = _Side(None if map_numbered else Components(connectivity))
        self._pixels = 0
        self._overlaps = [(np.empty((0, 2), np.int64), np.empty(0))]
        self._scored = False

    def add(self, reference: Any, mapped: Any, scores: NDArray[Any] | None = None) -> None:
        """The next rows of both.

        Args:
            reference: (height, width) bool, True where the reference has the class, or `Labels`.
            mapped: (height, width) bool, True where the map has the class, or `Labels`.
            scores: (height, width) scores of the class, if they are known; NaN counts as 0.
        """
        truth = self._reference.add(reference, self._pixels)
        found = self._mapped.add(mapped, self._pixels, scores)
        self._pixels += truth.local.size
        self._scored |= scores is not None
        width = len(found.numbers)
        keys, pixels, _ = _tally(truth.local.astype(np.int64) * width + found.local)
        pairs = np.stack(np.divmod(keys, width), axis=1)
        both = pairs.all(axis=1)
        ends = np.stack([truth.numbers[pairs[both, 0]], found.numbers[pairs[both, 1]]], axis=1)
        self._overlaps.append((ends, pixels[both]))

    def matches(self) -> Matches:
        """Match the objects of all rows."""
        truth, found = self._reference.collect(), self._mapped.collect()
        matched = matched_pairs(*self._ious(truth, found))
        ious = np.zeros(len(found.pixels))
        for other, (one, iou) in matched.items():
            ious[other] = iou
            found.firsts[other] = truth.firsts[one]
        present = found.pixels > 0
        scores = found.scores[present] / found.pixels[present] if self._scored else None
        counts = ObjectCounts(
            reference=int(np.count_nonzero(truth.pixels)),
            mapped=int(np.count_nonzero(present)),
            matched=len(matched),
            iou_sum=float(sum(iou for _, iou in matched.values())),
            detections=Detections.of(ious[present], scores),
        )
        return Matches(counts, truth.firsts[truth.pixels > 0], found.firsts[present])

    def _ious(self, truth: "_Objects", found: "_Objects") -> tuple[Numbers, Floats]:
        """(pairs, 2) objects that overlap, and their IoU."""
        pairs, shared = (np.concatenate(each) for each in zip(*self._overlaps, strict=True))
        ends = np.stack([truth.roots[pairs[:, 0]], found.roots[pairs[:, 1]]], axis=1)
        ends, where = np.unique(ends, axis=0, return_inverse=True)
        overlaps = np.bincount(where.ravel(), weights=shared, minlength=len(ends))
        either = truth.pixels[ends[:, 0]] + found.pixels[ends[:, 1]] - overlaps
        return ends, overlaps / either


class _Objects(NamedTuple):
    """All objects of a map or a reference; 0 is none."""

    roots: Numbers  # (numbers,) the object that each number of the strips belongs to
    pixels: Floats  # (objects + 1,)
    firsts: Numbers  # (objects + 1,) first pixel of each
    scores: Floats  # (objects + 1,) sums


class _Side:
    """Collects the objects of a map or a reference from strips."""

    def __init__(self, components: Components | None) -> None:
        self._components = components
        self._parts = [(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), np.empty(0))]

    def add(self, strip: Any, offset: int, scores: NDArray[Any] | None = None) -> Labels:
        """The next rows; ``offset`` pixels came before."""
        labels: Labels = self._components.add(strip) if self._components else strip
        local, pixels, first = _tally(labels.local)
        sums: NDArray[Any] = np.zeros(len(local))
        if scores is not None:
            weights = np.nan_to_num(scores).ravel()
            sums = np.bincount(labels.local.ravel(), weights=weights)[local]
        own = local > 0
        numbers = labels.numbers[local[own]]
        self._parts.append((numbers, pixels[own], first[own] + offset, sums[own]))
        return labels

    def collect(self) -> _Objects:
        """The objects of all strips."""
        numbers, pixels, first, sums = map(np.concatenate, zip(*self._parts, strict=True))
        own = self._components
        roots = own.joined() if own else np.arange(int(numbers.max(initial=0)) + 1)
        objects, size = roots[numbers], int(roots.max()) + 1
        firsts = np.full(size, np.iinfo(np.int64).max)
        np.minimum.at(firsts, objects, first)
        areas, scores = (
            np.bincount(objects, weights=each, minlength=size).astype(np.float64, copy=False)
            for each in (pixels, sums)
        )
        return _Objects(roots, areas, firsts, scores)


def _tally(labels: NDArray[Any]) -> tuple[Numbers, NDArray[np.float64], Numbers]:
    """The values that occur, how often each does and where first; runs are counted at once.

    >>> values, pixels, first = _tally(np.array([[0, 7, 7], [7, 0, 0]]))
    >>> values.tolist(), pixels.tolist(), first.tolist()
    ([0, 7], [3.0, 3.0], [0, 1])
    """
    flat = labels.ravel()
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)
    values, first, where = np.unique(flat[starts], return_index=True, return_inverse=True)
    lengths = np.diff(starts, append=flat.size)
    pixels = np.bincount(where, weights=lengths).astype(np.float64, copy=False)
    return values, pixels, starts[first]


def matched_pairs(pairs: Numbers, ious: NDArray[np.float64]) -> dict[int, tuple[int, float]]:
    """The map's objects that are one of the reference's, the best pairs first: which, and the IoU.

    >>> matched_pairs(np.array([[1, 1], [1, 2], [2, 2]]), np.array([0.5, 0.5, 0.2]))
    {1: (1, 0.5)}
    """
    taken: set[int] = set()
    kept: dict[int, tuple[int, float]] = {}
    for each in np.argsort(-ious, kind="stable"):
        if ious[each] < MIN_IOU:
            break
        one, other = pairs[each].tolist()
        if one not in taken and other not in kept:
            taken.add(one)
            kept[other] = one, float(ious[each])
    return kept


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
            ground = ground.intersection(shapely.union_all(_valid(area)))
        if self.unlabelled is not None and len(self.unlabelled):
            ground = ground.difference(shapely.union_all(_valid(self.unlabelled)))
        shapely.prepare(ground)
        kept = shapes.copy()
        beyond = np.flatnonzero(~shapely.covers(ground, shapes))
        parts = shapely.intersection(shapes[beyond], ground)
        pixel = abs(self.grid.transform.determinant)
        kept[beyond] = np.where(shapely.area(parts) < pixel, shapely.Polygon(), parts)
        return kept


def _valid(shapes: Shapes) -> Shapes:
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
    truth, found = ground.cut(_valid(reference)), ground.cut(_valid(mapped))
    own = shapely.area(truth) > 0
    kept = shapely.area(found) > 0
    truth, found = truth[own], found[kept]
    matched = matched_pairs(*_overlaps(truth, found))
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


def _overlaps(reference: Shapes, mapped: Shapes) -> tuple[Counts, Floats]:
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
