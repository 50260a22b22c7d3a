from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.warp import calculate_default_transform, reproject

from geoseg.errors import RasterError
from geoseg.raster.grid import Grid
from geoseg.raster.reader import RasterReader, ReadOptions
from geoseg.raster.window import Window, sliding_windows

FINE = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
COARSE = FINE @ Affine.scale(2)
AWAY = FINE @ Affine.translation(100, 0)
HEIGHTS = np.array([[10, 20], [30, 40]], np.float32)
BETWEEN = [[10, 12.5, 17.5, 20], [15, 17.5, 22.5, 25], [25, 27.5, 32.5, 35], [30, 32.5, 37.5, 40]]
"""The heights on pixels of half the size."""


@pytest.fixture
def ortho(write_raster):
    """Three bands of 4 x 4 pixels."""
    image = np.arange(1, 49).reshape(3, 4, 4).astype(np.uint8)
    return write_raster("ortho.tif", image, photometric="rgb")


@pytest.fixture
def dsm(write_raster):
    """A function that writes heights, as a rule 2 x 2 pixels on the ground of the orthophoto."""

    def write(heights=HEIGHTS, name="dsm.tif", **profile):
        return write_raster(name, heights, **{"transform": COARSE} | profile)

    return write


def stacked(*paths, **options):
    return ReadOptions(stacked=paths, **options)


def read(path, options, where=None):
    with RasterReader(path, options) as reader:
        return reader.read(where or reader.grid.window)


def test_the_bands_of_a_stacked_raster_follow_interpolated(ortho, dsm):
    with RasterReader(ortho, stacked(dsm())) as reader:
        image, valid = reader.read(reader.grid.window)

    assert (reader.bands, reader.dtype, image.dtype) == (4, np.float32, np.float32)
    assert reader.band_names == ("red", "green", "blue", "dsm")
    assert (image[:3] == np.arange(1, 49).reshape(3, 4, 4)).all()
    assert image[3].tolist() == BETWEEN
    assert valid.all()


def test_rasters_of_one_type_keep_it(ortho, dsm):
    with RasterReader(ortho, stacked(dsm(HEIGHTS.astype(np.uint8)))) as reader:
        image, _ = reader.read(reader.grid.window)

    assert reader.dtype == image.dtype == np.uint8
    assert image[3].tolist() == np.round(np.array(BETWEEN) + 0.01).tolist()


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "float64"])
def test_rasters_of_several_types_become_float32(ortho, dsm, dtype):
    with RasterReader(ortho, stacked(dsm(HEIGHTS.astype(dtype)))) as reader:
        image, _ = reader.read(reader.grid.window)

    assert reader.dtype == image.dtype == np.float32
    assert image[3, 0, [0, 3]].tolist() == [10, 20]


def test_several_rasters_are_stacked_in_order_and_named_after_their_files(ortho, dsm):
    surface, other = dsm(name="a/dsm.tif"), dsm(np.stack([HEIGHTS, HEIGHTS + 50]), "b/dsm.tif")

    with RasterReader(ortho, stacked(surface, other)) as reader:
        image, _ = reader.read(reader.grid.window)

    assert reader.band_names[3:] == ("a_dsm", "b_dsm gray", "b_dsm band 2")
    assert image[3:, 0, 0].tolist() == [10, 10, 60]


def test_bands_are_chosen_among_the_orthophotos_own(ortho, dsm):
    with RasterReader(ortho, stacked(dsm(), bands=(2,))) as reader:
        image, _ = reader.read(reader.grid.window)

    assert reader.band_names == ("green", "dsm")
    assert image[:, 0, 0].tolist() == [17, 10]


HOLED = np.array([[-9999, 20], [30, 40]], np.float32)
GRAY_ALPHA = [ColorInterp.gray, ColorInterp.alpha]


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("kind", ["nodata", "mask", "alpha"])
def test_a_hole_in_a_stacked_raster_is_a_hole(ortho, dsm, dtype, kind):
    heights, mask = HOLED.astype(dtype), np.array([[False, True], [True, True]])
    path = {
        "nodata": lambda: dsm(heights, nodata=-9999),
        "mask": lambda: dsm(heights, mask=mask),
        "alpha": lambda: dsm(np.stack([heights, 255 * mask]).astype(dtype), colorinterp=GRAY_ALPHA),
    }[kind]()

    with RasterReader(ortho, stacked(path)) as reader:
        image, valid = reader.read_floats(reader.grid.window)

    assert reader.bands == 4
    assert valid.astype(int).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert (np.isnan(image) == ~valid).all()
    assert np.nanmin(image[3]) >= 20


