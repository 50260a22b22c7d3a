import json

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geoseg.errors import GeosegWarning, InputError, OutputError, RasterError
from geoseg.labels.legend import Legend
from geoseg.labels.tags import read_tags
from geoseg.prediction.blend import WindowGrid, WindowScores
from geoseg.prediction.window_scores import (
    WindowLayout,
    keep_windows,
    read_windows,
    window_layout,
    write_window,
)
from geoseg.raster.grid import Grid
from geoseg.raster.window import sliding_windows

LEGEND = Legend.from_dict({"class": [{"value": 1, "name": "a"}, {"value": 0, "name": "ü & b"}]})
UTM = CRS.from_epsg(32632)
NORTH_UP = Affine(0.1, 0, 500_000.05, 0, -0.1, 5_700_000)


def layout_of(height=9, width=11, *, crs=UTM, transform=NORTH_UP, **made_of):
    grid = Grid(crs, transform, height, width)
    window_grid = WindowGrid(height, width, 4, 3)
    return WindowLayout(grid=grid, window_grid=window_grid, legend=LEGEND, provenance=made_of)


def random_windows(layout):
    """Scores of every window; a fifth of the pixels does not count."""
    window_grid = layout.window_grid
    rng = np.random.default_rng(0)
    square = window_grid.size, window_grid.size
    for window in window_grid.windows(window_grid.whole):
        valid = rng.random(square) < 0.8
        yield WindowScores(window, rng.random((2, *square), np.float32) * valid, valid)


@pytest.fixture
def kept(tmp_path):
    """A function that keeps the windows of a layout; it gives the scores and the files."""

    def keep(layout, name="windows"):
        (tmp_path / name).mkdir()
        parts = list(keep_windows(random_windows(layout), tmp_path / name, layout))
        return parts, sorted((tmp_path / name).iterdir())

    return keep


@pytest.mark.parametrize(("height", "width"), [(9, 11), (1, 1), (3, 9), (4, 5)])
def test_windows_come_back_as_they_were_and_in_reading_order(kept, height, width):
    layout = layout_of(height, width)
    parts, paths = kept(layout)

    back = list(read_windows(paths[::-1], layout))

    assert [part.window for part in back] == [part.window for part in parts]
    for part, before in zip(back, parts, strict=True):
        assert (part.scores == before.scores).all()
        assert (part.valid == before.valid).all()


@pytest.mark.parametrize(
    "layout",
    [
        layout_of(model="m", numbers=[1, 2]),
        layout_of(crs=None, transform=Affine.identity()),
        layout_of(transform=NORTH_UP @ Affine.rotation(30)),
        layout_of(crs=CRS.from_epsg(4326), transform=Affine(1e-6, 0, 9.1, 0, -1e-6, 51.3)),
    ],
    ids=["utm", "picture", "rotated", "degrees"],
)
def test_windows_know_the_map_they_are_of(kept, layout):
    _, paths = kept(layout)

    assert window_layout(paths) == layout


def test_a_window_lies_in_its_own_place_and_names_its_bands(kept):
    _, paths = kept(layout_of())

    with rasterio.open(paths[-1]) as file:
        assert paths[-1].name == "r000005_c000007.tif"
        assert file.transform.almost_equals(NORTH_UP @ Affine.translation(7, 5))
        assert file.crs == UTM
        assert file.descriptions == ("a", "ü & b")
        assert file.dtypes == ("float32", "float32")
        assert np.isnan(file.nodata)


def test_pixels_that_do_not_count_are_nan_and_come_back_as_0(tmp_path):
    layout = layout_of(4, 4)
    [window] = sliding_windows(4, 4, size=4, stride=3)
    valid = np.eye(4, dtype=bool)
    write_window(WindowScores(window, np.ones((2, 4, 4), np.float32), valid), tmp_path, layout)
    [path] = tmp_path.iterdir()

    [part] = read_windows([path], layout)

    with rasterio.open(path) as file:
        assert (np.isnan(file.read()) == ~valid).all()
    assert (part.scores == valid).all()
    assert (part.valid == valid).all()


@pytest.mark.parametrize(
    "other",
    [
        layout_of(model="other"),
        layout_of(10, 11),
        layout_of(crs=CRS.from_epsg(25832)),
        layout_of(transform=NORTH_UP @ Affine.translation(1, 0)),
    ],
    ids=["model", "size", "crs", "place"],
)
def test_windows_of_different_maps_are_refused(kept, other):
    _, ours = kept(layout_of(model="m"))
    _, theirs = kept(other, "theirs")

    with pytest.raises(InputError, match=r"theirs/r000000_c000000\.tif: is not of the same map"):
        window_layout([*ours, *theirs])


