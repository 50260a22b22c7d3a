"""What scores say of themselves: reliability, and figures of each class over thresholds."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.core.calibration import BINS, Reliability
from geoseg.core.scores import IGNORE, SCORE_STEPS
from geoseg.core.thresholds import LEVELS, ThresholdCounts

UNITS = 2**24
"""Of a score of 1, in which sums of scores are told in whole numbers: as fine as float32."""

STEP = np.float32(1 / SCORE_STEPS + 1e-6)
"""A class of the map may score this much less than the best: stored scores are rounded."""


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """Pixels that map, reference and scores know; they add up over blocks and maps."""

    reliability: Reliability
    """By their top score."""

    thresholds: ThresholdCounts
    """By the score of each class."""

    without_scores: int = 0
    """Pixels that map and reference know, and the scores do not."""

    other_class: int = 0
    """Pixels whose class in the map is not the one that scores best."""

    @classmethod
    def zeros(cls, classes: int) -> Self:
        """Nothing counted yet."""
        return cls(Reliability.zeros(), ThresholdCounts.zeros(classes))

    @classmethod
    def count(
        cls,
        reference: NDArray[np.uint8],
        predicted: NDArray[np.uint8],
        scores: NDArray[np.float32],
        *,
        valid: NDArray[np.bool_],
    ) -> Self:
        """Count pixels.

        A pixel is right if the class with the best score is the reference's. Of classes that
        score the same it is the map's, which knew the scores before they were rounded.

        Args:
            reference: (height, width) class indices; `IGNORE` where there is none.
            predicted: The same of the map.
            scores: (classes, height, width) 0..1.
            valid: (height, width) bool, True where there are scores.
        """
        both = (reference != IGNORE) & (predicted != IGNORE)
        known = both & valid
        own = np.stack([band[known] for band in scores])
        truth, found = reference[known], predicted[known]
        top, of_map = own.max(axis=0), own[found, np.arange(len(found))]
        best, others = found.copy(), of_map < top - STEP
        best[others] = own[:, others].argmax(axis=0)
        return cls(
            Reliability.count(top, best == truth),
            ThresholdCounts.count(own, truth),
            without_scores=int(np.count_nonzero(both & ~valid)),
            other_class=int(np.count_nonzero(best != found)),
        )

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.reliability + other.reliability,
            self.thresholds + other.thresholds,
            self.without_scores + other.without_scores,
            self.other_class + other.other_class,
        )

    @classmethod
    def of_row(cls, row: NDArray[np.int64], classes: int) -> Self:
        """Counts that were told as `row`, but for those of pixels that have none."""
        pixels, right, score_sum = row[: 3 * BINS].reshape(3, BINS)
        inside, outside = row[3 * BINS :].reshape(2, classes, LEVELS)
        return cls(Reliability(pixels, right, score_sum / UNITS), ThresholdCounts(inside, outside))

    @property
    def row(self) -> NDArray[np.int64]:
        """(kinds,) the counts one after the other, which add up in tables by square."""
        reliability, thresholds = self.reliability, self.thresholds
        score_sum = np.rint(reliability.score_sum * UNITS).astype(np.int64)
        by_level = (thresholds.inside.ravel(), thresholds.outside.ravel())
        return np.concatenate([reliability.pixels, reliability.right, score_sum, *by_level])

    @property
    def pixels(self) -> int:
        """Pixels counted."""
        return int(self.reliability.pixels.sum())
