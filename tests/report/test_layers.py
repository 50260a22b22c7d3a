import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, Resampling

from geoseg.errors import GridMismatchError
from geoseg.labels.legend import Legend
from geoseg.labels.style import BandOptions
from geoseg.raster.grid import Grid
from geoseg.raster.reader import RasterReader
from geoseg.raster.window import Window
from geoseg.report.layers import ImageLayer, Reading, open_map

LEGEND = Legend.from_dict(
    {
        "class": [
            {"value": 1, "name": "building", "color": "#d7301f"},
            {"value": 0, "name": "tree", "color": "#00ff01"},
        ]
    }
)


def grid_of(path):
    with RasterReader(path) as reader:
        return reader.grid


def read_all(layer, grid, step=1):
    return layer.read(grid.window, step)


def test_exactly_the_pixel_in_the_middle_stands_for_its_square(write_map):
    values = np.random.default_rng(0).integers(0, 2, (23, 31))
    path = write_map("map.tif", values)
    layer = open_map(path, LEGEND, grid_of(path), Reading(), exact=True)

    whole, shrunk = (read_all(layer, grid_of(path), step) for step in (1, 3))

    rows, cols = (np.minimum(np.arange(n) * 3 + 1, m - 1) for n, m in ((8, 23), (11, 31)))
    assert (shrunk == whole[np.ix_(rows, cols)]).all()


def test_a_picture_without_georeference_must_be_of_the_same_size(write_raster):
    path = write_raster("photo.png", np.zeros((3, 4, 4), np.uint8))
    place = Grid(None, Affine.identity(), 5, 4)

    with pytest.raises(GridMismatchError, match="georeference it"):
        ImageLayer(path, place)


RGB = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]


@pytest.mark.parametrize(
    ("bands", "profile"),
    [
        (3, {}),
        (3, {"nodata": 0}),
        (4, {"colorinterp": [*RGB, ColorInterp.alpha]}),
        (3, {"mask": np.tile([True, False], (8, 5))}),
    ],
    ids=["all", "nodata", "alpha", "mask"],
)
def test_a_picture_shows_what_gdal_reads_where_it_is_valid(write_raster, bands, profile):
    image = np.random.default_rng(0).integers(1, 255, (bands, 8, 10), dtype=np.uint8)
    image[:3, :3, :5] = 0
    image[3:] = 255 * (image[3:] > 99)
    path = write_raster("ortho.tif", image, **profile)

    picture = read_all(ImageLayer(path, grid_of(path)), grid_of(path))

    with rasterio.open(path) as file:
        shown = file.dataset_mask()
        assert (picture[..., 3] == shown).all()
        assert (picture[..., :3][shown > 0] == file.read()[:3].transpose(1, 2, 0)[shown > 0]).all()


def test_a_mask_of_values_is_not_black_but_in_distinct_colours(write_raster):
    path = write_raster("mask.tif", np.array([[0, 1, 255], [1, 0, 255]], np.uint8))

    picture = read_all(ImageLayer(path, grid_of(path)), grid_of(path))

    assert len(np.unique(picture[..., :3].reshape(-1, 3), axis=0)) == 3
    assert picture[..., :3].any(axis=-1).all()


def test_a_layer_shows_the_bands_that_are_wanted(write_raster):
    image = np.arange(4, dtype=np.uint8)[:, None, None].repeat(3, 2)
    path = write_raster("ortho.tif", image, photometric="minisblack", alpha="no")
    layer = ImageLayer(path, grid_of(path), bands=BandOptions(bands=(4, 1, 2)))

    assert read_all(layer, grid_of(path))[0, 0].tolist() == [3, 0, 1, 255]


def test_classes_seen_from_afar_are_those_of_the_overviews(write_map):
    values = np.random.default_rng(0).integers(0, 2, (64, 96))
    path = write_map("map.tif", values, tiled=True, blockxsize=16, blockysize=16)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.mode)

    layer = open_map(path, LEGEND, grid_of(path), Reading())

    with rasterio.open(path) as file:
        for step in (2, 4):
            seen = read_all(layer, grid_of(path), step)
            overview = file.read(1, out_shape=(64 // step, 96 // step))
            assert (seen == LEGEND.encode_map(overview)).all()
            assert (overview != values[::step, ::step]).any()


def test_a_shrunk_picture_is_a_mean_and_keeps_its_hole(write_raster):
    image = np.full((3, 8, 8), 100, np.uint8)
    image[:, :, 4:] = 200
    image[:, :4, :4] = 0
    path = write_raster("ortho.tif", image, nodata=0)

    picture = read_all(ImageLayer(path, grid_of(path)), grid_of(path), 4)

    assert picture[..., 0].tolist() == [[0, 200], [100, 200]]
    assert picture[..., 3].tolist() == [[0, 255], [255, 255]]


def test_a_part_is_read_as_it_is_in_the_whole(write_raster):
    image = np.random.default_rng(0).integers(0, 65535, (3, 40, 50), dtype=np.uint16)
    path = write_raster("ortho.tif", image)
    layer = ImageLayer(path, grid_of(path))
    window = Window(row_off=8, col_off=16, height=16, width=20)

    part = layer.read(window, 2)

    assert (part == read_all(layer, grid_of(path), 2)[4:12, 8:18]).all()
