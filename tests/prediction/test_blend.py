import numpy as np
import pytest

from geoseg.labels.legend import IGNORE
from geoseg.prediction.blend import WindowGrid, WindowScores, blend
from geoseg.prediction.scores import classify
from geoseg.raster.window import Window

SHAPES = [(1, 1), (1, 23), (7, 23), (8, 8), (7, 9), (23, 5), (30, 17)]
SIZES_AND_STRIDES = [(4, 1), (4, 4), (5, 3), (8, 3), (9, 4)]
OVERHANGS = [0, 2]


def cut(scores, valid, window_grid):
    """The windows of a whole map, padded where they hang over."""
    _, height, width = scores.shape
    for window in window_grid.windows(window_grid.whole):
        rows, cols = window.clip(height, width).slices
        around = (
            (max(-window.row_off, 0), max(window.row_stop - height, 0)),
            (max(-window.col_off, 0), max(window.col_stop - width, 0)),
        )
        part = np.pad(scores[:, rows, cols], ((0, 0), *around), constant_values=9)
        yield WindowScores(window, part.copy(), np.pad(valid[rows, cols], around))


def paste(cells, window_grid, region=None):
    """Scores and valid pixels of a map, from its cells; every pixel is written once at most."""
    region = region or window_grid.whole
    shape = region.height, region.width
    scores, valid, written = (
        np.zeros((3, *shape), "f4"),
        np.zeros(shape, bool),
        np.zeros(shape, int),
    )
    for cell in cells:
        where = cell.window.relative_to(region).slices
        written[where] += 1
        scores[:, *where] = np.where(cell.valid, cell.scores, 0)
        valid[where] = cell.valid
    assert written.max() <= 1
    return scores, valid


def random_map(height, width, holes=0.0):
    rng = np.random.default_rng(height * 100 + width)
    return rng.random((3, height, width), np.float32), rng.random((height, width)) >= holes


def constant(value, *, col_off, valid=True):
    window = Window(row_off=0, col_off=col_off, height=4, width=4)
    scores = np.full((1, 4, 4), value, np.float32)
    return WindowScores(window, scores, np.full((4, 4), valid))


def test_scores_fade_across_the_overlap():
    window_grid = WindowGrid(height=4, width=6, size=4, stride=2)

    first, second = blend([constant(0, col_off=0), constant(1, col_off=2)], window_grid)

    left, right = np.sin(np.pi * np.array([2.5, 0.5]) / 4) ** 2  # at column 2
    fade = right / (left + right)
    assert first.window == Window(row_off=0, col_off=0, height=4, width=2)
    assert second.window == Window(row_off=0, col_off=2, height=4, width=4)
    assert (first.scores == 0).all()
    for row in second.scores[0]:
        assert row == pytest.approx([fade, 1 - fade, 1, 1], abs=1e-6)


def test_a_window_that_is_not_valid_weighs_nothing():
    window_grid = WindowGrid(height=4, width=6, size=4, stride=2)

    first, second = blend(
        [constant(0.25, col_off=0), constant(1, col_off=2, valid=False)], window_grid
    )

    assert (first.scores == 0.25).all()
    assert (second.scores[0, :, :2] == 0.25).all()
    assert (second.valid == [[True] * 2 + [False] * 2] * 4).all()


def test_scores_where_one_window_is_alone_are_passed_on_untouched():
    window_grid = WindowGrid(height=6, width=14, size=6, stride=4)
    parts = list(cut(*random_map(6, 14), window_grid))
    said = [part.scores[:, :, 2:4].copy() for part in parts]

    cells = list(blend(parts, window_grid))

    assert [cell.window.col_off for cell in cells] == [0, 4, 8]
    assert [cell.window.width for cell in cells] == [4, 4, 6]
    for cell, scores in zip(cells, said, strict=True):
        assert (cell.scores[:, :, 2:4] == scores).all()


@pytest.mark.parametrize("overhang", OVERHANGS)
@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize(("size", "stride"), SIZES_AND_STRIDES)
def test_windows_of_a_map_blend_back_to_it(height, width, size, stride, overhang):
    window_grid = WindowGrid(height, width, size, stride, overhang=overhang)
    scores, valid = random_map(height, width, holes=0.3)

    blended, found = paste(blend(cut(scores, valid, window_grid), window_grid), window_grid)

    assert (found == valid).all()
    assert blended[:, valid] == pytest.approx(scores[:, valid], abs=1e-6)
    assert (blended[:, ~valid] == 0).all()


