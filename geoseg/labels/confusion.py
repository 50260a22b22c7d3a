"""The confusion matrix, and every metric that is computed from it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.labels.legend import IGNORE

Floats = NDArray[np.float64]

Counts = NDArray[np.int64]

Labels = NDArray[np.uint8]

CHUNK_PIXELS = 1 << 17
"""Pixels counted per step, so that they stay in the processor's cache."""

PADDING_PIXELS = 4
"""Largest number of pixels in one 16-bit code; images are padded to a multiple of it."""

MAX_SMALL_PIXELS = 1 << 15
"""Images of fewer pixels, such as spatial blocks, are counted pixel by pixel."""


class Additive:
    """Base of dataclasses whose fields add up one by one."""

    def __add__(self, other: Self) -> Self:
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return type(self)(*(getattr(self, name) + getattr(other, name) for name in names))


@dataclass(frozen=True, eq=False)
class ConfusionMatrix(Additive):
    """Pixel counts by reference class (row) and predicted class (column).

    Counts add up over windows, images and processes, and every metric is computed
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
        truth, found = (
            np.where(valid, each, IGNORE).astype(np.uint8) for each in (reference, predicted)
        )
        return cls(count_pairs(truth, found, classes)[:-1, :-1])

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
    def iou(self) -> Floats:
        """(classes,) intersection over union; NaN for a class in neither image."""
        both = np.diag(self.counts)
        return divide(both, self.support + self.predicted - both)

    @property
    def f1(self) -> Floats:
        """(classes,) F1, which is Dice; NaN for a class in neither image."""
        return divide(2 * np.diag(self.counts), self.support + self.predicted)

    @property
    def precision(self) -> Floats:
        """(classes,) user's accuracy; NaN for a class that is not in the map."""
        return divide(np.diag(self.counts), self.predicted)

    @property
    def recall(self) -> Floats:
        """(classes,) producer's accuracy; NaN for a class that is not in the reference."""
        return divide(np.diag(self.counts), self.support)

    @property
    def specificity(self) -> Floats:
        """(classes,) true negative rate; NaN for a class that every pixel of the reference has."""
        others = self.total - self.support
        return divide(others - self.predicted + np.diag(self.counts), others)

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
    def mcc(self) -> float:
        """Matthews correlation of map and reference; NaN if either has a single class.

        Source: Gorodkin 2004, Comparing two K-category assignments by a K-category correlation
        coefficient, Computational Biology and Chemistry 28:367-374, equation 8 (R_K).
        """
        shares = divide(self.counts, self.total)
        mapped, truth = shares.sum(axis=0), shares.sum(axis=1)
        spread = (1 - mapped @ mapped) * (1 - truth @ truth)
        return float(divide(self.overall_accuracy - mapped @ truth, np.sqrt(spread)))

    @property
    def mean_iou(self) -> float:
        """Mean of `iou` over the classes present in the reference; NaN if there are none."""
        return mean_where(self.iou, self.support > 0)

    @property
    def mean_f1(self) -> float:
        """Mean of `f1` over the classes present in the reference; NaN if there are none."""
        return mean_where(self.f1, self.support > 0)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of `recall` over the classes present in the reference; NaN if there are none."""
        return mean_where(self.recall, self.support > 0)

    @property
    def confusions(self) -> list[tuple[int, int]]:
        """Reference and map of the pairs of different classes that occur, the largest first."""
        wrong = self.counts * (1 - np.eye(len(self.counts), dtype=np.int64))
        order = np.argsort(-wrong, axis=None, kind="stable")[: np.count_nonzero(wrong)]
        rows, cols = np.unravel_index(order, wrong.shape)
        return list(zip(rows.tolist(), cols.tolist(), strict=True))


def count_pairs(reference: Labels, predicted: Labels, classes: int) -> Counts:
    """Count pairs of class indices, and pixels without a class in one image or both.

    Args:
        reference: Class index of each pixel, any shape; `IGNORE` where there is none.
        predicted: The same shape.
        classes: How many classes there are; both images hold indices below, or `IGNORE`.

    Returns:
        (classes + 1, classes + 1) counts by reference (row) and prediction (column); the last
        row and column are those of `IGNORE`.

    >>> count_pairs(np.array([0, 1, 1], np.uint8), np.array([0, 0, 255], np.uint8), 2)
    array([[1, 0, 0],
           [1, 0, 1],
           [0, 0, 0]])
    """
    # Several pixels become one 16-bit code, so that a single bincount counts all of their pairs: 4
    # pixels of up to 3 classes (2 bits for each index), 2 of up to 15 (4 bits), else 1. A pixel's
    # own counts are then the sums over the other pixels' axes of the table of codes. bincount
    # widens its input to 8 bytes a code, so that fewer codes and a chunk in the cache are what
    # counts: 2 to 5 times as fast as one bincount of all pairs, over 10 times as sklearn's.
    if reference.size < MAX_SMALL_PIXELS:  # summing 2^16 counts would take longer than counting
        truth, found = (np.minimum(each, classes).ravel() for each in (reference, predicted))
        pairs = truth.astype(np.int64) * (classes + 1) + found
        counts = np.bincount(pairs, minlength=(classes + 1) ** 2)
        return counts.reshape(classes + 1, classes + 1)
    bits = next(bits for bits in (2, 4, 8) if classes < 2**bits)
    numbers = np.zeros(2**16, np.int64)
    images = reference.reshape(-1), predicted.reshape(-1)
    for start in range(0, reference.size, CHUNK_PIXELS):
        truth, found = (_padded(image[start : start + CHUNK_PIXELS]) for image in images)
        numbers += np.bincount(_packed(truth, found, bits), minlength=len(numbers))
    pixels = 8 // bits
    by_pixel = numbers.reshape((4**bits,) * pixels)
    others = [tuple(set(range(pixels)) - {pixel}) for pixel in range(pixels)]
    pairs = np.sum([by_pixel.sum(axis=axes) for axes in others], axis=0)
    pairs[-1] -= -reference.size % PADDING_PIXELS  # the padding was counted as `IGNORE` in both
    indices = [*range(classes), 2**bits - 1]
    return pairs.reshape(2**bits, 2**bits)[np.ix_(indices, indices)]


def _packed(reference: Labels, predicted: Labels, bits: int) -> NDArray[np.uint16]:
    """16-bit codes of 8 // bits pixels each; which pixels share one is of no matter."""
    if bits == 8:  # noqa: PLR2004
        return (reference.astype(np.uint16) << np.uint16(8)) | predicted
    pairs = (reference << bits) | (predicted & (2**bits - 1))
    if bits == 2:  # noqa: PLR2004
        pairs &= 15
        half = len(pairs) // 2
        pairs = (pairs[:half] << 4) | pairs[half:]
    return pairs.view(np.uint16)


def _padded(labels: Labels) -> Labels:
    """Labels padded with `IGNORE` to a multiple of `PADDING_PIXELS`."""
    missing = -len(labels) % PADDING_PIXELS
    return np.pad(labels, (0, missing), constant_values=IGNORE) if missing else labels


def divide(numerator: object, denominator: object) -> Floats:
    """Quotient that is NaN where the denominator is 0."""
    above, below = np.broadcast_arrays(
        np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    )
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0)


def mean_where(values: Floats, present: NDArray[np.bool_]) -> float:
    """Mean of the values that are present; NaN if there are none."""
    return float(values[present].mean()) if present.any() else float("nan")


def rows_of(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of a table from columns of the same length: lists or (n,) arrays."""
    rows = zip(*(np.asarray(each).tolist() for each in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]
