from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.rpc import RPC
from rasterio.warp import reproject

from geoseg.errors import GeosegWarning, RasterError
from geoseg.raster.grid import Grid
from geoseg.raster.reader import RasterReader, ReadOptions
from geoseg.raster.window import Window

RGBA = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
DTYPES = ["uint8", "uint16", "int16", "uint32", "float32", "float64"]


def window(row_off, col_off, height, width):
    return Window(row_off=row_off, col_off=col_off, height=height, width=width)


def numbers(bands, height, width, dtype="uint8"):
    return np.arange(1, bands * height * width + 1).reshape(bands, height, width).astype(dtype)


def read(path, options=None, where=None, **kwargs):
    with RasterReader(path, options, **kwargs) as reader:
        return reader.read(where or reader.grid.window)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bands", [1, 2, 3, 5])
def test_a_window_holds_the_pixels_of_the_file(write_raster, dtype, bands):
    image = numbers(bands, 6, 7, dtype)

    pixels = read(write_raster("a.tif", image), where=window(1, 2, 3, 4))

    assert (pixels.image == image[:, 1:4, 2:6]).all()
    assert pixels.image.dtype == dtype
    assert pixels.valid.all()


def test_bands_come_in_the_order_asked_for(write_raster):
    image = numbers(4, 2, 2)

    pixels = read(write_raster("a.tif", image), ReadOptions(bands=(4, 1)))

    assert (pixels.image == image[[3, 0]]).all()


def test_a_band_that_is_not_there_is_refused(write_raster):
    with pytest.raises(RasterError, match=r"a\.tif: has bands 1\.\.3, not \[0, 7\]"):
        RasterReader(write_raster("a.tif", numbers(3, 2, 2)), ReadOptions(bands=(1, 0, 7)))


def test_alpha_hides_pixels_and_is_no_band(write_raster):
    image = numbers(4, 2, 2)
    image[3] = [[255, 0], [1, 255]]
    path = write_raster("a.tif", image, colorinterp=RGBA)

    with RasterReader(path) as reader:
        pixels = reader.read(window(0, 0, 2, 2))

    assert (reader.bands, reader.band_names) == (3, ("red", "green", "blue"))
    assert (pixels.image == image[:3]).all()
    assert pixels.valid.tolist() == [[True, False], [True, True]]


def test_a_mask_band_hides_pixels(write_raster):
    mask = np.array([[True, False], [True, True]])

    pixels = read(write_raster("a.tif", numbers(3, 2, 2), mask=mask))

    assert pixels.valid.tolist() == mask.tolist()


def test_nodata_in_one_band_of_an_integer_raster_is_a_legal_brightness(write_raster):
    image = np.array([[[0, 0, 9]], [[0, 5, 9]]], np.uint8)

    assert read(write_raster("a.tif", image, nodata=0)).valid.tolist() == [[False, True, True]]


def test_nodata_in_one_band_of_a_float_raster_hides_the_pixel(write_raster):
    image = np.array([[[-9999, 1, 2]], [[-9999, -9999, 2]]], np.float32)

    pixels = read(write_raster("a.tif", image, nodata=-9999))

    assert pixels.valid.tolist() == [[False, False, True]]


def test_a_negative_nodata_value_is_no_brightness_and_hides_from_any_band(write_raster):
    image = np.array([[[-9999, 1, 2]], [[3, 4, -9999]]], np.int16)

    pixels = read(write_raster("a.tif", image, nodata=-9999))

    assert pixels.valid.tolist() == [[False, True, False]]


@pytest.fixture
def separate(tmp_path, write_raster):
    """A function that joins bands, (height, width), to a VRT, each with a nodata value or mask."""

    def join(*bands, nodata=None, masks=None):
        rows = []
        for number, band in enumerate(bands, 1):
            kind = TYPES[band.dtype.name]
            write_raster(f"{number}.tif", band)
            hidden = "" if nodata is None else f"<NoDataValue>{nodata[number - 1]}</NoDataValue>"
            if masks is not None:
                write_raster(f"m{number}.tif", np.where(masks[number - 1], 255, 0).astype(np.uint8))
                source = SOURCE.format(f"m{number}")
                hidden = (
                    f'<MaskBand><VRTRasterBand dataType="Byte">{source}</VRTRasterBand></MaskBand>'
                )
            rows.append(
                f'<VRTRasterBand dataType="{kind}" band="{number}">{hidden}'
                f"{SOURCE.format(number)}</VRTRasterBand>"
            )
        height, width = bands[0].shape
        path = tmp_path / "separate.vrt"
        path.write_text(
            f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>EPSG:32632</SRS>'
            f"<GeoTransform>500000, 0.5, 0, 5700000, 0, -0.5</GeoTransform>{''.join(rows)}"
            f"</VRTDataset>"
        )
        return path

    return join


