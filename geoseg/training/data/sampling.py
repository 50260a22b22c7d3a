"""Which patches an epoch takes, and how often each."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geoseg.core.columns import in_short
from geoseg.errors import TrainingError

MOST_OFTEN = 10.0
"""With ``rare`` no patch is taken so many times as often as if all were alike."""

LEAST_SHARE = 0.001
"""A patch has a class if at least so much of its pixels does."""

Chances = NDArray[np.float64]
"""(n,) probability of each patch to be drawn next; they add up to 1."""


def chances(text: str, names: Sequence[str], shares: NDArray[np.float64]) -> Chances:
    """How likely each patch is to be drawn.

    ``rare``: every class is as likely, and then a patch by how much it holds of all pixels of
    that class; a patch weighs ``sum over classes of share / sum of shares of all patches``,
    but is never taken more than `MOST_OFTEN` times as often as if all were alike. ``car=5``: a
    patch with cars weighs 5, one without weighs 1; of several classes that it has, the largest
    factor counts.

    Args:
        text: What the user wants.
        names: (classes,).
        shares: (n, classes) share of each class in the pixels of each patch, 0..1.

    Raises:
        TrainingError: If a class is unknown, or a factor no number above 0.

    >>> chances("rare", ["land", "car"], np.array([[1, 0], [1, 0], [0.8, 0.2]])).round(2).tolist()
    [0.18, 0.18, 0.64]
    >>> chances("car=3", ["land", "car"], np.array([[1, 0], [0.8, 0.2]])).tolist()
    [0.25, 0.75]
    """
    if text == "rare":
        sums = shares.sum(axis=0)
        return _capped((shares[:, sums > 0] / sums[sums > 0]).sum(axis=1))
    factors = _factors(text, names)
    own = np.where(shares >= LEAST_SHARE, factors, 0).max(axis=1)
    weights = np.where(own > 0, own, 1.0)
    return weights / weights.sum()


def _capped(weights: NDArray[np.float64]) -> Chances:
    """Chances by weight, the highest lowered to `MOST_OFTEN` times the mean."""
    found = weights / weights.sum()
    most = MOST_OFTEN / len(weights)
    while (over := found > most).any():
        found[over] = most
        under = found < most
        found[under] *= (1 - found[~under].sum()) / found[under].sum()
    return found


def _factors(text: str, names: Sequence[str]) -> NDArray[np.float64]:
    """(classes,) how often patches with each class are drawn; 0 for those not named."""
    factors = dict.fromkeys(names, 0.0)
    for part in text.split(","):
        name, equals, word = part.strip().rpartition("=")
        if not equals:
            raise TrainingError(
                f"--oversample {text}: is neither rare nor a list such as {names[-1]}=3"
            )
        if name not in factors:
            raise TrainingError(
                f"--oversample {text}: no class is named {name!r}; they are {in_short(names)}"
            )
        factors[name] = _number(word, text)
    return np.array(list(factors.values()))


def _number(word: str, text: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < np.inf:
        raise TrainingError(f"--oversample {text}: {word!r} is no factor, a number above 0")
    return value


def draw(
    count: int,
    rng: np.random.Generator,
    *,
    samples: int | None = None,
    likely: Chances | None = None,
) -> NDArray[np.int64]:
    """Numbers of patches in the order in which an epoch takes them.

    Every patch is taken as often as it is expected to be, rounded up or down: systematic
    sampling, which scatters less than throwing dice. Without chances and as many samples as
    patches that is once each.

    Args:
        count: How many patches there are.
        rng: Decides.
        samples: How many to take; None: as many as there are.
        likely: How likely each is to be taken; None: all alike.

    Source: Madow 1949, "On the Theory of Systematic Sampling, II".
    """
    order = rng.permutation(count)
    if likely is None and samples in {None, count}:
        return order
    taken = samples or count
    each = np.full(count, 1 / count) if likely is None else likely[order]
    ends = np.cumsum(each) / each.sum() * taken
    ends[-1] = taken  # whatever was rounded away
    places = np.searchsorted(ends, np.arange(taken) + rng.random(), side="right")
    return rng.permutation(order[places])


def repeats(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each number has been there before.

    >>> repeats(np.array([4, 7, 4, 4])).tolist()
    [0, 0, 1, 2]
    """
    order = np.argsort(numbers, kind="stable")
    ranked = numbers[order]
    first = np.searchsorted(ranked, ranked)
    found = np.empty_like(order)
    found[order] = np.arange(len(order)) - first
    return found
