from dataclasses import dataclass
from typing import Literal

import pytest

from geoseg.errors import InputError
from geoseg.experiments import Choices, read_plan
from geoseg.experiments.plans import Range


@dataclass(frozen=True, kw_only=True)
class Options:
    lr: float | None = 1e-3
    epochs: int = 1
    optimizer: Literal["adam", "sgd"] = "adam"
    encoder_weights: str = "none"


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "grid.toml").write_text(text)
        return read_plan(tmp_path / "grid.toml", Choices(Options))

    return read


def test_a_grid_is_every_combination(read):
    plan = read("[fixed]\nepochs = 5\n[grid]\nlr = [1e-3, 1e-4]\noptimizer = ['adam', 'sgd']")

    assert plan.runs() == {
        "lr=0.001,optimizer=adam": {"epochs": 5, "lr": 0.001, "optimizer": "adam"},
        "lr=0.001,optimizer=sgd": {"epochs": 5, "lr": 0.001, "optimizer": "sgd"},
        "lr=0.0001,optimizer=adam": {"epochs": 5, "lr": 0.0001, "optimizer": "adam"},
        "lr=0.0001,optimizer=sgd": {"epochs": 5, "lr": 0.0001, "optimizer": "sgd"},
    }


def test_a_grid_that_grows_keeps_the_names_of_what_it_had(read):
    small, large = (read(f"[grid]\nlr = {each}").runs() for each in ("[1, 2]", "[3, 2, 1]"))

    assert set(small) < set(large)


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
        ("lr = [1]", "has 'lr'; options stand in"),
        ("[grid]\nlr = [1]\n[search]\ntrials = 1", "needs either a"),
        ("[grid]", "names no option"),
        ("[grid]\nlr = 1", "is no list of values, as in lr = \\[1\\]"),
        ("[grid]\nlr = []", "is no list"),
        ("[grid]\nlr = [1, 1.0]", "names a value twice"),
        ("[grid]\nlrs = [1]", "did you mean 'lr'"),
        ("[grid]\noptimizer = ['lion']", "is none of adam, sgd"),
        ("[fixed]\nlr = 'a'\n[grid]\nepochs = [1]", "lr = 'a': is no number"),
        ("[fixed]\nlr = 1\n[grid]\nlr = [2]", "both in \\[fixed\\] and in \\[grid\\]"),
        ("[search]\nlr = [1, 2]", "needs trials"),
        ("[search]\ntrials = true\nlr = [1, 2]", "needs trials"),
        ("[search]\ntrials = 3", "names no option"),
        ("[search]\ntrials = 3\nlr = {low = 2, high = 1}", "low is less than high"),
        ("[search]\ntrials = 3\nlr = {low = 2}", "high = ..."),
        ("[search]\ntrials = 3\nlr = {low = 0, high = 1, log = true}", "numbers above 0"),
        ("[search]\ntrials = 3\nlr = {low = 0, high = 1, step = 2}", "step is a number"),
        ("[search]\ntrials = 3\noptimizer = {low = 0, high = 1}", "give a list"),
        ("[grid", "not a TOML file"),
    ],
)
def test_what_is_wrong_is_told_with_the_file(read, text, reason):
    with pytest.raises(InputError, match=f"grid.toml: .*{reason}"):
        read(text)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_plan(tmp_path / "none.toml", Choices(Options))
