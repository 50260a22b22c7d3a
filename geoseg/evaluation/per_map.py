"""Dice of each map on its own, as it is published per image."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.core.confusion import ConfusionMatrix, Figures


class DiceOfMaps(NamedTuple):
    """Averaged over maps."""

    mean: float
    """Of each map's mean F1; NaN if no map has one."""

    of_classes: Figures
    """(classes,) of each class's F1; NaN if it is in no map."""

    maps: NDArray[np.int64]
    """(classes,) in how many maps each class is."""

    @classmethod
    def of(cls, confusions: Sequence[ConfusionMatrix]) -> "DiceOfMaps":
        """Average over maps."""
        dice = np.array([confusion.f1 for confusion in confusions])
        means = np.array([confusion.mean_f1 for confusion in confusions])
        of_classes = np.array([_mean_of_known(column) for column in dice.T])
        return cls(_mean_of_known(means), of_classes, (~np.isnan(dice)).sum(axis=0))


def per_map(confusions: Sequence[ConfusionMatrix], names: Sequence[str]) -> dict[str, Any]:
    """Dice of each map on its own, averaged over maps.

    A large map weighs no more than a small one, and a class that is in few maps counts only
    there: these figures compare with those that are published per image, not with the
    pooled ones. A map in which a class is neither found nor there does not count for it.

    Args:
        confusions: Of each map.
        names: Of the classes.

    Returns:
        ``mean_dice``, the mean over maps of each map's mean F1, and ``classes``.
    """
    mean, of_classes, maps = DiceOfMaps.of(confusions)
    rows = zip(names, of_classes.tolist(), maps.tolist(), strict=True)
    return {
        "mean_dice": mean,
        "classes": [dict(zip(("name", "dice", "maps"), row, strict=True)) for row in rows],
    }


def _mean_of_known(figures: Figures) -> float:
    known = figures[~np.isnan(figures)]
    return float(known.mean()) if len(known) else float("nan")