TYPES = {"uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "float32": "Float32"}
SOURCE = (
    '<SimpleSource><SourceFilename relativeToVRT="1">{}.tif</SourceFilename>'
    "<SourceBand>1</SourceBand></SimpleSource>"
)
FIRST = np.array([[0, 5, 6, 7]])
SECOND = np.array([[1, -9999, 0, 3]])


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_each_band_of_a_vrt_has_its_own_nodata_value(separate, dtype):
    path = separate(FIRST.astype(dtype), SECOND.astype(dtype), nodata=(0, -9999))

    with RasterReader(path) as reader:
        assert reader.nodata is None
        assert reader.read(reader.grid.window).valid.tolist() == [[False, False, True, True]]
        assert np.isnan(reader.read_floats(reader.grid.window).image[:, 0, :2]).all()


def test_bands_that_share_a_nodata_value_hide_a_pixel_together(separate):
    bands = np.array([[[0, 0, 9]], [[0, 5, 9]], [[-9999, 4, -9999]]], np.int16)

    pixels = read(separate(*bands, nodata=(0, 0, -9999)))

    assert pixels.valid.tolist() == [[False, True, False]]


def test_only_the_bands_that_are_read_hide_pixels(separate):
    path = separate(*np.stack([FIRST, SECOND]).astype(np.float32), nodata=(0, -9999))

    assert read(path, ReadOptions(bands=(2,))).valid.tolist() == [[True, False, True, True]]


def test_each_band_of_a_vrt_has_its_own_mask(separate):
    masks = np.array([[[1, 0, 1, 1]], [[1, 1, 1, 0]]], bool)
    path = separate(*np.stack([FIRST, SECOND]).astype(np.int16), masks=masks)

    with RasterReader(path) as reader:
        assert reader.may_have_invalid_pixels
        assert reader.read(reader.grid.window).valid.tolist() == [[True, False, True, False]]


HOLES = ["nodata", "mask", "masks", "nodata of each"]


@pytest.mark.parametrize(
    ("dtype", "how"),
    [*(("int16", how) for how in HOLES), *(("float32", how) for how in [*HOLES, "nan"])],
)
def test_a_hole_keeps_its_rim_however_it_is_marked(write_raster, separate, how, dtype):
    """Nothing is mixed into what lies between 100 and 120, and the hole is as large as it was."""
    bands = np.random.default_rng(0).integers(100, 121, (2, 12, 12)).astype(dtype)
    shown = np.ones((2, 12, 12), bool)
    shown[0, 3:6, 3:6] = shown[1, 7:10, 6:9] = False
    values = {"nan": (np.nan, np.nan), "nodata": (-9999, -9999), "nodata of each": (0, -9999)}
    if how in values:
        hidden = np.array(values[how], dtype)[:, None, None]
        bands = np.where(shown, bands, hidden)
    match how:
        case "mask":
            shown[:] = shown.all(axis=0)
            path = write_raster("a.tif", bands, mask=shown[0])
        case "masks":
            path = separate(*bands, masks=shown)
        case "nodata of each":
            path = separate(*bands, nodata=values[how])
        case _:
            path = write_raster("a.tif", bands, nodata=values[how][0])
    with RasterReader(path) as reader:
        finer = Grid(reader.grid.crs, reader.grid.transform @ Affine.scale(0.5), 24, 24)

    image, valid = read(path, ReadOptions(on=finer, resampling="bilinear"))

    assert 100 <= image[:, valid].min() < image[:, valid].max() <= 120
    assert (valid == np.kron(shown.all(axis=0), np.ones((2, 2), bool))).all()


def test_nan_beside_a_nodata_value_does_not_spread_when_resampled(write_raster):
    image = np.full((1, 6, 6), 5, np.float32)
    image[0, 1:3, 1:3], image[0, 4, 4] = np.nan, -9999
    path = write_raster("a.tif", image, nodata=-9999)
    with RasterReader(path) as reader:
        finer = Grid(reader.grid.crs, reader.grid.transform @ Affine.scale(0.5), 12, 12)

    image, valid = read(path, ReadOptions(on=finer, resampling="bilinear"))

    assert (image[:, valid] == 5).all()
    assert (~valid).sum() == 4 * 4 + 2 * 2


@pytest.mark.parametrize("bands", [1, 2])
def test_a_users_nodata_value_hides_what_is_resampled(write_raster, bands):
    image = np.full((bands, 6, 6), 5, np.float32)
    image[-1, 2, 2] = -1
    path = write_raster("a.tif", image)
    with RasterReader(path) as reader:
        wider = Grid(reader.grid.crs, reader.grid.transform @ Affine.scale(0.5), 12, 13)

    image, valid = read(path, ReadOptions(on=wider, resampling="bilinear", nodata=-1))

    assert (image[:, valid] == 5).all()
    assert (~valid).sum() == 2 * 2 + 12


def test_bands_of_several_types_come_in_one_that_holds_all(separate):
    bands = [np.array([[255, 0]], np.uint8), np.array([[-300, 7]], np.int16)]

    pixels = read(separate(*bands))

    assert pixels.image.dtype == np.int16
    assert pixels.image[:, 0].tolist() == [[255, 0], [-300, 7]]


def test_complex_numbers_are_refused(write_raster):
    with pytest.raises(RasterError, match=r"a\.tif: holds complex numbers; .*abs"):
        RasterReader(write_raster("a.tif", np.ones((2, 2), np.complex64)))


@pytest.mark.parametrize("nodata", [None, np.nan, -1])
@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_in_any_band_hides_the_pixel(write_raster, nodata, hole):
    image = np.array([[[hole, 1, 2]], [[3, hole, 2]]], np.float32)

    pixels = read(write_raster("a.tif", image, nodata=nodata))

    assert pixels.valid.tolist() == [[False, False, True]]


@pytest.mark.parametrize(
    ("nodata", "valid"),
    [(None, [False, True, True]), (7, [True, False, True]), ("none", [True, True, True])],
)
def test_the_users_nodata_goes_before_the_files(write_raster, nodata, valid):
    path = write_raster("a.tif", np.array([[0, 7, 9]], np.uint8), nodata=0)

    assert read(path, ReadOptions(nodata=nodata)).valid.tolist() == [valid]


@pytest.mark.parametrize("nodata", [-9999.0, 300.0, 0.5, float("nan")])
def test_a_nodata_value_that_the_type_cannot_hold_hides_nothing(write_raster, nodata):
    path = write_raster("a.tif", np.array([[0, 7, 255]], np.uint8))

    with pytest.warns(GeosegWarning, match=f"nodata {nodata:g} is impossible for uint8"):
        reader = RasterReader(path, ReadOptions(nodata=nodata))

    with reader:
        assert reader.nodata is None
        assert reader.read(reader.grid.window).valid.all()


@pytest.mark.parametrize(
    ("image", "profile", "holes"),
    [
        (numbers(3, 2, 2), {}, False),
        (numbers(3, 2, 2), {"nodata": 0}, True),
        (numbers(3, 2, 2), {"mask": np.ones((2, 2), bool)}, True),
        (numbers(4, 2, 2), {"colorinterp": RGBA}, True),
        (numbers(1, 2, 2, "float32"), {}, True),
    ],
)
def test_it_is_known_beforehand_whether_there_may_be_holes(write_raster, image, profile, holes):
    with RasterReader(write_raster("a.tif", image, **profile)) as reader:
        assert reader.may_have_invalid_pixels is holes


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_a_palette_gives_its_colours_or_its_indices(write_raster, name):
    path = write_raster(
        name, np.array([[0, 2]], np.uint8), colormap={0: (1, 2, 3, 255), 2: (7, 8, 9, 255)}
    )

    assert read(path).image[:, 0].T.tolist() == [[1, 2, 3], [7, 8, 9]]
    assert read(path, palette_index=True).image.tolist() == [[[0, 2]]]


@pytest.mark.parametrize(
    ("dtype", "entries", "expected"),
    [
        ("UInt16", 300, [[[50, 0]], [[1, 0]], [[7, 0]]]),  # 300 is beyond
        ("UInt16", 0, [[[299, 300]]]),
        ("Float32", 300, [[[299, 300]]]),
    ],
)
def test_palettes_of_any_size_or_without_a_table_are_read(
    write_raster, tmp_path, dtype, entries, expected
):
    write_raster("1.tif", np.array([[299, 300]], np.uint16))
    colors = (
        f'<Entry c1="{i % 250 + 1}" c2="{i // 256}" c3="7" c4="255"/>' for i in range(entries)
    )
    table = f"<ColorTable>{''.join(colors)}</ColorTable>" if entries else ""
    path = tmp_path / "palette.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="2" rasterYSize="1"><VRTRasterBand dataType="{dtype}" band="1">'
        f"<ColorInterp>Palette</ColorInterp>{table}{SOURCE.format(1)}</VRTRasterBand></VRTDataset>"
    )

    assert read(path).image.tolist() == expected


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_an_image_without_georeference_is_welcome(write_raster, name):
    path = write_raster(
        name,
        numbers(3, 8, 8),
        driver={"png": "PNG", "jpg": "JPEG"}[name[2:]],
        crs=None,
        transform=None,
    )

    with RasterReader(path) as reader:
        assert not reader.grid.is_georeferenced
        assert reader.read(reader.grid.window).image.shape == (3, 8, 8)


