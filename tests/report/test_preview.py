import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geoseg.errors import LegendError, OutputExistsError, RasterError
from geoseg.labels.legend import Legend
from geoseg.labels.style import BandOptions
from geoseg.prediction.blend import WindowScores
from geoseg.prediction.map_writer import MapOutputs, write_map
from geoseg.raster.grid import Grid
from geoseg.report.preview import draw_preview, read_panel

RED, GREEN = (215, 48, 31), (0, 255, 1)
LEGEND = Legend.from_dict(
    {
        "class": [
            {"value": 1, "name": "building", "color": "#d7301f"},
            {"value": 0, "name": "tree", "color": "#00ff01"},
        ]
    }
)


@pytest.fixture
def class_map(tmp_path):
    """Building and tree above, no data and building below."""
    grid = Grid(CRS.from_epsg(32632), Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000), 2, 2)
    scores = np.array([[[1, 0], [0, 1]], [[0, 1], [0, 0]]], np.float32)
    strip = WindowScores(grid.window, scores, np.array([[True, True], [False, True]]))
    outputs = MapOutputs(class_map=tmp_path / "map.tif")
    write_map([strip], grid, LEGEND, outputs, provenance={})
    return outputs.class_map


def picture_of(path):
    with rasterio.open(path) as file:
        return file.read().transpose(1, 2, 0)


def test_a_class_map_has_its_colours_and_no_data_is_transparent(class_map):
    title, picture, keys = read_panel(class_map, 100)

    assert title == "map.tif"
    assert keys == {"building": RED, "tree": GREEN}
    assert picture[..., :3][[0, 0, 1], [0, 1, 1]].tolist() == [list(RED), list(GREEN), list(RED)]
    assert picture[..., 3].tolist() == [[255, 255], [0, 255]]


def test_bytes_are_shown_as_they_are(write_raster):
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 6), dtype=np.uint8)
    path = write_raster("ortho.tif", image, photometric="minisblack", alpha="no")

    panel = read_panel(path, 100)

    assert (panel.image[..., :3] == image[:3].transpose(1, 2, 0)).all()
    assert (panel.image[..., 3] == 255).all()
    assert panel.keys == {}


@pytest.mark.parametrize("bands", [1, 2])
def test_one_or_two_bands_are_shown_in_grey(write_raster, bands):
    image = np.arange(bands * 49, dtype=np.uint8).reshape(bands, 7, 7)

    picture = read_panel(write_raster("ortho.tif", image), 100).image

    assert (picture[..., :3] == image[0][..., None]).all()


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_other_values_are_stretched_from_black_to_white(write_raster, dtype):
    image = np.linspace(1000, 3000, 100).reshape(1, 10, 10).astype(dtype)

    picture = read_panel(write_raster("ortho.tif", image), 100).image

    grey = picture[..., 0].ravel().astype(int)
    assert (grey[0], grey[-1]) == (0, 255)
    assert (np.diff(grey) >= 0).all()
    assert grey[50] == pytest.approx(128, abs=4)


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint16", 0), ("uint16", 65535), ("float32", -9999)]
)
def test_no_data_does_not_darken_or_pale_the_rest(write_raster, dtype, nodata):
    image = np.linspace(1000, 3000, 200).reshape(1, 20, 10).astype(dtype)
    holed = np.concatenate([image, np.full_like(image, nodata)], axis=2)

    picture = read_panel(write_raster("holed.tif", holed, nodata=nodata), 100).image

    whole = read_panel(write_raster("whole.tif", image), 100).image
    assert (picture[:, :10] == whole).all()
    assert (picture[:, 10:, 3] == 0).all()


@pytest.mark.parametrize("value", [0, 7])
def test_a_flat_picture_is_no_failure(write_raster, value):
    path = write_raster("flat.tif", np.full((3, 3, 3), value, np.uint16))

    assert len(np.unique(read_panel(path, 100).image[..., :3])) == 1


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32"])
def test_each_value_of_a_mask_has_a_colour_of_its_own_and_a_key(write_raster, dtype):
    path = write_raster("mask.tif", np.array([[0, 1, 6], [1, 0, 9]], dtype), nodata=9)

    _, picture, keys = read_panel(path, 100)

    assert list(keys) == ["0", "1", "6"]
    assert len(set(keys.values())) == 3
    assert [tuple(pixel) for pixel in picture[0, :, :3].tolist()] == list(keys.values())
    assert picture[..., 3].tolist() == [[255, 255, 255], [255, 255, 0]]


