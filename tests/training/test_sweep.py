import builtins
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from geoseg.errors import InputError, OutputError, OutputExistsError, TrainingError
from geoseg.training.grid import Plan, Range
from geoseg.training.sweep import Search, _Sweep, sweep

GRID = Plan(fixed={"epochs": 5}, grid={"lr": (0.1, 0.2, 0.3)})
NAMES = ["lr=0.1", "lr=0.2", "lr=0.3"]


@dataclass
class Report:
    best: dict
    interrupted: bool = False


@dataclass
class Trainer:
    """Stands in for a training: the nearer the rate is to 0.2, the better."""

    broken: dict = field(default_factory=dict)
    """What happens at some rates."""

    made: list = field(default_factory=list)
    """Folder, rate and whether it was resumed."""

    def __call__(self, run, options, *, resume):
        rate = options.get("lr") or 0.0
        self.made.append((run.name, rate, resume))
        run.mkdir(parents=True, exist_ok=True)
        (run / "run.json").write_text("{}")
        what = self.broken.get(rate)
        if isinstance(what, BaseException):
            raise what
        return Report({"val_miou": 1 - abs(rate - 0.2)}, interrupted=what == "stop")


@pytest.fixture
def run(tmp_path):
    def run(trainer, plan=GRID, patches="patches", **choices):
        return sweep(Path(patches), tmp_path / "out", plan, train=trainer, **choices)

    return run


def states(folder):
    record = json.loads((folder / "sweep.json").read_text())
    return [run["state"] for run in record["runs"].values()]


def test_every_combination_becomes_a_run_folder(run, tmp_path):
    trainer = Trainer()

    report = run(trainer)

    assert trainer.made == [(name, float(name[3:]), False) for name in NAMES]
    assert report.runs == tuple(tmp_path / "out" / name for name in NAMES)
    assert (report.skipped, report.failures, report.interrupted) == (0, {}, False)


@pytest.mark.parametrize("error", [TrainingError("too dark"), RuntimeError("out of\nmemory")])
def test_a_run_that_fails_is_noted_and_the_others_are_made(run, tmp_path, error):
    report = run(Trainer({0.2: error}))

    assert states(tmp_path / "out") == ["finished", "failed", "finished"]
    (reason,) = report.failures.values()
    assert str(error).splitlines()[0] in reason
    assert "\n" not in reason


def test_failures_stay_unless_they_are_to_be_tried_again(run):
    run(Trainer({0.2: TrainingError("too dark")}))
    not_tried, tried = Trainer(), Trainer()

    again = run(not_tried, resume=True)
    healed = run(tried, resume=True, retry_failed=True)

    assert (not_tried.made, again.failures) == ([], {"lr=0.2": "too dark"})
    assert (tried.made, healed.failures, healed.skipped) == ([("lr=0.2", 0.2, True)], {}, 2)


@pytest.mark.parametrize("end", ["stop", KeyboardInterrupt(), SystemExit(143)])
def test_an_interrupted_sweep_goes_on_where_it_was(run, tmp_path, end):
    first = Trainer({0.2: end})
    if isinstance(end, SystemExit):
        with pytest.raises(SystemExit):
            run(first)
    else:
        assert run(first).interrupted
    assert states(tmp_path / "out") == ["finished", "begun"]
    assert len(first.made) == 2
    second = Trainer()

    report = run(second, resume=True)

    assert states(tmp_path / "out") == ["finished"] * 3
    assert second.made == [("lr=0.2", 0.2, True), ("lr=0.3", 0.3, False)]
    assert report.skipped == 1


def test_a_grid_may_grow(run):
    run(Trainer())
    trainer = Trainer()

    run(trainer, Plan(fixed={"epochs": 5}, grid={"lr": (0.4, 0.1, 0.2, 0.3)}), resume=True)

    assert trainer.made == [("lr=0.4", 0.4, False)]


