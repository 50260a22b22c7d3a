import numpy as np
import pytest

from geoseg.prediction.blend import WindowGrid, axis_weights, taper
from geoseg.raster.window import Window, sliding_windows

SIZES_AND_STRIDES = [(4, 1), (4, 4), (5, 3), (8, 3), (9, 4)]
KINDS = ["hann", "ramp", "flat"]
OVERHANGS = [0, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 5, 64])
def test_a_taper_is_symmetric_and_never_zero(size, kind):
    weights = taper(size, size // 3, kind)

    assert weights == pytest.approx(weights[::-1])
    assert weights.min() > 0
    assert weights[(size - 1) // 2] == pytest.approx(weights.max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("overhang", OVERHANGS)
@pytest.mark.parametrize("length", [1, 3, 4, 5, 8, 9, 10, 27])
@pytest.mark.parametrize(("size", "stride"), SIZES_AND_STRIDES)
def test_weights_sum_to_one_at_every_coordinate(length, size, stride, overhang, kind):
    total = np.zeros(length + 2 * size)
    for start, weights in axis_weights(length, size, stride, kind, overhang).items():
        total[size + start : size + start + size] += weights

    assert total[size : size + length] == pytest.approx(1, abs=1e-6)
    assert (total[:size] == 0).all()
    assert (total[size + length :] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("overhang", OVERHANGS)
@pytest.mark.parametrize("length", [3, 9, 10, 27])
@pytest.mark.parametrize(("size", "stride"), SIZES_AND_STRIDES)
def test_a_window_alone_weighs_exactly_one(length, size, stride, overhang, kind):
    window_grid = WindowGrid(length, length, size, stride, kind, overhang)

    for step in window_grid.rows(window_grid.whole):
        first = max(step.covered, -step.start)
        assert (step.weights[first : max(step.done, first)] == 1).all()


@pytest.mark.parametrize("overhang", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 4, 8, 9, 10, 27])
@pytest.mark.parametrize(("size", "stride"), [(8, 3), (9, 4), (8, 8)])
def test_windows_hang_over_both_edges_alike_and_are_no_more(length, size, stride, overhang):
    window_grid = WindowGrid(length, length, size, stride, overhang=overhang)

    starts = [step.start for step in window_grid.rows(window_grid.whole)]

    before, behind = -starts[0], starts[-1] + size - length
    plain = WindowGrid(length, length, size, stride)
    assert len(starts) == len(plain.rows(plain.whole))
    assert max(np.diff(starts), default=0) <= stride
    if length <= size:
        assert behind - before in {0, 1}
    else:
        assert 0 <= before == behind <= overhang


def test_steps_know_what_their_neighbours_reach():
    window_grid = WindowGrid(height=10, width=5, size=5, stride=3)  # rows 0-4, 2-6, 5-9

    rows = [(step.start, step.covered, step.done) for step in window_grid.rows(window_grid.whole)]

    assert rows == [(0, 0, 2), (2, 3, 3), (5, 2, 5)]
    assert [step[:3] for step in window_grid.cols(window_grid.whole)] == [(0, 0, 5)]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 23), (23, 5), (30, 17)])
@pytest.mark.parametrize(("size", "stride"), SIZES_AND_STRIDES)
def test_windows_of_the_whole_are_those_that_slide_over_it(height, width, size, stride):
    window_grid = WindowGrid(height, width, size, stride)

    windows = list(window_grid.windows(window_grid.whole))

    assert windows == list(sliding_windows(height, width, size=size, stride=stride, edge="spread"))
    assert window_grid.window_count(window_grid.whole) == len(windows)


def test_windows_of_a_region_are_those_that_reach_it():
    window_grid = WindowGrid(height=10, width=10, size=4, stride=3)  # 0-3, 3-6, 6-9
    region = Window(row_off=4, col_off=3, height=2, width=1)

    corners = [(w.row_off, w.col_off) for w in window_grid.windows(region)]

    assert corners == [(3, 0), (3, 3)]


@pytest.mark.parametrize("overhang", OVERHANGS)
@pytest.mark.parametrize("region", [(0, 0, 23, 31), (7, 9, 1, 1), (20, 0, 3, 31), (5, 6, 9, 8)])
def test_windows_are_counted_as_they_come(region, overhang):
    window_grid = WindowGrid(23, 31, 8, 5, overhang=overhang)
    region = Window(**dict(zip(("row_off", "col_off", "height", "width"), region, strict=True)))

    windows = list(window_grid.windows(region))

    assert window_grid.window_count(region) == len(windows)
    assert {(each.row_off, each.col_off) for each in windows} == {
        (row.start, col.start)
        for row in window_grid.rows(region)
        for col in window_grid.cols(region)
    }


@pytest.mark.parametrize(("height", "shared"), [(8, 0), (13, 3), (14, 5), (18, 3), (27, 4)])
def test_windows_are_spread_and_share_hardly_more_rows_than_they_must(height, shared):
    assert WindowGrid(height, 8, 8, 5).most_shared_rows == shared
