import builtins
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from geoseg.errors import InputError, OutputError, OutputExistsError, TrainingError
from geoseg.experiments import Plan, sweep
from geoseg.experiments.plans import Range

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
        self.made.append((run.name, options["lr"], resume))
        run.mkdir(parents=True, exist_ok=True)
        (run / "run.json").write_text("{}")
        what = self.broken.get(options["lr"])
        if isinstance(what, BaseException):
            raise what
        return Report({"val_miou": 1 - abs(options["lr"] - 0.2)}, interrupted=what == "stop")


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


@pytest.mark.parametrize("end", ["stop", KeyboardInterrupt()])
def test_an_interrupted_sweep_goes_on_where_it_was(run, tmp_path, end):
    first = Trainer({0.2: end})
    if end == "stop":
        assert run(first).interrupted
    else:
        with pytest.raises(KeyboardInterrupt):
            run(first)
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


def test_no_room_to_write_ends_the_sweep(run):
    trainer = Trainer({0.1: OutputError("no space left")})

    with pytest.raises(OutputError, match="no space"):
        run(trainer)

    assert len(trainer.made) == 1


def test_what_is_there_is_only_replaced_if_asked_for(run, tmp_path):
    run(Trainer())
    (tmp_path / "out" / "lr=0.1" / "old").touch()

    with pytest.raises(OutputExistsError, match="--resume"):
        run(Trainer())
    run(trainer := Trainer(), overwrite=True)

    assert trainer.made[0] == ("lr=0.1", 0.1, False)
    assert not (tmp_path / "out" / "lr=0.1" / "old").exists()


def test_a_folder_of_others_is_never_replaced(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()

    with pytest.raises(OutputExistsError, match="did not write it"):
        run(Trainer(), overwrite=True)


def test_there_must_be_something_to_resume(run):
    with pytest.raises(InputError, match="no sweep to resume"):
        run(Trainer(), resume=True)


def test_another_sweep_is_not_gone_on_with(run):
    run(Trainer())

    with pytest.raises(InputError, match="a sweep over patches, not others"):
        run(Trainer(), patches="others", resume=True)
    with pytest.raises(InputError, match="made with epochs = 5, and now it is 6"):
        run(Trainer(), Plan(fixed={"epochs": 6}, grid=GRID.grid), resume=True)


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