@pytest.mark.parametrize("nodata", [None, np.nan])
def test_nan_in_a_stacked_raster_is_a_hole(ortho, dsm, nodata):
    heights = np.where(HOLED < 0, np.nan, HOLED).astype(np.float32)

    valid = read(ortho, stacked(dsm(heights, nodata=nodata))).valid

    assert not valid[:2, :2].any()
    assert valid[3, 3]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
@pytest.mark.parametrize("nodata", [None, 99])
def test_beyond_a_stacked_raster_there_is_no_data(ortho, dsm, dtype, nodata):
    right = COARSE @ Affine.translation(1, 0)

    valid = read(ortho, stacked(dsm(HEIGHTS.astype(dtype), transform=right, nodata=nodata))).valid

    assert valid.astype(int).tolist() == [[0, 0, 1, 1]] * 4


def test_a_hole_in_the_orthophoto_is_one_too(write_raster, dsm):
    image = np.array([[[0, 1]], [[0, 0]]], np.uint8)
    path = write_raster("a.tif", image, nodata=0)

    with RasterReader(path, stacked(dsm())) as reader:
        assert reader.nodata is None  # no value stands for all bands
        assert reader.may_have_invalid_pixels
        assert reader.read(reader.grid.window).valid.tolist() == [[False, True]]


def test_the_users_nodata_is_the_orthophotos(ortho, dsm):
    assert read(ortho, stacked(dsm(), nodata=40)).valid.all()
    assert read(ortho, stacked(dsm(nodata=40), nodata="none")).valid.sum() == 12


def test_without_a_crs_it_is_taken_for_the_orthophotos(ortho, dsm):
    assert read(ortho, stacked(dsm(crs=None))).image[3].tolist() == BETWEEN


def test_images_of_one_size_need_no_place(write_raster):
    image = np.arange(12).reshape(3, 4).astype(np.uint8)
    first = write_raster("a.png", image)
    second = write_raster("b.png", image + 100)

    assert (read(first, stacked(second)).image == [image, image + 100]).all()


def test_colours_of_a_palette_are_not_mixed(ortho, dsm):
    colors = {0: (1, 2, 3, 255), 2: (7, 8, 9, 255)}
    path = dsm(np.array([[0, 2], [2, 0]], np.uint8), colormap=colors)

    image = read(ortho, stacked(path)).image

    assert image[3].tolist() == [[1, 1, 7, 7], [1, 1, 7, 7], [7, 7, 1, 1], [7, 7, 1, 1]]
    assert len(image) == 6


def smooth(height, width, dtype=np.float32):
    rows, cols = np.indices((height, width))
    return (1500 + 20 * np.sin(rows / 7) + 10 * np.cos(cols / 5)).astype(dtype)


@pytest.fixture
def elsewhere(write_raster):
    """An orthophoto of 300 x 400 pixels and heights with a hole, in degrees."""
    grid = Grid(CRS.from_epsg(32632), FINE, 300, 400)
    transform, width, height = calculate_default_transform(
        grid.crs, "EPSG:4326", grid.width, grid.height, *grid.bounds, resolution=2e-5
    )
    heights = smooth(height, width)
    heights[20:30, 40:55] = -9999
    path = write_raster("dsm.tif", heights, transform=transform, crs="EPSG:4326", nodata=-9999)
    return write_raster("ortho.tif", np.ones((300, 400), np.uint8)), path, grid


def test_another_crs_is_resampled_as_rasterio_does(elsewhere):
    ortho, path, grid = elsewhere
    with rasterio.open(path) as file:
        expected, _ = reproject(
            rasterio.band(file, 1),
            np.zeros((1, 300, 400), np.float32),
            dst_transform=grid.transform,
            dst_crs=grid.crs,
            resampling=Resampling.bilinear,
            tolerance=0,
        )

    image, valid = read(ortho, stacked(path))

    assert 0.9 < valid.mean() < 0.99
    assert (valid != (expected[0] != -9999)).mean() < 1e-3
    both = valid & (expected[0] != -9999)
    assert abs(image[1] - expected[0])[both].max() < 0.2


