import csv
import json

import numpy as np
import pytest
import rasterio

from geoseg.errors import OutputError, OutputExistsError
from geoseg.evaluation.report import write_report

COUNTS = [[3, 0, 1], [1, 4, 0], [0, 0, 4]]
ABSENT = [[6, 2, 0], [1, 3, 0], [0, 0, 0]]  # no water anywhere


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def report(tmp_path, evaluate):
    """A function that writes a report on counts, and gives its folder."""

    def write(*matrices, overwrite=False):
        write_report(tmp_path / "report", evaluate(*matrices), overwrite=overwrite)
        return tmp_path / "report"

    return write


def test_the_folder_holds_figures_tables_and_a_picture(report):
    assert sorted(contents(report(COUNTS))) == [
        "classes.csv",
        "confusion.csv",
        "confusion.png",
        "evaluation.json",
    ]


def test_the_json_holds_all_figures_and_null_for_what_is_undefined(report):
    def refuse(constant):
        raise AssertionError(constant)

    text = (report(ABSENT) / "evaluation.json").read_text(encoding="utf-8")
    figures = json.loads(text, parse_constant=refuse)

    assert figures["pixels"] == 12
    assert figures["overall_accuracy"] == 0.75
    assert figures["classes"][2]["iou"] is None
    assert figures["classes"][2]["support"] == 0
    assert figures["confusion"]["counts"] == ABSENT
    assert figures["inputs"]["a"]["map"].endswith("a.tif")


def test_the_table_of_classes_is_blank_where_a_figure_is_undefined(report):
    building, _, water = rows_of(report(ABSENT) / "classes.csv")

    assert float(building["iou"]) == pytest.approx(6 / 9)
    assert building["support"] == "8"
    assert [water[name] for name in ("name", "support", "iou", "recall")] == ["water", "0", "", ""]


def test_the_table_of_confusion_has_references_in_rows(report):
    rows = rows_of(report(COUNTS) / "confusion.csv")

    assert rows[0] == {"reference \\ map": "building", "building": "3", "tree": "0", "water": "1"}
    assert [row["reference \\ map"] for row in rows] == ["building", "tree", "water"]


def test_several_maps_have_a_table_of_their_own(report):
    folder = report(COUNTS, ABSENT)

    one, other = rows_of(folder / "maps.csv")
    figures = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert (one["map"], one["pixels"], other["map"], other["pixels"]) == ("a", "13", "b", "12")
    assert float(one["iou_building"]) == pytest.approx(3 / 5)
    assert other["iou_water"] == ""
    assert figures["maps"]["b"]["classes"][2]["iou"] is None
    assert figures["pixels"] == 25


def test_the_picture_opens_and_is_not_blank(report):
    with rasterio.open(report(ABSENT) / "confusion.png") as file:
        picture = file.read()

    assert picture.shape[0] == 4
    assert min(picture.shape[1:]) > 200
    assert len(np.unique(picture[0])) > 10


def test_the_same_figures_give_the_same_bytes(report):
    before = contents(report(COUNTS, ABSENT))

    assert contents(report(COUNTS, ABSENT, overwrite=True)) == before


def test_an_existing_report_is_replaced_only_on_request(report):
    before = contents(report(COUNTS, ABSENT))

    with pytest.raises(OutputExistsError, match="--overwrite"):
        report(COUNTS)
    assert contents(report(ABSENT, COUNTS, overwrite=True)) != before

    assert "maps.csv" not in contents(report(COUNTS, overwrite=True))


def test_a_folder_that_geoseg_did_not_write_is_not_replaced(report, tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report/thesis.doc").write_text("precious")

    with pytest.raises(OutputExistsError, match="geoseg did not write"):
        report(COUNTS, overwrite=True)

    assert list(contents(tmp_path / "report")) == ["thesis.doc"]


def test_nothing_is_left_when_the_report_cannot_be_written(evaluate, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match="cannot be written"):
        write_report(tmp_path / "file/report", evaluate(COUNTS), overwrite=False)

    assert [path.name for path in tmp_path.iterdir()] == ["file"]