@pytest.mark.parametrize("how", ["points", "camera", "nothing"])
def test_without_a_geotransform_a_raster_has_no_place_and_it_is_said(write_raster, how):
    path = write_raster("a.tif", numbers(3, 8, 8), crs="EPSG:32632", transform=None)
    with rasterio.open(path, "r+") as file:
        if how == "points":
            corners = ((0, 0), (0, 8), (8, 8))
            points = [GroundControlPoint(*at, 5e5 + at[1], 6e6 - at[0]) for at in corners]
            file.gcps = points, CRS.from_epsg(32632)
        if how == "camera":
            axes = ("height", "lat", "line", "long", "samp")
            scales = {f"{axis}_{what}": 1.0 for axis in axes for what in ("off", "scale")}
            kinds = ("line_num", "line_den", "samp_num", "samp_den")
            file.rpcs = RPC(**scales, **{f"{kind}_coeff": [1.0] * 20 for kind in kinds})
    said = {
        "points": "3 ground control points only; apply them with `gdalwarp`",
        "camera": "gdalwarp -rpc",
    }

    with pytest.warns(GeosegWarning, match=said.get(how, "CRS but no geotransform.*-a_ullr")):
        reader = RasterReader(path)

    with reader:
        assert not reader.grid.is_georeferenced
        assert reader.grid.gsd is None
        assert reader.read(reader.grid.window).valid.all()


