"""Scores of a class map, as ``geoseg predict --scores`` writes them."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import RasterError
from geoseg.labels.legend import IGNORE

SCORE_STEPS = 254
"""A stored score of 254 means 1.0."""

SCORE_NODATA = 255
"""Stored where the orthophoto had no data."""

CACHED_PX = 1 << 15
"""Pixels that are classified at a time, so that they stay in the processor's cache."""

Confidence = Literal["score", "margin", "entropy"]
"""Top score, distance of the two top scores, or 1 - entropy / log(classes): 1 is certain."""


def classify(scores: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The class with the highest score, the first of equals; `IGNORE` where not valid.

    Args:
        scores: (classes, height, width).
        valid: (height, width) bool, True where the orthophoto had data.

    Returns:
        (height, width) class indices.
    """
    best = np.zeros(valid.shape, np.uint8)
    rows = max(CACHED_PX // max(valid.shape[1], 1), 1)
    for start in range(0, len(best), rows):
        few = slice(start, start + rows)
        top = scores[0, few].copy()
        for index in range(1, len(scores)):
            better = scores[index, few] > top
            np.maximum(best[few], better.view(np.uint8) * np.uint8(index), out=best[few])
            np.maximum(top, scores[index, few], out=top)
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
        scores: (classes, height, width) float, 0..1, summing to 1 over the classes.
        kind: Which figure.

    Returns:
        (height, width) float32.
    """
    if kind == "score":
        return scores.max(axis=0)
    if kind == "margin":
        second, first = np.partition(scores, -2, axis=0)[-2:] if len(scores) > 1 else (0, scores[0])
        return np.asarray(first - second, np.float32)
    tiny = np.finfo(np.float32).tiny
    entropy = -(scores * np.log(np.maximum(scores, tiny))).sum(axis=0)
    return np.asarray(1 - entropy / np.log(max(len(scores), 2)), np.float32)


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
