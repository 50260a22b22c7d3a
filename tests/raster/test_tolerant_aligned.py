import numpy as np
import pytest
from affine import Affine

from geoseg.errors import EmptyError, GridMismatchError
from geoseg.raster.grid import Grid
from geoseg.raster.reader import RasterReader
from geoseg.raster.tolerant import AlignedRaster, share_ground
from geoseg.raster.window import Window

VALUES = np.arange(1, 17, dtype=np.uint8).reshape(4, 4)


def grid_of(path):
    with RasterReader(path) as reader:
        return reader.grid


def moved(grid, rows, cols):
    return grid.part(Window(row_off=rows, col_off=cols, height=grid.height, width=grid.width))


def test_pixels_beyond_the_edge_are_not_valid(write_raster):
    path = write_raster("a.tif", VALUES)
    grid = moved(grid_of(path), 2, -1)

    raster = AlignedRaster(path, grid)
    image, valid = raster.read(grid.window)

    assert raster.extent == Window(row_off=0, col_off=1, height=2, width=3)
    assert image[0].tolist() == [[0, 9, 10, 11], [0, 13, 14, 15], [0] * 4, [0] * 4]
    assert (valid == (image[0] > 0)).all()


def test_a_step_gives_one_pixel_for_each_square(write_raster):
    path = write_raster("a.tif", VALUES)
    grid = moved(grid_of(path), 0, 2)

    image, valid = AlignedRaster(path, grid).read(grid.window, 2)

    assert image.shape == (1, 2, 2)
    assert valid.tolist() == [[True, False], [True, False]]
    assert image[0, 0, 0] in VALUES[:2, 2:]
    assert image[0, 1, 0] in VALUES[2:, 2:]


def test_pixels_that_do_not_coincide_are_resampled_on_request(write_raster):
    path = write_raster("a.tif", VALUES)
    own = grid_of(path)
    grid = Grid(own.crs, own.transform @ Affine.translation(0.4, 0), 4, 3)

    with pytest.raises(GridMismatchError, match=r"a\.tif: not on the grid .* --resample"):
        AlignedRaster(path, grid)

    image, valid = AlignedRaster(path, grid, resample=True).read(grid.window)
    assert (image[0] == VALUES[:, :3]).all()
    assert valid.all()


@pytest.mark.parametrize("cols", [10, 10.5])
@pytest.mark.parametrize("resample", [True, False])
def test_a_raster_of_other_ground_is_refused(write_raster, cols, resample):
    path = write_raster("a.tif", VALUES)
    own = grid_of(path)
    grid = Grid(own.crs, own.transform @ Affine.translation(cols, 0), 4, 4)

    with pytest.raises((EmptyError, GridMismatchError), match=r"a\.tif"):
        AlignedRaster(path, grid, resample=resample)
    assert not share_ground(own, grid)


def test_without_a_georeference_rasters_of_one_size_share_their_ground(write_raster):
    plain, placed = Grid(None, Affine.identity(), 4, 4), grid_of(write_raster("a.tif", VALUES))

    assert share_ground(plain, placed)
    assert not share_ground(plain, Grid(None, Affine.identity(), 4, 5))
