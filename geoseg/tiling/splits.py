"""Which windows are for training, validation and testing, so that no ground is in two."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geoseg.core.blocks import Boxes, touched_blocks
from geoseg.core.grid import Grid, same_crs
from geoseg.core.window import Window
from geoseg.errors import EmptyError
from geoseg.io.patch_record import SPLITS

TRAIN, VAL, TEST = range(len(SPLITS))
DROPPED = -1
"""Windows on the border between splits."""

DRAWS = 300
"""Random divisions of the blocks, of which the one with the fairest shares is taken."""


@dataclass(frozen=True)
class Ground:
    """Where the kept windows of all sources lie, in one frame, and what is on them."""

    boxes: Boxes
    """(n, 4), in pixels of the first raster."""

    frames: NDArray[np.int64]
    """(n,) windows of different frames share no ground."""

    classes: NDArray[np.float64]
    """(n, classes) shares."""


def split_by_blocks(
    ground: Ground, *, block: int, shares: tuple[float, float], seed: int
) -> NDArray[np.int64]:
    """Divide the ground into square blocks and the blocks into splits.

    Of `DRAWS` random divisions the one is taken whose sizes and classes come closest to
    what is wanted. A window that touches blocks of different splits is dropped.

    Args:
        ground: The windows.
        block: Side of a block, in pixels.
        shares: Of validation and of testing, 0..1.
        seed: Of the random divisions.

    Returns:
        (n,) `TRAIN`, `VAL`, `TEST` or `DROPPED`.

    Raises:
        EmptyError: If a split gets no window.
    """
    if (best := _fairest(ground, block, shares, seed)) is not None:
        return best
    blocks = touched_blocks(ground.boxes, ground.frames, block)[1]
    smaller = (block >> halvings for halvings in range(1, block.bit_length()))
    cure = next((each for each in smaller if _fairest(ground, each, shares, seed) is not None), 0)
    raise EmptyError(
        f"the windows cannot be divided: they lie in {blocks} block(s) of {block} px; use "
        f"{f'--split-block {cure}, or ' if cure else ''}a smaller --patch-size, or --split none "
        f"for training alone"
    )


def _fairest(
    ground: Ground, block: int, shares: tuple[float, float], seed: int
) -> NDArray[np.int64] | None:
    """The best of `DRAWS` divisions; None if in each of them a split gets no window."""
    touched, blocks = touched_blocks(ground.boxes, ground.frames, block)
    wanted = np.array([1 - sum(shares), *shares])
    rng = np.random.default_rng(seed)
    draws = (_draw(blocks, wanted, rng)[touched] for _ in range(DRAWS))
    best = min(map(_agreed, draws), key=lambda splits: _unfairness(splits, ground.classes, wanted))
    return None if np.isinf(_unfairness(best, ground.classes, wanted)) else best


def split_at_random(count: int, shares: tuple[float, float], seed: int) -> NDArray[np.int64]:
    """Divide windows without regard to where they lie.

    Returns:
        (n,) `TRAIN`, `VAL` or `TEST`.
    """
    order = np.random.default_rng(seed).permutation(count)
    val, test = (round(count * share) for share in shares)
    splits = np.full(count, TRAIN)
    splits[order[:val]] = VAL
    splits[order[val : val + test]] = TEST
    return splits


def boxes_in_frame(windows: Sequence[Window], grid: Grid, frame: Grid) -> Boxes:
    """Windows of one raster in pixels of another, whatever the CRS; never too small."""
    rows = np.array([[w.row_off, w.row_off, w.row_stop, w.row_stop] for w in windows], float)
    cols = np.array([[w.col_off, w.col_stop, w.col_stop, w.col_off] for w in windows], float)
    if grid == frame:
        return np.stack([rows[:, 0], cols[:, 0], rows[:, 2], cols[:, 1]], axis=1)
    xs, ys = _apply(grid.transform, cols, rows)
    margin = 0
    if grid.crs and frame.crs and not same_crs(grid.crs, frame.crs):
        from pyproj import Transformer

        into = Transformer.from_crs(grid.crs.to_wkt(), frame.crs.to_wkt(), always_xy=True)
        xs, ys = into.transform(xs, ys)
        margin = 1  # the edges between the corners may bulge
    cols, rows = _apply(~frame.transform, np.asarray(xs), np.asarray(ys))
    low = np.stack([rows.min(axis=1), cols.min(axis=1)], axis=1) - margin
    high = np.stack([rows.max(axis=1), cols.max(axis=1)], axis=1) + margin
    return np.concatenate([low, high], axis=1)


def shared_share(boxes: Boxes, frames: NDArray[np.int64], splits: NDArray[np.int64]) -> float:
    """Share of the ground of validation and testing that training windows cover as well.

    Exact: the borders of all windows cut the ground into cells, each of one kind.
    """
    shared = total = 0.0
    for frame in np.unique(frames):
        here = frames == frame
        rows = np.unique(boxes[here][:, (0, 2)])
        cols = np.unique(boxes[here][:, (1, 3)])
        covered = np.zeros((2, len(rows), len(cols)), np.bool_)
        for box, split in zip(boxes[here], splits[here], strict=True):
            top, bottom = np.searchsorted(rows, box[[0, 2]])
            left, right = np.searchsorted(cols, box[[1, 3]])
            covered[int(split != TRAIN), top:bottom, left:right] = True
        areas = np.outer(np.diff(rows, append=rows[-1]), np.diff(cols, append=cols[-1]))
        shared += areas[covered[0] & covered[1]].sum()
        total += areas[covered[1]].sum()
    return shared / total if total else 0.0


def _apply(
    transform: Affine, across: NDArray[np.float64], down: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A transform of many coordinates."""
    a, b, c, d, e, f = transform[:6]
    return a * across + b * down + c, d * across + e * down + f


def _draw(blocks: int, wanted: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal blocks in random order; each split that is wanted gets one at least.

    How many is random too: windows on borders are lost, so more blocks may come closer.

    Returns:
        (blocks,) split of each.
    """
    splits = np.full(blocks, TRAIN)
    order = rng.permutation(blocks)
    start = 0
    for split in np.flatnonzero(wanted[1:]) + 1:
        stop = start + max(round(blocks * wanted[split] * rng.uniform(0.75, 2)), 1)
        splits[order[start:stop]] = split
        start = stop
    return splits


def _agreed(splits: NDArray[np.int64]) -> NDArray[np.int64]:
    """The split that all touched blocks of a window share, or `DROPPED`.

    Args:
        splits: (n, most) of the blocks that each window touches.

    Returns:
        (n,).
    """
    same = (splits == splits[:, :1]).all(axis=1)
    return np.where(same, splits[:, 0], DROPPED)


def _unfairness(
    splits: NDArray[np.int64], classes: NDArray[np.float64], wanted: NDArray[np.float64]
) -> float:
    """How far sizes and classes of the splits are from what is wanted; 0 is perfect.

    Args:
        splits: (n,) of each window.
        classes: (n, classes) what is on it.
        wanted: (splits,) shares.
    """
    overall = classes.sum(axis=0)
    kept = max(int(np.count_nonzero(splits != DROPPED)), 1)
    unfair = 1 - kept / len(splits)
    for split in np.flatnonzero(wanted):
        here = splits == split
        if not here.any():
            return np.inf
        own = classes[here].sum(axis=0)
        unfair += abs(np.count_nonzero(here) / kept / wanted[split] - 1)
        unfair += np.abs(own / own.sum() - overall / overall.sum()).sum()
        unfair += np.count_nonzero((own == 0) & (overall > 0))
    return float(unfair)