def test_beyond_the_edge_stands_the_reflection_and_is_not_valid(write_raster):
    path = write_raster("a.tif", np.array([[1, 2], [3, 4]], np.uint8))

    pixels = read(path, where=window(-1, -1, 4, 5))

    assert pixels.image[0].tolist() == [
        [1, 1, 2, 2, 1],
        [1, 1, 2, 2, 1],
        [3, 3, 4, 4, 3],
        [3, 3, 4, 4, 3],
    ]
    assert pixels.valid.astype(int).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (6, 8)])
def test_any_window_that_meets_the_raster_has_its_full_size(write_raster, shape):
    path = write_raster("a.tif", numbers(1, *shape))

    for where in (window(-6, -6, 7, 7), window(0, 0, 7, 7), window(*(n - 1 for n in shape), 7, 7)):
        pixels = read(path, where=where)
        assert pixels.image.shape == (1, 7, 7)
        assert pixels.image.min() > 0
        assert 1 <= pixels.valid.sum() == np.prod(where_inside(where, shape))


def where_inside(where, shape):
    inside = where.clip(*shape)
    return inside.height, inside.width


@pytest.mark.parametrize("where", [window(4, 0, 2, 2), window(0, -2, 2, 2)])
def test_a_window_outside_the_raster_is_refused(write_raster, where):
    with pytest.raises(RasterError, match=r"a\.tif: Window\(.*\) lies outside"):
        read(write_raster("a.tif", numbers(1, 4, 4)), where=where)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float64"])
