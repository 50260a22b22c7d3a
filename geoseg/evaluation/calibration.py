"""Scores: calibration, and metrics over score thresholds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError, GridMismatchError, InputError, RasterError
from geoseg.labels.confusion import (
    Additive,
    ConfusionMatrix,
    Floats,
    divide,
    mean_where,
    rows_of,
)
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import class_bands
from geoseg.prediction.scores import SCORE_STEPS, decode_scores, refuse_non_scores
from geoseg.raster.grid import Grid
from geoseg.raster.reader import Pixels, RasterReader
from geoseg.raster.statistics import histogram
from geoseg.raster.window import Window

CHUNK_PIXELS = 1 << 18
"""Pixels whose scores are counted at a time, so that they stay in the processor's cache."""

BINS = 15
"""Number of equal bins of the top score; 15 is customary."""


@dataclass(frozen=True, eq=False)
class Reliability(Additive):
    """Pixels in bins of their top score, which add up over blocks and maps.

    A score of 0.8 means what it says if 80 % of the pixels that have it are right. Bins are
    open below and closed above; a score of 0 is in the first.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, ICML, equations 2 to 5.
    """

    pixels: NDArray[np.int64]
    """(bins,) pixels."""

    right: NDArray[np.int64]
    """(bins,) of these, whose class is right."""

    score_sum: Floats
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

    @property
    def edges(self) -> Floats:
        """(bins + 1,) where bins begin and end."""
        return np.linspace(0, 1, len(self.pixels) + 1)

    @property
    def mean_score(self) -> Floats:
        """(bins,) mean top score; NaN for an empty bin."""
        return divide(self.score_sum, self.pixels)

    @property
    def accuracy(self) -> Floats:
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

    @property
    def mean_top_score(self) -> float:
        """Mean over all pixels; 0 without pixels."""
        return float(self.score_sum.sum() / max(self.pixels.sum(), 1))

    @property
    def accuracy_of_top_score(self) -> float:
        """Share of all pixels that are right; 0 without pixels."""
        return float(self.right.sum() / max(self.pixels.sum(), 1))


LEVELS = SCORE_STEPS + 1
"""Score levels that are counted: those that are stored, 0/254 to 254/254."""

LEVEL_TOLERANCE = 1e-4
"""Share of a level by which a decoded score may be too low: the rounding error of float32."""

Counts = NDArray[np.int64]


