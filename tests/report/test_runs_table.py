import csv
import io
import json

import pytest

from geoseg.report.runs import comparison, read_entries


@pytest.fixture
def entries(make_run, make_evaluation):
    return read_entries(
        [
            make_run("a", {"lr": 0.1, "loss": "ce"}, [(0.5, 0.25)] * 3),
            make_run("b", {"lr": 0.01, "loss": "ce", "loggers": ["csv", "wandb"]}, [(0.4, 0.75)]),
            make_evaluation("c", 0.5),
        ]
    )


def test_only_options_that_differ_are_shown(entries):
    rows = comparison(entries).rows

    assert [row["lr"] for row in rows] == [0.1, 0.01, None]
    assert [row["loggers"] for row in rows] == [None, "csv,wandb", None]
    assert not {"loss", "monitor", "patches"} & set(rows[0])


def test_a_table_for_people_has_percents_times_and_sizes(entries):
    text = comparison(entries[:1]).to_text()

    assert text.splitlines() == [
        "run  done  best  val loss   mIoU  IoU roof  IoU tree     time  parameters",
        "a       3     1       0.5  25.00     25.00         -  0:02:00     14.30 M",
    ]


def test_columns_without_any_value_are_left_out(entries):
    names = {column.name for column in comparison(entries[:1]).columns}

    assert not {"kind", "kappa", "unfinished"} & names
    assert {"kind", "overall_accuracy"} <= {c.name for c in comparison(entries).columns}


def test_a_narrow_screen_gets_several_tables_that_hold_everything(entries):
    table = comparison(entries)

    narrow = table.to_text(40)

    parts = [part.splitlines() for part in narrow.split("\n\n")]
    assert len(parts) > 2
    assert max(len(line) for part in parts for line in part) <= 40
    assert all([line[0] for line in part] == ["r", "a", "b", "c"] for part in parts)
    whole = table.to_text().split()
    assert sorted(narrow.split()) == sorted(whole + ["run", "a", "b", "c"] * (len(parts) - 1))


def test_the_best_comes_first_if_asked_for(entries, make_run):
    begun = read_entries([make_run("begun")])

    sorted_names = [row["run"] for row in comparison([*begun, *entries], best_first=True).rows]

    assert sorted_names == ["b", "c", "a", "begun"]


def test_csv_holds_plain_numbers_and_blanks(entries):
    rows = list(csv.DictReader(io.StringIO(comparison(entries).to_csv())))

    assert [row["mean_iou"] for row in rows] == ["0.25", "0.75", "0.5"]
    assert rows[2]["lr"] == rows[0]["iou_tree"] == ""


def test_json_holds_null_for_what_is_undefined(entries):
    rows = json.loads(comparison(entries, per_class="f1").to_json())

    assert rows[0]["f1_roof"] == pytest.approx(0.4)
    assert rows[2]["f1_roof"] == 0.9
    assert rows[0]["f1_tree"] is None


def test_markdown_aligns_numbers_to_the_right_and_keeps_bars_apart(make_run):
    entries = read_entries([make_run("a|b", rows=[(0.5, 0.5)])])

    lines = comparison(entries).in_format_of(".MD").splitlines()

    assert lines[0].startswith("| run | done |")
    assert lines[1].startswith("|---|---:|")
    assert lines[2].startswith(r"| a\|b | 1 |")