def test_options_that_are_paths_are_known_again(run, tmp_path):
    plan = Plan(fixed={"init_from": tmp_path / "model"}, grid={"lr": (0.1,)})
    run(Trainer(), plan)

    assert run(Trainer(), plan, resume=True).skipped == 1


def test_no_room_to_write_ends_the_sweep(run):
    trainer = Trainer({0.1: OutputError("no space left")})

    with pytest.raises(OutputError, match="no space"):
        run(trainer)

    assert len(trainer.made) == 1


def test_what_is_there_is_only_replaced_if_asked_for(run, tmp_path):
    run(Trainer())
    (tmp_path / "out" / "lr=0.1" / "history.csv").touch()

    with pytest.raises(OutputExistsError, match="--resume"):
        run(Trainer())
    run(trainer := Trainer(), overwrite=True)

    assert trainer.made[0] == ("lr=0.1", 0.1, False)
    assert not (tmp_path / "out" / "lr=0.1" / "history.csv").exists()


def test_work_of_others_in_a_run_is_never_removed(run, tmp_path):
    run(Trainer())
    precious = tmp_path / "out" / "lr=0.2" / "notes.txt"
    precious.write_text("mine")

    with pytest.raises(OutputExistsError, match=r"lr=0\.2 holds .*: notes\.txt"):
        run(Trainer(), overwrite=True)

    assert precious.read_text() == "mine"
    assert (tmp_path / "out" / "lr=0.1" / "run.json").exists()


@pytest.mark.parametrize("name", ["../victim", "..", ".", "", "a/b", "/victim"])
@pytest.mark.parametrize("how", [{"overwrite": True}, {"resume": True}])
def test_a_record_names_no_folder_outside_of_the_sweep(run, tmp_path, name, how):
    run(Trainer())
    record = tmp_path / "out" / "sweep.json"
    content = json.loads(record.read_text())
    content["runs"][name] = {"state": "finished", "options": {"lr": 0.1}}
    record.write_text(json.dumps(content))
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "run.json").write_text("{}")

    with pytest.raises(InputError, match=r"sweep\.json: is damaged"):
        run(Trainer(), **how)

    assert (tmp_path / "victim" / "run.json").exists()