def test_networks_get_float32_with_nan_where_there_is_no_data(write_raster, dtype):
    path = write_raster("a.tif", np.array([[5, 0], [6, 7]], dtype), nodata=0)

    with RasterReader(path) as reader:
        image, valid = reader.read_floats(window(0, 0, 2, 3))

    assert image.dtype == np.float32
    assert np.array_equal(image[0], [[5, np.nan, np.nan], [6, 7, 7]], equal_nan=True)
    assert valid.tolist() == [[True, False, False], [True, True, False]]


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RasterError, match="no such file"):
        RasterReader(tmp_path / "a.tif")


@pytest.mark.parametrize("content", [b"", b"no raster"])
def test_a_file_that_is_no_raster_is_refused(tmp_path, content):
    (tmp_path / "a.tif").write_bytes(content)

    with pytest.raises(RasterError, match=r"a\.tif: cannot be read"):
        RasterReader(tmp_path / "a.tif")


def test_a_truncated_file_is_refused_with_the_window(write_raster):
    path = write_raster("a.tif", numbers(1, 200, 200), compress="deflate", blockysize=10)
    path.write_bytes(path.read_bytes()[:-100])

    with RasterReader(path) as reader:
        assert reader.read(window(0, 0, 10, 200)).valid.all()
        with pytest.raises(RasterError, match=r"cannot be read in Window\(row_off=190"):
            reader.read(window(190, 0, 10, 200))


def test_many_threads_read_the_same(write_raster):
    image = numbers(2, 64, 64, "uint16")
    parts = [window(row, col, 8, 8) for row in range(0, 64, 8) for col in range(0, 64, 8)]

    with (
        RasterReader(
            write_raster("a.tif", image, tiled=True, blockxsize=16, blockysize=16)
        ) as ortho,
        ThreadPoolExecutor(4) as pool,
    ):
        found = list(pool.map(ortho.read, parts))

    for part, pixels in zip(parts, found, strict=True):
        assert (pixels.image == image[:, *part.slices]).all()


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "average"])
@pytest.mark.parametrize("nodata", [None, 0])
def test_resampling_onto_another_grid_agrees_with_rasterio(write_raster, resampling, nodata):
    image = np.random.default_rng(0).integers(1, 250, (2, 40, 50), np.uint8)
    image[:, 10:20, 10:20] = 0
    path = write_raster("a.tif", image, nodata=nodata)
    grid = Grid(CRS.from_epsg(25833), Affine(0.7, 0, 83_500, 0, -0.7, 5_711_500), 60, 70)
    with rasterio.open(path) as file:
        x, y = file.transform @ (25, 20)
        [x], [y] = rasterio.warp.transform(file.crs, grid.crs, [x], [y])
        grid = Grid(grid.crs, Affine(0.7, 0, x - 20, 0, -0.7, y + 20), 60, 70)
        expected, _ = reproject(
            rasterio.band(file, [1, 2]),
            np.zeros((2, 60, 70), np.uint8),
            dst_transform=grid.transform,
            dst_crs=grid.crs,
            resampling=Resampling[resampling],
        )

    pixels = read(path, ReadOptions(on=grid, resampling=resampling))

    assert 0.1 < pixels.valid.mean() < 0.9
    assert (pixels.image[:, pixels.valid] == expected[:, pixels.valid]).all()
    assert (expected[:, ~pixels.valid] == 0).all()


def test_resampled_alpha_still_hides(write_raster):
    image = np.full((4, 4, 4), 200, np.uint8)
    image[3, :, 2:] = 0
    path = write_raster("a.tif", image, colorinterp=RGBA)
    with RasterReader(path) as reader:
        finer = Grid(reader.grid.crs, reader.grid.transform @ Affine.scale(0.5), 8, 8)

    pixels = read(path, ReadOptions(on=finer))

    assert pixels.image.shape == (3, 8, 8)
    assert (pixels.valid == [[True] * 4 + [False] * 4] * 8).all()


def test_a_palette_keeps_its_colours_when_it_is_resampled(write_raster):
    path = write_raster(
        "a.tif", np.array([[0, 2]], np.uint8), colormap={0: (1, 2, 3, 255), 2: (7, 8, 9, 255)}
    )
    with RasterReader(path) as reader:
        finer = Grid(reader.grid.crs, reader.grid.transform @ Affine.scale(0.5), 2, 4)

    pixels = read(path, ReadOptions(on=finer))

    assert pixels.image[:, 0].T.tolist() == [[1, 2, 3], [1, 2, 3], [7, 8, 9], [7, 8, 9]]


