import numpy as np
import pytest
import rasterio
from affine import Affine

from geoseg.errors import EmptyError, GridMismatchError, InputError, RasterError
from geoseg.evaluation.calibration import ScoreMap
from geoseg.labels.legend import Legend
from geoseg.labels.legend_map import Correspondence, merge_legends
from geoseg.raster.reader import RasterReader
from geoseg.raster.window import Window

LEGEND = Legend.from_dict({"class": [{"value": 0, "name": "roof"}, {"value": 1, "name": "tree"}]})
STORED = np.array([[[254, 127], [0, 255]], [[0, 127], [254, 255]]], np.uint8)
SCORES = np.array([[[1, 0.5], [0, np.nan]], [[0, 0.5], [1, np.nan]]], np.float32)
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)


@pytest.fixture
def grid(write_raster):
    with RasterReader(write_raster("map.tif", np.zeros((2, 2), np.uint8))) as reader:
        return reader.grid


@pytest.fixture
def write_scores(write_raster):
    def write(array, names=("roof", "tree"), **profile):
        path = write_raster("scores.tif", array, **profile)
        with rasterio.open(path, "r+") as file:
            for band, name in enumerate(names, 1):
                file.set_band_description(band, name)
        return path

    return write


@pytest.mark.parametrize(("array", "nodata"), [(STORED, 255), (SCORES, float("nan"))])
def test_scores_are_read_as_they_are_stored(write_scores, grid, array, nodata):
    with ScoreMap(write_scores(array, nodata=nodata), LEGEND, grid) as scores:
        image, valid = scores.read(grid.window)

    assert valid.tolist() == [[True, True], [True, False]]
    assert image[:, valid] == pytest.approx(np.array([[1, 0.5, 0], [0, 0.5, 1]]))
    assert image.dtype == np.float32


def test_bands_are_told_by_their_names(write_scores, grid):
    path = write_scores(STORED, ["tree", "roof"], nodata=255)

    with ScoreMap(path, LEGEND, grid) as scores:
        assert scores.read(grid.window).image[:, 0, 0].tolist() == [0, 1]


def test_bands_without_names_are_told_by_their_order(write_scores, grid):
    with ScoreMap(write_scores(STORED, [], nodata=255), LEGEND, grid) as scores:
        assert scores.read(grid.window).image[:, 0, 0].tolist() == [1, 0]


@pytest.mark.parametrize(("dtype", "others"), [(np.float32, 4), (np.uint8, 0)])
def test_scores_are_equal_as_far_as_they_are_rounded(write_scores, grid, dtype, others):
    near = np.array([0.501, 0.499])[:, None, None].repeat(2, 1).repeat(2, 2)
    array = near.astype(dtype) if dtype == np.float32 else np.rint(near * 254).astype(dtype)
    trees = np.ones((2, 2), np.uint8)

    with ScoreMap(write_scores(array), LEGEND, grid) as scores:
        assert scores.count(grid.window, trees, trees).other_class == others


def test_scores_of_merged_classes_are_added_up(write_scores, grid):
    rows = [Correspondence("roof", "1"), Correspondence("tree", "1")]

    with ScoreMap(write_scores(STORED, nodata=255), merge_legends(rows, LEGEND), grid) as scores:
        image, valid = scores.read(grid.window)

    assert image[:, valid].tolist() == [[1, 1, 1]]


def test_scores_may_cover_more_or_less_than_the_map(write_scores, grid):
    path = write_scores(STORED, nodata=255, transform=NORTH_UP @ Affine.translation(1, 0))

    with ScoreMap(path, LEGEND, grid) as scores:
        image, valid = scores.read(Window(row_off=0, col_off=0, height=1, width=2))

    assert valid.tolist() == [[False, True]]
    assert image[:, 0, 1].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("array", "names", "profile", "error", "message"),
    [
        (STORED[:1], ["roof"], {}, InputError, r"has 1 bands, and the map's classes are"),
        (STORED, ["roof", "car"], {}, InputError, r"holds scores of \['roof', 'car'\]"),
        (STORED.astype("uint16"), ["roof", "tree"], {}, RasterError, "floats, not uint16"),
        (STORED, [], {"crs": "EPSG:25832"}, GridMismatchError, "not on the grid of the map"),
        (
            STORED,
            [],
            {"transform": NORTH_UP @ Affine.translation(9, 0)},
            EmptyError,
            "does not overlap the map",
        ),
    ],
)
def test_what_is_no_score_of_the_map_is_refused(
    write_scores, grid, array, names, profile, error, message
):
    with pytest.raises(error, match=rf"scores\.tif: .*{message}"):
        ScoreMap(write_scores(array, names, **profile), LEGEND, grid)


@pytest.mark.parametrize("value", [-3.0, 1.5])
def test_logits_are_no_scores(write_scores, grid, value):
    path = write_scores(np.where(np.isnan(SCORES), value, SCORES))

    with (
        ScoreMap(path, LEGEND, grid) as scores,
        pytest.raises(RasterError, match=rf"holds {value:g}, and scores are from 0 to 1"),
    ):
        scores.read(grid.window)
