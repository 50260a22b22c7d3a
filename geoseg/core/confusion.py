"""The confusion matrix, and every figure that is computed from it."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Figures = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """Pixel counts by reference class (row) and predicted class (column).

    Counts add up over windows, images and processes, and every figure is computed
    from the sum. IoU is therefore pooled over all pixels, not averaged over images.
    """

    counts: NDArray[np.int64]
    """(classes, classes)."""

    @classmethod
    def zeros(cls, classes: int) -> Self:
        """Nothing counted yet."""
        return cls(np.zeros((classes, classes), np.int64))

    @classmethod
    def count(
        cls,
        reference: NDArray[np.uint8],
        predicted: NDArray[np.uint8],
        *,
        valid: NDArray[np.bool_],
        classes: int,
    ) -> Self:
        """Count pairs of classes.

        Args:
            reference: Class index of each pixel, any shape.
            predicted: The same shape.
            valid: The same shape; True where the pixel counts. There both images must
                hold class indices below ``classes``.
            classes: How many classes there are.
        """
        pairs = reference[valid].astype(np.int64) * classes + predicted[valid]
        counts = np.bincount(pairs, minlength=classes**2)
        return cls(counts.reshape(classes, classes))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.counts + other.counts)

    @property
    def total(self) -> int:
        """Pixels counted."""
        return int(self.counts.sum())

    @property
    def support(self) -> NDArray[np.int64]:
        """(classes,) pixels of each class in the reference."""
        return self.counts.sum(axis=1)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(classes,) pixels of each class in the map."""
        return self.counts.sum(axis=0)

    @property
    def iou(self) -> Figures:
        """(classes,) intersection over union; NaN for a class in neither image."""
        both = np.diag(self.counts)
        return divide(both, self.support + self.predicted - both)

    @property
    def f1(self) -> Figures:
        """(classes,) F1, which is Dice; NaN for a class in neither image."""
        return divide(2 * np.diag(self.counts), self.support + self.predicted)

    @property
    def precision(self) -> Figures:
        """(classes,) user's accuracy; NaN for a class that is not in the map."""
        return divide(np.diag(self.counts), self.predicted)

    @property
    def recall(self) -> Figures:
        """(classes,) producer's accuracy; NaN for a class that is not in the reference."""
        return divide(np.diag(self.counts), self.support)

    @property
    def overall_accuracy(self) -> float:
        """Share of pixels whose class is right; NaN if nothing was counted."""
        return float(divide(np.trace(self.counts), self.total))

    @property
    def kappa(self) -> float:
        """Agreement beyond chance.

        NaN if nothing was counted, or if chance alone would agree everywhere.

        Source: Cohen 1960, Educational and Psychological Measurement 20:37-46.
        """
        shares = divide(self.counts, self.total)
        chance = float(shares.sum(axis=0) @ shares.sum(axis=1))
        return float(divide(self.overall_accuracy - chance, 1 - chance))

    @property
    def mean_iou(self) -> float:
        """Mean of `iou` over the classes present in the reference; NaN if there are none."""
        return self.mean(self.iou)

    @property
    def mean_f1(self) -> float:
        """Mean of `f1` over the classes present in the reference; NaN if there are none."""
        return self.mean(self.f1)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of `recall` over the classes present in the reference; NaN if there are none."""
        return self.mean(self.recall)

    def mean(self, figures: Figures) -> float:
        """Mean of a figure over the classes present in the reference.

        Args:
            figures: (classes,).
        """
        present = self.support > 0
        return float(figures[present].mean()) if present.any() else float("nan")


def divide(numerator: object, denominator: object) -> Figures:
    """Quotient that is NaN where the denominator is 0."""
    above, below = np.broadcast_arrays(
        np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    )
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0)
