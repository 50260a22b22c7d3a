from io import BytesIO

import numpy as np
import pytest
from affine import Affine
from PIL import Image

from geoseg.errors import RasterError
from geoseg.raster.grid import Grid
from geoseg.report.scenes import Frame, encode, pyramid, read_tile


class ArrayLayer:
    """An array as a layer; counts how many pixels are read."""

    title = "array"

    def __init__(self, array):
        self.array = array
        self.kind = "image" if array.ndim == 3 else "classes"
        self.pixels_read = 0

    def read(self, window, step):
        self.pixels_read += window.height * window.width
        part = window.shrunk(step)
        return self.array[::step, ::step][part.slices]

    def close(self):
        pass


class DamagedLayer(ArrayLayer):
    def read(self, window, step):
        if window.col_off:
            raise RasterError("damaged")
        return super().read(window, step)


def frame(height, width, shrink=1):
    return Frame(grid=Grid(None, Affine.identity(), height, width), shrink=shrink)


def decoded(tile):
    return np.asarray(Image.open(BytesIO(tile.content)))


def test_class_indices_survive_a_tile():
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)

    content, mime = encode(indices)

    assert mime == "image/png"
    assert (np.asarray(Image.open(BytesIO(content))) == indices).all()


def test_a_picture_keeps_its_holes():
    picture = np.full((64, 64, 4), (200, 100, 50, 255), np.uint8)
    picture[:32] = 0

    content, mime = encode(picture)

    found = np.asarray(Image.open(BytesIO(content)))
    assert mime == "image/webp"
    assert (found[..., 3] == picture[..., 3]).all()
    assert np.abs(found[40:, :, :3].astype(int) - (200, 100, 50)).max() <= 4


@pytest.mark.parametrize(("height", "width"), [(40, 60), (700, 520), (513, 1100)])
def test_a_pyramid_holds_every_tile_once_and_reads_every_pixel_once(height, width):
    layer = ArrayLayer(np.random.default_rng(0).integers(0, 4, (height, width), dtype=np.uint8))
    whole = frame(height, width)

    tiles = {tile.name: tile for tile in pyramid(layer, whole, threads=2)}

    sizes = [whole.tiles(level) for level in range(whole.levels)]
    assert len(tiles) == sum(rows * cols for rows, cols in sizes)
    assert layer.pixels_read == height * width


@pytest.mark.parametrize("shrink", [1, 2])
def test_a_pyramid_of_classes_is_what_single_tiles_are(shrink):
    rows, cols = np.mgrid[:600, :1100]
    layer = ArrayLayer((rows * 7 + cols // 3).astype(np.uint8))
    whole = frame(600, 1100, shrink)

    for tile in pyramid(layer, whole, threads=2):
        alone = read_tile(layer, whole, tile.level, tile.row, tile.col)
        assert (decoded(tile) == decoded(alone)).all()


def test_a_coarse_picture_is_the_mean_of_the_finer():
    picture = np.zeros((520, 520, 4), np.uint8)
    picture[..., 3] = 255
    picture[::2, :, 0] = 200

    coarse = next(
        tile for tile in pyramid(ArrayLayer(picture), frame(520, 520), threads=1) if tile.level
    )

    assert np.abs(decoded(coarse)[..., 0].astype(int) - 100).max() <= 4


def test_a_damaged_file_stops_the_pyramid():
    layer = DamagedLayer(np.zeros((10, 1000), np.uint8))

    with pytest.raises(RasterError, match="damaged"):
        list(pyramid(layer, frame(10, 1000), threads=2))


def test_where_there_is_no_tile_nothing_is_read():
    layer = ArrayLayer(np.zeros((10, 10), np.uint8))

    assert read_tile(layer, frame(10, 10), 0, 0, 1) is None
    assert layer.pixels_read == 0
