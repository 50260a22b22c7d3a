import numpy as np
import pytest
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS

from geoseg.errors import EmptyError
from geoseg.patches.splits import (
    DROPPED,
    TEST,
    TRAIN,
    VAL,
    SplitGround,
    boxes_in_frame,
    shared_share,
    split_at_random,
    split_by_blocks,
)
from geoseg.raster.grid import Grid
from geoseg.raster.window import sliding_windows

GRID = Grid(CRS.from_epsg(32632), Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000), 96, 96)


def boxes(height, width, *, size=8, stride=4):
    """Boxes of all windows of a raster."""
    windows = sliding_windows(height, width, size=size, stride=stride)
    return np.array([[w.row_off, w.col_off, w.row_stop, w.col_stop] for w in windows], float)


def ground(*parts, classes=None):
    """The windows of one or more rasters, each in its own frame."""
    frames = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    shares = np.ones((len(frames), 1)) if classes is None else classes
    return SplitGround(np.concatenate(parts), frames, shares)


def painted(windows, splits, split):
    """(rows, cols) bool, True where a window of the split lies."""
    canvas = np.zeros(windows[:, 2:].max(axis=0).astype(int), bool)
    for top, left, bottom, right in windows[splits == split].astype(int):
        canvas[top:bottom, left:right] = True
    return canvas


@pytest.mark.parametrize("block", [8, 13, 16, 32])
@pytest.mark.parametrize("stride", [2, 5, 8])
@pytest.mark.parametrize("shares", [(0.15, 0), (0.3, 0.2)])
def test_no_pixel_is_in_two_splits(block, stride, shares):
    windows = boxes(96, 80, stride=stride)

    splits = split_by_blocks(ground(windows), block=block, shares=shares, seed=3)

    wanted = [TRAIN, VAL] + [TEST] * (shares[1] > 0)
    layers = [painted(windows, splits, split) for split in wanted]
    assert all(layer.any() for layer in layers)
    assert np.sum(layers, axis=0).max() == 1