def test_a_mask_has_the_colours_of_its_legend(write_raster):
    path = write_raster("mask.tif", np.array([[0, 1, 255]], np.uint8), nodata=255)

    _, picture, keys = read_panel(path, 100, legend=LEGEND)

    assert keys == {"building": RED, "tree": GREEN}
    assert picture[0, :2, :3].tolist() == [list(GREEN), list(RED)]
    assert picture[0, :, 3].tolist() == [255, 255, 0]


def test_a_value_without_a_class_is_named_with_the_mask(write_raster):
    path = write_raster("mask.tif", np.array([[0, 1, 7]], np.uint8))

    with pytest.raises(LegendError, match=r"mask\.tif: .*7"):
        read_panel(path, 100, legend=LEGEND)


@pytest.mark.parametrize(("value", "shared"), [(1, True), (7, False)])
def test_a_mask_beside_a_map_shares_its_colours_if_it_has_its_classes(
    write_raster, class_map, tmp_path, value, shared
):
    mask = write_raster("mask.tif", np.full((2, 2), value, np.uint8))

    draw_preview([mask, class_map], tmp_path / "p.png", side=200, overwrite=False)

    picture = picture_of(tmp_path / "p.png")
    middle = tuple(picture[picture.shape[0] // 2, picture.shape[1] // 4, :3].tolist())
    assert (middle == RED) == shared
    assert middle != (0, 0, 0)


def test_a_picture_of_blue_green_red_is_shown_in_true_colours(write_raster):
    image = np.array([200, 100, 10, 50], np.uint8)[:, None, None].repeat(40, 2)
    path = write_raster("bgrn.tif", image, photometric="minisblack", alpha="no")
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("Blue", "Green", "Red", "NIR")

    shown = read_panel(path, 100).image[0, 0].tolist()
    wanted = read_panel(path, 100, bands=BandOptions(bands=(4, 3, 2))).image[0, 0].tolist()

    assert shown == [10, 100, 200, 255]
    assert wanted == [50, 10, 100, 255]


def test_a_float_picture_without_any_data_is_empty(write_raster):
    path = write_raster("empty.tif", np.full((1, 3, 3), np.nan, np.float32))

    assert not read_panel(path, 100).image[..., 3].any()


@pytest.mark.parametrize(
    ("height", "width", "shape"),
    [(40, 20, (10, 5)), (20, 40, (5, 10)), (9, 3, (9, 3)), (1, 1, (1, 1)), (1, 100, (1, 10))],
)
def test_large_rasters_are_shrunk_and_small_ones_not_enlarged(write_raster, height, width, shape):
    path = write_raster("ortho.tif", np.zeros((3, height, width), np.uint8))

    assert read_panel(path, 10).image.shape == (*shape, 4)


def test_panels_stand_side_by_side_in_a_png(write_raster, class_map, tmp_path):
    blue = np.zeros((3, 4, 4), np.uint8)
    blue[2] = 255
    ortho = write_raster("ortho.tif", blue)

    draw_preview([ortho, class_map], tmp_path / "p.png", side=200, overwrite=False)

    picture = picture_of(tmp_path / "p.png")
    half = picture.shape[1] // 2
    left, right = (
        {tuple(pixel) for pixel in side[..., :3].reshape(-1, 3).tolist()}
        for side in (picture[:, :half], picture[:, half:])
    )
    assert (0, 0, 255) in left - right
    assert RED in right
    assert GREEN in right


def test_the_same_rasters_give_the_same_bytes(class_map, tmp_path):
    for name in ("one.png", "other.png"):
        draw_preview([class_map], tmp_path / name, side=100, overwrite=False)

    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_an_existing_picture_is_replaced_only_on_request(class_map, tmp_path):
    (tmp_path / "p.png").write_text("precious")

    with pytest.raises(OutputExistsError, match="--overwrite"):
        draw_preview([class_map], tmp_path / "p.png", side=100, overwrite=False)
    assert (tmp_path / "p.png").read_text() == "precious"

    draw_preview([class_map], tmp_path / "p.png", side=100, overwrite=True)
    assert picture_of(tmp_path / "p.png").size


def test_a_missing_raster_is_named_and_nothing_left(class_map, tmp_path):
    before = sorted(tmp_path.iterdir())

    with pytest.raises(RasterError, match=r"gone\.tif: no such file"):
        draw_preview(
            [class_map, tmp_path / "gone.tif"], tmp_path / "p.png", side=100, overwrite=False
        )

    assert sorted(tmp_path.iterdir()) == before
