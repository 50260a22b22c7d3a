"""Files of 4 x 4 blocks of 16 pixels that are damaged in all the ways files are."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio

from geoseg.errors import OutputError, RasterError
from geoseg.raster.reader import RasterReader, ReadOptions
from geoseg.raster.tolerant import TolerantReader
from geoseg.raster.window import Window, sliding_windows

SIDE, BLOCK = 64, 16
TILED = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK}
IMAGE = np.random.default_rng(0).integers(1, 255, (3, SIDE, SIDE)).astype(np.uint8)


def window(row_off, col_off, height, width):
    return Window(row_off=row_off, col_off=col_off, height=height, width=width)


def block(row, col, height=BLOCK, width=BLOCK):
    return window(row * height, col * width, height, width)


WHOLE = window(0, 0, SIDE, SIDE)


@pytest.fixture
def corrupt(write_raster):
    """A compressed file; the head of the tile in block row 1 and column 2 is overwritten."""
    path = write_raster("corrupt.tif", IMAGE, compress="deflate", **TILED)
    with rasterio.open(path) as file:
        start = int(file.get_tag_item("BLOCK_OFFSET_2_1", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    content[start : start + 32] = b"\xff" * 32
    path.write_bytes(content)
    return path


@pytest.fixture
def torn(write_raster):
    """A function that writes a file and cuts off what comes after 60 % of its length."""

    def write(**profile):
        path = write_raster("torn.tif", IMAGE, **profile)
        os.truncate(path, path.stat().st_size * 6 // 10)
        return path

    return write


VRT = """<VRTDataset rasterXSize="128" rasterYSize="64"><SRS>EPSG:32632</SRS>
<GeoTransform>500000, 0.5, 0, 5700000, 0, -0.5</GeoTransform>{bands}</VRTDataset>"""
VRT_BAND = """<VRTRasterBand dataType="Byte" band="{n}" blockXSize="64" blockYSize="64">
<SimpleSource><SourceFilename relativeToVRT="1">left.tif</SourceFilename>
<SourceBand>{n}</SourceBand>
<SrcRect xOff="0" yOff="0" xSize="64" ySize="64"/>
<DstRect xOff="0" yOff="0" xSize="64" ySize="64"/>
</SimpleSource>
<SimpleSource><SourceFilename relativeToVRT="1">right.tif</SourceFilename>
<SourceBand>{n}</SourceBand>
<SrcRect xOff="0" yOff="0" xSize="64" ySize="64"/>
<DstRect xOff="64" yOff="0" xSize="64" ySize="64"/>
</SimpleSource></VRTRasterBand>"""


@pytest.fixture
def deserted(write_raster, tmp_path):
    """A mosaic of two files side by side, of which the right one is gone."""
    write_raster("left.tif", IMAGE)
    path = tmp_path / "both.vrt"
    path.write_text(VRT.format(bands="".join(VRT_BAND.format(n=n) for n in (1, 2, 3))))
    return path


def lost(reader):
    """(height, width) bool, True where a block has failed."""
    canvas = np.zeros((reader.grid.height, reader.grid.width), bool)
    for each in reader.failed:
        canvas[each.slices] = True
    return canvas


def test_only_the_corrupt_block_is_without_data(corrupt):
    with RasterReader(corrupt) as plain:
        reader = TolerantReader(plain)
        image, valid = reader.read(WHOLE)

    bad = np.zeros((SIDE, SIDE), bool)
    bad[block(1, 2).slices] = True
    assert (valid == ~bad).all()
    assert (image == np.where(bad, 0, IMAGE)).all()
    assert image.dtype == np.uint8
    assert reader.failed == [block(1, 2)]
    assert reader.failed_pixels == BLOCK**2


def test_networks_get_nan_there(corrupt):
    with RasterReader(corrupt) as plain:
        image, valid = TolerantReader(plain).read_floats(window(10, 30, 20, 20))

    assert image.dtype == np.float32
    assert (np.isnan(image) == ~valid).all()
    assert np.flatnonzero(~valid.all(axis=1)).tolist() == list(range(6, 20))
    assert np.flatnonzero(~valid.all(axis=0)).tolist() == list(range(2, 18))


def test_a_block_in_several_windows_counts_once(corrupt):
    with RasterReader(corrupt) as plain, ThreadPoolExecutor(4) as pool:
        reader = TolerantReader(plain)
        list(pool.map(reader.read_floats, sliding_windows(SIDE, SIDE, size=24, stride=5)))

    assert reader.failed == [block(1, 2)]


def test_the_first_error_is_the_first_in_reading_order(torn):
    with RasterReader(torn(**TILED)) as plain:
        reader = TolerantReader(plain)
        assert reader.first_error is None
        for where in (block(3, 3), block(3, 0), block(3, 2)):
            reader.read(where)

    assert "torn.tif: cannot be read in Window(row_off=48, col_off=0, " in reader.first_error
    assert reader.failed == [block(3, 0), block(3, 2), block(3, 3)]


@pytest.mark.parametrize(
    ("profile", "shape"),
    [
        (TILED, (BLOCK, BLOCK)),
        (TILED | {"compress": "deflate"}, (BLOCK, BLOCK)),
        (TILED | {"compress": "lzw"}, (BLOCK, BLOCK)),
        (TILED | {"compress": "zstd"}, (BLOCK, BLOCK)),
        (TILED | {"compress": "deflate", "interleave": "pixel"}, (BLOCK, BLOCK)),
        ({"blockysize": 5}, (5, SIDE)),
        ({"compress": "deflate", "blockysize": 1}, (1, SIDE)),
        ({"compress": "deflate", "blockysize": 32}, (32, SIDE)),
    ],
)
def test_what_is_left_of_a_torn_file_is_read(torn, profile, shape):
    with RasterReader(torn(**profile)) as plain:
        reader = TolerantReader(plain)
        image, valid = reader.read(WHOLE)

    assert 0.3 < valid.mean() < 0.7
    assert (image[:, valid] == IMAGE[:, valid]).all()
    assert (lost(reader) == ~valid).all()
    assert {(each.height, each.width) for each in reader.failed} <= {shape, (SIDE % shape[0], SIDE)}


def test_the_other_files_of_a_mosaic_are_read(deserted):
    with RasterReader(deserted) as plain:
        reader = TolerantReader(plain)
        image, valid = reader.read(window(0, 32, SIDE, SIDE))

    assert (image[:, :, :32] == IMAGE[:, :, 32:]).all()
    assert valid.tolist() == [[True] * 32 + [False] * 32] * SIDE
    assert reader.failed == [block(0, 1, SIDE, SIDE)]


@pytest.mark.parametrize("nested", [False, True])
def test_a_file_that_is_gone_is_missed_every_time(deserted, nested):
    """Also where a VRT of a VRT has been read: GDAL remembers the file, and no longer complains."""
    if nested:
        outer = deserted.with_name("outer.vrt")
        outer.write_text(deserted.read_text().replace("left.tif", "both.vrt"))
        with RasterReader(outer) as reader:
            reader.read(block(0, 0, SIDE, 32))
    with RasterReader(deserted) as reader:
        for _ in range(3):
            with pytest.raises(RasterError, match=r"both\.vrt: cannot be read in Window"):
                reader.read(block(0, 1, SIDE, SIDE))


def test_of_a_torn_image_strips_are_left(write_raster):
    noise = np.random.default_rng(0).integers(0, 255, (600, 200), np.uint8)
    path = write_raster("torn.png", noise)
    os.truncate(path, path.stat().st_size * 6 // 10)

    with RasterReader(path) as plain:
        reader = TolerantReader(plain)
        image, valid = reader.read(window(0, 0, 600, 200))

    assert reader.failed == [window(256, 0, 256, 200), window(512, 0, 88, 200)]
    assert (lost(reader) == ~valid).all()
    assert (image[0, :256] == noise[:256]).all()


def test_of_a_file_that_vanishes_while_it_is_read_nothing_is_left(deserted, tmp_path):
    with RasterReader(deserted) as plain:
        reader = TolerantReader(plain)
        assert reader.read(block(0, 0)).valid.all()
        (tmp_path / "left.tif").unlink()
        deserted.unlink()
        with ThreadPoolExecutor(1) as pool:  # which opens its own
            image, valid = pool.submit(reader.read_floats, WHOLE).result()

    assert np.isnan(image).all()
    assert not valid.any()
    assert "both.vrt: no such file" in reader.first_error


def test_a_file_that_is_cut_while_it_is_read_is_read_as_far_as_it_goes(write_raster):
    path = write_raster("cut.tif", IMAGE, **TILED)
    with RasterReader(path) as plain:
        reader = TolerantReader(plain)
        assert reader.read(block(0, 0)).valid.all()
        os.truncate(path, path.stat().st_size // 2)
        assert reader.read(block(1, 0)).valid.all()
        assert not reader.read(block(3, 0)).valid.any()


def test_blocks_of_a_resampled_raster_are_those_of_the_grid(corrupt):
    with RasterReader(corrupt) as plain:
        grid = plain.grid

    with RasterReader(corrupt, ReadOptions(on=grid.part(window(16, 0, 16, SIDE)))) as plain:
        image, valid = TolerantReader(plain).read(window(0, 0, 16, 32))

    assert image.shape == (3, 16, 32)
    assert not valid.all()


def test_beyond_the_edge_stands_the_reflection(corrupt):
    with RasterReader(corrupt) as plain:
        image, valid = TolerantReader(plain).read(window(16, 32, 16, 48))

    assert (image[:, :, :16] == 0).all()
    assert (image[:, :, 16:32] == IMAGE[:, 16:32, 48:]).all()
    assert (image[:, :, 32:] == IMAGE[:, 16:32, :47:-1]).all()
    assert valid.tolist() == [[False] * 16 + [True] * 16 + [False] * 16] * 16


def test_what_is_whole_is_read_as_ever(write_raster):
    with RasterReader(write_raster("a.tif", IMAGE, nodata=7, **TILED)) as plain:
        reader = TolerantReader(plain)
        for where in (WHOLE, window(-5, 40, 30, 40)):
            for one, two in zip(reader.read(where), plain.read(where), strict=True):
                assert (one == two).all()
        assert (reader.path, reader.grid, reader.bands) == (plain.path, plain.grid, 3)
        assert (reader.dtype, reader.failed, reader.failed_pixels) == (np.uint8, [], 0)


def test_a_window_outside_the_raster_is_refused_as_ever(corrupt):
    with (
        RasterReader(corrupt) as plain,
        pytest.raises(RasterError, match="lies outside the raster"),
    ):
        TolerantReader(plain).read(window(64, 0, 4, 4))


@pytest.mark.parametrize("how", ["corrupt", "torn", "torn raw", "cut", "deserted", "abandoned"])
def test_without_tolerance_one_line_names_file_and_window(
    how, corrupt, torn, deserted, tmp_path, write_raster, capfd
):
    path = {
        "torn": lambda: torn(compress="deflate", **TILED),
        "torn raw": lambda: torn(**TILED),
        "cut": lambda: write_raster("cut.tif", IMAGE, **TILED),
        "corrupt": lambda: corrupt,
    }.get(how, lambda: deserted)()
    with RasterReader(path) as reader:
        reader.read(block(0, 0))
        if how == "cut":
            os.truncate(path, path.stat().st_size // 2)
        if how == "abandoned":
            (tmp_path / "left.tif").unlink()
            path.unlink()

        with (
            pytest.raises(RasterError) as caught,
            ThreadPoolExecutor(1) as pool,
        ):
            pool.submit(reader.read, reader.grid.window).result()

    message = str(caught.value)
    assert f"{path}: " in message
    assert how == "abandoned" or "cannot be read in Window(row_off=0, col_off=0, " in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_a_line_of_the_log_that_was_torn_is_dropped(corrupt, tmp_path):
    log = tmp_path / "log.jsonl"
    with RasterReader(corrupt) as plain:
        TolerantReader(plain, log).read(WHOLE)
        whole = log.read_text()
        log.write_text(whole + whole[:-9])

        again = TolerantReader(plain, log)

        assert log.read_text() == whole
        assert again.failed == [block(1, 2)]


def test_a_log_that_cannot_be_written_is_one_clear_line(corrupt, tmp_path):
    with RasterReader(corrupt) as plain:
        reader = TolerantReader(plain, tmp_path / "missing" / "log.jsonl")

        with pytest.raises(OutputError, match=r"log\.jsonl: cannot be written: No such file"):
            reader.read(WHOLE)