def test_each_window_that_is_dropped_touches_blocks_of_two_splits():
    windows = boxes(96, 96)

    splits = split_by_blocks(ground(windows), block=32, shares=(0.25, 0), seed=0)

    of_block = {}
    for (top, left, bottom, right), split in zip(windows, splits, strict=True):
        if top // 32 == (bottom - 1) // 32 and left // 32 == (right - 1) // 32:
            of_block[top // 32, left // 32] = split
    for (top, left, bottom, right), split in zip(windows, splits, strict=True):
        touched = {
            of_block[row, col]
            for row in (top // 32, (bottom - 1) // 32)
            for col in (left // 32, (right - 1) // 32)
        }
        assert (split == DROPPED) == (len(touched) > 1)


@pytest.mark.parametrize("shares", [(0.15, 0), (0.2, 0.2), (0, 0.3)])
def test_the_splits_are_about_as_large_as_wanted(shares):
    splits = split_by_blocks(ground(boxes(256, 256)), block=16, shares=shares, seed=0)

    kept = np.count_nonzero(splits != DROPPED)
    for split, wanted in zip((VAL, TEST), shares, strict=True):
        assert np.count_nonzero(splits == split) / kept == pytest.approx(wanted, abs=0.06)


def test_a_rare_class_comes_into_every_split():
    windows = boxes(128, 128, size=8, stride=8)
    rare = np.zeros(len(windows))
    rare[np.random.default_rng(1).choice(len(windows), 8, replace=False)] = 0.2

    splits = split_by_blocks(
        ground(windows, classes=np.column_stack([1 - rare, rare])),
        block=16,
        shares=(0.3, 0),
        seed=0,
    )

    assert rare[splits == TRAIN].sum() > 0
    assert rare[splits == VAL].sum() > 0


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_splits(seed):
    def split(seed):
        return split_by_blocks(ground(boxes(96, 96)), block=16, shares=(0.2, 0), seed=seed).tolist()

    assert split(seed) == split(seed)
    assert split(seed) != split(seed + 2)


def test_rasters_without_a_common_frame_are_divided_apart():
    one = other = boxes(16, 16, size=8, stride=8)

    splits = split_by_blocks(ground(one, other), block=16, shares=(0.5, 0), seed=0)

    assert sorted([splits[:4].tolist(), splits[4:].tolist()]) == [[TRAIN] * 4, [VAL] * 4]


@pytest.mark.parametrize(("side", "block"), [(8, 8), (32, 32), (32, 64)])
def test_ground_of_one_block_is_refused_with_the_number_of_blocks(side, block):
    with pytest.raises(EmptyError, match=rf"1 block\(s\) of {block} px.*smaller --patch-size"):
        split_by_blocks(ground(boxes(side, side)), block=block, shares=(0.2, 0), seed=0)


@pytest.mark.parametrize("count", [1, 10, 37])
def test_a_random_split_has_the_numbers_wanted(count):
    splits = split_at_random(count, (0.2, 0.1), seed=0)

    assert np.count_nonzero(splits == VAL) == round(0.2 * count)
    assert np.count_nonzero(splits == TEST) == round(0.1 * count)
    assert np.count_nonzero(splits == TRAIN) == count - round(0.2 * count) - round(0.1 * count)


@pytest.mark.parametrize("seed", range(4))
def test_the_shared_ground_agrees_with_painting_it(seed):
    rng = np.random.default_rng(seed)
    windows = boxes(40, 60, size=9, stride=5)
    splits = rng.integers(0, 3, len(windows))

    train = painted(windows, splits, TRAIN)
    held = painted(windows, splits, VAL) | painted(windows, splits, TEST)

    found = shared_share(windows, np.zeros(len(windows)), splits)
    assert found == pytest.approx((train & held).sum() / held.sum())


def test_ground_of_different_frames_is_not_shared():
    windows = np.array([[0, 0, 4, 4], [0, 0, 4, 4.0]])
    splits = np.array([TRAIN, VAL])

    assert shared_share(windows, np.array([0, 0]), splits) == 1
    assert shared_share(windows, np.array([0, 1]), splits) == 0
    assert shared_share(windows, np.array([0, 0]), np.array([TRAIN, TRAIN])) == 0


def test_boxes_on_the_own_grid_are_the_windows():
    windows = list(sliding_windows(20, 30, size=8, stride=5))

    assert (boxes_in_frame(windows, GRID, GRID) == boxes(20, 30, stride=5)).all()


def test_boxes_on_a_shifted_and_coarser_grid_are_scaled():
    windows = list(sliding_windows(8, 8, size=8, stride=8))
    shifted = Grid(GRID.crs, GRID.transform @ Affine.translation(-4, -10) @ Affine.scale(2), 9, 9)

    assert boxes_in_frame(windows, GRID, shifted).tolist() == [[5, 2, 9, 6]]


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326", "EPSG:3857"])
def test_boxes_from_another_crs_hold_all_their_ground(crs):
    into = Transformer.from_crs(GRID.crs.to_wkt(), crs, always_xy=True)
    scale = 1e-5 if crs == "EPSG:4326" else 0.7
    x, y = into.transform(*GRID.corners[0])
    frame = Grid(CRS.from_string(crs), Affine(scale, 0, x, 0, -scale, y), 96, 96)
    windows = list(sliding_windows(96, 96, size=32, stride=32))

    found = boxes_in_frame(windows, GRID, frame)

    for window, (top, left, bottom, right) in zip(windows, found, strict=True):
        edge = np.linspace(0, 32, 33)
        cols = window.col_off + np.concatenate([edge, edge, edge * 0, edge * 0 + 32])
        rows = window.row_off + np.concatenate([edge * 0, edge * 0 + 32, edge, edge])
        xs, ys = into.transform(*(GRID.transform @ (cols, rows)))
        cols, rows = ~frame.transform @ (xs, ys)
        assert top <= rows.min() <= top + 2
        assert left <= cols.min() <= left + 2
        assert bottom - 2 <= rows.max() <= bottom
        assert right - 2 <= cols.max() <= right


@pytest.mark.parametrize(
    ("side", "size", "cure"),
    [(64, 32, "--split-block 32, or a smaller"), (40, 32, "use a smaller --patch")],
)
def test_only_a_block_that_divides_the_ground_is_proposed(side, size, cure):
    windows = boxes(side, side, size=size, stride=size // 2)

    with pytest.raises(EmptyError, match=cure):
        split_by_blocks(ground(windows), block=128, shares=(0.15, 0), seed=0)
