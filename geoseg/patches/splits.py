"""Which windows are for training, validation and testing, so that no ground is in two."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geoseg.errors import EmptyError
from geoseg.patches.extract import SourceSurvey
from geoseg.patches.index import FOOTPRINTS, LAYER
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import SPLITS, Split, TileOptions
from geoseg.raster.grid import Grid, missing_transform, same_crs
from geoseg.raster.vector import read_layer
from geoseg.raster.window import Window

Boxes = NDArray[np.float64]
"""(n, 4): first row, first column, last row, last column, ends exclusive, in pixels."""

Block = tuple[int, int, int]
"""Frame, row and column of a block."""

MIN_BLOCKS = 20
"""With fewer blocks than this, smaller ones are taken by default."""

EDGE_TOLERANCE_PX = 1e-6
"""Pixels by which a window may stand over the edge of a block."""


def default_block(boxes: Boxes, frames: NDArray[np.int64], patch_size: int) -> int:
    """Four patches, or two if four would give few blocks; in pixels."""
    blocks = set(home_blocks(boxes, frames, 4 * patch_size))
    return (4 if len(blocks) >= MIN_BLOCKS else 2) * patch_size


def home_blocks(boxes: Boxes, frames: NDArray[np.int64], block: int) -> list[Block]:
    """The block in which the centre of each window lies; arguments as of `touched_blocks`."""
    rows_cols = (boxes[:, :2] + boxes[:, 2:]) / 2 // block
    keys = np.column_stack([frames, rows_cols.astype(np.int64)]).tolist()
    return [(frame, row, col) for frame, row, col in keys]


def touched_blocks(
    boxes: Boxes, frames: NDArray[np.int64], block: int
) -> tuple[NDArray[np.int64], int]:
    """All blocks of which each window covers a part.

    Args:
        boxes: (n, 4).
        frames: (n,) windows of different frames share no ground.
        block: Side of a block, in pixels.

    Returns:
        (n, most) numbers of blocks, the first repeated where a window touches fewer; and how
        many blocks there are.
    """
    first = np.floor((boxes[:, :2] + EDGE_TOLERANCE_PX) / block).astype(np.int64).tolist()
    last = np.floor((boxes[:, 2:] - EDGE_TOLERANCE_PX) / block).astype(np.int64).tolist()
    keys = [
        [(frame, row, col) for row in range(top, bottom + 1) for col in range(left, right + 1)]
        for frame, (top, left), (bottom, right) in zip(frames.tolist(), first, last, strict=True)
    ]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(chain(*keys)))}
    most = max(map(len, keys))
    rows = [[numbers[key] for key in (*own, *own[:1] * (most - len(own)))] for own in keys]
    return np.array(rows), len(numbers)


TRAIN, VAL, TEST = range(len(SPLITS))

DROPPED = -1
"""Windows on the border between splits."""

DRAWS = 300
"""Random divisions of the blocks, of which the one with the fairest shares is taken."""


class SplitGround(NamedTuple):
    """Where the kept windows of all sources lie, in one frame, and what is on them."""

    boxes: Boxes
    """(n, 4), in pixels of the first raster."""

    frames: NDArray[np.int64]
    """(n,) windows of different frames share no ground."""

    classes: NDArray[np.float64]


def split_by_blocks(
    ground: SplitGround, *, block: int, shares: tuple[float, float], seed: int
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
    ground: SplitGround, block: int, shares: tuple[float, float], seed: int
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
    """(blocks,) split of each, dealt at random; each split that is wanted gets one at least."""
    # How many is random too: windows on borders are lost, so more blocks may come closer.
    splits = np.full(blocks, TRAIN)
    order = rng.permutation(blocks)
    start = 0
    for split in np.flatnonzero(wanted[1:]) + 1:
        stop = start + max(round(blocks * wanted[split] * rng.uniform(0.75, 2)), 1)
        splits[order[start:stop]] = split
        start = stop
    return splits


def _agreed(splits: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) the split that all touched blocks of a window share, of (n, most), or `DROPPED`."""
    same = (splits == splits[:, :1]).all(axis=1)
    return np.where(same, splits[:, 0], DROPPED)


def _unfairness(
    splits: NDArray[np.int64], classes: NDArray[np.float64], wanted: NDArray[np.float64]
) -> float:
    """How far sizes and classes of the splits are from what is wanted; 0 is perfect."""
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


@dataclass
class Division:
    """Splits of all windows."""

    splits: list[list[Split | None]]
    """Of each window of each source; None where it is dropped."""

    block: int | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def dropped(self) -> int:
        """Windows on the border between splits."""
        return sum(own.count(None) for own in self.splits)


