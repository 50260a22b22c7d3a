"""What a stratified sample says of a map: accuracy and area, with standard errors."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geoseg.core.confusion import Figures, divide

Z_95 = 1.959963984540054
"""Half the width of a 95 % interval, in standard errors."""


@dataclass(frozen=True, eq=False)
class AreaEstimates:
    """Estimates from points drawn at random within each class of a map: within its strata.

    A count of the sample alone tells nothing of the map, because rare classes are sampled more
    densely. Each point therefore stands for as much of the map as its stratum has of it per
    point. Standard errors are NaN where a stratum that matters has a single point.

    Classes of the map may be merged after the sample was drawn: then a class has several strata.

    Source: Olofsson et al. 2014, Good practices for estimating area and assessing accuracy
    of land change, Remote Sensing of Environment 148:42-57. Their matrices have the map in
    rows; ours have the reference there. For merged classes the same sums over strata: Stehman
    2014, Estimating area and map accuracy for stratified random sampling when the strata are
    different from the map classes, International Journal of Remote Sensing 35:4923-4939.
    """

    counts: NDArray[np.int64]
    """(classes, strata) points by class in the reference (row) and by stratum (column)."""

    mapped: NDArray[np.int64]
    """(strata,) pixels of each stratum in the map."""

    class_of: NDArray[np.int64] | None = None
    """(strata,) class of the map that each stratum belongs to; None: each to its own."""

    def __post_init__(self) -> None:
        if (self._drawn[self.mapped == 0] > 0).any():
            raise ValueError("a class has points but no pixels in the map")
        if (self._drawn[self.mapped > 0] == 0).any():
            raise ValueError("a class of the map has no points")

    @cached_property
    def _drawn(self) -> NDArray[np.int64]:
        """(strata,) points of each stratum."""
        return self.counts.sum(axis=0)

    @cached_property
    def _within(self) -> NDArray[np.bool_]:
        """(classes, strata) whether the map has this class in the stratum."""
        classes, strata = self.counts.shape
        own = np.arange(strata) if self.class_of is None else self.class_of
        return np.arange(classes)[:, None] == own

    @cached_property
    def matrix(self) -> NDArray[np.int64]:
        """(classes, classes) points by class in the reference (row) and in the map (column)."""
        return self.counts @ self._within.T.astype(np.int64)

    @property
    def points(self) -> NDArray[np.int64]:
        """(classes,) points of each class in the map."""
        return self.matrix.sum(axis=0)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """(classes,) pixels of each class in the map."""
        return self._within.astype(np.int64) @ self.mapped

    @property
    def weights(self) -> Figures:
        """(strata,) share of the map that each stratum has in it."""
        return divide(self.mapped, self.mapped.sum())

    @cached_property
    def _shares(self) -> Figures:
        """(classes, strata) of the points of a stratum, the share of each class."""
        return np.nan_to_num(divide(self.counts, self._drawn))

    @cached_property
    def _variances(self) -> Figures:
        """(classes, strata) of these shares; 0 for a stratum not mapped, NaN with one point."""
        per_point = np.where(self.mapped > 0, divide(1, self._drawn - 1), 0)
        return self._shares * (1 - self._shares) * per_point

    @property
    def proportions(self) -> Figures:
        """(classes, classes) estimated shares of the map's area; they sum to 1 (equation 4)."""
        return (self._shares * self.weights) @ self._within.T.astype(np.float64)

    @property
    def area(self) -> Figures:
        """(classes,) estimated share of the map's area that a class truly has (equation 9)."""
        return self.proportions.sum(axis=1)

    @property
    def area_error(self) -> Figures:
        """(classes,) standard error of `area` (equation 10)."""
        return np.sqrt((self.weights**2 * self._variances).sum(axis=1))

    @property
    def users(self) -> Figures:
        """(classes,) user's accuracy; NaN for a class that is not in the map (equation 2)."""
        right = np.where(self._within, self.mapped * self._shares, 0)
        return divide(right.sum(axis=1), self.pixels)

    @property
    def users_error(self) -> Figures:
        """(classes,) standard error of `users` (equation 6)."""
        variances = np.where(self._within, self.mapped**2.0 * self._variances, 0)
        return divide(np.sqrt(variances.sum(axis=1)), self.pixels)

    @property
    def producers(self) -> Figures:
        """(classes,) producer's accuracy; NaN for a class not in the reference (equation 3)."""
        return divide(np.diag(self.proportions), self.area)

    @property
    def producers_error(self) -> Figures:
        """(classes,) standard error of `producers` (equation 7)."""
        producers = self.producers[:, None]
        factor = np.where(self._within, (1 - producers) ** 2, producers**2)
        variance = (factor * self.weights**2 * self._variances).sum(axis=1)
        return np.sqrt(divide(variance, self.area**2))

    @property
    def overall(self) -> float:
        """Overall accuracy (equation 1)."""
        return float(np.trace(self.proportions))

    @property
    def overall_error(self) -> float:
        """Standard error of `overall` (equation 5)."""
        return float(np.sqrt((self.weights**2 * self._variances)[self._within].sum()))


def allocate(
    mapped: NDArray[np.int64], points: int, *, least: int, equal: bool
) -> NDArray[np.int64]:
    """How many points each class of a map gets.

    Shares that would be smaller than ``least`` are raised to it, and the others share what is
    left by their pixels (or equally). No class gets more points than it has pixels.

    Args:
        mapped: (classes,) pixels of each class.
        points: How many there are to be.
        least: For each class that the map has.
        equal: Whether all classes get the same.

    Raises:
        ValueError: If there are fewer points than ``least`` asks for.

    >>> allocate(np.array([900, 90, 10, 0]), 100, least=20, equal=False).tolist()
    [70, 20, 10, 0]
    """
    given = np.minimum(mapped, least)
    if given.sum() > points:
        raise ValueError(f"{least} for each class takes {given.sum()} points")
    weights = np.where(mapped > 0, 1, 0) if equal else mapped
    free = mapped > given
    while free.any():
        rest = points - given[~free].sum()
        shares = rest * weights / weights[free].sum()
        low, high = free & (shares <= given), free & (shares >= mapped)
        if not (low | high).any():
            given[free] = _rounded(shares[free], int(rest))
            break
        given[high] = mapped[high]
        free &= ~(high if high.any() else low)
    return given


def _rounded(shares: Figures, total: int) -> NDArray[np.int64]:
    """Whole numbers near the shares that sum to the total; the largest remainders go up.

    >>> _rounded(np.array([1.5, 2.2, 1.3]), 5).tolist()
    [2, 2, 1]
    """
    whole = np.floor(shares).astype(np.int64)
    upwards = np.argsort(whole - shares, kind="stable")[: total - int(whole.sum())]
    whole[upwards] += 1
    return whole
