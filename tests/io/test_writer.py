import json

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geoseg.core.grid import Grid
from geoseg.core.window import Window, blocks
from geoseg.errors import OutputError, OutputExistsError
from geoseg.io.raster import RasterReader
from geoseg.io.writer import BLOCK, PROVENANCE, RasterFormat, create_raster

UTM = CRS.from_epsg(32632)


def grid(height, width):
    return Grid(UTM, Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000), height, width)


def write(path, image, kind=None, *, overwrite=False, rows=100):
    """Write an array in strips of rows."""
    _, height, width = image.shape
    kind = kind or RasterFormat(bands=len(image), dtype=image.dtype.name)
    with create_raster(path, grid(height, width), kind, overwrite=overwrite) as writer:
        for window in blocks(height, width, rows=rows, cols=width):
            writer.write(window, image[:, *window.slices])
    return path


def random_image(bands, height, width, dtype="uint8"):
    return np.random.default_rng(1).integers(0, 5, (bands, height, width)).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 700), (3, 600, 30), (2, 512, 513)])
def test_what_is_written_in_windows_is_read_back_whole(tmp_path, dtype, shape):
    image = random_image(*shape, dtype)

    with rasterio.open(write(tmp_path / "a.tif", image)) as file:
        assert (file.read() == image).all()
        assert file.dtypes[0] == dtype
        assert (file.crs, file.transform) == (UTM, grid(1, 1).transform)


def test_a_raster_is_cloud_optimised(tmp_path):
    with rasterio.open(write(tmp_path / "a.tif", random_image(1, 1100, 600))) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.block_shapes == [(BLOCK, BLOCK)]
        assert file.compression.value == "DEFLATE"
        assert file.overviews(1) == [2, 4]


def test_one_band_may_come_without_its_axis(tmp_path):
    with create_raster(tmp_path / "a.tif", grid(2, 2), RasterFormat(), overwrite=False) as writer:
        writer.write(
            Window(row_off=0, col_off=1, height=2, width=1), np.array([[7], [8]], np.uint8)
        )

    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.read(1).tolist() == [[0, 7], [0, 8]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("bands", [2, 4, 5])
def test_the_last_band_is_not_taken_for_alpha(tmp_path, bands, dtype):
    image = random_image(bands, 4, 4, dtype)

    with RasterReader(write(tmp_path / "a.tif", image)) as reader:
        assert reader.bands == bands
        assert reader.read(reader.grid.window).valid.all()


def test_nodata_names_colours_and_provenance_are_in_the_file(tmp_path):
    colors = {0: (1, 2, 3, 255), 255: (0, 0, 0, 0)}
    kind = RasterFormat(
        nodata=255, band_names=("classes",), colormap=colors, tags={"b": [1, None], "a": "ü"}
    )

    with rasterio.open(write(tmp_path / "a.tif", random_image(1, 4, 4), kind)) as file:
        assert file.nodata == 255
        assert file.descriptions == ("classes",)
        assert {value: file.colormap(1)[value] for value in colors} == colors
        assert json.loads(file.tags()[PROVENANCE]) == {"b": [1, None], "a": "ü"}


def test_overviews_by_mode_invent_no_class(tmp_path):
    image = random_image(1, 1100, 1100) * 50

    path = write(tmp_path / "a.tif", image, RasterFormat(overviews="mode"))

    with rasterio.open(path, overview_level=0) as file:
        assert file.shape == (550, 550)
        assert set(np.unique(file.read())) <= set(np.unique(image))


def test_overviews_of_classes_keep_nodata_apart(tmp_path):
    image = np.full((1, 1024, 1024), 3, np.uint8)
    image[:, :, 512:] = 255

    path = write(tmp_path / "a.tif", image, RasterFormat(nodata=255, overviews="mode"))

    with rasterio.open(path, overview_level=0) as file:
        assert (file.read(1)[:, :256] == 3).all()
        assert (file.read(1)[:, 256:] == 255).all()


def test_nothing_is_left_when_writing_fails(tmp_path):
    kind = RasterFormat()
    with (
        pytest.raises(LookupError),
        create_raster(tmp_path / "a.tif", grid(4, 4), kind, overwrite=False),
    ):
        raise LookupError

    assert list(tmp_path.iterdir()) == []


def test_only_the_raster_is_left_when_writing_ends(tmp_path):
    write(tmp_path / "a.tif", random_image(1, 600, 600))

    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_an_existing_raster_is_replaced_only_on_request(tmp_path):
    path = write(tmp_path / "a.tif", np.full((1, 2, 2), 1, np.uint8))

    with pytest.raises(OutputExistsError):
        write(path, np.full((1, 2, 2), 2, np.uint8))
    with rasterio.open(path) as file:
        assert (file.read() == 1).all()

    write(path, np.full((1, 2, 2), 2, np.uint8), overwrite=True)
    with rasterio.open(path) as file:
        assert (file.read() == 2).all()


def test_a_window_outside_the_raster_is_an_output_error(tmp_path):
    with (
        pytest.raises(OutputError, match=r"a\.tif: cannot be written"),
        create_raster(tmp_path / "a.tif", grid(2, 2), RasterFormat(), overwrite=False) as writer,
    ):
        writer.write(Window(row_off=1, col_off=0, height=2, width=2), np.zeros((2, 2), np.uint8))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_same_pixels_give_the_same_bytes_whatever_the_windows(tmp_path, dtype):
    image = random_image(2, 600, 530, dtype)

    one = write(tmp_path / "a.tif", image, rows=100)
    other = write(tmp_path / "b.tif", image, rows=7)

    assert one.read_bytes() == other.read_bytes()