def divide(surveyed: Sequence[SourceSurvey], options: TileOptions) -> Division:
    """Give every window its split: the one chosen for its source, or as the options say.

    Raises:
        EmptyError: If the ground is too small to be divided, or nothing is left to train on.
    """
    division = Division([])
    free = [each for each in surveyed if each.source.split is None]
    assigned = iter(_divide_freely(free, options, division) if free else [])
    names = (*SPLITS, None)  # DROPPED is the last one
    for each in surveyed:
        chosen = each.source.split
        division.splits.append([chosen or names[next(assigned)] for _ in each.windows])
    if not any("train" in own for own in division.splits):
        raise EmptyError(
            "no training patch is left; use smaller --val and --test or a smaller --split-block"
        )
    return division


def _divide_freely(
    surveyed: Sequence[SourceSurvey], options: TileOptions, division: Division
) -> list[int]:
    ground = _ground(surveyed)
    shares = (options.val, options.test)
    if options.split == "none" or not any(shares):
        return [TRAIN] * len(ground.boxes)
    if options.split == "random":
        splits = split_at_random(len(ground.boxes), shares, options.seed)
        leak = shared_share(ground.boxes, ground.frames, splits)
        division.warnings.append(
            f"--split random: {leak:.0%} of the validation and test ground is training "
            f"ground as well, so their figures will flatter; --split block keeps them apart"
        )
        return list(splits)
    division.block = options.split_block or default_block(
        ground.boxes, ground.frames, options.patch_size
    )
    return list(split_by_blocks(ground, block=division.block, shares=shares, seed=options.seed))


def _ground(surveyed: Sequence[SourceSurvey]) -> SplitGround:
    """All windows in the frame of the first raster; what has no place in it is its own."""
    frame = next((each.grid for each in surveyed if each.grid.crs), None)
    boxes, frames = [], []
    for number, each in enumerate(surveyed):
        if each.windows:
            own = each.grid
            apart = frame is None or not own.crs or missing_transform(own.crs, frame.crs)
            common = None if apart else frame
            boxes.append(boxes_in_frame(each.windows, own, common or own))
            frames.append(np.full(len(each.windows), -1 if common else number))
    classes = np.concatenate([each.classes for each in surveyed])
    return SplitGround(np.concatenate(boxes), np.concatenate(frames), classes)


Grounds = NDArray[np.object_]
"""(n,) polygons of one plane; None where the ground is not known."""

ROWS, COLS = [0, 0, 2, 2, 0], [1, 3, 3, 1, 1]
"""Where in a box the corners of its footprint have their rows and columns, the first one twice."""

DECIMALS = 3
"""Boxes are rounded to so many decimals of a pixel: coordinates on the earth are no truer."""


def patch_windows(patch_set: PatchSet) -> Boxes:
    """(n, 4) the window of every patch, in pixels of its source."""
    patches = patch_set.patches
    corners = np.stack([patches.row_off, patches.col_off], axis=1).astype(float)
    return np.concatenate([corners, corners + patches.size], axis=1)


def patch_footprints(patch_set: PatchSet) -> Grounds:
    """(n,) the ground of every patch in the CRS of the set; None if it has no place on the earth.

    Raises:
        VectorError: If the footprints cannot be read.
    """
    footprints: Any = read_layer(patch_set.folder / FOOTPRINTS, LAYER).geometry
    grounds: Grounds = np.array(footprints.values, object)
    is_placed = np.isfinite(shapely.bounds(grounds)).all(axis=1)
    grounds[~is_placed | (footprints.crs is None)] = None
    return grounds


def patch_boxes(patch_set: PatchSet) -> tuple[Boxes, NDArray[np.int64]]:
    """The ground of every patch as a rectangle.

    A footprint that is turned against the pixels of the first source gets the smallest rectangle
    that holds it; those of the first source itself, and of all on its pixels, are exact.

    Returns:
        (n, 4) boxes and (n,) frames: patches that are placed on the earth are in frame -1, in
        pixels of the first source that is; the others are each in the frame of their source.

    Raises:
        VectorError: If the footprints cannot be read.
    """
    boxes, frames = patch_windows(patch_set), patch_set.patches.source.astype(np.int64)
    grounds = patch_footprints(patch_set)
    placed = np.flatnonzero(~shapely.is_missing(grounds))
    if len(placed):
        first = placed[frames[placed] == frames[placed[0]]]
        boxes[placed] = _in_pixels(grounds[placed], grounds[first], boxes[first])
        frames[placed] = -1
    return boxes, frames


def _in_pixels(grounds: Grounds, known: Grounds, windows: Boxes) -> Boxes:
    """(n, 4) boxes of footprints in the pixels of a source, of which (m,) are known in both."""
    places = shapely.get_coordinates(known)
    middle = places.mean(axis=0)
    homogeneous = np.column_stack([places - middle, np.ones(len(places))])
    pixels = np.stack([windows[:, COLS], windows[:, ROWS]], axis=-1).reshape(-1, 2)
    affine = np.linalg.lstsq(homogeneous, pixels)[0]
    turned = shapely.transform(grounds, lambda xy: (xy - middle) @ affine[:2] + affine[2])
    return shapely.bounds(turned)[:, [1, 0, 3, 2]].round(DECIMALS)
