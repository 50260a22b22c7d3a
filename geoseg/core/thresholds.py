"""What a class's figures would be if it began at another score."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.core.confusion import Figures, divide
from geoseg.core.scores import IGNORE, SCORE_STEPS
from geoseg.core.statistics import histogram

LEVELS = SCORE_STEPS + 1
"""Scores are counted at the levels that are stored, 0/254 to 254/254."""

HAIR = 1e-4
"""Of a level: a stored score that was decoded has its own level, whatever float32 makes of it."""

Counts = NDArray[np.int64]


def score_levels(scores: NDArray[Any]) -> NDArray[np.uint8]:
    """The highest level that each score reaches.

    >>> score_levels(np.array([0.0, 0.5, 0.999, 1.0], np.float32)).tolist()
    [0, 127, 253, 254]
    """
    return (scores * np.float32(SCORE_STEPS) + np.float32(HAIR)).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class ThresholdCounts:
    """Pixels by class and by the level of that class's score, which add up over blocks and maps.

    From them follow exact figures for every threshold that is a level: a pixel has the class if
    its score is at least the threshold, whatever the other classes score.
    """

    inside: Counts
    """(classes, LEVELS) pixels that have the class in the reference."""

    outside: Counts
    """(classes, LEVELS) pixels that have another class there."""

    @classmethod
    def zeros(cls, classes: int) -> Self:
        """Nothing counted yet."""
        return cls(*(np.zeros((classes, LEVELS), np.int64) for _ in range(2)))

    @classmethod
    def count(cls, scores: NDArray[Any], reference: NDArray[np.uint8]) -> Self:
        """Count pixels.

        Args:
            scores: (classes, n) 0..1.
            reference: (n,) class indices.
        """
        inside, outside = [], []
        for index, levels in enumerate(map(score_levels, scores)):
            own = reference == index
            inside.append(histogram(levels[own])[:LEVELS])
            outside.append(histogram(levels[~own])[:LEVELS])
        return cls(np.array(inside), np.array(outside))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.inside + other.inside, self.outside + other.outside)

    @property
    def thresholds(self) -> Figures:
        """(LEVELS,) from 0 to 1."""
        return np.arange(LEVELS) / SCORE_STEPS

    @property
    def support(self) -> Counts:
        """(classes,) pixels of each class in the reference."""
        return self.inside.sum(axis=1)

    @property
    def hits(self) -> Counts:
        """(classes, LEVELS) pixels of the class from each threshold on."""
        return _from_above(self.inside)

    @property
    def false_alarms(self) -> Counts:
        """(classes, LEVELS) pixels of other classes from each threshold on."""
        return _from_above(self.outside)

    @property
    def precision(self) -> Figures:
        """(classes, LEVELS) NaN where no pixel reaches the threshold."""
        return divide(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> Figures:
        """(classes, LEVELS) NaN for a class that is not in the reference."""
        return divide(self.hits, self.support[:, None])

    @property
    def f1(self) -> Figures:
        """(classes, LEVELS) NaN where the class is neither found nor there."""
        return divide(2 * self.hits, self.hits + self.false_alarms + self.support[:, None])

    @property
    def iou(self) -> Figures:
        """(classes, LEVELS) NaN where the class is neither found nor there."""
        return divide(self.hits, self.false_alarms + self.support[:, None])

    @property
    def average_precision(self) -> Figures:
        """(classes,) area under precision over recall, in steps; NaN for a class not there.

        Source: as scikit-learn's ``average_precision_score``.
        """
        steps = divide(self.inside, self.support[:, None])
        return np.where(
            self.support > 0, (steps * np.nan_to_num(self.precision)).sum(axis=1), np.nan
        )

    @property
    def best(self) -> NDArray[np.int64]:
        """(classes,) level at which F1 and IoU are highest; `IGNORE` for a class not there.

        Of levels that are equally good the middle one, as the farthest from all that is worse.
        """
        f1 = np.nan_to_num(self.f1)
        levels = [np.flatnonzero(row == row.max()) for row in f1]
        middle = np.array([each[(len(each) - 1) // 2] for each in levels])
        return np.where(self.support > 0, middle, IGNORE)


def _from_above(counts: Counts) -> Counts:
    """Sums from the last level down to each."""
    return counts[:, ::-1].cumsum(axis=1)[:, ::-1]
