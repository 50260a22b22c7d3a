"""Scores of a class map, as ``geoseg predict --scores`` writes them, and thresholds of classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import BundleError, InputError, LegendError, RasterError, issue_warning
from geoseg.labels.legend import IGNORE
from geoseg.labels.tags import CONFIDENCE, SCORES
from geoseg.text import exact, named_number, short_list

if TYPE_CHECKING:
    from geoseg.model.bundle import ModelBundle

SCORE_STEPS = 254
"""A stored score of 254 means 1.0."""

SCORE_NODATA = 255
"""Stored where the orthophoto had no data."""

CACHED_PX = 1 << 15
"""Pixels that are classified at a time, so that they stay in the processor's cache."""

Confidence = Literal["score", "margin", "entropy", "disagreement"]
"""Top score, distance of the two top scores, 1 - entropy / log(classes), or 1 - deviation of the
windows and views that show a pixel: 1 is certain."""

DISAGREEMENT: Confidence = "disagreement"
"""The kind that needs a band more than the classes: the mean of the sums of squared scores."""


AUTO = "auto"
"""Word for the thresholds of the model itself."""


@dataclass(frozen=True)
class Threshold:
    """Score from which on a class is taken where one other class has the rest."""

    name: str
    value: float

    def __str__(self) -> str:
        return f"{self.name}={exact(self.value)}"

    @classmethod
    def parse(cls, text: str) -> Self | Literal["auto"]:
        """Read ``CLASS=SCORE``, or ``auto``.

        Raises:
            ValueError: If it is neither.

        >>> str(Threshold.parse("building = .35"))
        'building=0.35'
        """
        if text.strip().lower() == AUTO:
            return "auto"
        name, value = named_number(text)
        if not name or not 0 < value < 1:
            raise ValueError(f"{text!r} is neither auto nor CLASS=SCORE, such as building=0.35")
        return cls(name, value)


def chosen_thresholds(
    given: Sequence[Threshold | Literal["auto"]], bundle: "ModelBundle | None"
) -> tuple[Threshold, ...]:
    """Thresholds of a map; ``auto`` are those of its model.

    Raises:
        InputError: If ``auto`` stands with others, or there is no model.
        BundleError: If the model has none.
        LegendError: If one is of a class that the model does not know.
    """
    named = tuple(each for each in given if isinstance(each, Threshold))
    if len(named) < len(given):
        if len(given) > 1:
            raise InputError("--threshold auto: goes with no other")
        if bundle is None:
            raise InputError("--threshold auto: asks a model; name classes and scores instead")
        if bundle.thresholds is None:
            raise BundleError(
                f"--threshold auto: {bundle.folder} has no thresholds of its own; a single model "
                f"that `geoseg train` has validated does; name classes and scores instead"
            )
        named = tuple(Threshold(*each) for each in bundle.thresholds.items())
        if not named:
            issue_warning(
                f"--threshold auto: none gained enough on the validation ground of "
                f"{bundle.folder}; classes are those of the highest score"
            )
    if bundle is not None:
        threshold_factors(bundle.legend.names, named)
    return named


def threshold_factors(
    names: Sequence[str], thresholds: Sequence[Threshold]
) -> NDArray[np.float32] | None:
    """(classes,) factors (1 - t) / t of scores, whose highest product is the class of a pixel.

    A class without a threshold has t = 1/2, so that without any it is the highest score.

    Args:
        names: (classes,) names.
        thresholds: Of some of them; empty: the factors are None.

    Raises:
        LegendError: If there is no class of a name.
        InputError: If a class has two thresholds, or both of two classes have one.

    >>> threshold_factors(["other", "building"], [Threshold("building", 0.2)]).tolist()
    [1.0, 4.0]
    """
    if not thresholds:
        return None
    by_name = {each.name: each.value for each in thresholds}
    for name in by_name:
        if name not in names:
            raise LegendError(
                f"--threshold {name}: there is no such class; they are {short_list(names)}"
            )
    if len(by_name) < len(thresholds):
        raise InputError("--threshold: one for each class, and no class twice")
    if len(by_name) == len(names):
        raise InputError("--threshold: leave one class without, which others are held against")
    found = np.array([by_name.get(name, 0.5) for name in names])
    return ((1 - found) / found).astype(np.float32)