def test_a_folder_of_others_is_never_replaced(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()

    with pytest.raises(OutputExistsError, match="did not write it"):
        run(Trainer(), overwrite=True)


def test_what_was_killed_before_it_wrote_anything_begins_anew_when_resumed(run):
    told = []

    run(trainer := Trainer(), resume=True, tell=told.append)

    assert trainer.made
    assert "nothing to resume; the sweep begins anew" in told[0]


def test_another_sweep_is_not_gone_on_with(run):
    run(Trainer())

    with pytest.raises(InputError, match="a sweep over patches, not others"):
        run(Trainer(), patches="others", resume=True)
    with pytest.raises(InputError, match="made with epochs = 5, and now it is 6"):
        run(Trainer(), Plan(fixed={"epochs": 6}, grid=GRID.grid), resume=True)


@pytest.mark.parametrize(
    ("fixed", "difference"),
    [
        ({}, "with epochs = 5, and now it is not given"),
        ({"epochs": 5, "seed": 1}, "without seed, and now it is 1"),
        ({"epochs": 5, "lr": None}, "without lr, and now it is None"),
    ],
)
def test_options_that_come_or_go_make_another_sweep(run, fixed, difference):
    grid = {"clip": (1.0, 2.0)}
    run(Trainer(), Plan(fixed={"epochs": 5}, grid=grid))

    with pytest.raises(InputError, match=difference):
        run(Trainer(), Plan(fixed=fixed, grid=grid), resume=True)


def test_one_sweep_at_a_time_writes_a_folder(run, tmp_path):
    class Second(Trainer):
        def __call__(self, folder, options, *, resume):
            with pytest.raises(OutputExistsError, match="another process is writing it"):
                run(unused, resume=True)
            return super().__call__(folder, options, resume=resume)

    unused = Trainer()

    run(Second())

    assert unused.made == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_sweep_is_gone_on_with_in_its_own_folder(run, tmp_path, monkeypatch):
    run(Trainer())
    monkeypatch.chdir(tmp_path / "out")

    report = sweep(Path("patches"), Path(), GRID, train=Trainer(), resume=True)

    assert report.skipped == 3


SEARCH = Plan(
    fixed={"epochs": 5}, search={"lr": Range(0.0, 1.0, whole=False), "arch": ("a", "b")}, trials=4
)


def test_a_search_makes_so_many_trainings_and_keeps_its_study(run, tmp_path):
    pytest.importorskip("optuna")
    first, second = Trainer(), Trainer()

    run(first, SEARCH)
    run(second, Plan(fixed=SEARCH.fixed, search=SEARCH.search, trials=5), resume=True)

    rates = [rate for _, rate, _ in first.made + second.made]
    assert (len(first.made), len(second.made)) == (4, 1)
    assert len(set(rates)) == 5
    assert all(0 <= rate <= 1 for rate in rates)
    assert states(tmp_path / "out") == ["finished"] * 5
    import optuna

    study = optuna.load_study(storage=f"sqlite:///{tmp_path / 'out' / 'study.db'}", study_name=None)
    best = min(rates, key=lambda rate: abs(rate - 0.2))
    assert study.best_params["lr"] == best
    assert study.best_value == pytest.approx(1 - abs(best - 0.2))


def test_an_interrupted_search_goes_on_with_the_same_options(run, tmp_path):
    pytest.importorskip("optuna")

    class Stopped(Trainer):
        def __call__(self, run, options, *, resume):
            report = super().__call__(run, options, resume=resume)
            return Report(report.best, interrupted=len(self.made) == 3)

    first, second = Stopped(), Trainer()
    assert run(first, SEARCH).interrupted

    report = run(second, SEARCH, resume=True)

    name, rate, _ = first.made[-1]
    assert second.made[0] == (name, rate, True)
    assert (len(second.made), report.skipped) == (2, 2)
    assert states(tmp_path / "out") == ["finished"] * 4


class Killed(BaseException):
    """What no code of ours takes notice of, as SIGKILL."""


@pytest.mark.parametrize(
    ("owner", "call"),
    [
        (_Sweep, "_make"),  # asked, and not noted
        (Search, "tell"),  # trained, and not told
        (Search, "ask"),  # told, and not asked
    ],
)
def test_a_search_that_was_killed_makes_the_trainings_of_an_undisturbed_one(
    run, tmp_path, monkeypatch, owner, call
):
    pytest.importorskip("optuna")
    whole = Trainer()
    sweep(Path("patches"), tmp_path / "whole", SEARCH, train=whole)
    real, calls = getattr(owner, call), []

    def killed_in_the_third(*args, **more):
        calls.append(args)
        if len(calls) == 3:
            raise Killed
        return real(*args, **more)

    first, second = Trainer(), Trainer()
    with monkeypatch.context() as patch:
        patch.setattr(owner, call, killed_in_the_third)
        with pytest.raises(Killed):
            run(first, SEARCH)

    run(second, SEARCH, resume=True)

    made = {name: rate for name, rate, _ in first.made + second.made}
    assert made == {name: rate for name, rate, _ in whole.made}
    assert states(tmp_path / "out") == ["finished"] * 4


@pytest.mark.parametrize(
    "damage",
    [
        {"options": [1]},
        {"state": "done"},
        {"state": 3},
        {"state": "failed"},
        {"number": "first"},
        {"figure": "high"},
    ],
    ids=str,
)
def test_a_record_of_other_types_is_named(run, tmp_path, damage):
    run(Trainer())
    path = tmp_path / "out" / "sweep.json"
    record = json.loads(path.read_text())
    record["runs"]["lr=0.2"] |= damage
    path.write_text(json.dumps(record))

    with pytest.raises(InputError, match=r"sweep\.json: is damaged: lr=0\.2 has no valid"):
        run(Trainer(), resume=True)


def test_a_search_whose_study_is_gone_is_not_begun_anew_in_silence(run, tmp_path):
    pytest.importorskip("optuna")
    run(Trainer(), SEARCH)
    (tmp_path / "out" / "study.db").unlink()

    with pytest.raises(InputError, match=r"study\.db: does not know trial 0 of sweep\.json"):
        run(Trainer(), SEARCH, resume=True)


def test_a_failure_whose_second_try_is_interrupted_goes_on(run, tmp_path):
    pytest.importorskip("optuna")
    plan = Plan(search={"lr": (0.1,)}, trials=1)
    run(Trainer({0.1: TrainingError("too dark")}), plan)
    run(Trainer({0.1: "stop"}), plan, resume=True, retry_failed=True)

    run(Trainer(), plan, resume=True)

    assert states(tmp_path / "out") == ["finished"]


@pytest.mark.parametrize(
    ("search", "difference"),
    [
        ({"arch": ("a", "b", "c")}, "arch was one of a, b, and now it is one of a, b, c; a search"),
        ({"arch": ("b", "a")}, "arch was one of a, b, and now it is one of b, a"),
        ({"lr": (0.1, 0.2)}, "lr was a range, and now it is one of 0.1, 0.2"),
        ({"lr": Range(0.1, 1, whole=False, log=True)}, "and now it is a range of logarithms"),
        ({"clip": (1.0, 2.0)}, "without clip, and now it is '\\(1.0, 2.0\\)'"),
    ],
)
def test_a_search_that_looks_elsewhere_is_another(run, search, difference):
    pytest.importorskip("optuna")
    run(Trainer(), SEARCH)
    trainer = Trainer()

    with pytest.raises(InputError, match=difference):
        run(trainer, replace(SEARCH, search={**SEARCH.search, **search}, trials=9), resume=True)

    assert trainer.made == []


def test_the_ends_of_a_range_may_move(run):
    pytest.importorskip("optuna")
    run(Trainer(), SEARCH)
    moved = SEARCH.search | {"lr": Range(2.0, 3.0, whole=False)}

    run(trainer := Trainer(), replace(SEARCH, search=moved, trials=5), resume=True)

    assert [2 <= rate <= 3 for _, rate, _ in trainer.made] == [True]


def test_an_option_that_is_not_searched_any_more_makes_another_search(run):
    pytest.importorskip("optuna")
    run(Trainer(), SEARCH)

    with pytest.raises(InputError, match=r"with arch = '[ab]', and now it is not given"):
        run(Trainer(), replace(SEARCH, search={"lr": SEARCH.search["lr"]}), resume=True)


def test_grid_search_and_figure_stay(run):
    pytest.importorskip("optuna")
    run(Trainer(), SEARCH)

    with pytest.raises(InputError, match=r"begun with a \[search\]"):
        run(Trainer(), GRID, resume=True)
    with pytest.raises(InputError, match="maximizes val_miou, not iou_car"):
        run(Trainer(), replace(SEARCH, maximize="iou_car"), resume=True)
    run(Trainer(), GRID, overwrite=True)
    with pytest.raises(InputError, match=r"begun with a \[grid\]"):
        run(Trainer(), SEARCH, resume=True)


def test_a_figure_that_is_not_there_is_told(run):
    pytest.importorskip("optuna")
    plan = Plan(search={"lr": (0.1, 0.2)}, trials=1, maximize="iou_car")

    report = run(Trainer(), plan)

    assert "has no 'iou_car' to maximize, but val_miou" in report.failures["trial_000"]


def test_a_search_without_optuna_says_what_to_install(run, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "optuna":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(InputError, match=r"install geoseg\[sweep\]"):
        run(Trainer(), SEARCH)
