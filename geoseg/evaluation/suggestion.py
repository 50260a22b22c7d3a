"""Windows of a class map in which labels would teach a model most, without any reference."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError, InputError, RasterError
from geoseg.evaluation.class_map import ClassMap
from geoseg.evaluation.compare import Watch
from geoseg.labels.confusion import Floats
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.tags import CLASS_MAP, read_tags
from geoseg.options import CALL, aoi_option, option
from geoseg.patches.training_ground import TrainedGround
from geoseg.prediction.scores import (
    Confidence,
    decode_scores,
    refuse_non_scores,
    refuse_untagged_bytes,
)
from geoseg.raster.grid import Grid, Length
from geoseg.raster.paths import GdalName
from geoseg.raster.reader import RasterFile, ReadOptions
from geoseg.raster.tolerant import AlignedRaster
from geoseg.raster.window import Window, blocks

MIN_SHARE = 0.5
"""Share of a window that must have data, and that no training has seen."""

MAX_CLASS_WEIGHT = 10.0
"""Upper bound on how much more an error in a rare class counts."""

LOOK_PX = 64
"""Pixels along a window's side from which the look of its ground is measured."""

PROBABILITY: Confidence = "score"
"""The kind of confidence that says how likely a pixel is right."""

CANDIDATES = 4000
"""Windows among which the diverse ones are looked for: those of the highest values."""


@dataclass(frozen=True, kw_only=True)
class SuggestOptions:
    """Which windows are suggested."""

    ortho: Path | None = option(
        None, group=CALL, help="Orthophoto of the map: windows of different looks are chosen."
    )
    confidence: Path | None = option(
        None,
        group=CALL,
        metavar="RASTER",
        shown="MAP_confidence.tif or MAP_scores.tif",
        help="Confidence or scores of the map, of `predict --confidence score` or `--scores`.",
    )
    windows: int = option(30, min=1, max=100_000, group=CALL, help="Windows to suggest.")
    window_size: Length = option(
        Length(256, "px"),
        group=CALL,
        metavar="256px|30m",
        parse=Length.parse,
        help="Side of a window.",
    )
    aoi: Path | None = aoi_option(CALL)


class Suggestion(NamedTuple):
    """A window that is worth its labels."""

    window: Window
    expected_error: float
    """Mean over its pixels of 1 - confidence."""

    main_class: str
    doubted_class: str
    """The class of most of its pixels, and the one of whose pixels most is to be learnt."""


@dataclass(frozen=True)
class Candidates:
    """Windows of a map, and what is known of them."""

    windows: list[Window]
    counts: NDArray[np.int64]
    """(n, classes) pixels of each class in the map."""

    doubts: Floats
    """(n, classes) sum of 1 - confidence over them."""

    looks: Floats
    """(n, figures) mean and deviation of each band of the orthophoto; none without one."""

    grid: Grid
    """Grid of the map."""

    trained: int = 0
    """Windows left out because a training has seen them."""


def suggest_windows(
    path: Path,
    legend: Legend,
    options: SuggestOptions,
    *,
    watch: Watch = lambda blocks, _: blocks,
) -> tuple[list[Suggestion], Candidates]:
    """Rank windows of a map by what their labels would teach.

    The value of a window is its expected error, the sum of 1 - confidence, in which pixels of
    rare classes count more (by the median frequency of classes over their own). The first window
    has the highest value. Each following one has the highest product of its value and of its
    distance to the nearest one before it, in class shares and in the look of the ground, of which
    more than the median distance between windows is not more.

    Raises:
        InputError: If there is no raster of probabilities, or windows are too large for the map.
        EmptyError: If the map has no window with enough data that no training has seen.
        GridMismatchError: If it is not known where on the map a raster lies.
    """
    found = survey(path, legend, options, watch=watch)
    if not found.windows:
        seen = f" ({found.trained} windows trained its model)" if found.trained else ""
        raise EmptyError(f"{path}: no window has enough data that no training has seen{seen}")
    weights = class_weights(found.counts.sum(axis=0))
    values = found.doubts @ weights / np.maximum(found.counts.sum(axis=1), 1)
    shares = found.counts / np.maximum(found.counts.sum(axis=1, keepdims=True), 1)
    order = rank(values, standardised(np.hstack([shares, found.looks])), options.windows)
    chosen = [
        Suggestion(
            window=found.windows[each],
            expected_error=float(found.doubts[each].sum() / found.counts[each].sum()),
            main_class=legend.names[int(found.counts[each].argmax())],
            doubted_class=legend.names[int((found.doubts[each] * weights).argmax())],
        )
        for each in order
    ]
    return chosen, found


