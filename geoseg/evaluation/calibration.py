"""What scores say of themselves: reliability, and figures of each class over thresholds."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.core.calibration import Reliability
from geoseg.core.scores import IGNORE, SCORE_STEPS
from geoseg.core.thresholds import ThresholdCounts
from geoseg.evaluation.block import Block
from geoseg.io.score_map import ScoreMap

ROWS = 64
"""Of a block that are counted at a time, so that they stay in the processor's cache."""

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

    @property
    def pixels(self) -> int:
        """Pixels counted."""
        return int(self.reliability.pixels.sum())


class ScoreTally:
    """Pixels by their scores."""

    halo = 0

    def __init__(self, scores: ScoreMap, classes: int) -> None:
        self._scores = scores
        self._counts = ScoreCounts.zeros(classes)

    def look(self, block: Block) -> ScoreCounts:
        """Counts of the block."""
        scores, valid = self._scores.read(block.window)
        counts = ScoreCounts.zeros(len(scores))
        for start in range(0, len(valid), ROWS):
            few = slice(start, start + ROWS)
            counts += ScoreCounts.count(
                block.reference[few], block.mapped[few], scores[:, few], valid=valid[few]
            )
        return counts

    def add(self, looked: ScoreCounts) -> None:
        """Sum up."""
        self._counts += looked

    def result(self) -> dict[str, Any]:
        """Fields of the comparison."""
        return {"scores": self._counts}
