import csv

import pytest
from matplotlib.image import imread

from geoseg.training.run_folder import draw_curves, write_table

ROWS = [
    {"epoch": 1, "train_loss": 0.5, "val_loss": 0.25, "val_miou": 0.5, "iou_a, b": 0.5, "lr": 0.1},
    {"epoch": 2, "train_loss": 0.4, "val_loss": 0.20, "val_miou": 0.6, "iou_a, b": "", "lr": 0.1},
]


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_epoch_has_its_row_and_an_undefined_metric_is_blank(tmp_path):
    write_table(tmp_path / "history.csv", ROWS)

    assert read(tmp_path / "history.csv") == [
        {name: str(value) for name, value in row.items()} for row in ROWS
    ]


def test_a_later_history_replaces_the_earlier_one(tmp_path):
    write_table(tmp_path / "history.csv", ROWS)
    write_table(tmp_path / "history.csv", ROWS[:1])

    assert len(read(tmp_path / "history.csv")) == 1
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        ROWS[:1],
        [{"epoch": 1, "train_loss": float("nan"), "lr": 0.1}],
        [{"epoch": 1, "train_loss": 0.5, "iou_a": "", "lr": 0.1}],
    ],
)
def test_curves_are_a_picture_whatever_is_missing(tmp_path, rows):
    draw_curves(tmp_path / "curves.png", rows)

    assert imread(tmp_path / "curves.png").shape[2] == 4


def test_without_an_epoch_nothing_is_written(tmp_path):
    write_table(tmp_path / "history.csv", [])
    draw_curves(tmp_path / "curves.png", [])

    assert not list(tmp_path.iterdir())