def survey(path: Path, legend: Legend, options: SuggestOptions, *, watch: Watch) -> Candidates:
    """Measure all windows of a map, each read for itself."""
    windows: list[Window] = []
    counts, doubts, looks, seen = [], [], [], 0
    with ClassMap(path, legend, aoi=options.aoi) as class_map:
        grid = class_map.grid
        side = round(options.window_size.in_pixels(grid))
        if min(side, grid.height) * min(side, grid.width) < MIN_SHARE * side**2:
            raise InputError(
                f"{path}: has {grid.width} x {grid.height} px, too few for windows of {side} px: "
                f"give a smaller --window-size"
            )
        trained = TrainedGround.of_map(path, grid)
        sure = _open_confidence(confidence_of(path, options), path, grid, legend)
        ortho = AlignedRaster(options.ortho, grid, resample=True) if options.ortho else None
        every = list(blocks(grid.height, grid.width, rows=side, cols=side))
        for window in watch(every, len(every)):
            labels = class_map.read_counted(window)
            known = labels != IGNORE
            if known.sum() < MIN_SHARE * side**2:
                continue
            if trained is not None and trained.read(window)[known].mean() > 1 - MIN_SHARE:
                seen += 1
                continue
            doubt = 1 - _read_confidence(sure, window)
            windows.append(window)
            counts.append(np.bincount(labels[known], minlength=len(legend)))
            doubts.append(np.bincount(labels[known], doubt[known], minlength=len(legend)))
            looks.append(_look(ortho, window) if ortho else np.zeros(0))
        sure.close()
        if ortho is not None:
            ortho.close()
    classes = len(legend)
    return Candidates(
        windows,
        np.array(counts, np.int64).reshape(-1, classes),
        np.array(doubts, float).reshape(-1, classes),
        np.array(looks, float).reshape(len(windows), -1) if windows else np.zeros((0, 0)),
        grid,
        seen,
    )


def confidence_of(path: Path, options: SuggestOptions) -> Path:
    """The raster that says how sure a map is; of two beside it the one of probabilities.

    Raises:
        InputError: If none is named and none lies beside the map.
    """
    if options.confidence is not None:
        return options.confidence
    beside = [path.with_name(f"{path.stem}_{name}.tif") for name in ("confidence", "scores")]
    there = [*filter(_is_there, beside)]
    if not there:
        raise InputError(
            f"{path}: how sure the map is, is not known: there is neither {beside[0].name} nor "
            f"{beside[1].name}; predict with --confidence score, or name one with --confidence"
        )
    if len(there) > 1 and read_tags(there[0]).get("figure", PROBABILITY) != PROBABILITY:
        return there[1]
    return there[0]


