import json

import pytest

from geoseg.errors import LegendError
from geoseg.labels.legend_map import Correspondence, load_legend_map


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


ROWS = [Correspondence("roof", "1"), Correspondence("grün", "", "")]


@pytest.mark.parametrize(
    "text",
    [
        "from,to\nroof,1\ngrün,\n",
        "\ufefffrom;to;name\r\nroof;1;\r\n\r\ngrün;;\r\n",
        'to, from\n"1", "roof"\n, grün\n',
        "from\tto\nroof\t1\ngrün\n",
    ],
    ids=["commas", "as-from-a-spreadsheet", "quoted", "tabs"],
)
def test_rows_of_a_table(write, text):
    assert load_legend_map(write("map.csv", text)) == ROWS


def test_rows_of_json(write):
    records = [{"from": "roof", "to": 1}, {"from": "grün", "to": None}]

    assert load_legend_map(write("map.json", json.dumps(records))) == ROWS


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("map.csv", "map,reference\na,b\n", r"row 1 has no columns from and to"),
        ("map.csv", "from,to,what\na,b,c\n", r"row 1 has columns \['what'\]; known are"),
        ("map.csv", "from,to\na,b,c\n", r"row 1 has columns \[None\]"),
        ("map.csv", "from,to\n", "holds no rows"),
        ("map.json", "[{", "not a table in CSV or JSON"),
        ("map.json", "[3]", "row 1 has no columns from and to"),
        ("map.json", "3", "not a list"),
    ],
)
def test_anything_else_is_refused_and_the_file_named(write, name, text, reason):
    with pytest.raises(LegendError, match=rf"{name}: .*{reason}"):
        load_legend_map(write(name, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LegendError, match=r"gone\.csv: no such file"):
        load_legend_map(tmp_path / "gone.csv")
