import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from geoseg.commands.arguments import Choices
from geoseg.errors import InputError
from geoseg.labels.legend import Legend
from geoseg.training.grid import Plan, Range, check_metric, read_plan
from geoseg.training.options import TrainOptions

FIXED = ("", "[fixed]\n")
"""How a file begins, now and before."""


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "grid.toml").write_text(text)
        return read_plan(tmp_path / "grid.toml", Choices(TrainOptions))

    return read


def test_a_grid_is_every_combination(read):
    plan = read("epochs = 5\n[grid]\nlr = [1e-3, 1e-4]\noptimizer = ['adam', 'sgd']")

    assert plan.runs() == {
        "lr=0.001,optimizer=adam": {"epochs": 5, "lr": 0.001, "optimizer": "adam"},
        "lr=0.001,optimizer=sgd": {"epochs": 5, "lr": 0.001, "optimizer": "sgd"},
        "lr=0.0001,optimizer=adam": {"epochs": 5, "lr": 0.0001, "optimizer": "adam"},
        "lr=0.0001,optimizer=sgd": {"epochs": 5, "lr": 0.0001, "optimizer": "sgd"},
    }


def test_options_of_all_trainings_stand_as_in_a_config_and_may_stand_in_a_table_as_before(read):
    plans = [read(f"{begin}epochs = 5\nmax-time = '10m'\n[grid]\nlr = [1]") for begin in FIXED]

    assert [plan.fixed for plan in plans] == [{"epochs": 5, "max_time": 600.0}] * 2


def test_a_grid_that_grows_keeps_the_names_of_what_it_had(read):
    small, large = (read(f"[grid]\nlr = {each}").runs() for each in ("[1, 2]", "[3, 2, 1]"))

    assert set(small) < set(large)


def test_an_option_that_may_be_repeated_is_a_word_or_a_list(read):
    plan = read("unlabelled = 'a.tif'\n[grid]\nlr = [1]")
    varied = read("[grid]\nunlabelled = ['a.tif', ['a.tif', 'b.tif']]")

    assert plan.fixed == {"unlabelled": (Path("a.tif"),)}
    assert list(varied.runs()) == ["unlabelled=a.tif", "unlabelled=a.tif-b.tif"]


def test_names_are_possible_on_every_system(read):
    words = ["package:lite0", "a/b\\\\c.pth", "none"]
    plan = read(f"[grid]\nencoder-weights = {words}\n")

    assert list(plan.runs()) == [
        "encoder-weights=package-lite0",
        "encoder-weights=a-b-c.pth",
        "encoder-weights=none",
    ]


def test_names_that_would_be_the_same_or_too_long_are_numbers(read):
    assert list(read('[grid]\nencoder-weights = ["a:b", "a/b"]').runs()) == ["run_001", "run_002"]
    assert list(read(f'[grid]\nencoder-weights = ["{"x" * 99}", "y"]').runs()) == [
        "run_001",
        "run_002",
    ]


