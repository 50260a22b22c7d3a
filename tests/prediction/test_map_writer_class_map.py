import json
import shutil
import subprocess

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from geoseg.errors import EmptyError, OutputExistsError
from geoseg.labels.legend import Legend
from geoseg.labels.tags import read_tags
from geoseg.prediction.blend import WindowScores
from geoseg.prediction.map_writer import MapOutputs, MapWriter, write_map
from geoseg.raster.window import Window

SCORES = np.array(  # building, tree, water
    [
        [[0.8, 0.2, 0.1, 0.4], [0.0, 1.0, 0.5, 0.2]],
        [[0.1, 0.7, 0.1, 0.4], [0.0, 0.0, 0.5, 0.2]],
        [[0.1, 0.1, 0.8, 0.2], [1.0, 0.0, 0.0, 0.6]],
    ],
    np.float32,
)
VALID = np.array([[1, 1, 1, 1], [1, 0, 1, 1]], bool)
VALUES = [[1, 4, 0, 1], [0, 255, 1, 0]]


@pytest.fixture
def write(tmp_path, legend, make_grid):
    """A function that writes the scores above, and gives the report."""

    def write(stack=SCORES, valid=VALID, **outputs):
        grid = make_grid(*valid.shape)
        strips = [WindowScores(grid.window, stack, valid)]
        named = MapOutputs(class_map=tmp_path / "map.tif", **outputs)
        return write_map(strips, grid, legend, named, provenance={"model": "m"})

    return write


def pixels(path):
    with rasterio.open(path) as file:
        return file.read()


def test_each_pixel_holds_the_value_of_its_best_class(write, tmp_path):
    report = write()

    assert pixels(tmp_path / "map.tif").tolist() == [VALUES]
    assert report.class_pixels == {"building": 3, "tree": 1, "water": 3}
    assert report.valid_share == 7 / 8
    assert report.shares == "building 42.9%, tree 14.3%, water 42.9%"


def test_nodata_is_255_and_not_the_class_of_value_0(write, tmp_path):
    write()

    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.nodata == 255
        assert (file.read_masks(1) > 0).tolist() == VALID.tolist()
        assert file.read(1)[0, 2] == 0  # water


@pytest.mark.parametrize("class_index", [0, 1, 2])
def test_constant_scores_give_one_class(write, tmp_path, legend, class_index):
    scores = np.zeros((3, 5, 7), np.float32)
    scores[class_index] = 1

    report = write(scores, np.ones((5, 7), bool))

    assert (pixels(tmp_path / "map.tif") == legend.classes[class_index].value).all()
    assert list(report.class_pixels.values()) == [35 * (each == class_index) for each in range(3)]


def test_scores_are_stored_as_bytes_or_as_they_are(write, tmp_path, legend):
    write(scores=tmp_path / "bytes.tif")
    write(scores=tmp_path / "floats.tif", score_type="float32", overwrite=True)

    stored, exact = pixels(tmp_path / "bytes.tif"), pixels(tmp_path / "floats.tif")
    assert (stored[:, ~VALID] == 255).all()
    assert np.isnan(exact[:, ~VALID]).all()
    assert (exact[:, VALID] == SCORES[:, VALID]).all()
    assert stored[:, VALID] / 254 == pytest.approx(SCORES[:, VALID], abs=1 / 508 + 1e-6)
    with rasterio.open(tmp_path / "bytes.tif") as file:
        assert list(file.descriptions) == legend.names
        assert file.nodata == 255
        assert ColorInterp.alpha not in file.colorinterp


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [("score", 1 / 3, 1), ("margin", 0, 1), ("entropy", 0, 1)],
)
def test_confidence_is_stored_from_doubt_to_certainty(write, tmp_path, kind, least, most):
    scores = np.full((3, 1, 3), 1 / 3, np.float32)
    scores[:, 0, 1] = 0, 1, 0
    valid = np.array([[True, True, False]])

    write(scores, valid, confidence=tmp_path / "c.tif", confidence_kind=kind)

    assert pixels(tmp_path / "c.tif").tolist() == [[[round(254 * least), 254 * most, 255]]]


def test_strips_are_written_where_they_lie(tmp_path, legend, make_grid):
    strips = [
        WindowScores(
            Window(row_off=row, col_off=0, height=height, width=600),
            np.eye(3, dtype=np.float32)[index][:, None, None] * np.ones((height, 600), np.float32),
            np.ones((height, 600), bool),
        )
        for index, (row, height) in enumerate([(0, 5), (5, 700), (705, 1)])
    ]
    outputs = MapOutputs(class_map=tmp_path / "map.tif")

    write_map(strips, make_grid(706, 600), legend, outputs, provenance={})

    [values] = pixels(outputs.class_map)
    assert (values[:5] == 1).all()
    assert (values[5:705] == 4).all()
    assert (values[705] == 0).all()


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="gdalinfo is not installed")
def test_gdal_reads_place_colours_names_overviews_and_layout(tmp_path, legend, make_grid):
    grid = make_grid(1100, 1300)
    outputs = MapOutputs(class_map=tmp_path / "map.tif")
    scores = np.zeros((3, 1100, 1300), np.float32)
    scores[1] = 1
    strip = WindowScores(grid.window, scores, np.ones((1100, 1300), bool))
    write_map([strip], grid, legend, outputs, provenance={})

    done = subprocess.run(
        ["gdalinfo", "-json", outputs.class_map], capture_output=True, check=True, text=True
    )

    info = json.loads(done.stdout)
    [band] = info["bands"]
    assert info["geoTransform"] == [500_000, 0.5, 0, 5_700_000, 0, -0.5]
    assert '"EPSG",32632' in info["coordinateSystem"]["wkt"]
    assert info["metadata"]["IMAGE_STRUCTURE"]["LAYOUT"] == "COG"
    assert info["metadata"]["IMAGE_STRUCTURE"]["COMPRESSION"] == "DEFLATE"
    assert band["block"] == [512, 512]
    assert band["noDataValue"] == 255
    assert band["colorTable"]["entries"][4] == [0, 255, 1, 255]
    assert band["colorTable"]["entries"][255][3] == 0
    assert band["categories"] == ["water", "building", "", "", "tree"]
    assert [each["size"] for each in band["overviews"]] == [[650, 550], [325, 275]]


