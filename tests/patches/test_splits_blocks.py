import numpy as np
import pytest

from geoseg.patches.splits import default_block, home_blocks, touched_blocks
from geoseg.raster.window import sliding_windows


def boxes(height, width):
    """Boxes of all windows of 8 px of a raster."""
    windows = sliding_windows(height, width, size=8, stride=4)
    return np.array([[w.row_off, w.col_off, w.row_stop, w.col_stop] for w in windows], float)


def one_frame(windows):
    return np.zeros(len(windows), np.int64)


@pytest.mark.parametrize(("side", "patches"), [(8, 2), (64, 2), (320, 4)])
def test_blocks_are_smaller_where_they_would_be_few(side, patches):
    windows = boxes(side, side)

    assert default_block(windows, one_frame(windows), 8) == patches * 8


def test_a_window_touches_every_block_that_has_a_pixel_of_it():
    windows = np.array([[0, 0, 8, 8], [4, 4, 12, 12], [8, 8, 16, 16]], float)

    touched, count = touched_blocks(windows, one_frame(windows), 8)

    assert count == 4
    assert [len(set(row)) for row in touched.tolist()] == [1, 4, 1]
    assert touched[2, 0] in touched[1]


def test_windows_of_different_frames_share_no_block():
    windows = np.array([[0, 0, 8, 8], [0, 0, 8, 8]], float)

    assert len(set(home_blocks(windows, np.array([0, 1]), 16))) == 2
    assert touched_blocks(windows, np.array([0, 1]), 16)[1] == 2
