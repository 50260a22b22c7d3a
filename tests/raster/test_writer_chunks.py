import json
import shutil

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geoseg.raster.grid import Grid
from geoseg.raster.reader import RasterReader
from geoseg.raster.records import PROVENANCE
from geoseg.raster.window import Window, blocks
from geoseg.raster.writer import BLOCK_PX, MapChunks, RasterFormat

UTM = CRS.from_epsg(32632)


def grid(height, width):
    return Grid(UTM, Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000), height, width)


def write(path, image, kind=None, *, rows=512):
    """Write an array in chunks of some rows, and put them together."""
    _, height, width = image.shape
    kind = kind or RasterFormat(bands=len(image), dtype=image.dtype.name)
    folder = path.with_name("pieces")
    folder.mkdir(exist_ok=True)
    chunks = MapChunks(folder, grid(height, width), {"layer": kind})
    for window in blocks(height, width, rows=rows, cols=width):
        chunks.write(window, {"layer": image[:, *window.slices]}, [1])
    chunks.assemble("layer", path)
    shutil.rmtree(folder)
    return path


def random_image(bands, height, width, dtype="uint8"):
    return np.random.default_rng(1).integers(0, 5, (bands, height, width)).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
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
        assert file.block_shapes == [(BLOCK_PX, BLOCK_PX)]
        assert file.compression.value == "DEFLATE"
        assert file.overviews(1) == [2, 4]


@pytest.mark.parametrize(("height", "width"), [(1100, 512), (2100, 1024), (1024, 256), (600, 600)])
def test_no_level_is_one_tile_wide_and_several_high(tmp_path, height, width):
    """Validators take such a level for one that is not tiled."""
    path = write(tmp_path / "a.tif", random_image(1, height, width))

    with rasterio.open(path) as file:
        levels = len(file.overviews(1))
    for level in [None, *range(levels)]:
        options = {} if level is None else {"overview_level": level}
        with rasterio.open(path, **options) as file:
            assert max(file.shape) <= 512 or file.block_shapes[0][1] != file.width


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
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


def test_only_the_raster_is_left_when_writing_ends(tmp_path):
    write(tmp_path / "a.tif", random_image(1, 600, 600))

    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_same_pixels_give_the_same_bytes_whatever_the_windows(tmp_path, dtype):
    image = random_image(2, 600, 530, dtype)

    one = write(tmp_path / "a.tif", image, rows=100)
    other = write(tmp_path / "b.tif", image, rows=7)

    assert one.read_bytes() == other.read_bytes()


def test_only_chunks_with_a_record_are_finished(tmp_path):
    window = Window(row_off=0, col_off=0, height=2, width=2)
    below = window.moved(2, 0)
    image = np.ones((1, 2, 2), np.uint8)
    chunks = MapChunks(tmp_path, grid(4, 2), {"layer": RasterFormat()})
    chunks.write(window, {"layer": image}, [3, 1])
    chunks.write(below, {"layer": image}, [4, 0])
    record = tmp_path / "piece_r000002_c000000.json"

    for damage in (lambda: record.write_text('{"win'), record.unlink):
        damage()
        [(place, chunk)] = MapChunks(tmp_path, grid(4, 2), {}).finished.items()
        assert (place, chunk.counts) == (window, [3, 1])


def test_what_no_piece_covers_has_no_data(tmp_path):
    kind = RasterFormat(nodata=255)
    chunks = MapChunks(tmp_path, grid(2, 4), {"layer": kind})
    window = Window(row_off=0, col_off=2, height=2, width=2)
    chunks.write(window, {"layer": np.full((1, 2, 2), 7, np.uint8)}, [])

    chunks.assemble("layer", tmp_path / "a.tif")

    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.read(1).tolist() == [[255, 255, 7, 7]] * 2


@pytest.mark.parametrize(
    "kind", [RasterFormat(nodata=255), RasterFormat(dtype="float32", nodata=float("nan"))]
)
def test_a_piece_without_data_is_the_same_as_one_full_of_nodata(tmp_path, kind):
    above, below = blocks(6, 8, rows=3, cols=8)
    full = np.full((1, 3, 8), kind.nodata, kind.dtype)
    for name, image in (("blank", None), ("full", {"layer": full})):
        (tmp_path / name).mkdir()
        chunks = MapChunks(tmp_path / name, grid(6, 8), {"layer": kind})
        chunks.write(above, {"layer": np.ones((1, 3, 8), kind.dtype)}, [24])
        chunks.write(below, image, [0])
        MapChunks(tmp_path / name, grid(6, 8), {"layer": kind}).assemble(
            "layer", tmp_path / f"{name}.tif"
        )

    assert (tmp_path / "blank.tif").read_bytes() == (tmp_path / "full.tif").read_bytes()
    assert len(list((tmp_path / "blank").glob("*.tif"))) == 1


def test_a_picture_without_georeference_stays_one(tmp_path):
    nowhere = Grid(None, Affine.identity(), 2, 2)
    chunks = MapChunks(tmp_path, nowhere, {"layer": RasterFormat()})
    chunks.write(nowhere.window, {"layer": np.ones((1, 2, 2), np.uint8)}, [])

    chunks.assemble("layer", tmp_path / "a.tif")

    with rasterio.open(tmp_path / "a.tif") as file:
        assert (file.crs, file.transform) == (None, Affine.identity())