def test_overviews_hold_no_class_whose_colour_lies_between_two_others(tmp_path, make_grid):
    colors = ["#ff0000", "#0000ff", "#800080"]
    mixed = Legend.from_dict(
        {"class": [{"value": n, "name": f"{n}", "color": color} for n, color in enumerate(colors)]}
    )
    indices = np.random.default_rng(0).integers(0, 2, (600, 600))
    scores = (np.arange(3)[:, None, None] == indices).astype(np.float32)
    strip = WindowScores(make_grid(600, 600).window, scores, np.ones((600, 600), bool))
    outputs = MapOutputs(class_map=tmp_path / "map.tif")

    write_map([strip], make_grid(600, 600), mixed, outputs, provenance={})

    with rasterio.open(outputs.class_map, overview_level=0) as file:
        assert file.shape == (300, 300)
        assert set(np.unique(file.read())) == {0, 1}


def test_a_map_says_its_legend_and_what_it_was_made_of(write, tmp_path, legend):
    write(scores=tmp_path / "scores.tif", confidence=tmp_path / "c.tif")

    tags = read_tags(tmp_path / "map.tif")
    assert tags["kind"] == "class map"
    assert Legend.from_dict(tags["legend"]) == legend
    assert tags["provenance"] == {"model": "m"}
    assert read_tags(tmp_path / "scores.tif")["kind"] == "scores"
    assert read_tags(tmp_path / "c.tif")["figure"] == "margin"


def test_the_same_scores_give_the_same_bytes(write, tmp_path):
    write(scores=tmp_path / "scores.tif")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    write(scores=tmp_path / "scores.tif", overwrite=True)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("sidecars", [True, False])
def test_sidecars_are_written_unless_they_are_not_wanted(write, tmp_path, sidecars):
    write(sidecars=sidecars)

    beside = ["map.qml", "map.tif", "map.tif.aux.xml"] if sidecars else ["map.tif"]
    assert sorted(path.name for path in tmp_path.iterdir()) == beside


def test_scores_and_confidence_have_styles_of_their_own(write, tmp_path):
    write(scores=tmp_path / "s.tif", confidence=tmp_path / "c.tif")

    styles = {path.name: path.read_text() for path in tmp_path.glob("*.qml")}
    assert sorted(styles) == ["c.qml", "map.qml", "s.qml"]
    assert len(set(styles.values())) == 3


def test_nothing_is_left_when_the_scores_fail(tmp_path, legend, make_grid):
    def break_down():
        yield WindowScores(
            Window(row_off=0, col_off=0, height=1, width=4), SCORES[:, :1], VALID[:1]
        )
        raise KeyboardInterrupt

    outputs = MapOutputs(
        class_map=tmp_path / "m.tif", scores=tmp_path / "s.tif", confidence=tmp_path / "c.tif"
    )

    with pytest.raises(KeyboardInterrupt):
        write_map(break_down(), make_grid(2, 4), legend, outputs, provenance={})

    assert list(tmp_path.iterdir()) == []


def test_a_map_without_a_class_is_refused_and_nothing_left(write, tmp_path):
    with pytest.raises(EmptyError, match="no pixel with a class"):
        write(valid=np.zeros_like(VALID), scores=tmp_path / "s.tif")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("existing", ["map.tif", "s.tif", "c.tif"])
def test_existing_outputs_are_replaced_only_on_request(write, tmp_path, existing):
    (tmp_path / existing).write_text("precious")
    named = {"scores": tmp_path / "s.tif", "confidence": tmp_path / "c.tif"}

    with pytest.raises(OutputExistsError, match="--overwrite"):
        write(**named)
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "precious"

    write(**named, overwrite=True)
    assert pixels(tmp_path / "map.tif").tolist() == [VALUES]


def test_an_existing_map_stays_when_its_successor_fails(write, tmp_path):
    write()
    before = (tmp_path / "map.tif").read_bytes()

    with pytest.raises(EmptyError):
        write(valid=np.zeros_like(VALID), overwrite=True)

    assert (tmp_path / "map.tif").read_bytes() == before


def test_stretches_without_data_are_only_noted(tmp_path, legend, make_grid):
    grid = make_grid(1500, 4)
    outputs = MapOutputs(class_map=tmp_path / "map.tif")
    writer = MapWriter(
        tmp_path, region=grid.window, grid=grid, legend=legend, outputs=outputs, tags={}
    )
    rows = [0, 600]  # of the second one nothing counts
    parts = [
        WindowScores(Window(row_off=row, col_off=0, height=2, width=4), SCORES, VALID & (row == 0))
        for row in rows
    ]

    writer.write(parts, grid.window)

    assert writer.unfinished(grid.window) is None
    assert len(list(tmp_path.glob("piece_*.json"))) == 3
    assert [path.name for path in tmp_path.glob("*.tif")] == ["class map_r000000_c000000.tif"]
    report = writer.finish()
    assert sum(report.class_pixels.values()) == 7
    assert (pixels(outputs.class_map)[0, 2:] == 255).all()
    assert pixels(outputs.class_map)[0, :2].tolist() == VALUES