def test_other_rasters_are_no_windows(kept, write_raster):
    scene = write_raster("scene.tif", np.zeros((2, 3, 3), np.float32))
    _, paths = kept(layout_of())

    assert window_layout([scene]) is None
    with pytest.raises(InputError, match=r"scene\.tif: is not of the same map"):
        window_layout([*paths, scene])


@pytest.mark.parametrize("text", ["no json", "[1, 2]", "7", "null"])
def test_a_tag_that_is_no_json_object_is_ignored_with_a_warning(write_raster, text):
    path = write_raster("scene.tif", np.zeros((3, 3), np.uint8))
    with rasterio.open(path, "r+") as file:
        file.update_tags(GEOSEG=text)

    with pytest.warns(GeosegWarning, match=r"scene\.tif: its tag GEOSEG is no JSON object"):
        assert read_tags(path) == {}


def test_a_missing_file_and_a_file_that_is_no_raster_are_named(tmp_path):
    (tmp_path / "text.tif").write_text("no raster")

    with pytest.raises(RasterError, match=r"missing\.tif: no such file"):
        read_tags(tmp_path / "missing.tif")
    with pytest.raises(RasterError, match=r"text\.tif: cannot be read"):
        read_tags(tmp_path / "text.tif")


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    layout = layout_of()

    with pytest.raises(OutputError, match=r"r000000_c000000\.tif: cannot be written"):
        list(keep_windows(random_windows(layout), tmp_path / "missing", layout))


def test_the_same_scores_give_the_same_bytes(kept):
    one, other = (kept(layout_of(model="m"), name)[1] for name in ("one", "other"))

    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": 7}, "kind is not a str"),
        ({"legend": {"class": [{"value": "x", "name": "a"}]}}, "value is a whole number"),
        ({"provenance": []}, "provenance is not a dict"),
    ],
)
def test_a_tag_of_ours_with_other_types_is_damaged(kept, change, reason):
    _, paths = kept(layout_of())
    with rasterio.open(paths[0], "r+") as dataset:
        tags = json.loads(dataset.tags()["GEOSEG"]) | change
        dataset.update_tags(GEOSEG=json.dumps(tags))

    with pytest.raises(RasterError, match=f"its tag GEOSEG is damaged: .*{reason}"):
        read_tags(paths[0])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lattice": [9, 11, 0, 3]}, "lattice"),
        ({"lattice": [9, 11, 4, 3, "bell"]}, "'bell' is no taper"),
        ({"lattice": [9, 11, 4, 5]}, "lattice"),
        ({"lattice": [9, 11, 4, 3, "hann", "1"]}, "lattice"),
        ({"lattice": [9, 11, 4, 3, "hann", -1]}, "lattice"),
        ({"lattice": [9, 11, 4, 3, "hann", 4]}, "lattice"),
        ({"transform": [1, 0, float("nan"), 0, -1, 0]}, "cannot be inverted"),
        ({"window": [0, "x"]}, "window is"),
        ({"window": None}, "NoneType"),
        ({"crs": "nowhere"}, "WKT"),
    ],
)
def test_a_window_that_says_something_else_is_damaged(kept, change, reason):
    _, paths = kept(layout_of())
    with rasterio.open(paths[0], "r+") as dataset:
        tags = json.loads(dataset.tags()["GEOSEG"]) | change
        dataset.update_tags(GEOSEG=json.dumps(tags))

    with pytest.raises(InputError, match=f"damaged: .*{reason}"):
        window_layout(paths)


def test_a_window_that_is_none_of_the_map_or_there_twice_is_named(kept):
    layout = layout_of()
    _, paths = kept(layout)
    with pytest.raises(InputError, match="is there twice"):
        list(read_windows([*paths, paths[1]], layout))

    with rasterio.open(paths[0], "r+") as dataset:
        tags = json.loads(dataset.tags()["GEOSEG"]) | {"window": [1, 0]}
        dataset.update_tags(GEOSEG=json.dumps(tags))
    with pytest.raises(InputError, match="row 1, column 0 is none of the map's"):
        list(read_windows(paths, layout))
