import csv
import json

import numpy as np
import pytest
import shapely

from geoseg.errors import BundleError, InputError, LegendError, PatchSetError, VectorError
from geoseg.labels.legend import Legend
from geoseg.report.info import inform
from geoseg.vectorize.options import VectorizeOptions
from geoseg.vectorize.vectorize import vectorize

DEFAULTS = {"lr": 1e-3, "optimizer": "adam", "epochs": None, "encoder": None}


def about(path):
    return inform(path, defaults=DEFAULTS)


@pytest.fixture
def run(tmp_path):
    """A function that writes the record and history of a training."""

    def write(done, **options):
        options = {"arch": "unet", "encoder": "resnet18", "lr": 1e-3, "optimizer": "sgd"} | options
        record = {"patches": "set", "options": options, "parameters": 7, "class_pixels": {"a": 3}}
        (tmp_path / "run.json").write_text(json.dumps(record))
        with (tmp_path / "history.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["epoch", "val_miou", "seconds"])
            rows.writerows([[n, 0.5, 10] for n in range(1, done + 1)])
        (tmp_path / "last.ckpt").touch()
        return tmp_path

    return write


def test_options_that_differ_from_the_defaults_are_told(run):
    found = about(run(2, epochs=5))

    assert found.kind == "training"
    assert found.facts["changed_options"] == {
        "encoder": "resnet18",
        "optimizer": "sgd",
        "epochs": 5,
    }
    assert found.lines["epochs"] == "2 of 5 in 20 s"


def test_an_interrupted_training_can_be_resumed(run):
    found = about(run(2, epochs=5))

    assert found.lines["state"].startswith("not finished")
    assert found.facts["can_be_resumed"]
    assert about(run(0)).facts["state"] == "no epoch is complete"


def test_a_training_that_ended_is_finished_whatever_its_epochs(run):
    folder = run(2, epochs=5)
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"ended": "patience"}))

    found = about(folder)

    assert found.lines["state"] == "finished"
    assert not found.facts["can_be_resumed"]


def test_a_cross_validation_tells_of_its_folds(tmp_path):
    record = {"options": {"arch": "unet", "lr": 1e-3}, "class_pixels": {"a": 3}, "folds": 3}
    for folder, ended, parameters in (("", None, 0), ("fold1", "epochs", 7), ("fold2", None, 7)):
        (tmp_path / folder).mkdir(exist_ok=True)
        content = record | {"ended": ended, "parameters": parameters}
        (tmp_path / folder / "run.json").write_text(json.dumps(content))

    begun = about(tmp_path)
    table = "fold,epoch,val_miou\n1,4,0.5\n2,2,0.7\nmean,,0.6\ndeviation,,0.1\n"
    (tmp_path / "folds.csv").write_text(table)
    found = about(tmp_path)

    assert begun.lines["best epochs"] == ""
    assert found.lines["best epochs"] == "val_miou 0.6 ± 0.1"
    assert found.lines["folds"] == "1 of 3 finished"
    assert "7 parameters each" in found.lines["network"]
    assert found.lines["state"].startswith("not finished")
    assert found.facts["can_be_resumed"]


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_record_is_refused(tmp_path, text):
    (tmp_path / "evaluation.json").write_text(text)

    with pytest.raises(InputError, match=r"evaluation\.json: is damaged"):
        about(tmp_path)


def test_an_evaluation_shows_its_figures(tmp_path):
    rows = [{"name": "road", "iou": 0.25, "f1": None}, {"name": "car", "iou": None, "f1": 0.5}]
    content = {"pixels": 1234, "overall_accuracy": 0.75, "mean_iou": 0.25, "classes": rows}
    (tmp_path / "evaluation.json").write_text(json.dumps(content))

    found = about(tmp_path)

    assert found.lines["pixels"] == "1,234"
    assert found.lines["overall accuracy"] == "0.75"
    assert found.tables[0][1:] == [("road", "0.25", "-"), ("car", "-", "0.5")]


def test_polygons_show_columns_that_may_hold_classes(write_polygons):
    boxes = [shapely.box(n, 0, n + 1, 1) for n in range(30)]
    kinds = ["road"] * 20 + ["house"] * 10
    path = write_polygons("truth.gpkg", boxes, kind=kinds, number=list(range(30)))

    found = about(path)

    assert found.lines["column kind"] == "road (20), house (10)"
    assert "column number" not in found.lines
    assert found.tables[0][1:] == [("truth", "30", "Polygon", "EPSG:32632")]
    assert found.hints == []


def test_polygons_of_geoseg_show_their_legend_and_how_they_were_made(write_raster, tmp_path):
    path = write_raster("map.tif", np.array([[5, 5, 9], [5, 9, 9]], np.uint8))
    legend = Legend.from_dict(
        {"name": "two", "class": [{"value": 5, "name": "dark"}, {"value": 9, "name": "bright"}]}
    )
    vectorize(path, legend, tmp_path / "p.fgb", VectorizeOptions(classes=("dark",)))

    told = about(tmp_path / "p.fgb")

    assert told.kind == "polygons"
    assert told.lines == {
        "layers": "1",
        "map": "map.tif",
        "vectorized with": "simplify 1px; classes dark; max vertices 250000",
    }
    assert told.tables[1][0] == ("value", "name", "colour", "regions", "pixels", "area (m²)")
    assert [row[:2] + row[3:] for row in told.tables[1][1:]] == [
        ("5", "dark", "1", "3", "0.8"),
        ("9", "bright", "-", "-", "-"),
    ]
    assert told.facts["geoseg"]["legend"] == legend.to_dict()


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_points_without_a_crs_are_told(write_polygons):
    path = write_polygons("points.gpkg", [shapely.Point(0, 0)], crs=None, label=["a"])

    assert len(about(path).hints) == 2


def test_a_legend_is_a_table(tmp_path):
    (tmp_path / "l.toml").write_text('ignore = [9]\n[[class]]\nname = "a"\ncolor = "#010203"\n')

    found = about(tmp_path / "l.toml")

    assert found.lines["unlabelled"] == "9"
    assert found.tables[0][1:] == [("0", "a", "#010203", "0")]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("nothing.tif", InputError),
        ("nothing.gpkg", VectorError),
        ("nothing.toml", LegendError),
        ("text.tif", InputError),
        ("text.gpkg", VectorError),
        ("empty", InputError),
        ("torn_set", PatchSetError),
        ("torn_model", BundleError),
    ],
)
def test_what_is_missing_or_unknown_is_refused(tmp_path, name, error):
    (tmp_path / "text.tif").write_text("no raster")
    (tmp_path / "text.gpkg").write_text("no polygons")
    for folder, record in (("empty", "notes.txt"), ("torn_set", "patches.json"),
                           ("torn_model", "geoseg.json")):  # fmt: skip
        (tmp_path / folder).mkdir()
        (tmp_path / folder / record).write_text("{}")

    with pytest.raises(error):
        about(tmp_path / name)


def test_cells_without_a_value_are_shown_as_null(write_polygons):
    squares = [shapely.box(n, 0, n + 1, 1) for n in range(5)]
    path = write_polygons("a.gpkg", squares, kind=["a", "a", None, "", "nan"])

    assert about(path).lines["column kind"] == "(null) (3), a (2)"


def test_a_file_geodatabase_is_a_folder_of_polygons(write_polygons):
    path = write_polygons("a.gdb", [shapely.box(0, 0, 1, 1)], kind=["roof"])

    assert about(path).kind == "vector file"
