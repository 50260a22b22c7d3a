"""Between which bounds the figures of an evaluation lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.evaluation.bootstrap import Bootstrap, intervals
from geoseg.evaluation.comparison import Comparison
from geoseg.evaluation.squares import SquareCounts

ALONG_BORDERS = {
    "boundary_iou": "iou",
    "boundary_f1": "f1",
    "boundary_precision": "precision",
    "boundary_recall": "recall",
}
"""Figures of a class along its borders, and what `BorderCounts` calls them."""

ERODED = {"eroded_iou": "iou", "eroded_f1": "f1"}
"""Figures of a class without pixels near borders, and what `ConfusionMatrix` calls them."""


@dataclass(frozen=True)
class Figures:
    """Names of the figures whose bounds are wanted."""

    summary: Sequence[str]
    """Of the whole map."""

    per_class: Sequence[str]
    """Of a class."""

    def of(self, comparison: Comparison) -> dict[tuple[str, str], Any]:
        """All that are counted, by what they are of and their name."""
        confusion = comparison.confusion
        found = {("", name): getattr(confusion, name) for name in self.summary}
        found |= {("classes", name): getattr(confusion, name) for name in self.per_class}
        if (eroded := comparison.eroded) is not None:
            found |= {("eroded", name): getattr(eroded, name) for name in self.summary}
            found |= {("classes", name): getattr(eroded, own) for name, own in ERODED.items()}
        if (borders := comparison.borders) is not None:
            along = {name: getattr(borders, own) for name, own in ALONG_BORDERS.items()}
            found |= {("classes", name): each for name, each in along.items()}
            found["boundary", "mean_iou"] = borders.mean(borders.iou)
            found["boundary", "mean_f1"] = borders.mean(borders.f1)
        return found


def confidence_of(
    comparison: Comparison, names: Sequence[str], options: Bootstrap, figures: Figures
) -> dict[str, Any] | None:
    """Bounds of all figures, ``[lower, upper]`` each, or None if they are not wanted.

    Args:
        comparison: With counts by square.
        names: Of the classes.
        options: How bounds are found.
        figures: Which figures.

    Raises:
        InputError: If there are no two blocks to draw from.
    """
    if (counts := comparison.squares) is None:
        return None
    blocks = count_blocks(counts, options)

    def from_row(row: NDArray[np.int64]) -> Mapping[tuple[str, str], Any]:
        return figures.of(Comparison(**counts.kinds.unpacked(row)))

    bounds = intervals(counts, from_row, options)
    told = {
        part: {name: each.tolist() for (of, name), each in bounds.items() if of == part}
        for part in ("", "boundary", "eroded")
    }
    classes = {name: each.T.tolist() for (of, name), each in bounds.items() if of == "classes"}
    rows = zip(*classes.values(), strict=True)
    return {
        "level": options.level,
        "method": "percentiles of a spatial block bootstrap",
        "block": str(options.block),
        "blocks": blocks,
        "resamples": options.resamples,
        "seed": options.seed,
        **told[""],
        "boundary": told["boundary"] or None,
        "eroded": told["eroded"] or None,
        "classes": [
            {"name": name, **dict(zip(classes, row, strict=True))}
            for name, row in zip(names, rows, strict=True)
        ],
    }


def count_blocks(counts: SquareCounts, options: Bootstrap) -> int:
    """How many blocks there are to draw from.

    Raises:
        InputError: If there are no two.
    """
    if len(counts) < 2:  # noqa: PLR2004
        raise InputError(
            f"confidence intervals need several blocks of {options.block}, and all that counts "
            f"lies in {len(counts)}; give a smaller --block"
        )
    return len(counts)
