import csv

import numpy as np
import pytest
import rasterio
from sklearn.metrics import confusion_matrix

from geoseg.errors import InputError, LegendError, OutputExistsError
from geoseg.evaluation.compare import compare
from geoseg.evaluation.error_map import (
    OTHERS,
    ErrorLegend,
    error_map,
    ranked,
    survey_errors,
)
from geoseg.evaluation.evaluation import Evaluation
from geoseg.evaluation.report import read_panels, write_report
from geoseg.evaluation.text import table_of
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import Legend
from geoseg.labels.tags import read_tags
from geoseg.raster.reader import RasterReader

MAP = [[1, 1, 4, 4], [1, 1, 4, 4], [0, 0, 0, 4], [0, 0, 255, 255]]
TRUTH = [[10, 10, 20, 20], [10, 20, 21, 99], [20, 30, 10, 20], [30, 30, 30, 99]]
COUNTS = [[3, 0, 1], [1, 4, 1], [0, 0, 3]]


def legend_of(count):
    return Legend.from_dict({"class": [{"name": f"class {n}"} for n in range(count)]})


def surveyed(pair, legend, **how):
    """The error windows of a map, and its evaluation."""
    report = Evaluation({pair: compare(pair, legend)}, legend)
    errors = ErrorLegend.of(legend, report.pooled.confusion)
    return survey_errors(pair, report.pooled, legend, errors, **how), report


def panels_of(windows, report, ortho):
    errors = ErrorLegend.of(report.legend, report.pooled.confusion)
    return read_panels(windows, report.legend, errors, orthos=dict.fromkeys(report.counts, ortho))


def test_classes_come_first_and_then_confusions_by_their_size(legend):
    errors = ErrorLegend.of(legend, ConfusionMatrix(np.array([[5, 1, 0], [7, 4, 0], [0, 2, 9]])))

    assert errors.legend.names == [
        "building: right",
        "tree: right",
        "water: right",
        "tree mapped as building",
        "water mapped as tree",
        "building mapped as tree",
    ]
    assert errors.values(
        np.uint8([0, 1, 2, 0, 255, 1]), np.uint8([0, 0, 1, 1, 0, 255])
    ).tolist() == [*(0, 3, 4, 5, 255, 255)]
    assert len({each.color for each in errors.legend.classes}) == 6


def test_the_largest_confusions_have_a_value_and_the_rest_share_one():
    counts = np.arange(1, 30**2 + 1).reshape(30, 30)
    errors = ErrorLegend.of(legend_of(30), ConfusionMatrix(counts))

    assert len(errors.legend) == 254
    assert errors.legend.names[-1] == OTHERS
    assert errors.pixels(ConfusionMatrix(counts)).sum() == counts.sum()
    assert errors.values(np.uint8([0, 29]), np.uint8([1, 28])).tolist() == [253, 30]


def test_more_classes_than_an_error_map_can_show_are_refused():
    wrong = np.ones((254, 254), int)

    with pytest.raises(LegendError, match="254 classes leave no value for errors"):
        ErrorLegend.of(legend_of(254), ConfusionMatrix(wrong))


def test_an_error_map_of_a_small_map_written_out(write_pair, legend, tmp_path):
    path = tmp_path / "errors.tif"

    surveyed(write_pair(MAP, TRUTH), legend, path=path)

    with rasterio.open(path) as file:
        assert file.read(1).tolist() == [
            [0, 0, 1, 1],
            [0, 4, 1, 255],
            [5, 2, 3, 1],
            [2, 2, 255, 255],
        ]
        assert (file.nodata, file.crs.to_epsg()) == (255, 32632)
        assert file.colormap(1)[3][:3] == (0xE3, 0x1A, 0x1C)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    tags = read_tags(path)
    assert tags["kind"] == "error map"
    assert Legend.from_dict(tags["legend"]).names[3] == "building mapped as water"
    assert (tmp_path / "errors.qml").exists()
    assert "tree mapped as building" in (tmp_path / "errors.tif.aux.xml").read_text()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_map_of_many_blocks_agrees_with_scikit_learn(
    write_pair, legend, tmp_path, workers
):
    rng = np.random.default_rng(0)
    mapped, truth = rng.choice([1, 4, 0], (600, 70)), rng.choice([10, 20, 30], (600, 70))
    path = tmp_path / "errors.tif"

    _, report = surveyed(write_pair(mapped, truth), legend, path=path, workers=workers)

    with RasterReader(path, palette_index=True) as reader:
        values = reader.read(reader.grid.window).image[0]
    places = [np.searchsorted(each, raw) for each, raw in (([10, 20, 30], truth),)]
    of_map = np.select([mapped == 1, mapped == 4], [0, 1], 2)
    expected = confusion_matrix(places[0].ravel(), of_map.ravel())
    names = ErrorLegend.of(legend, report.pooled.confusion).legend.names
    for row, col in np.ndindex(3, 3):
        own = legend.names
        name = f"{own[row]}: right" if row == col else f"{own[row]} mapped as {own[col]}"
        assert np.count_nonzero(values == names.index(name)) == expected[row, col]


def test_an_existing_error_map_stays(write_pair, legend, tmp_path):
    path = tmp_path / "errors.tif"
    path.write_text("precious")

    with pytest.raises(OutputExistsError, match="--overwrite"):
        surveyed(write_pair(MAP, TRUTH), legend, path=path)

    assert path.read_text() == "precious"


