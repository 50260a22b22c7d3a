import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geoseg.errors import InputError
from geoseg.labels.legend import Legend
from geoseg.patches.patch_set import padded, refuse_unfit_for_png, write_image, write_mask
from geoseg.raster.grid import Grid
from geoseg.raster.reader import Pixels, RasterReader
from geoseg.raster.window import Window

SIZE = 8
WHOLE = Window(row_off=0, col_off=0, height=SIZE, width=SIZE)
GRID = Grid(CRS.from_epsg(32632), Affine(0.5, 0, 5e5, 0, -0.5, 5.7e6), SIZE, SIZE)
LEGEND = Legend.from_dict({"class": [{"value": 9, "name": "a"}, {"value": 4, "name": "b"}]})


def random_pixels(bands, dtype, hole):
    rng = np.random.default_rng(0)
    valid = np.ones((SIZE, SIZE), bool)
    valid[2:4, 3:] = not hole
    return Pixels(rng.integers(1, 200, (bands, SIZE, SIZE)).astype(dtype), valid)


@pytest.mark.parametrize(
    ("storage", "bands", "dtype"),
    [
        *(("png", bands, dtype) for bands in (1, 3) for dtype in ("uint8", "uint16")),
        *(("tif", bands, dtype) for bands in (1, 3, 4) for dtype in ("uint8", "int16", "float32")),
    ],
)
@pytest.mark.parametrize("hole", [True, False])
@pytest.mark.parametrize("nodata", [None, 0])
def test_pixels_and_where_they_are_valid_come_back(tmp_path, storage, bands, dtype, hole, nodata):
    path = tmp_path / f"a.{storage}"
    pixels = random_pixels(bands, dtype, hole)

    write_image(path, pixels, GRID, storage=storage, nodata=nodata)

    with RasterReader(path) as reader:
        found = reader.read(WHOLE)
    assert (found.valid == pixels.valid).all()
    assert found.image.dtype == dtype
    assert (found.image[:, found.valid] == pixels.image[:, found.valid]).all()
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{storage}"]


@pytest.mark.parametrize("storage", ["png", "tif"])
def test_a_mask_is_a_class_map_with_the_legends_values_and_colours(tmp_path, storage):
    path = tmp_path / f"m.{storage}"
    mask = np.tile(np.array([0, 1, 255, 1], np.uint8), (SIZE, 2))

    write_mask(path, mask, GRID, storage=storage, legend=LEGEND)

    with rasterio.open(path) as file:
        values = file.read(1)
        colors = file.colormap(1)
    assert values[0, :4].tolist() == [9, 4, 255, 4]
    assert colors[9] == (*LEGEND.classes[0].color, 255)


def test_a_geotiff_patch_lies_on_the_ground(tmp_path):
    write_image(
        tmp_path / "a.tif", random_pixels(3, "uint8", hole=False), GRID, storage="tif", nodata=None
    )

    with RasterReader(tmp_path / "a.tif") as reader:
        assert reader.grid == GRID


def test_a_patch_over_the_edge_is_filled_with_what_is_not_valid():
    pixels = Pixels(np.array([[[1, 2], [3, 4]]]), np.ones((2, 2), bool))

    image, valid = padded(pixels, 3)

    assert image.tolist() == [[[1, 2, 2], [3, 4, 4], [3, 4, 4]]]
    assert valid.tolist() == [[True, True, False], [True, True, False], [False] * 3]


@pytest.mark.parametrize(("bands", "dtype"), [(4, "uint8"), (2, "uint8"), (3, "float32")])
def test_what_png_cannot_hold_is_refused(bands, dtype):
    with pytest.raises(InputError, match=rf"not {bands} of {dtype}"):
        refuse_unfit_for_png(bands, dtype)