def _open_confidence(path: Path, class_map: Path, grid: Grid, legend: Legend) -> AlignedRaster:
    """The raster of confidence or scores on the grid of a map.

    Raises:
        InputError: If it holds no probabilities, or those of another map.
    """
    tags = read_tags(path)
    made, map_made = (each.get("provenance", {}) for each in (tags, read_tags(class_map)))
    if others := sorted(name for name in made if map_made.get(name, made[name]) != made[name]):
        raise InputError(
            f"{path}: was made of something else than {class_map} ({', '.join(others)}): predict "
            f"both together"
        )
    if (figure := tags.get("figure", PROBABILITY)) != PROBABILITY:
        raise InputError(
            f"{path}: holds {figure}, from which no error can be expected: predict with "
            f"--confidence {PROBABILITY}, or name scores of `predict --scores` with --confidence"
        )
    with ExitStack() as stack:
        raster = AlignedRaster(path, grid, palette_index=True, resample=True)
        stack.callback(raster.close)
        is_map = raster.has_palette or tags.get("kind") == CLASS_MAP
        if is_map or raster.bands not in {1, len(legend)}:
            what = "a class map" if is_map else f"a raster of {raster.bands} bands"
            raise InputError(
                f"{path}: is {what}, neither confidence of one band nor scores of {len(legend)} "
                f"classes: name that of `predict --confidence {PROBABILITY}`"
            )
        if raster.bands == 1:
            refuse_untagged_bytes(path, raster.dtype, tags)
        stack.pop_all()
    return raster


def _is_there(path: Path) -> bool:
    """Whether there is such a raster; on a server or in an archive only opening it tells."""
    if not isinstance(path, GdalName):
        return path.is_file()
    try:
        RasterFile(path, ReadOptions()).close()
    except RasterError:
        return False
    return True


def _read_confidence(raster: AlignedRaster, window: Window) -> Floats:
    """(height, width) confidence 0..1, 1 being certain; where it is not known, it is 1."""
    image, valid = raster.read(window)
    own = decode_scores(image) if image.dtype == np.uint8 else np.asarray(image, np.float32)
    top = np.where(valid, own.max(axis=0), np.float32(1))  # of scores that of the class
    refuse_non_scores(top, raster.path)
    return np.asarray(top, float)


def _look(ortho: AlignedRaster, window: Window) -> Floats:
    """(2 x bands,) mean and deviation of the bands of a window."""
    step = max(window.height // LOOK_PX, 1)
    image, valid = ortho.read(window, step)
    pixels = image[:, valid].astype(float)
    if not pixels.size:
        return np.zeros(2 * len(image))
    return np.concatenate([pixels.mean(axis=1), pixels.std(axis=1)])


def class_weights(mapped: NDArray[np.int64]) -> Floats:
    """(classes,) median frequency of the classes of a map over their own, bounded.

    >>> class_weights(np.array([900, 90, 9, 0])).round(2).tolist()
    [0.1, 1.0, 10.0, 0.0]
    """
    present = mapped > 0
    middle = float(np.median(mapped[present])) if present.any() else 0.0
    weights = np.where(present, middle / np.maximum(mapped, 1), 0.0)
    return np.clip(weights, 0, MAX_CLASS_WEIGHT)


def standardised(figures: Floats) -> Floats:
    """(n, figures) with a deviation of 1 over all windows; those that do not vary are 0."""
    spread = figures.std(axis=0)
    scaled: Floats = (figures - figures.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return scaled


def rank(values: Floats, features: Floats, count: int) -> list[int]:
    """Numbers of windows, the one worth most first; see `suggest_windows`.

    Args:
        values: (n,) value of each.
        features: (n, figures) by which they are alike or not.
        count: How many at most.

    >>> rank(np.array([3.0, 2.9, 1.0]), np.array([[0.0], [0.1], [5.0]]), 3)
    [0, 2, 1]
    """
    likely = np.argsort(-values, kind="stable")[: max(CANDIDATES, count)]
    values, features = values[likely], features[likely]
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, len(values), (2, 10_000))
    apart = np.linalg.norm(features[pairs[0]] - features[pairs[1]], axis=1)
    usual = float(np.median(apart[apart > 0])) if (apart > 0).any() else 1.0
    nearest, left = np.ones(len(values)), np.ones(len(values), np.bool_)
    chosen: list[int] = []
    while len(chosen) < count and left.any():
        # alike to the last detail is still worth a little: labels of the second are labels, too
        worth = np.where(left, values * np.maximum(nearest, 1e-3), -1)
        best = int(worth.argmax())
        chosen.append(best)
        left[best] = False
        distance = np.linalg.norm(features - features[best], axis=1) / usual
        nearest = np.minimum(nearest, distance)
    return [int(likely[each]) for each in chosen]
