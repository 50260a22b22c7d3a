from itertools import pairwise

import numpy as np
import pytest

from geoseg.cluster.division import divide, windows_with_data
from geoseg.prediction.blend import WindowGrid
from geoseg.raster.reader import RasterReader
from geoseg.raster.window import Window


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 40])
@pytest.mark.parametrize(("height", "size", "stride"), [(5000, 256, 224), (1300, 512, 448)])
def test_parts_cover_the_map_in_whole_storage_blocks(height, size, stride, parts):
    grid = WindowGrid(height, 300, size, stride)
    counts = [2] * len(grid.rows(grid.whole))

    rows = divide(grid, grid.whole, counts, parts)

    assert (rows[0][0], rows[-1][1]) == (0, height)
    assert all(above[1] == below[0] for above, below in pairwise(rows))
    assert all(first % 512 == 0 and first < stop for first, stop in rows)
    assert len(rows) <= min(parts, -(-height // 512))


def test_parts_hold_the_same_number_of_windows_with_data_not_of_rows():
    grid = WindowGrid(10_240, 512, 512, 512)
    counts = [1] * 10 + [0] * 8 + [10] * 2  # windows and blocks are the same here

    assert divide(grid, grid.whole, counts, 3) == [
        (0, 9216),
        (9216, 9728),
        (9728, 10_240),
    ]
    assert divide(grid, grid.whole, [1] * 20, 4) == [
        (0, 2560),
        (2560, 5120),
        (5120, 7680),
        (7680, 10_240),
    ]


def test_rows_count_from_the_top_of_a_map_that_is_a_part_of_the_orthophoto():
    grid = WindowGrid(4000, 512, 512, 448)
    whole = Window(row_off=1000, col_off=0, height=2000, width=512)
    counts = [1] * len(grid.rows(whole))

    rows = divide(grid, whole, counts, 2)

    assert rows[0][0] == 0
    assert rows[-1][1] == 2000


def test_windows_with_data_are_counted_by_a_small_picture(write_raster):
    image = np.full((3, 400, 300), 7, np.uint8)
    image[:, 128:] = 0
    image[:, 300:310, :20] = 7
    grid = WindowGrid(400, 300, 100, 100)

    with RasterReader(write_raster("ortho.tif", image, nodata=0)) as ortho:
        assert windows_with_data(ortho, grid, grid.whole) == [3, 3, 0, 1]