def test_a_pixel_is_the_same_in_every_window(elsewhere):
    ortho, path, grid = elsewhere
    with RasterReader(ortho, stacked(path)) as reader:
        whole = reader.read(grid.window)
        for window in sliding_windows(300, 400, size=150, stride=70):
            image, valid = reader.read(window)
            assert np.array_equal(image, whole.image[:, *window.slices], equal_nan=True)
            assert (valid == whole.valid[window.slices]).all()


def test_many_threads_read_the_same(elsewhere):
    ortho, path, grid = elsewhere
    parts = list(sliding_windows(300, 400, size=64, stride=40))

    with RasterReader(ortho, stacked(path)) as reader, ThreadPoolExecutor(4) as pool:
        whole = reader.read(grid.window).image
        found = list(pool.map(reader.read, parts))

    for part, pixels in zip(parts, found, strict=True):
        assert np.array_equal(pixels.image, whole[:, *part.slices], equal_nan=True)


def test_an_overview_shows_all_bands(elsewhere):
    ortho, path, _ = elsewhere
    with RasterReader(ortho, stacked(path)) as reader:
        image, valid = reader.read_overview(40)

    assert image.shape == (2, 30, 40)
    assert 0.9 < valid.mean() < 1


def test_all_is_resampled_onto_another_grid(ortho, dsm):
    grid = Grid(CRS.from_epsg(32632), COARSE @ Affine.translation(0, 1), 1, 2)

    image, valid = read(ortho, stacked(dsm(), on=grid, resampling="average"))

    assert image[:, 0].tolist() == [[12, 14], [28, 30], [44, 46], [30, 40]]
    assert valid.all()


def test_beyond_the_edge_stands_the_reflection(ortho, dsm):
    window = Window(row_off=-1, col_off=0, height=2, width=1)

    assert read(ortho, stacked(dsm()), window).image[3].tolist() == [[10], [10]]


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        ({"transform": AWAY}, r"does not overlap .*ortho\.tif, on which"),
        ({"transform": AWAY, "crs": None}, "does not overlap"),
        ({"transform": None, "crs": None}, "does not overlap"),
        ({"crs": "EPSG:32655"}, "does not overlap"),
        ({"crs": "EPSG:3031"}, "does not overlap"),
        ({"crs": "EPSG:4326", "transform": Affine(1, 0, -60, 0, -1, 5)}, "does not overlap"),
    ],
)
def test_rasters_that_do_not_overlap_are_refused_and_named(ortho, dsm, profile, reason, capfd):
    with pytest.raises(RasterError, match=rf"dsm\.tif: {reason}"):
        RasterReader(ortho, stacked(dsm(**profile)))

    assert capfd.readouterr() == ("", "")


def test_a_raster_with_a_place_does_not_fit_one_without(write_raster, dsm):
    picture = write_raster("a.png", np.ones((4, 4), np.uint8))

    with pytest.raises(RasterError, match=r"dsm\.tif: cannot be stacked on .*a\.png, which has no"):
        RasterReader(picture, stacked(dsm()))


def test_images_of_two_sizes_are_refused(write_raster):
    one, two = (write_raster(f"{n}.png", np.ones((n, 4), np.uint8)) for n in (3, 4))

    with pytest.raises(RasterError, match=r"4\.png: does not overlap .*3\.png"):
        RasterReader(one, stacked(two))


def test_a_missing_raster_is_named(ortho, tmp_path):
    with pytest.raises(RasterError, match=r"gone\.tif: no such file"):
        RasterReader(ortho, stacked(tmp_path / "gone.tif"))


def test_a_torn_raster_is_named_with_the_window(ortho, dsm):
    path = dsm(np.tile(HEIGHTS, (64, 64)), transform=FINE)
    path.write_bytes(path.read_bytes()[:-60_000])

    with (
        RasterReader(ortho, stacked(path)) as reader,
        pytest.raises(RasterError, match=r"dsm\.tif: cannot be read in Window\(row_off=0"),
    ):
        reader.read(reader.grid.window)
