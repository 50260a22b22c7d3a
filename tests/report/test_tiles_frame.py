import pytest
from affine import Affine

from geoseg.raster.grid import Grid
from geoseg.raster.window import Window
from geoseg.report.scenes import Frame


def frame(height, width, shrink=1):
    return Frame(grid=Grid(None, Affine.identity(), height, width), shrink=shrink)


@pytest.mark.parametrize(
    ("side", "levels"), [(1, 1), (512, 1), (513, 2), (1024, 2), (1025, 3), (2048, 3), (20_000, 7)]
)
def test_the_last_level_is_one_tile(side, levels):
    tall = frame(side, 3)

    assert tall.levels == levels
    assert tall.tiles(levels - 1) == (1, 1)
    assert levels == 1 or max(tall.tiles(levels - 2)) == 2


@pytest.mark.parametrize("shrink", [1, 3])
@pytest.mark.parametrize("level", [0, 1])
def test_the_tiles_of_a_level_cover_the_raster_once(shrink, level):
    covered = frame(1500, 2100, shrink)
    rows, cols = covered.tiles(level)

    windows = [covered.window(level, row, col) for row in range(rows) for col in range(cols)]

    assert sum(window.height * window.width for window in windows) == 1500 * 2100
    assert windows[-1].row_stop == 1500
    assert windows[-1].col_stop == 2100


@pytest.mark.parametrize("place", [(0, 3, 0), (0, 0, 5), (-1, 0, 0), (4, 0, 0), (0, -1, 0)])
def test_beyond_the_raster_there_is_no_tile(place):
    assert frame(1500, 2100).window(*place) is None


def test_a_tile_of_a_shrunk_frame_stands_for_more_pixels():
    assert frame(9000, 9000, 4).window(1, 0, 1) == Window(
        row_off=0, col_off=4096, height=4096, width=4096
    )


@pytest.mark.parametrize(
    ("side", "size", "shrink"),
    [(100, 2048, 1), (3000, 2048, 1), (3100, 2048, 2), (20_000, 2048, 10)],
)
def test_a_frame_is_of_about_the_size_asked_for(side, size, shrink):
    about = Frame.about(Grid(None, Affine.identity(), side, side // 2), size)

    assert about.shrink == shrink
    assert max(about.shape(0)) < 1.5 * size
