"""Confidence intervals of all figures: a spatial block bootstrap."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from geoseg.raster.units import Distance

Samples = NDArray[np.float64]

Times = NDArray[np.int64]

Name = TypeVar("Name", bound=Hashable)

FEWEST = 2
"""Blocks that can be drawn in more than one way."""


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
    counted: NDArray[np.bool_],
    figures: Callable[[Times], Mapping[Name, Any]],
    options: Bootstrap,
) -> dict[Name, Samples]:
    """Between which bounds figures lie if the map had been another one of the same kind.

    Pixels near each other are right or wrong together, so that they are no independent draws.
    Whole blocks of ground are drawn instead, with replacement, and the figures computed from
    the sum of their counts; the bounds are percentiles. Draws that leave a figure undefined
    (without a pixel of the class) do not count for it.

    Args:
        counted: (blocks,) bool, True for those that are drawn.
        figures: From how often each block counts, (blocks,), to numbers or arrays by name.
        options: How.

    Returns:
        For each name the lower and upper bounds, (2, ...) of the figure's shape; NaN where it
        is undefined in all draws, or if there are no two blocks.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile
    intervals); Lahiri 2003, Resampling Methods for Dependent Data, chapter 12 (spatial blocks).
    """
    if np.count_nonzero(counted) < FEWEST:
        once = figures(counted.astype(np.int64))
        return {name: np.full((2, *np.shape(figure)), np.nan) for name, figure in once.items()}
    samples: dict[Name, list[Any]] = {}
    for times in draws(counted, options.resamples, options.seed):
        for name, figure in figures(times).items():
            samples.setdefault(name, []).append(figure)
    return {name: percentiles(np.array(each), options.level) for name, each in samples.items()}


def draws(counted: NDArray[np.bool_], resamples: int, seed: int) -> Iterator[Times]:
    """How often each block is drawn if as many are drawn as there are, with replacement.

    Args:
        counted: (blocks,) bool, True for those that are drawn.
        resamples: How often.
        seed: Of the draws.

    >>> [each.tolist() for each in draws(np.array([True, False, True]), 2, seed=1)]
    [[1, 0, 1], [0, 0, 2]]
    """
    rng = np.random.default_rng(seed)
    blocks = np.flatnonzero(counted)
    for _ in range(resamples):
        drawn = blocks[rng.integers(len(blocks), size=len(blocks))]
        yield np.bincount(drawn, minlength=len(counted))


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