def test_indices_of_a_palette_are_never_mixed(write_raster):
    path = write_raster("a.tif", np.array([[0, 2]], np.uint8), colormap={2: (7, 8, 9, 255)})
    with RasterReader(path) as reader:
        finer = Grid(reader.grid.crs, reader.grid.transform @ Affine.scale(0.5), 1, 4)

    pixels = read(path, ReadOptions(on=finer, resampling="bilinear"), palette_index=True)

    assert pixels.image.tolist() == [[[0, 0, 2, 2]]]


@pytest.mark.parametrize("nodata", [None, "none", 0, 300])
def test_beyond_what_is_resampled_there_is_no_data(write_raster, nodata):
    path = write_raster("a.tif", np.array([[1, 2]], np.uint8))
    with RasterReader(path) as reader:
        wider = reader.grid.part(window(0, -1, 1, 4))

    pixels = read(path, ReadOptions(on=wider, nodata=nodata))

    assert pixels.valid.tolist() == [[False, True, True, False]]
    assert pixels.image[0, 0, 1:3].tolist() == [1, 2]


def test_nodata_beyond_float32_is_no_reason_to_warn(write_raster):
    path = write_raster("a.tif", np.array([[-1e300, 2.5]]), nodata=-1e300)

    with RasterReader(path) as reader:
        image, valid = reader.read_floats(reader.grid.window)

    assert np.array_equal(image, [[[np.nan, 2.5]]], equal_nan=True)
    assert valid.tolist() == [[False, True]]


def test_a_window_without_data_is_nan(write_raster):
    path = write_raster("a.tif", np.zeros((3, 2, 2), np.uint8), nodata=0)

    with RasterReader(path) as reader:
        image, valid = reader.read_floats(reader.grid.window)

    assert (image.shape, image.dtype) == ((3, 2, 2), np.float32)
    assert np.isnan(image).all()
    assert not valid.any()


def test_a_torn_png_is_refused_even_when_it_is_read_whole(write_raster):
    noise = np.random.default_rng(0).integers(0, 255, (3, 64, 64), np.uint8)
    path = write_raster("a.png", noise)
    path.write_bytes(path.read_bytes()[:-5000])

    with pytest.raises(RasterError, match=r"a\.png: cannot be read in Window\(row_off=0"):
        read(path)


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_a_jpeg_whose_decoder_makes_pixels_up_is_refused(write_raster, name, capfd):
    noise = np.random.default_rng(0).integers(0, 255, (3, 64, 64), np.uint8)
    profile = {"compress": "jpeg"} if name == "a.tif" else {"driver": "JPEG"}
    path = write_raster(name, noise, **profile)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2] = b"\xff\xd9"  # says that the picture ends here
    path.write_bytes(content)

    with pytest.raises(RasterError, match=r"cannot be read in Window\(row_off=0"):
        read(path)
    assert capfd.readouterr() == ("", "")


def test_a_block_is_as_the_file_stores_it(write_raster):
    tiles = {"tiled": True, "blockxsize": 32, "blockysize": 16}

    for profile, shape in ((tiles, (16, 32)), ({"blockysize": 3}, (3, 40))):
        with RasterReader(write_raster("a.tif", numbers(1, 40, 40), **profile)) as reader:
            assert reader.block_shape == shape


def test_an_image_that_is_decoded_from_its_top_is_read_apart_in_strips(write_raster):
    with RasterReader(write_raster("a.png", numbers(1, 300, 4))) as reader:
        assert reader.block_shape == (256, 4)


def test_bands_are_named_by_description_or_colour_or_number(write_raster):
    path = write_raster("a.tif", numbers(4, 2, 2), photometric="rgb")
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [*RGBA[:3], ColorInterp.undefined]
        file.set_band_description(1, "near infrared")

    with RasterReader(path) as reader:
        assert reader.band_names == ("near infrared", "green", "blue", "band 4")


def test_a_folder_is_no_raster(tmp_path):
    with pytest.raises(RasterError, match="is a folder, not a raster; name a file in it"):
        RasterReader(tmp_path)


def test_polygons_are_no_raster(tmp_path):
    (tmp_path / "a.geojson").write_text('{"type": "FeatureCollection", "features": []}')

    with pytest.raises(RasterError, match=r"cannot be read as a raster: \.geojson files hold"):
        RasterReader(tmp_path / "a.geojson")
