import numpy as np
import pytest

from geoseg.raster.window import Window, blocks, offsets, sliding_windows

SIZES_AND_STRIDES = [(1, 1), (4, 1), (4, 3), (5, 2), (5, 5), (8, 3)]
SHAPES = [(1, 1), (1, 13), (4, 4), (3, 5), (5, 9), (17, 8)]


def window(row_off, col_off, height=2, width=2):
    return Window(row_off=row_off, col_off=col_off, height=height, width=width)


def times_covered(height, width, windows):
    times = np.zeros((height, width), int)
    for each in windows:
        times[each.clip(height, width).slices] += 1
    return times


def test_windows_sort_in_reading_order():
    assert sorted([window(1, 0), window(0, 3), window(0, 1)]) == [
        window(0, 1),
        window(0, 3),
        window(1, 0),
    ]


@pytest.mark.parametrize(("height", "width"), [(0, 1), (1, 0), (-2, 3)])
def test_a_window_without_pixels_is_refused(height, width):
    with pytest.raises(ValueError, match="at least one pixel"):
        window(0, 0, height, width)


def test_slices_index_the_pixels_of_the_window():
    raster = np.arange(16).reshape(4, 4)

    assert raster[window(1, 2, 2, 1).slices].tolist() == [[6], [10]]


@pytest.mark.parametrize(
    ("other", "common"),
    [
        (window(0, 0, 4, 4), window(0, 0, 4, 4)),
        (window(2, 3, 4, 4), window(2, 3, 2, 1)),
        (window(-1, -1, 3, 9), window(0, 0, 2, 4)),
        (window(4, 0), None),
        (window(0, 4), None),
        (window(-2, 0), None),
    ],
)
def test_the_intersection_is_what_both_cover(other, common):
    whole = window(0, 0, 4, 4)

    assert whole.intersection(other) == common
    assert other.intersection(whole) == common
    assert other.clip(4, 4) == common


def test_a_window_counted_from_another_ones_corner_moves_back():
    origin = window(3, 7)

    relative = window(5, 6).relative_to(origin)

    assert relative == window(2, -1)
    assert relative.moved(origin.row_off, origin.col_off) == window(5, 6)


@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize(("size", "stride"), SIZES_AND_STRIDES)
@pytest.mark.parametrize("edge", ["shift", "spread", "pad"])
def test_every_pixel_is_covered(height, width, size, stride, edge):
    windows = list(sliding_windows(height, width, size=size, stride=stride, edge=edge))

    assert times_covered(height, width, windows).min() >= 1
    assert windows == sorted(set(windows))


@pytest.mark.parametrize("length", [5, 6, 7, 10, 11, 23])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_last_window_ends_at_the_edge(length, stride):
    starts = offsets(length, 5, stride)

    assert starts[-1] == length - 5
    assert len(starts) == -(-(length - 5) // stride) + 1
    assert all(step == stride for step in np.diff(starts)[:-1])


@pytest.mark.parametrize("length", [5, 6, 7, 10, 11, 23])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_spread_windows_are_as_many_and_share_as_much_to_a_pixel(length, stride):
    starts = offsets(length, 5, stride, "spread")

    steps = np.diff(starts)
    assert (starts[0], starts[-1]) == (0, length - 5)
    assert len(starts) == len(offsets(length, 5, stride))
    assert max(steps, default=0) <= stride
    assert max(steps, default=0) - min(steps, default=0) <= 1


@pytest.mark.parametrize("length", range(1, 12))
def test_padded_windows_keep_their_step_and_hang_over_less_than_it(length):
    starts = offsets(length, 4, 3, "pad")

    assert starts == [3 * number for number in range(len(starts))]
    assert len(starts) == 1 or 0 <= starts[-1] + 4 - length < 3


@pytest.mark.parametrize("length", range(1, 12))
def test_dropping_leaves_out_what_would_hang_over(length):
    wanted = [start for start in range(0, 12, 3) if start + 4 <= length]

    assert offsets(length, 4, 3, "drop") == wanted


@pytest.mark.parametrize("edge", ["shift", "spread", "pad"])
def test_a_raster_smaller_than_the_window_has_one_that_hangs_over(edge):
    assert list(sliding_windows(2, 3, size=4, stride=2, edge=edge)) == [window(0, 0, 4, 4)]


@pytest.mark.parametrize("stride", [-1, 0, 5])
def test_a_stride_that_leaves_gaps_is_refused(stride):
    with pytest.raises(ValueError, match=r"1\.\.4"):
        list(sliding_windows(9, 9, size=4, stride=stride))


@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (2, 3), (4, 4), (50, 7)])
def test_blocks_cover_each_pixel_once(height, width, rows, cols):
    parts = list(blocks(height, width, rows=rows, cols=cols))

    assert (times_covered(height, width, parts) == 1).all()
    assert all(part.row_stop <= height and part.col_stop <= width for part in parts)


def test_a_grown_window_reaches_as_far_on_all_sides():
    window = Window(row_off=4, col_off=1, height=2, width=3)

    assert window.grown(2) == Window(row_off=2, col_off=-1, height=6, width=7)
    assert window.grown(0) == window