@pytest.mark.parametrize(("height", "width"), [(7, 23), (23, 5), (30, 17)])
@pytest.mark.parametrize(("size", "stride"), SIZES_AND_STRIDES)
def test_blending_in_strips_agrees_with_a_map_held_whole(height, width, size, stride):
    window_grid = WindowGrid(height, width, size, stride)
    rng = np.random.default_rng(1)
    parts = [
        part._replace(
            scores=rng.random(part.scores.shape, np.float32),
            valid=part.valid & (rng.random(part.valid.shape) > 0.4),
        )
        for part in cut(*random_map(height, width), window_grid)
        if rng.random() > 0.2
    ]
    side = max(height, width, size)
    total, weight = np.zeros((3, side, side)), np.zeros((side, side))
    for part in parts:
        weights = (
            np.outer(
                taper_in_sum(height, part.window.row_off, size, stride),
                taper_in_sum(width, part.window.col_off, size, stride),
            )
            * part.valid
        )
        total[:, *part.window.slices] += part.scores * weights
        weight[part.window.slices] += weights

    blended, found = paste(blend(parts, window_grid), window_grid)

    total, weight = total[:, :height, :width], weight[:height, :width]
    assert (found == (weight > 0)).all()
    assert blended[:, found] == pytest.approx(total[:, found] / weight[found], abs=1e-5)