def score_levels(scores: NDArray[Any]) -> NDArray[np.uint8]:
    """The highest level that each score reaches.

    >>> score_levels(np.array([0.0, 0.5, 0.999, 1.0], np.float32)).tolist()
    [0, 127, 253, 254]
    """
    return (scores * np.float32(SCORE_STEPS) + np.float32(LEVEL_TOLERANCE)).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class ThresholdCounts(Additive):
    """Pixels by class and by the level of that class's score, which add up over blocks and maps.

    Metrics are exact for every threshold that is a level: a pixel has the class if
    its score is at least the threshold, whatever the other classes score.
    """

    inside: Counts
    """(classes, LEVELS) pixels that have the class in the reference."""

    outside: Counts
    """(classes, LEVELS) pixels that have another class there."""

    @classmethod
    def zeros(cls, classes: int) -> Self:
        """Nothing counted yet."""
        return cls(*(np.zeros((classes, LEVELS), np.int64) for _ in range(2)))

    @classmethod
    def count(cls, scores: NDArray[Any], reference: NDArray[np.uint8]) -> Self:
        """Count pixels.

        Args:
            scores: (classes, n) 0..1.
            reference: (n,) class indices.
        """
        inside, outside = [], []
        for index, levels in enumerate(map(score_levels, scores)):
            own = reference == index
            inside.append(histogram(levels[own])[:LEVELS])
            outside.append(histogram(levels[~own])[:LEVELS])
        return cls(np.array(inside), np.array(outside))

    @property
    def thresholds(self) -> Floats:
        """(LEVELS,) from 0 to 1."""
        return np.arange(LEVELS) / SCORE_STEPS

    @property
    def support(self) -> Counts:
        """(classes,) pixels of each class in the reference."""
        return self.inside.sum(axis=1)

    @property
    def hits(self) -> Counts:
        """(classes, LEVELS) pixels of the class from each threshold on."""
        return self.inside[:, ::-1].cumsum(axis=1)[:, ::-1]

    @property
    def false_alarms(self) -> Counts:
        """(classes, LEVELS) pixels of other classes from each threshold on."""
        return self.outside[:, ::-1].cumsum(axis=1)[:, ::-1]

    @property
    def precision(self) -> Floats:
        """(classes, LEVELS) NaN where no pixel reaches the threshold."""
        return divide(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> Floats:
        """(classes, LEVELS) NaN for a class that is not in the reference."""
        return divide(self.hits, self.support[:, None])

    @property
    def f1(self) -> Floats:
        """(classes, LEVELS) NaN where the class is neither found nor there."""
        return divide(2 * self.hits, self.hits + self.false_alarms + self.support[:, None])

    @property
    def iou(self) -> Floats:
        """(classes, LEVELS) NaN where the class is neither found nor there."""
        return divide(self.hits, self.false_alarms + self.support[:, None])

    @property
    def average_precision(self) -> Floats:
        """(classes,) area under precision over recall, in steps; NaN for a class not there.

        Source: as scikit-learn's ``average_precision_score``.
        """
        steps = divide(self.inside, self.support[:, None])
        return np.where(
            self.support > 0, (steps * np.nan_to_num(self.precision)).sum(axis=1), np.nan
        )

    @property
    def mean_average_precision(self) -> float:
        """Mean of `average_precision` over the classes present in the reference."""
        return mean_where(self.average_precision, self.support > 0)

    @property
    def best(self) -> NDArray[np.int64]:
        """(classes,) level at which F1 and IoU are highest; `IGNORE` for a class not there.

        Of levels that are equally good the middle one, as the farthest from all that is worse.
        """
        f1 = np.nan_to_num(self.f1)
        levels = [np.flatnonzero(row == row.max()) for row in f1]
        middle = np.array([each[(len(each) - 1) // 2] for each in levels])
        return np.where(self.support > 0, middle, IGNORE)


FLOAT_TOLERANCE = 1e-6
ROUNDED_TOLERANCE = 1 / SCORE_STEPS + FLOAT_TOLERANCE
"""Difference up to which scores are equal, of floats and of those that are stored in bytes."""


@dataclass(frozen=True, eq=False)
class ScoreCounts(Additive):
    """Pixels known to map, reference and scores, which add up over blocks and maps."""

    reliability: Reliability
    thresholds: ThresholdCounts
    by_score: ConfusionMatrix
    """Of the class that scores best, whatever the map has."""

    without_scores: int = 0
    """Pixels known to map and reference but without scores."""

    other_class: int = 0
    """Pixels whose class in the map does not have the best score."""

    @classmethod
    def zeros(cls, classes: int) -> Self:
        """Nothing counted yet."""
        zeros = Reliability.zeros(), ThresholdCounts.zeros(classes), ConfusionMatrix.zeros(classes)
        return cls(*zeros)

    @classmethod
    def count(
        cls,
        reference: NDArray[np.uint8],
        predicted: NDArray[np.uint8],
        scores: NDArray[np.float32],
        *,
        valid: NDArray[np.bool_],
        tolerance: float = ROUNDED_TOLERANCE,
    ) -> Self:
        """Count pixels.

        A pixel is right if the class with the best score is the reference's. Of classes that
        score the same it is the map's, which knew the scores before they were rounded.

        Args:
            reference: (height, width) class indices; `IGNORE` where there is none.
            predicted: The same of the map.
            scores: (classes, height, width) 0..1.
            valid: (height, width) bool, True where there are scores.
            tolerance: Difference up to which scores are equal.
        """
        both = (reference != IGNORE) & (predicted != IGNORE)
        known = both & valid
        own = np.stack([band[known] for band in scores])
        truth, found = reference[known], predicted[known]
        top, of_map = own.max(axis=0), own[found, np.arange(len(found))]
        best, others = found.copy(), of_map < top - np.float32(tolerance)
        best[others] = own[:, others].argmax(axis=0)
        return cls(
            Reliability.count(top, best == truth),
            ThresholdCounts.count(own, truth),
            ConfusionMatrix.count(truth, best, valid=np.ones(len(best), bool), classes=len(own)),
            without_scores=int(np.count_nonzero(both & ~valid)),
            other_class=int(np.count_nonzero(best != found)),
        )

    @property
    def pixels(self) -> int:
        """Pixels counted."""
        return int(self.reliability.pixels.sum())


CURVES = ("precision", "recall", "f1", "iou")
"""Metrics of a class over thresholds."""


def best_metrics(thresholds: ThresholdCounts) -> dict[str, Floats]:
    """(classes,) average precision, and the threshold of the highest F1 with its metrics."""
    levels = thresholds.best
    present = levels != IGNORE
    places = np.arange(len(levels)), np.where(present, levels, 0)
    best = {name: getattr(thresholds, name)[places] for name in CURVES}
    return {
        "average_precision": thresholds.average_precision,
        "best_threshold": np.where(present, thresholds.thresholds[places[1]], np.nan),
        **{f"best_{name}": np.where(present, each, np.nan) for name, each in best.items()},
    }


def calibration_rows(reliability: Reliability) -> list[dict[str, Any]]:
    """A row for each bin of the top score."""
    columns = {
        "above": reliability.edges[:-1],
        "up_to": reliability.edges[1:],
        "pixels": reliability.pixels,
        "mean_score": reliability.mean_score,
        "accuracy": reliability.accuracy,
    }
    return rows_of(columns)


def threshold_rows(thresholds: ThresholdCounts, legend: Legend) -> list[dict[str, Any]]:
    """A row for each class and threshold."""
    metrics = {name: getattr(thresholds, name) for name in CURVES}
    hits, false_alarms = thresholds.hits, thresholds.false_alarms
    return [
        {
            "class": name,
            "threshold": round(threshold, 6),
            "hits": int(hits[index, level]),
            "false_alarms": int(false_alarms[index, level]),
            "misses": int(thresholds.support[index] - hits[index, level]),
            **{metric: float(values[index, level]) for metric, values in metrics.items()},
        }
        for index, name in enumerate(legend.names)
        for level, threshold in enumerate(thresholds.thresholds.tolist())
    ]


class ScoreMap:
    """Scores open for reading in windows of a class map's grid, a band per class.

    Bands are told by their names if these are the classes', and by their order if they have
    none. Scores of classes that a legend map merges are added up. The file holds uint8 (score
    x 254, 255 without data) or floats 0..1.

    Raises:
        GridMismatchError: If they lie on another grid than the class map.
        InputError: If they are of other classes.
        RasterError: If the file cannot be read, or holds no scores.
    """

    def __init__(self, path: Path, legend: Legend, grid: Grid) -> None:
        self.path = path
        self._classes = len(legend)
        self._reader = RasterReader(path, palette_index=True)
        rounded = self._reader.dtype == np.uint8
        self._tolerance = ROUNDED_TOLERANCE if rounded else FLOAT_TOLERANCE
        try:
            self._indices = self._match(legend)
            self._window = self._place(grid)
        except (GridMismatchError, InputError, EmptyError):
            self.close()
            raise

    def _match(self, legend: Legend) -> list[int]:
        """The class of each band; `IGNORE` for one that is left out."""
        names = list(self._reader.band_names)
        known = list(legend.of_map.names)
        if self._reader.dtype != np.uint8 and self._reader.dtype.kind != "f":
            raise RasterError(f"{self.path}: scores are uint8 or floats, not {self._reader.dtype}")
        if len(names) != len(known):
            raise InputError(
                f"{self.path}: has {len(names)} bands, and the map's classes are {known}; "
                f"scores have a band for each"
            )
        bands = class_bands(names, known)
        if bands is None:
            raise InputError(
                f"{self.path}: holds scores of {names}, and the map's classes are {known}"
            )
        by_band = zip(bands, legend.indices_of_map.tolist(), strict=True)
        return [index for _, index in sorted(by_band)]

    def _place(self, grid: Grid) -> Window:
        own = self._reader.grid
        if not own.is_georeferenced and (own.height, own.width) == (grid.height, grid.width):
            return grid.window
        try:
            window = own.window_of(grid)
        except GridMismatchError as error:
            raise GridMismatchError(f"{self.path}: not on the grid of the map: {error}") from error
        if window.clip(own.height, own.width) is None:
            raise EmptyError(f"{self.path}: does not overlap the map")
        return window

    def read(self, window: Window) -> Pixels:
        """(classes, height, width) float32 scores, and where there are any.

        Raises:
            RasterError: If a value is no score.
        """
        scores = np.zeros((self._classes, window.height, window.width), np.float32)
        valid = np.zeros((window.height, window.width), np.bool_)
        wanted = window.moved(self._window.row_off, self._window.col_off)
        inside = wanted.clip(self._reader.grid.height, self._reader.grid.width)
        if inside is not None:
            place = inside.relative_to(wanted).slices
            image, valid[place] = self._reader.read(inside)
            part = scores[:, *place]
            scaled = (
                decode_scores(image)
                if image.dtype == np.uint8
                else image.astype(np.float32, copy=False)
            )
            for index, band in zip(self._indices, scaled, strict=True):
                if index != IGNORE:
                    part[index] += band
        np.copyto(scores, 0, where=~valid)
        refuse_non_scores(scores, self.path)
        return Pixels(scores.clip(max=1, out=scores), valid)

    @property
    def zeros(self) -> ScoreCounts:
        """Nothing counted yet."""
        return ScoreCounts.zeros(self._classes)

    def count(
        self, window: Window, reference: NDArray[np.uint8], predicted: NDArray[np.uint8]
    ) -> ScoreCounts:
        """Counts of a window, from (height, width) class indices of the reference and the map."""
        scores, valid = self.read(window)
        total, step = self.zeros, max(CHUNK_PIXELS // window.width, 1)
        for start in range(0, window.height, step):
            rows = slice(start, start + step)
            total += ScoreCounts.count(
                reference[rows],
                predicted[rows],
                scores[:, rows],
                valid=valid[rows],
                tolerance=self._tolerance,
            )
        return total

    def close(self) -> None:
        """Release files."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
