"""Between which bounds the figures of an evaluation lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.evaluation.block_counts import ScoreSquares, SquareCounts
from geoseg.evaluation.bootstrap import FEWEST, Bootstrap, Times, intervals
from geoseg.evaluation.calibration import CURVES, bin_figures, class_figures, top_figures
from geoseg.evaluation.comparison import Comparison
from geoseg.labels.confusion import ConfusionMatrix, Figures, divide
from geoseg.raster.units import Distance


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


Bounds = NDArray[np.float64]

ALONG_BORDERS = {
    "boundary_iou": "iou",
    "boundary_f1": "f1",
    "boundary_precision": "precision",
    "boundary_recall": "recall",
}
"""Figures of a class along its borders, and what `BorderCounts` calls them."""

ERODED = {"eroded_iou": "iou", "eroded_f1": "f1"}
"""Figures of a class without pixels near borders, and what `ConfusionMatrix` calls them."""

OBJECTS = {
    "precision": "precision",
    "recall": "recall",
    "f1": "f1",
    "mean_iou_of_matches": "mean_iou",
    "ap50": "ap50",
    "ap": "ap",
}
"""Figures of the objects of a class, and what `ObjectCounts` calls them."""


@dataclass(frozen=True)
class BoundedFigures:
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
        found["confusion", "shares"] = divide(confusion.counts, confusion.support[:, None])
        if (eroded := comparison.eroded) is not None:
            found |= {("eroded", name): getattr(eroded, name) for name in self.summary}
            found |= {("classes", name): getattr(eroded, own) for name, own in ERODED.items()}
        if (borders := comparison.borders) is not None:
            along = {name: getattr(borders, own) for name, own in ALONG_BORDERS.items()}
            found |= {("classes", name): each for name, each in along.items()}
            found["boundary", "mean_iou"] = borders.mean(borders.iou)
            found["boundary", "mean_f1"] = borders.mean(borders.f1)
        objects = (comparison.objects or {}).values()
        for name, own in OBJECTS.items() if objects else ():
            found["objects", name] = np.array([getattr(each, own) for each in objects])
        return found

    def of_regions(self, regions: Sequence[ConfusionMatrix]) -> dict[tuple[str, str], Any]:
        """Those of regions, one after the other."""
        parts = (("regions", self.summary), ("region_classes", self.per_class))
        return {
            (part, name): np.array([getattr(each, name) for each in regions])
            for part, names in parts
            for name in names
            if regions
        }


def confidence_of(
    pooled: Comparison,
    squares: Sequence[int],
    names: Sequence[str],
    options: Bootstrap,
    figures: BoundedFigures,
) -> dict[str, Any] | None:
    """Bounds of all figures, ``[lower, upper]`` each, or None if they are not wanted.

    Objects of a class that all lie in one block, and a region that lies in one, have none: they
    are NaN.

    Args:
        pooled: All maps together, with counts by square.
        squares: How many each map has.
        names: Of the classes.
        options: How bounds are found.
        figures: Which figures.

    Raises:
        InputError: If there are no two blocks to draw from.
    """
    if (counts := pooled.squares) is None:
        return None
    blocks = count_blocks(counts, options)
    bounds = _bounds(counts, squares, options, figures)
    of = _by_part(bounds)
    return {
        "level": options.level,
        "method": "percentiles of a spatial block bootstrap",
        "block": str(options.block),
        "blocks": blocks,
        "resamples": options.resamples,
        "seed": options.seed,
        **_told(of[""]),
        "boundary": _told(of.get("boundary", {})) or None,
        "eroded": _told(of.get("eroded", {})) or None,
        "classes": _rows(names, of["classes"]),
        "shares_of_reference": _pairs(of["confusion"]["shares"]),
        "objects": _rows([names[index] for index in counts.objects], of.get("objects", {})),
        "regions": _regions(counts, names, of),
        "per_map": _per_map(names, of.get("maps", {})),
        "scores": score_bounds(pooled.score_squares, names, options),
    }


def _bounds(
    counts: SquareCounts, squares: Sequence[int], options: Bootstrap, figures: BoundedFigures
) -> dict[tuple[str, str], Bounds]:
    """Of all figures but those of scores, by what they are of and their name."""
    stops = np.cumsum(squares)

    def of_draw(times: Times) -> Mapping[tuple[str, str], Any]:
        found = figures.of(Comparison(**counts.drawn(times)))
        found |= figures.of_regions(counts.drawn_regions(times))
        if len(stops) > 1:
            own = counts.drawn_parts(times, stops)
            dice = DiceOfMaps.of(own)
            found |= {("maps", "mean_dice"): dice.mean, ("maps", "dice"): dice.of_classes}
        return found

    bounds = intervals(counts.counted, of_draw, options)
    few_squares = {
        "objects": [each.squares for each in counts.objects.values()],
        "regions": [np.count_nonzero(np.diff(each.indptr)) for each in counts.regions.values()],
    }
    few_squares["region_classes"] = few_squares["regions"]
    for (part, _), each in bounds.items():
        if part in few_squares:
            each[:, np.array(few_squares[part]) < FEWEST] = np.nan
    return bounds


def score_bounds(
    counts: ScoreSquares | None, names: Sequence[str], options: Bootstrap
) -> dict[str, Any] | None:
    """Bounds of the figures of scores, or None without scores.

    In each draw the best threshold is that of the draw. The calibration error of a draw is on
    average larger than that of the map, since chance adds to it, so that its bounds lean upwards.

    Args:
        counts: Of the squares.
        names: Of the classes.
        options: How bounds are found.
    """
    if counts is None:
        return None

    def of_draw(times: Times) -> Mapping[tuple[str, str], Any]:
        drawn = counts.drawn(times)
        found: dict[tuple[str, str], Any] = {}
        found |= {("", name): each for name, each in top_figures(drawn).items()}
        found |= {("classes", name): each for name, each in class_figures(drawn).items()}
        return found | {("bins", name): each for name, each in bin_figures(drawn).items()}

    bounds = intervals(counts.counted, of_draw, options)
    block = Distance(options.block.value * counts.larger, options.block.unit)
    of = _by_part(bounds)
    return {
        "block": str(block),
        "blocks": int(np.count_nonzero(counts.counted)),
        **_told(of[""]),
        "classes": _rows(names, of["classes"]),
        "bins": [
            dict(zip(of["bins"], row, strict=True))
            for row in zip(*map(_pairs, of["bins"].values()), strict=True)
        ],
    }


def curve_bounds(counts: ScoreSquares, options: Bootstrap) -> dict[str, Bounds]:
    """(2, classes, LEVELS) bounds of figures over thresholds, class by class to save memory."""
    of_classes = []
    for own in counts.each_class():

        def of_draw(times: Times, own: ScoreSquares = own) -> Mapping[str, Any]:
            thresholds = own.drawn(times).thresholds
            return {name: getattr(thresholds, name)[0].astype(np.float32) for name in CURVES}

        of_classes.append(intervals(counts.counted, of_draw, options))
    return {name: np.stack([each[name] for each in of_classes], axis=1) for name in CURVES}


def count_blocks(counts: SquareCounts, options: Bootstrap) -> int:
    """How many blocks there are to draw from.

    Raises:
        InputError: If there are no two.
    """
    if len(counts) < FEWEST:
        raise InputError(
            f"confidence intervals need several blocks of {options.block}, and all that counts "
            f"lies in {len(counts)}; give a smaller --block"
        )
    return len(counts)


def _regions(
    counts: SquareCounts, names: Sequence[str], of: Mapping[str, Mapping[str, Bounds]]
) -> dict[str, Any] | None:
    """Rows of the regions, and that of the ground outside of all."""
    if not counts.regions:
        return None
    told = {
        region: {
            **_told({figure: each[:, place] for figure, each in of["regions"].items()}),
            "classes": _rows(
                names, {figure: each[:, place] for figure, each in of["region_classes"].items()}
            ),
        }
        for place, region in enumerate(counts.regions)
    }
    outside = told.pop(None)
    return {"rows": [{"name": name, **row} for name, row in told.items()], "outside": outside}


def _per_map(names: Sequence[str], bounds: Mapping[str, Bounds]) -> dict[str, Any] | None:
    if not bounds:
        return None
    own = {"dice": bounds["dice"]}
    return {**_told({"mean_dice": bounds["mean_dice"]}), "classes": _rows(names, own)}


def _by_part(bounds: Mapping[tuple[str, str], Bounds]) -> dict[str, dict[str, Bounds]]:
    """Bounds by what they are of, and by name."""
    parts: dict[str, dict[str, Bounds]] = {}
    for (part, name), each in bounds.items():
        parts.setdefault(part, {})[name] = each
    return parts


def _told(bounds: Mapping[str, Bounds]) -> dict[str, list[float]]:
    """Lower and upper bound of each figure, (2,)."""
    return {name: each.tolist() for name, each in bounds.items()}


def _rows(names: Sequence[str], bounds: Mapping[str, Bounds]) -> list[dict[str, Any]]:
    """A row for each name, of figures that are (2, names)."""
    rows = zip(*map(_pairs, bounds.values()), strict=True)
    return [
        {"name": name, **dict(zip(bounds, row, strict=True))}
        for name, row in zip(names, rows, strict=True)
    ]


def _pairs(bounds: Bounds) -> list[Any]:
    """Lower and upper bounds, (2, ...), beside each other."""
    return np.moveaxis(bounds, 0, -1).tolist()