def taper_in_sum(length, start, size, stride):
    """The taper of one window over the sum of all tapers, written as the design has it."""
    last = max(length - size, 0)
    steps = max(-(-last // stride), 1)
    starts = {step * last // steps for step in range(steps + 1)}
    here = np.arange(start, start + size)
    bells = {
        s: np.where(
            (here >= s) & (here < s + size), np.sin(np.pi * (here - s + 0.5) / size) ** 2, 0
        )
        for s in starts
    }
    return bells[start] / sum(bells.values())


@pytest.mark.parametrize("overhang", OVERHANGS)
@pytest.mark.parametrize(("size", "stride"), SIZES_AND_STRIDES)
def test_constant_scores_blend_to_that_constant_up_to_the_outermost_ring(size, stride, overhang):
    window_grid = WindowGrid(19, 22, size, stride, overhang=overhang)
    scores = np.full((3, 19, 22), 0.7, np.float32)

    blended, valid = paste(
        blend(cut(scores, np.ones((19, 22), bool), window_grid), window_grid), window_grid
    )

    assert valid.all()
    assert blended == pytest.approx(0.7, abs=1e-6)


def test_what_is_said_beyond_the_edge_changes_nothing():
    window_grid = WindowGrid(height=4, width=4, size=6, stride=4, overhang=1)
    window = Window(row_off=-1, col_off=-1, height=6, width=6)
    scores, valid = np.full((1, 6, 6), 99, np.float32), np.zeros((6, 6), bool)
    scores[0, 1:5, 1:5], valid[1:5, 1:5] = np.arange(16).reshape(4, 4), True

    [cell] = blend([WindowScores(window, scores, valid)], window_grid)

    assert cell.window == Window(row_off=0, col_off=0, height=4, width=4)
    assert cell.scores.tolist() == [np.arange(16).reshape(4, 4).tolist()]
    assert cell.valid.all()


def test_a_hole_of_nodata_changes_no_neighbour():
    window_grid = WindowGrid(20, 20, 8, 3)
    scores, valid = random_map(20, 20)
    holed = valid.copy()
    holed[6:11, 4:15] = False
    garbage = np.where(holed, scores, np.float32(1e6))

    whole, _ = paste(blend(cut(scores, valid, window_grid), window_grid), window_grid)
    around, found = paste(blend(cut(garbage, holed, window_grid), window_grid), window_grid)

    assert (found == holed).all()
    assert around[:, holed] == pytest.approx(whole[:, holed], abs=1e-6)


@pytest.mark.parametrize("kept", [[0], [-1], [7], [0, -1], range(3, 9), []])
def test_skipped_windows_never_stop_the_stream(kept):
    window_grid = WindowGrid(26, 11, 6, 4)
    parts = list(cut(*random_map(26, 11), window_grid))
    chosen = sorted((parts[index] for index in kept), key=lambda part: part.window)

    _, valid = paste(blend(chosen, window_grid), window_grid)

    covered = np.zeros((26, 11), bool)
    for part in chosen:
        covered[part.window.slices] = True
    assert (valid == covered).all()


def test_ground_without_any_window_is_left_out():
    window_grid = WindowGrid(4, 12, 4, 2)

    cells = list(blend([constant(0.9, col_off=0), constant(0.9, col_off=8)], window_grid))

    assert [cell.window.col_off for cell in cells] == [0, 2, 8]
    assert classify(cells[1].scores, cells[1].valid).tolist() == [[0] * 2] * 4
    assert (cells[2].valid).all()


def test_a_hole_between_windows_is_not_class_zero():
    window_grid = WindowGrid(4, 7, 4, 3)
    parts = [constant(0.9, col_off=0), constant(0.9, col_off=3, valid=False)]

    cells = list(blend(parts, window_grid))

    classes = np.hstack([classify(cell.scores, cell.valid) for cell in cells])
    assert classes.tolist() == [[0] * 4 + [IGNORE] * 3] * 4


def test_a_cell_leaves_as_soon_as_no_later_window_reaches_it():
    window_grid = WindowGrid(10, 8, 4, 2)
    taken = []

    def windows():
        for part in cut(*random_map(10, 8), window_grid):
            taken.append(part.window)
            yield part

    for count, cell in enumerate(blend(windows(), window_grid)):
        assert taken[count].intersection(cell.window) == cell.window
        assert len(taken) <= count + 2  # one is looked at ahead


@pytest.mark.parametrize("overhang", OVERHANGS)
@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize(("size", "stride"), SIZES_AND_STRIDES)
def test_cells_cover_the_raster_in_reading_order(height, width, size, stride, overhang):
    window_grid = WindowGrid(height, width, size, stride, overhang=overhang)

    cells = [
        cell.window for cell in blend(cut(*random_map(height, width), window_grid), window_grid)
    ]

    assert cells == sorted(cells)
    assert sum(cell.height * cell.width for cell in cells) == height * width
    if not overhang:  # cells of windows that hang over may lie outside
        assert len(cells) == window_grid.window_count(window_grid.whole)


@pytest.mark.parametrize("overhang", OVERHANGS)
@pytest.mark.parametrize(("size", "stride"), SIZES_AND_STRIDES)
@pytest.mark.parametrize("taper", ["hann", "ramp", "flat"])
def test_any_region_comes_out_as_in_the_whole_to_the_bit(size, stride, taper, overhang):
    window_grid = WindowGrid(21, 19, size, stride, taper, overhang)
    rng = np.random.default_rng(5)
    said = {
        window: rng.random((3, size, size), np.float32)
        for window in window_grid.windows(window_grid.whole)
    }
    hidden = {window: rng.random((size, size)) > 0.2 for window in said}

    def parts(region):
        for window in window_grid.windows(region):
            yield WindowScores(window, said[window].copy(), hidden[window])

    whole, valid = paste(blend(parts(window_grid.whole), window_grid), window_grid)
    for _ in range(20):
        top, left = rng.integers(0, 21), rng.integers(0, 19)
        region = Window(
            row_off=int(top),
            col_off=int(left),
            height=int(rng.integers(1, 22 - top)),
            width=int(rng.integers(1, 20 - left)),
        )
        scores, found = paste(blend(parts(region), window_grid, region), window_grid, region)

        assert (scores == whole[:, *region.slices]).all()
        assert (found == valid[region.slices]).all()


@pytest.mark.parametrize("offs", [[(0, 1)], [(1, 0)], [(4, 0), (0, 0)], [(9, 0)]])
def test_windows_off_the_lattice_or_out_of_order_are_refused(offs):
    parts = [
        WindowScores(
            Window(row_off=row, col_off=col, height=4, width=4),
            np.zeros((1, 4, 4), np.float32),
            np.ones((4, 4), bool),
        )
        for row, col in offs
    ]

    with pytest.raises(ValueError, match="is not on"):
        list(blend(parts, WindowGrid(8, 8, 4, 4)))
