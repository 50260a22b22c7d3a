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
    """Estimates from points drawn at random within each class of a map.

    A count of the sample alone tells nothing of the map, because rare classes are sampled more
    densely. Each point therefore stands for as much of the map as its class has of it per
    point. Standard errors are NaN where a class that matters has a single point.

    Source: Olofsson et al. 2014, Good practices for estimating area and assessing accuracy
    of land change, Remote Sensing of Environment 148:42-57. Their matrices have the map in
    rows; ours have the reference there.
    """

    counts: NDArray[np.int64]
    """(classes, classes) points by class in the reference (row) and in the map (column)."""

    mapped: NDArray[np.int64]
    """(classes,) pixels of each class in the map."""

    def __post_init__(self) -> None:
        if (self.points[self.mapped == 0] > 0).any():
            raise ValueError("a class has points but no pixels in the map")
        if (self.points[self.mapped > 0] == 0).any():
            raise ValueError("a class of the map has no points")

    @property
    def points(self) -> NDArray[np.int64]:
        """(classes,) points of each class in the map."""
        return self.counts.sum(axis=0)

    @property
    def weights(self) -> Figures:
        """(classes,) share of the map that each class has in it."""
        return divide(self.mapped, self.mapped.sum())

    @cached_property
    def _shares(self) -> Figures:
        """(classes, classes) of the points of a class in the map (column), the share of each."""
        return np.nan_to_num(divide(self.counts, self.points))

    @cached_property
    def _per_point(self) -> Figures:
        """(classes,) 1 / (points - 1), what a variance is divided by; 0 for a class not mapped."""
        return np.where(self.mapped > 0, divide(1, self.points - 1), 0)

    @property
    def proportions(self) -> Figures:
        """(classes, classes) estimated shares of the map's area; they sum to 1 (equation 4)."""
        return self._shares * self.weights

    @property
    def area(self) -> Figures:
        """(classes,) estimated share of the map's area that a class truly has (equation 9)."""
        return self.proportions.sum(axis=1)

    @property
    def area_error(self) -> Figures:
        """(classes,) standard error of `area` (equation 10)."""
        variance = self.weights**2 * self._shares * (1 - self._shares) * self._per_point
        return np.sqrt(variance.sum(axis=1))

    @property
    def users(self) -> Figures:
        """(classes,) user's accuracy; NaN for a class that is not in the map (equation 2)."""
        return divide(np.diag(self.counts), self.points)

    @property
    def users_error(self) -> Figures:
        """(classes,) standard error of `users` (equation 6)."""
        return np.sqrt(self.users * (1 - self.users) * divide(1, self.points - 1))

    @property
    def producers(self) -> Figures:
        """(classes,) producer's accuracy; NaN for a class not in the reference (equation 3)."""
        return divide(np.diag(self.proportions), self.area)

    @property
    def producers_error(self) -> Figures:
        """(classes,) standard error of `producers` (equation 7)."""
        producers = self.producers[:, None]
        here = np.eye(len(self.mapped), dtype=np.bool_)
        factor = np.where(here, (1 - producers) ** 2, producers**2)
        variance = self.weights**2 * self._shares * (1 - self._shares) * self._per_point
        return np.sqrt(divide((factor * variance).sum(axis=1), self.area**2))

    @property
    def overall(self) -> float:
        """Overall accuracy (equation 1)."""
        return float(np.trace(self.proportions))

    @property
    def overall_error(self) -> float:
        """Standard error of `overall` (equation 5)."""
        right = np.diag(self._shares)
        return float(np.sqrt((self.weights**2 * right * (1 - right) * self._per_point).sum()))


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
