import pytest

from geoseg.errors import InputError
from geoseg.report.runs import read_csv
from geoseg.report.sections import as_text, table_of


def test_a_table_is_told_as_people_read_it():
    table = table_of("Classes", [{"name": "water", "mean_iou": 0.5, "support": 1200, "ece": None}])

    assert table.columns == ["name", "mean IoU", "support", "ECE"]
    assert table.rows == [["water", "50.00 %", "1,200", "-"]]
    assert table.numeric == [False, True, True, True]


def test_a_row_with_a_window_knows_its_place():
    row = {"rank": 1, "map": "west", "row_off": 4, "col_off": 8, "height": 16, "width": 16}

    [place] = table_of("Worst", [row]).places

    assert place == {"row_off": 4, "col_off": 8, "height": 16, "width": 16, "map": "west"}


def test_a_csv_file_gives_numbers_and_none_for_blanks(tmp_path):
    (tmp_path / "t.csv").write_text("name,count,iou\nwater,3,0.25\nroad,,\n")

    assert read_csv(tmp_path / "t.csv") == [
        {"name": "water", "count": 3, "iou": 0.25},
        {"name": "road", "count": None, "iou": None},
    ]


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(InputError, match=r"t\.csv: is damaged"):
        read_csv(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (True, "", "True"),
        (float("inf"), "loss", "-"),
        ([1, 2], "bands", "1, 2"),
        ({"mean_iou": 0.5}, "", "mean IoU 50.00 %"),
        (0.123456, "overall_accuracy", "12.35 %"),
    ],
)
def test_values_for_people(value, name, text):
    assert as_text(value, name) == text
