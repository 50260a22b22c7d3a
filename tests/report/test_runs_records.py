import json
import math

import pytest

from geoseg.errors import InputError
from geoseg.report.runs import read_entries


def test_a_training_has_the_figures_of_its_best_epoch(make_run):
    folder = make_run("a", rows=[(0.9, 0.3), (0.5, 0.5), (0.7, 0.6)])

    (entry,) = read_entries([folder])

    assert (entry.best_epoch, entry.epochs_done, entry.seconds) == (2, 3, 120)
    assert entry.metrics == {"mean_iou": 0.5, "val_loss": 0.5, "train_loss": 1}
    assert entry.classes["roof"] == {"iou": 0.5, "f1": pytest.approx(2 / 3)}
    assert math.isnan(entry.classes["tree"]["iou"])
    assert entry.parameters == 14_300_000


@pytest.mark.parametrize(("monitor", "best"), [("loss", 2), ("miou", 3)])
def test_the_best_epoch_is_what_was_monitored(make_run, monitor, best):
    folder = make_run("a", {"monitor": monitor}, [("nan", 0.3), (0.5, 0.5), (0.7, 0.6)])

    assert read_entries([folder])[0].best_epoch == best


def test_without_validation_the_last_epoch_counts(make_run):
    folder = make_run("a")
    (folder / "history.csv").write_text("epoch,train_loss,lr,seconds\n1,2,0,3\n2,3,0,3\n3,4,0,3\n")

    assert read_entries([folder])[0].metrics == {"train_loss": 4}


@pytest.mark.parametrize(
    ("ended", "options", "epochs", "said"),
    [
        ("patience", {}, 2, ""),
        (None, {}, 2, "2 of 3 epochs"),
        (None, {}, 0, "no epoch is complete"),
        (None, {"epochs": None, "max_time": 1000}, 2, "2 epochs"),
    ],
)
def test_what_is_unfinished_is_said(make_run, ended, options, epochs, said):
    rising = [(0.1 * number, 0.5) for number in range(1, epochs + 1)]

    assert read_entries([make_run("a", options, rising, ended=ended)])[0].unfinished == said


def test_folders_of_runs_give_all_that_they_hold(make_run, make_evaluation, tmp_path):
    make_run("many/b")
    make_run("many/a")
    make_evaluation("many/c", 0.5)
    (tmp_path / "many" / "notes").mkdir()
    make_run("folds", folds=2)
    make_run("folds/fold1")

    names = [entry.name for entry in read_entries([tmp_path / "many", tmp_path / "folds"])]

    assert names == ["a", "b", "c", "fold1"]


def test_a_sweep_gives_its_runs_in_their_order(make_run, tmp_path):
    for name in ("sweep/z", "sweep/a", "sweep/old"):
        make_run(name)
    record = {"runs": {"z": {}, "a": {}, "failed": {}}}
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps(record))

    assert [entry.name for entry in read_entries([tmp_path / "sweep"])] == ["z", "a"]


def test_patterns_are_expanded_and_names_tell_runs_apart(make_run, tmp_path):
    make_run("x/lr=0.1")
    make_run("y/lr=0.1")

    names = [entry.name for entry in read_entries([tmp_path / "[xy]" / "*"])]

    assert names == ["x/lr=0.1", "y/lr=0.1"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("run.json", "{", "is damaged"),
        ("run.json", "[]", "is damaged"),
        ("run.json", "{}", "is damaged"),
        ("evaluation.json", "{}", "is damaged"),
        ("run.json", '{"options":' + "[" * 100_000, "is damaged: it is nested too deeply"),
        ("run.json", '{"options": [3], "patches": "p"}', "is damaged"),
        ("run.json", '{"options": {}, "patches": "p", "parameters": "many"}', "is damaged"),
        ("evaluation.json", '{"classes": 3}', "is damaged"),
        ("evaluation.json", '{"classes": [], "kappa": 1' + "0" * 400 + "}", "is damaged"),
        ("sweep.json", "[]", "is damaged"),
        ("other.json", "{}", "holds no run"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, name, content, reason):
    (tmp_path / name).write_text(content)

    with pytest.raises(InputError, match=reason):
        read_entries([tmp_path])


@pytest.mark.parametrize(
    "content",
    [
        b"epoch,val_loss,seconds\n1,low,2.0\n",
        b"epoch,val_loss,seconds\n1,0.5,inf\n",
        b"epoch,val_loss,seconds\nfirst,0.5,2.0\n",
        b"epoch,val_loss,seconds\n1,0.5,2.0,9\n",
        b"epoch,val_loss\n1,0.5\n",
        b"epoch,val_loss,seconds\n1,\x00,2.0\n",
        b"epoch\xff\n1\n",
        b"epoch,seconds\n" + b"9" * 200_000,
    ],
    ids=range(8),
)
def test_a_history_of_other_values_is_named(make_run, content):
    folder = make_run("run")
    (folder / "history.csv").write_bytes(content)

    with pytest.raises(InputError, match=r"history\.csv: is damaged"):
        read_entries([folder])


@pytest.mark.parametrize("name", ["nowhere", "no*"])
def test_what_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"no such folder|matches no run"):
        read_entries([tmp_path / name])