def classify(
    scores: NDArray[np.float32],
    valid: NDArray[np.bool_],
    factors: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """The class with the highest score, the first of equals; `IGNORE` where not valid.

    Args:
        scores: (classes, height, width).
        valid: (height, width) bool, True where the orthophoto had data.
        factors: (classes,) what scores are multiplied by first; None: they are not.

    Returns:
        (height, width) class indices.
    """

    def weighed(index: int, few: slice) -> NDArray[np.float32]:
        own = scores[index, few]
        return own if factors is None else own * factors[index]

    best = np.zeros(valid.shape, np.uint8)
    rows = max(CACHED_PX // max(valid.shape[1], 1), 1)
    for start in range(0, len(best), rows):
        few = slice(start, start + rows)
        top = weighed(0, few).copy()
        for index in range(1, len(scores)):
            own = weighed(index, few)
            better = own > top
            np.maximum(best[few], better.view(np.uint8) * np.uint8(index), out=best[few])
            np.maximum(top, own, out=top)
    best[~valid] = IGNORE
    return best


def encode_scores(scores: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Quantise scores for storage; `decode_scores` is its inverse.

    Args:
        scores: (classes, height, width) float, 0..1.
        valid: (height, width) bool, True where the orthophoto had data.

    Returns:
        (classes, height, width) uint8; off by at most 1/508 once decoded.
    """
    stored = np.rint(scores * SCORE_STEPS).astype(np.uint8)
    return np.where(valid, stored, np.uint8(SCORE_NODATA))


def decode_scores(stored: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scores 0..1 from their stored form; where `SCORE_NODATA` was stored they mean nothing.

    Args:
        stored: (classes, height, width) uint8.

    Returns:
        (classes, height, width) float32.
    """
    return stored * np.float32(1 / SCORE_STEPS)


def confidence(scores: NDArray[np.float32], kind: Confidence) -> NDArray[np.float32]:
    """How certain the class of each pixel is, 0..1.

    Args:
        scores: (classes, height, width) float, 0..1, summing to 1 over the classes, or nearly; for
            `DISAGREEMENT` with the band of `WithSquares` behind them.
        kind: Which figure.

    Returns:
        (height, width) float32; NaN where that band is.
    """
    if kind == DISAGREEMENT:
        scores, squares = scores[:-1], scores[-1]
        variance = squares - np.einsum("chw,chw->hw", scores, scores)
        return np.asarray(1 - np.sqrt(np.maximum(variance, 0)), np.float32)
    if kind == "score":
        return scores.max(axis=0)
    if kind == "margin":
        second, first = np.partition(scores, -2, axis=0)[-2:] if len(scores) > 1 else (0, scores[0])
        return np.asarray(first - second, np.float32)
    tiny = np.finfo(np.float32).tiny
    total = scores.sum(axis=0)  # of stored scores, or foreign ones, not always 1
    surprise = -(scores * np.log(np.maximum(scores, tiny))).sum(axis=0) / np.maximum(total, tiny)
    figure = 1 - (surprise + np.log(np.maximum(total, tiny))) / np.log(max(len(scores), 2))
    return np.asarray(np.where(total > 0, np.clip(figure, 0, 1), 0), np.float32)


SCORE_TOLERANCE = 1e-3
"""By how much a score may miss 0..1, as sums of floats do."""


def refuse_non_scores(scores: NDArray[np.float32], path: Path) -> None:
    """See that pixels hold scores.

    Args:
        scores: Any shape; 0 without data.
        path: Where they come from.

    Raises:
        RasterError: If one is not from 0 to 1, as 255 in bytes that are not score x 254.
    """
    if (lowest := scores.min()) < -SCORE_TOLERANCE or (
        highest := scores.max()
    ) > 1 + SCORE_TOLERANCE:
        found = lowest if lowest < -SCORE_TOLERANCE else highest
        raise RasterError(f"{path}: holds {found:g}, and scores are from 0 to 1 (bytes: x 254)")


def refuse_untagged_bytes(path: Path, dtype: Any, tags: Mapping[str, Any]) -> None:
    """See that a band of bytes is confidence: those of a class map, or of anything, look like it.

    Args:
        path: The raster.
        dtype: Type of its pixels.
        tags: What it says of itself, of `read_tags`.

    Raises:
        RasterError: If it does not say so.
    """
    if dtype == np.uint8 and tags.get("kind") not in (CONFIDENCE, SCORES):
        raise RasterError(
            f"{path}: is a band of bytes that does not say it is confidence; name what `geoseg "
            f"predict --confidence` writes, or floats from 0 to 1"
        )
