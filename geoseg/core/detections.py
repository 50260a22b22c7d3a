"""Counts of objects that were found, and average precision over their scores."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from geoseg.core.confusion import Counts, Figures

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

    @cached_property
    def ranks(self) -> "Ranks":
        """The objects by falling score."""
        order = np.argsort(-self.scores, kind="stable")
        scores, ious = self.scores[order], self.ious[order]
        hits = np.flatnonzero(ious > 0)
        last = np.flatnonzero(np.append(np.diff(scores) != 0, True))
        ends = last[np.searchsorted(last, hits)] if len(hits) else hits
        return Ranks(order, hits, ends, ious[hits])


class Hits(NamedTuple):
    """Objects of a map that are some of its reference, by falling score."""

    ious: Figures
    """(hits,) IoU with the reference's object that each is."""

    times: Counts
    """(hits,) how often each counts, 1 or more."""

    taken: Counts
    """(hits,) objects of the map with this score or a higher one, as often as they count."""

    def average_precision(self, reference: int, iou: float) -> float:
        """Mean precision over 101 recalls; NaN if the reference has no objects.

        Objects are taken by falling score, those of the same score at once. At each recall
        counts the highest precision with that recall or more, 0 if it is never reached; it is
        never higher than where an object has just been found. Without scores there is a single
        such point.

        Args:
            reference: Objects that there are.
            iou: From which on an object is found, 0.5 or more.

        Source: COCO's evaluation (Lin et al. 2014, arXiv:1405.0312; ``pycocotools``), for
            objects of all sizes and without its limit of 100 for each image.
        """
        if not reference:
            return float("nan")
        enough = self.ious >= iou
        found = np.cumsum(self.times[enough])
        precision = np.maximum.accumulate((found / self.taken[enough])[::-1])[::-1]
        reached = np.searchsorted(found / reference, RECALLS, side="left")
        return float(np.append(precision, 0)[reached].mean())


class Ranks(NamedTuple):
    """The order in which objects are taken, which is the same however often each counts."""

    order: Counts
    """(objects,) their places, by falling score."""

    hits: Counts
    """(hits,) which of these are objects of the reference."""

    ends: Counts
    """(hits,) the last one of the same score."""

    ious: Figures
    """(hits,) IoU with the reference's object that each is."""

    def counted(self, times: Counts) -> Hits:
        """What is found if objects count several times or not at all.

        Args:
            times: (objects,) how often each counts, in this order.
        """
        often = times[self.hits]
        there = often > 0
        return Hits(self.ious[there], often[there], np.cumsum(times)[self.ends[there]])


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
    def hits(self) -> Hits:
        """The objects that are found."""
        ranks = self.detections.ranks
        return ranks.counted(np.ones(len(ranks.order), np.int64))

    @property
    def ap50(self) -> float:
        """Average precision from an IoU of 0.5 on; NaN if the reference has no objects."""
        return self.hits.average_precision(self.reference, AP_IOUS[0])

    @property
    def ap(self) -> float:
        """Mean of the average precision at `AP_IOUS`; NaN if the reference has no objects."""
        hits = self.hits
        return float(np.mean([hits.average_precision(self.reference, iou) for iou in AP_IOUS]))


def _quotient(above: float, below: float) -> float:
    return above / below if below else float("nan")