def test_nothing_is_left_of_an_error_map_that_cannot_be_finished(write_pair, legend, tmp_path):
    pair = write_pair(MAP, TRUTH)
    counted = compare(pair, legend).confusion
    path = tmp_path / "out/errors.tif"
    with RasterReader(pair.class_map) as reader, pytest.raises(LegendError):  # noqa: SIM117
        with error_map(
            path, reader.grid, ErrorLegend.of(legend, counted), counted, overwrite=False
        ):
            raise LegendError("the map is torn")

    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def blotched(write_pair):
    """A map of 40 x 50 pixels with a wrong blotch, some wrong pixels and unlabelled ground."""
    truth = np.full((40, 50), 10)
    mapped = np.full((40, 50), 1)
    mapped[16:24, 32:44] = 4  # in four squares of 16 px, most in that at 16, 32
    mapped[0, 0] = 0
    truth[:, 48:] = 99
    return write_pair(mapped, truth)


def test_windows_are_ranked_by_their_errors(blotched, legend):
    worst, _ = surveyed(blotched, legend, worst=3, side=16)

    places = [(each.window.row_off, each.window.col_off, each.errors) for each in worst]
    assert places == [(16, 32, 96), (0, 0, 1)]
    assert worst[0].confusion.total == 256


def test_windows_at_the_edge_are_smaller_and_know_it(blotched, legend):
    worst, _ = surveyed(blotched, legend, worst=3, side=20)

    assert [(each.errors, each.confusion.total) for each in worst] == [
        (4 * 8, 400),
        (4 * 8, 400),
        (16, 160),
    ]
    assert worst[-1].window.width == 10


def test_the_worst_of_several_maps_are_ranked_together(blotched, write_pair, legend):
    other = write_pair(np.full((16, 16), 4), np.full((16, 16), 10), name="other")
    wanted = {"worst": 2, "side": 16}

    found = [each for pair in (blotched, other) for each in surveyed(pair, legend, **wanted)[0]]

    assert [(each.pair.name, each.errors) for each in ranked(found, 2)] == [
        ("other", 256),
        ("one", 96),
    ]


def test_the_report_shows_the_worst_windows(blotched, legend, write_raster, tmp_path):
    worst, report = surveyed(blotched, legend, worst=3, side=16)
    ortho = write_raster("ortho.tif", np.full((3, 40, 50), 77, np.uint8))
    report = Evaluation(report.counts, legend, error_windows=worst)
    panels = panels_of(worst, report, ortho)

    write_report(tmp_path / "report", report, overwrite=False, panels=panels)

    with (tmp_path / "report/worst.csv").open(encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["mostly"], second["mostly"]) == (
        "building mapped as tree",
        "building mapped as water",
    )
    assert float(first["x_min"]) == 500_000 + 32 / 2
    assert (tmp_path / "report/worst.gpkg").exists()
    assert (tmp_path / "report/worst.png").read_bytes().startswith(b"\x89PNG")
    assert "1. one" in table_of(report)
    assert report.to_dict()["worst"][0]["share_wrong"] == 96 / 256


def test_pictures_show_orthophoto_reference_map_and_errors(blotched, legend, write_raster):
    worst, report = surveyed(blotched, legend, worst=1, side=16)
    ortho = write_raster("ortho.tif", np.full((3, 40, 50), 77, np.uint8))

    [panels] = panels_of(worst, report, ortho)

    colors = {title: panel[0, 0].tolist() for title, panel in panels.items()}
    assert list(colors) == ["orthophoto", "reference", "map", "errors"]
    assert colors["orthophoto"] == [77, 77, 77]
    assert colors["reference"] == list(legend.classes[0].color)
    assert colors["map"] == list(legend.classes[1].color)
    assert colors["errors"] == [0xE3, 0x1A, 0x1C]
    assert {panel.shape for panel in panels.values()} == {(16, 16, 3)}


def test_an_orthophoto_of_another_grid_is_laid_on_the_map(blotched, legend, write_raster):
    worst, report = surveyed(blotched, legend, worst=1, side=16)
    transform = rasterio.Affine(0.25, 0, 500_000, 0, -0.25, 5_700_000)
    wide = np.zeros((1, 80, 100), np.uint16)
    wide[:, :, 70:] = 4000
    ortho = write_raster("ortho.tif", wide, transform=transform)

    [panels] = panels_of(worst, report, ortho)

    assert panels["orthophoto"][8, [0, -4], 0].tolist() == [0, 255]  # dark up to column 35


def test_an_orthophoto_without_a_place_must_have_the_maps_pixels(blotched, legend, write_raster):
    worst, report = surveyed(blotched, legend, worst=1, side=16)
    ortho = write_raster("ortho.png", np.zeros((3, 9, 9), np.uint8))

    with pytest.raises(InputError, match=r"ortho\.png: has neither the pixels of the map"):
        panels_of(worst, report, ortho)


def test_a_map_that_is_right_has_no_worst_window(write_pair, legend, tmp_path):
    worst, report = surveyed(write_pair([[1, 1]], [[10, 10]]), legend, worst=5)

    assert worst == []
    write_report(tmp_path / "report", report, overwrite=False, panels=[])
    assert not (tmp_path / "report/worst.csv").exists()
