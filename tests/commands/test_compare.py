import json

import pytest


@pytest.fixture
def runs(tmp_path):
    for name, lr, miou in (("a", 0.1, 0.5), ("b", 0.2, 0.75)):
        (tmp_path / name).mkdir()
        record = {"patches": "p", "parameters": 10**6, "ended": "epochs"}
        record["options"] = {"lr": lr, "epochs": 1}
        (tmp_path / name / "run.json").write_text(json.dumps(record))
        history = f"epoch,val_loss,val_miou,iou_roof,seconds\n1,1.0,{miou},{miou},60\n"
        (tmp_path / name / "history.csv").write_text(history)
    return tmp_path / "a", tmp_path / "b"


def test_runs_become_a_table_on_stdout_and_in_a_file(geoseg, runs, tmp_path):
    outcome = geoseg("compare", *runs, "-o", tmp_path / "table.csv", "--best-first")

    assert outcome.out.splitlines() == [
        "run  lr   done  best  val loss   mIoU  IoU roof     time  parameters",
        "b    0.2     1     1         1  75.00     75.00  0:01:00      1.00 M",
        "a    0.1     1     1         1  50.00     50.00  0:01:00      1.00 M",
    ]
    assert (tmp_path / "table.csv").read_text().splitlines()[1].startswith("b,0.2,1,1,1.0,0.75,")


def test_json_is_for_programs(geoseg, runs):
    rows = json.loads(geoseg("compare", *runs, "--json", "--per-class", "f1").out)

    assert [row["f1_roof"] for row in rows] == pytest.approx([2 / 3, 6 / 7])


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["nowhere"], 1, "nowhere: no such folder"),
        (["a", "-o", "table.xlsx"], 2, "a table is written as .csv, .json, .md"),
        (["a", "-o", "a/run.json"], 2, "lies in an input"),
        (["a", "-o", "old.csv"], 1, "use --overwrite"),
    ],
)
def test_what_cannot_be_is_told(geoseg, runs, tmp_path, monkeypatch, words, code, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.csv").write_text("old")

    outcome = geoseg("compare", *words)

    assert outcome.code == code
    assert reason in outcome.err
