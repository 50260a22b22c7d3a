"""Counts of objects that were found, and average precision over their scores."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from geoseg.core.confusion import Figures

AP_IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""From which IoU on objects are the same, for the averaged AP: 0.50, 0.55 .. 0.95."""

RECALLS: Figures = np.linspace(0, 1, 101)
"""At which precision is looked up, and averaged."""


@dataclass(frozen=True, eq=False)
class Detections:
    """Objects of a map, which add up over maps."""

    ious: Figures
    """(objects,) IoU with the reference's object that each is; 0 if it is none."""

    scores: Figures
    """(objects,) mean score of each; all the same if none is known."""

    scored: bool = True
    """Whether scores are known."""

    @classmethod
    def of(cls, ious: Figures, scores: Figures | None = None) -> Self:
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

    def average_precision(self, reference: int, iou: float) -> float:
        """Mean precision over 101 recalls; NaN if the reference has no objects.

        Objects are taken by falling score, those of the same score at once. At each recall
        counts the highest precision with that recall or more, 0 if it is never reached.
        Without scores there is a single such point.

        Args:
            reference: Objects that there are.
            iou: From which on an object is found, 0.5 or more.

        Source: COCO's evaluation (Lin et al. 2014, arXiv:1405.0312; ``pycocotools``), for
            objects of all sizes and without its limit of 100 for each image.
        """
        if not reference:
            return float("nan")
        if not len(self.ious):
            return 0.0
        order = np.argsort(-self.scores, kind="stable")
        last = np.append(np.diff(self.scores[order]) != 0, True)
        hits = np.cumsum(self.ious[order] >= iou)[last]
        found = np.flatnonzero(last) + 1
        precision = np.maximum.accumulate((hits / found)[::-1])[::-1]
        reached = np.searchsorted(hits / reference, RECALLS, side="left")
        return float(np.append(precision, 0)[reached].mean())


@dataclass(frozen=True)
class ObjectCounts:
    """Objects of a class, which add up over maps."""

    reference: int = 0
    """Objects of the reference."""

    mapped: int = 0
    """Objects of the map."""

    matched: int = 0
    """Pairs of the same object, from an IoU of 0.5 on."""

    iou_sum: float = 0.0
    """Sum of the IoU of these pairs."""

    left_out: int = 0
    """Polygons of the reference without a pixel that counts."""

    detections: Detections = field(
        default_factory=lambda: Detections.of(np.empty(0)), compare=False, repr=False
    )
    """The objects of the map."""

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.reference + other.reference,
            self.mapped + other.mapped,
            self.matched + other.matched,
            self.iou_sum + other.iou_sum,
            self.left_out + other.left_out,
            self.detections + other.detections,
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

    @property
    def ap50(self) -> float:
        """Average precision from an IoU of 0.5 on; NaN if the reference has no objects."""
        return self.detections.average_precision(self.reference, AP_IOUS[0])

    @property
    def ap(self) -> float:
        """Mean of the average precision at `AP_IOUS`; NaN if the reference has no objects."""
        return float(
            np.mean([self.detections.average_precision(self.reference, i) for i in AP_IOUS])
        )


def _quotient(above: float, below: float) -> float:
    return above / below if below else float("nan")
