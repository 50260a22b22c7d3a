"""Confidence intervals of all figures: a spatial block bootstrap."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from geoseg.core.distance import Distance
from geoseg.evaluation.squares import SquareCounts

Samples = NDArray[np.float64]
Name = TypeVar("Name", bound=Hashable)

CHUNK = 4_000_000
"""Numbers that are held at a time."""


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How intervals are found."""

    level: float = 0.95
    """Share of repetitions that an interval holds."""

    block: Distance = Distance(256, "px")  # noqa: RUF009 frozen
    """Side of the blocks that are drawn; what lies nearer together may be alike."""

    resamples: int = 1000
    """How often as many blocks are drawn as there are."""

    seed: int = 0
    """Same seed, same intervals."""


def intervals(
    counts: SquareCounts,
    figures: Callable[[NDArray[np.int64]], Mapping[Name, Any]],
    options: Bootstrap,
) -> dict[Name, NDArray[np.float64]]:
    """Between which bounds figures lie if the map had been another one of the same kind.

    Pixels near each other are right or wrong together, so that they are no independent draws.
    Whole blocks of ground are drawn instead, with replacement, and the figures computed from
    the sum of their counts; the bounds are percentiles. Draws that leave a figure undefined
    (without a pixel of the class) do not count for it.

    Args:
        counts: Of each block.
        figures: From a row of counts, (kinds,), to numbers or arrays by name.
        options: How.

    Returns:
        For each name the lower and upper bounds, (2, ...) of the figure's shape; NaN where it
        is undefined in all draws.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile
    intervals); Lahiri 2003, Resampling Methods for Dependent Data, chapter 12 (spatial blocks).
    """
    samples: dict[Name, list[Any]] = {}
    for row in resampled(counts.table, options.resamples, options.seed):
        for name, figure in figures(row).items():
            samples.setdefault(name, []).append(figure)
    return {name: percentiles(np.array(each), options.level) for name, each in samples.items()}


def resampled(table: sparse.csr_array, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Sums of as many rows as there are, drawn with replacement.

    Args:
        table: (blocks, kinds) counts.
        resamples: How many sums.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    blocks, kinds = table.shape
    at_a_time = max(CHUNK // max(blocks, kinds), 1)
    for start in range(0, resamples, at_a_time):
        count = min(at_a_time, resamples - start)
        drawn = (rng.integers(blocks, size=blocks) for _ in range(count))
        times = np.stack([np.bincount(each, minlength=blocks) for each in drawn])
        yield from times @ table


def percentiles(samples: Samples, level: float) -> Samples:
    """(2, ...) the bounds within which the middle share of the samples lies, NaN left out.

    Args:
        samples: (n, ...).
        level: The share.

    >>> percentiles(np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan]]), 0.5).tolist()
    [[1.5, nan], [2.5, nan]]
    """
    flat = samples.reshape(len(samples), -1)
    bounds = np.full((2, flat.shape[1]), np.nan)
    for place, column in enumerate(flat.T):
        known = column[~np.isnan(column)]
        if len(known):
            bounds[:, place] = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return bounds.reshape(2, *samples.shape[1:])