def test_a_search_has_ranges_and_lists(read):
    plan = read(
        "[search]\ntrials = 7\nmaximize = 'iou_car'\nlr = {low = 1e-5, high = 1, log = true}\n"
        "epochs = {low = 1, high = 9, step = 2}\noptimizer = ['adam', 'sgd']"
    )

    assert (plan.trials, plan.maximize) == (7, "iou_car")
    assert plan.search == {
        "lr": Range(1e-5, 1.0, whole=False, log=True),
        "epochs": Range(1, 9, whole=True, step=2),
        "optimizer": ("adam", "sgd"),
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "needs either a"),
        ("lr = [1]", "needs either a"),
        ("[grid]\nlr = [1]\n[search]\ntrials = 1", "needs either a"),
        ("[grid]", "names no option"),
        ("[grid]\nlr = 1", "is no list of values, as in lr = \\[1\\]"),
        ("[grid]\nlr = []", "is no list"),
        ("[grid]\nlr = [1, 1.0]", "names a value twice"),
        ("[grid]\nlrs = [1]", "did you mean 'lr'"),
        ("[grid]\noptimizer = ['lion']", "'lion' is not one of 'adam', "),
        ("[fixed]\nlr = 'a'\n[grid]\nepochs = [1]", "lr = 'a': 'a' is no number"),
        ("lr = 1\n[grid]\nlr = [2]", "both fixed and in"),
        ("lrs = 1\n[grid]\nepochs = [1]", "did you mean 'lr'"),
        ("[fixed]\nlr = 1\n[grid]\nlr = [2]", "both fixed and in \\[grid\\]"),
        ("[search]\nlr = [1, 2]", "needs trials"),
        ("[search]\ntrials = true\nlr = [1, 2]", "needs trials"),
        ("[search]\ntrials = 3", "names no option"),
        ("[search]\ntrials = 3\nlr = {low = 2, high = 1}", "low is less than high"),
        ("[search]\ntrials = 3\nlr = {low = 2}", "high = ..."),
        ("[search]\ntrials = 3\nweight_decay = {low = 0, high = 1, log = true}", "numbers above 0"),
        ("[search]\ntrials = 3\nlr = {low = 0.5, high = 1, step = 2}", "step is a number"),
        ("[search]\ntrials = 3\noptimizer = {low = 0, high = 1}", "give a list"),
        ("[search]\ntrials = 3\nepochs = {low = 4, high = 16, step = 0.5}", "so is its step"),
        (
            "[search]\ntrials = 3\nlr = {low = 1, high = inf}",
            "lr = inf: 'inf' is no number above 0",
        ),
        ("[search]\ntrials = 3\nlr = [1]\nmaximize = 'val_mIoU'", "it is val_miou, or iou_ and a"),
        ("[search]\ntrials = 3\nlr = [1]\nmaximize = 'val_loss'", "it is val_miou, or iou_ and a"),
        ("[search]\ntrials = 3\nloggers = ['csv', 'csv,wandb']", "which a search cannot choose"),
        ("[fixed]\ndevices = 2\n[grid]\nlr = [1]", "devices: .* make a sweep for each device"),
        ("[grid]\ndevices = [1, 2]", "devices: the trainings of a sweep are made one after"),
        ("[search]\ntrials = 3\ndevices = {low = 1, high = 2}", "devices: .* one process"),
        ("[grid", "not a TOML file"),
        ("a = " + "[" * 20_000, "nested too deeply"),
        ("[grid]\nepochs = [" + "9" * 5_000 + "]", "not a TOML file"),
        ("[grid]\nlr = [1" + "0" * 400 + "]", "lr = 1"),
        ("[grid]\nlr = 2020-01-01", "is no list of values"),
        ("[[grid]]\nlr = [1]", "options stand in"),
        ("grid = 3", "options stand in"),
        (f"[grid]\nlr = {list(range(1, 102))}\nepochs = {list(range(1, 101))}", "1.01e.04 comb"),
    ],
)
def test_what_is_wrong_is_told_with_the_file(read, text, reason):
    with pytest.raises(InputError, match=f"grid.toml: .*{reason}"):
        read(text)


def test_one_device_is_what_a_sweep_has(read):
    assert read("[fixed]\ndevices = 1\n[grid]\nlr = [1]").fixed == {"devices": 1}
    assert read("[grid]\ndevices = [1]").grid == {"devices": (1,)}


@pytest.fixture
def patch_set():
    classes = [{"value": 5, "name": "dark"}, {"value": 9, "name": "car"}]
    legend = Legend.from_dict({"name": "two", "class": classes})
    return SimpleNamespace(
        folder="patches", record=SimpleNamespace(legend=legend), in_split=lambda _: [0]
    )


def test_a_search_looks_for_metrics_that_trainings_have(patch_set):
    for figure in ("val_miou", "iou_car"):
        check_metric(Plan(search={"lr": (1, 2)}, maximize=figure), patch_set)

    with pytest.raises(InputError, match="no 'iou_cat' to maximize, but val_miou, iou_dark, iou_c"):
        check_metric(Plan(search={"lr": (1, 2)}, maximize="iou_cat"), patch_set)


def test_a_search_needs_validation(patch_set):
    patch_set.in_split = {"val": []}.get
    check_metric(Plan(grid={"lr": (1, 2)}), patch_set)

    with pytest.raises(InputError, match=r"patches: has no validation split.*--val 0\.15"):
        check_metric(Plan(search={"lr": (1, 2)}), patch_set)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_plan(tmp_path / "none.toml", Choices(TrainOptions))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_nobody_waits_for_a_plan(tmp_path):
    os.mkfifo(tmp_path / "plan.toml")

    with pytest.raises(InputError, match=r"plan.toml: is a pipe, socket or device"):
        read_plan(tmp_path / "plan.toml", SimpleNamespace())
