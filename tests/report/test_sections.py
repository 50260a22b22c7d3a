import json
import os

import pytest

from geoseg.errors import InputError
from geoseg.report.sections import bundle_section, evaluation_section, run_section

EVALUATION = {
    "pixels": 10,
    "dropped": {"without_map": 1, "without_reference": 2},
    "overall_accuracy": 0.8,
    "mean_iou": None,
    "classes": [{"name": "water", "iou": 0.5, "support": 8}],
    "top_confusions": [
        {"reference": "water", "map": "road", "pixels": 2, "share_of_reference": 0.25}
    ],
    "confusion": {"names": ["water", "road", "car"], "counts": [[6, 2, 0], [0, 2, 0], [0, 0, 0]]},
    "inputs": {},
}


@pytest.fixture
def folder(tmp_path):
    """A function that writes a record as a folder of geoseg's."""

    def write(name, record):
        path = tmp_path / "folder"
        path.mkdir(exist_ok=True)
        (path / name).write_text(json.dumps(record))
        return path

    return write


def test_a_confusion_matrix_has_shares_of_rows_and_columns(folder):
    matrix = evaluation_section(folder("evaluation.json", EVALUATION)).matrix

    assert [cell.pixels for cell in matrix.rows[0]] == ["6", "2", "0"]
    assert [cell.of_reference for cell in matrix.rows[0]] == [0.75, 0.25, 0]
    assert [row[1].of_map for row in matrix.rows] == [0.5, 0.5, 0]
    assert [cell.of_reference for cell in matrix.rows[2]] == [None] * 3
    assert [row[2].of_map for row in matrix.rows] == [None] * 3


def test_what_an_evaluation_says_is_told(folder):
    section = evaluation_section(folder("evaluation.json", EVALUATION))

    assert [each[:2] for each in section.headlines] == [
        ("overall accuracy", "80.00 %"),
        ("mean IoU", "-"),
    ]
    assert section.tables[0].rows == [["water", "50.00 %", "8"]]
    assert section.notes[1] == "25.0 % of water is mapped as road (2 px)."


def test_intervals_are_told_with_their_figures(folder):
    classes = [{"name": "water", "iou": [0.4, 0.6]}]
    made = {"level": 0.95, "method": "bootstrap", "block": "8px", "blocks": 4, "resamples": 100}
    confidence = {**made, "overall_accuracy": [0.75, 0.85], "classes": classes}

    section = evaluation_section(folder("evaluation.json", EVALUATION | {"confidence": confidence}))

    assert section.headlines[0].interval == "75.00 % to 85.00 %"
    assert section.tables[1].title == "95 % intervals of the classes"
    assert section.tables[1].rows == [["water", "40.00 % to 60.00 %"]]


def test_intervals_of_objects_stand_below_them(folder):
    made = {"level": 0.9, "method": "bootstrap", "block": "8px", "blocks": 4, "resamples": 100}
    confidence = {**made, "objects": [{"name": "car", "f1": [0.2, 0.4]}]}
    record = EVALUATION | {"confidence": confidence, "objects": [{"name": "car", "f1": 0.3}]}

    tables = evaluation_section(folder("evaluation.json", record)).tables

    assert [table.title for table in tables[1:]] == ["Objects", "90 % intervals of the objects"]
    assert tables[2].rows == [["car", "20.00 % to 40.00 %"]]


def test_tables_and_pictures_that_lie_in_the_folder_are_shown(folder):
    path = folder("evaluation.json", EVALUATION)
    (path / "regions.csv").write_text("region,mean_iou\nnorth,0.25\n")
    (path / "worst.png").write_bytes(b"\x89PNG")
    (path / "confusion.csv").write_text("a\n1\n")

    section = evaluation_section(path)

    assert [(table.title, table.rows) for table in section.tables[1:]] == [
        ("Regions", [["north", "25.00 %"]])
    ]
    assert [image.title for image in section.images] == ["worst"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize("name", ["worst.png", "regions.csv"])
def test_a_link_out_of_the_folder_is_not_shown(folder, tmp_path, name):
    path = folder("evaluation.json", EVALUATION)
    (tmp_path / "secret").write_bytes(b"\x89PNG,secret")
    (path / name).symlink_to(tmp_path / "secret")

    with pytest.raises(InputError, match=f"{name}: links to a file outside of its folder"):
        evaluation_section(path)


def test_what_is_only_called_a_picture_is_not_shown(folder):
    path = folder("evaluation.json", EVALUATION)
    (path / "worst.png").write_text("root:x:0:0")

    with pytest.raises(InputError, match=r"worst\.png: is no PNG"):
        evaluation_section(path)


def test_a_long_table_is_cut_and_says_so(folder):
    path = folder("evaluation.json", EVALUATION)
    (path / "regions.csv").write_text("region\n" + "north\n" * 300)

    table = evaluation_section(path).tables[1]

    assert len(table.rows) == 200
    assert table.title == "Regions (the first 200 of 300 rows; all are in regions.csv)"


@pytest.mark.parametrize("classes", [1, 2, 7, 150])
def test_thresholds_of_all_classes_are_shown_from_the_first_to_the_last(folder, classes):
    path = folder("evaluation.json", EVALUATION)
    levels = [f"{level / 254:.6f}" for level in range(255)]
    rows = [f"c{number},{level}" for number in range(classes) for level in levels]
    (path / "thresholds.csv").write_text("\n".join(["class,threshold", *rows]))

    table = evaluation_section(path).tables[1]

    assert len(table.rows) <= max(200, 2 * classes)
    assert list(dict.fromkeys(row[0] for row in table.rows)) == [f"c{n}" for n in range(classes)]
    for number in range(classes):
        own = [row[1] for row in table.rows if row[0] == f"c{number}"]
        assert (own[0], own[-1]) == ("0", "1")
    assert f"of {255 * classes} rows" in table.title


def test_a_training_has_curves_and_its_best_epoch(folder):
    path = folder("run.json", {"options": {"epochs": 2}})
    (path / "history.csv").write_text(
        "epoch,train_loss,val_miou,lr\n1,2.0,0.25,0.1\n2,1.0,0.5,0.1\n"
    )
    (path / "model").mkdir()
    record = {"arch": "unet", "training": {"best_epoch": {"epoch": 2, "val_miou": 0.5}}}
    (path / "model" / "geoseg.json").write_text(json.dumps(record))

    section = run_section(path)

    assert [each.title for each in section.charts] == ["Loss", "Validation IoU", "Learning rate"]
    assert [each[:2] for each in section.headlines] == [
        ("best epoch", "2"),
        ("best val mean IoU", "50.00 %"),
        ("epochs", "2"),
    ]
    assert section.record["model"] == {"arch": "unet"}


def test_a_training_that_has_just_begun_is_told_so(folder):
    section = run_section(folder("run.json", {"options": {}}))

    assert "no model yet" in section.notes[0]
    assert section.charts == []


def test_a_model_alone_is_told(folder):
    section = bundle_section(folder("geoseg.json", {"arch": "unet"}))

    assert section.record == {"model": {"arch": "unet"}}


def test_a_damaged_record_is_named(folder):
    path = folder("run.json", {})
    (path / "run.json").write_text("[")

    with pytest.raises(InputError, match=r"run\.json"):
        run_section(path)
