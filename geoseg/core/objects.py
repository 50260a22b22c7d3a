"""Objects: connected pixels of a class, and how many of them a map finds."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]

LEAST_IOU = 0.5
"""Of an object in the map and one of the reference, so that they are the same object."""

MAX_REACH = 3
"""Pixels of a row that a pixel of the next touches: above, and aslant on either side."""


@dataclass(frozen=True)
class ObjectCounts:
    """Objects of a class, which add up over maps."""

    reference: int = 0
    """Objects of the reference."""

    mapped: int = 0
    """Objects of the map."""

    matched: int = 0
    """Pairs of the same object."""

    iou_sum: float = 0.0
    """Sum of the IoU of these pairs."""

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.reference + other.reference,
            self.mapped + other.mapped,
            self.matched + other.matched,
            self.iou_sum + other.iou_sum,
        )

    @property
    def precision(self) -> float:
        """Share of the map's objects that are there; NaN if it has none."""
        return _quotient(self.matched, self.mapped)

    @property
    def recall(self) -> float:
        """Share of the reference's objects that are found; NaN if it has none."""
        return _quotient(self.matched, self.reference)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN if there are no objects at all."""
        return _quotient(2 * self.matched, self.mapped + self.reference)

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the pairs; NaN if there are none."""
        return _quotient(self.iou_sum, self.matched)


class Components:
    """Connected pixels of a mask that comes in strips, from the top down.

    Pixels that touch at a corner are connected. A strip's labels are provisional; what
    turns out to be connected further down is joined at the end.
    """

    def __init__(self) -> None:
        self._labels = 1
        self._last: Numbers | None = None
        self._joints = [np.empty((0, 2), np.int64)]

    def add(self, mask: Mask) -> Numbers:
        """The next rows.

        Args:
            mask: (height, width); the width never changes.

        Returns:
            (height, width) provisional labels; 0 where the mask is False.
        """
        found, count = ndimage.label(mask, structure=np.ones((3, 3)))
        labels = np.where(mask, found.astype(np.int64) + (self._labels - 1), 0)
        if self._last is not None:
            padded = np.pad(self._last, 1)
            for shift in range(MAX_REACH):
                above = padded[shift : shift + len(labels[0])]
                touching = (above > 0) & mask[0]
                joints = np.stack([above[touching], labels[0][touching]], axis=1)
                self._joints.append(np.unique(joints, axis=0))
        self._labels += count
        self._last = labels[-1].copy()
        return labels

    def joined(self) -> Numbers:
        """(labels,) the object that each provisional label belongs to; 0 for 0."""
        above, below = np.concatenate(self._joints).T
        size = (self._labels, self._labels)
        graph = sparse.coo_matrix((np.ones(len(above), np.bool_), (above, below)), shape=size)
        _, objects = sparse.csgraph.connected_components(graph, directed=False)
        return objects.astype(np.int64)


class ObjectMatcher:
    """Matches the objects of a map with those of a reference, both in strips from the top down.

    Memory grows with the number of objects and not with the map.

    Source: as in the SpaceNet challenges (Van Etten et al. 2018, arXiv:1807.01232): objects are the
    same from an IoU of 0.5 on, and each is matched once, the best pairs first.
    """

    def __init__(self) -> None:
        self._reference, self._mapped = Components(), Components()
        self._areas: list[list[tuple[Numbers, Numbers]]] = [[], []]
        self._overlaps: list[tuple[Numbers, Numbers]] = []

    def add(self, reference: Mask, mapped: Mask) -> None:
        """The next rows of both.

        Args:
            reference: (height, width) where the reference has the class.
            mapped: (height, width) where the map has it.
        """
        truth, found = self._reference.add(reference), self._mapped.add(mapped)
        for areas, labels, mask in zip(
            self._areas, (truth, found), (reference, mapped), strict=True
        ):
            areas.append(np.unique(labels[mask], return_counts=True))
        both = reference & mapped
        width = int(found.max()) + 1
        keys, counts = np.unique(truth[both] * width + found[both], return_counts=True)
        self._overlaps.append((np.stack(np.divmod(keys, width), axis=1), counts))

    def result(self) -> ObjectCounts:
        """The objects and how many are the same."""
        roots = self._reference.joined(), self._mapped.joined()
        areas = [_summed(parts, root) for parts, root in zip(self._areas, roots, strict=True)]
        pairs = np.concatenate([pairs for pairs, _ in self._overlaps])
        shared = np.concatenate([counts for _, counts in self._overlaps])
        ends = np.stack([root[side] for root, side in zip(roots, pairs.T, strict=True)], axis=1)
        ends, where = np.unique(ends, axis=0, return_inverse=True)
        overlaps = np.bincount(where.ravel(), weights=shared, minlength=len(ends))
        either = areas[0][ends[:, 0]] + areas[1][ends[:, 1]] - overlaps
        ious = _matched(ends, overlaps / either)
        return ObjectCounts(
            int(np.count_nonzero(areas[0])),
            int(np.count_nonzero(areas[1])),
            len(ious),
            float(sum(ious)),
        )


def _matched(pairs: Numbers, ious: NDArray[np.float64]) -> list[float]:
    """IoU of the pairs that are the same object: the best first, each object once.

    >>> _matched(np.array([[1, 1], [1, 2], [2, 2]]), np.array([0.5, 0.5, 0.2]))
    [0.5]
    """
    taken: tuple[set[int], set[int]] = (set(), set())
    kept = []
    for each in np.argsort(-ious, kind="stable"):
        if ious[each] < LEAST_IOU:
            break
        one, other = pairs[each].tolist()
        if one not in taken[0] and other not in taken[1]:
            taken[0].add(one)
            taken[1].add(other)
            kept.append(float(ious[each]))
    return kept


def _summed(parts: list[tuple[Numbers, Numbers]], roots: Numbers) -> NDArray[np.float64]:
    """Pixels of each object."""
    labels = np.concatenate([labels for labels, _ in parts])
    counts = np.concatenate([counts for _, counts in parts])
    sums: NDArray[np.float64] = np.zeros(int(roots.max()) + 1)
    np.add.at(sums, roots[labels], counts)
    return sums


def _quotient(above: float, below: float) -> float:
    return above / below if below else float("nan")
