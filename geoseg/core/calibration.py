"""Whether scores mean what they say: the share of pixels that are right, by their top score."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.core.confusion import Figures, divide

BINS = 15
"""Equal bins of the top score, as is customary."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Pixels in bins of their top score, which add up over blocks and maps.

    A score of 0.8 means what it says if 80 % of the pixels that have it are right. Bins are
    open below and closed above; a score of 0 is in the first.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, ICML, equations 2 to 5.
    """

    pixels: NDArray[np.int64]
    """(bins,) pixels."""

    right: NDArray[np.int64]
    """(bins,) of these, whose class is right."""

    score_sum: Figures
    """(bins,) sum of their top scores."""

    @classmethod
    def zeros(cls, bins: int = BINS) -> Self:
        """Nothing counted yet."""
        return cls(np.zeros(bins, np.int64), np.zeros(bins, np.int64), np.zeros(bins))

    @classmethod
    def count(cls, top: NDArray[Any], right: NDArray[np.bool_], *, bins: int = BINS) -> Self:
        """Count pixels.

        Args:
            top: (n,) score of each pixel's class, 0..1.
            right: (n,) bool, True where that class is the reference's.
            bins: How many.
        """
        own = np.ceil(top * np.float64(bins)).astype(np.intp) - 1
        own = own.clip(0, bins - 1)
        return cls(
            np.bincount(own, minlength=bins),
            np.bincount(own[right], minlength=bins),
            np.bincount(own, weights=top, minlength=bins).astype(np.float64, copy=False),
        )

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.pixels + other.pixels,
            self.right + other.right,
            self.score_sum + other.score_sum,
        )

    @property
    def edges(self) -> Figures:
        """(bins + 1,) where bins begin and end."""
        return np.linspace(0, 1, len(self.pixels) + 1)

    @property
    def mean_score(self) -> Figures:
        """(bins,) mean top score; NaN for an empty bin."""
        return divide(self.score_sum, self.pixels)

    @property
    def accuracy(self) -> Figures:
        """(bins,) share of pixels that are right; NaN for an empty bin."""
        return divide(self.right, self.pixels)

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of score and accuracy; NaN without pixels."""
        gaps = np.abs(self.score_sum - self.right)
        return float(divide(gaps.sum(), self.pixels.sum()))

    @property
    def mce(self) -> float:
        """Maximum calibration error: of the worst bin; NaN without pixels."""
        gaps = np.abs(self.mean_score - self.accuracy)
        return float(np.nanmax(gaps)) if self.pixels.any() else float("nan")
