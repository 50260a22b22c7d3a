import pytest

from geoseg.text import format_table, wrap_text

ROWS = [
    {"class": "building", "IoU": "60.00", "reference px": "12", "": "not in the map"},
    {"class": "tree", "IoU": "-", "reference px": "123456", "": ""},
]


def test_a_table_is_as_wide_as_it_must_be():
    assert format_table(ROWS) == [
        "class          IoU reference px",
        "building     60.00           12  not in the map",
        "tree             -       123456",
    ]


def test_columns_that_do_not_fit_stand_below():
    assert format_table(ROWS, 35) == [
        "class          IoU reference px",
        "building     60.00           12",
        "tree             -       123456",
        "",
        "class",
        "building  not in the map",
        "tree",
    ]


def test_remarks_that_nobody_makes_take_no_room():
    rows = [{"class": "tree", "IoU": "1", "": ""}]

    assert format_table(rows, 14) == ["class       IoU", "tree          1"]


@pytest.mark.parametrize("width", range(28, 80))
def test_no_line_is_wider_than_the_terminal(width):
    rows = [{**row, "class": f"{row['class']} of whatever kind there may be"} for row in ROWS]

    assert max(map(len, format_table(rows, width))) <= width


def test_a_long_name_is_cut_only_where_there_is_no_room():
    rows = [{"class": "a" * 40, "IoU": "1"}]

    assert format_table(rows)[1].startswith("a" * 40)
    assert format_table(rows, 60)[1] == "a" * 19 + "…         1"


def test_a_text_is_broken_only_for_a_terminal():
    text = "5 % of tree is mapped as building"

    assert wrap_text(text) == [text]
    assert wrap_text(text, 16) == ["5 % of tree is", "  mapped as", "  building"]
    assert wrap_text("", 16) == [""]
