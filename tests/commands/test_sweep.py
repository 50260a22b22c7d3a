import json
import re
from types import SimpleNamespace

import pytest

from geoseg.errors import TrainingError
from geoseg.training.options import TrainOptions


@pytest.fixture
def grid(world):
    """Eight epochs, told in time; the second rate is too high, two loggers are told."""
    path = world / "grid.toml"
    path.write_text(
        "[fixed]\nmax-time = '10m'\nbatch_size = 'auto'\nloggers = ['csv', 'wandb']\n"
        "[grid]\nlr = [1e-3, 1, 1e-4]\n"
    )
    return path


@pytest.fixture
def made(monkeypatch):
    """Options that a stand-in for training was given; it fails at a rate of 1."""
    options = []

    def train(patches, run, *, options: TrainOptions, resume, **_):
        made.append((options, resume))
        if options.lr == 1:
            raise TrainingError(f"{run}: the loss is not finite")
        run.mkdir(parents=True)
        record = {"patches": str(patches), "options": {"lr": options.lr, "epochs": 1}}
        (run / "run.json").write_text(json.dumps(record))
        miou = 0.5 + options.lr
        history = f"epoch,val_loss,val_miou,iou_dark,seconds\n1,1.0,{miou},{miou},60\n"
        (run / "history.csv").write_text(history)
        return SimpleNamespace(best={"val_miou": miou}, interrupted=False)

    made = options
    monkeypatch.setattr("geoseg.training.train.train", train)
    return made


def test_a_grid_ends_with_a_table_and_names_what_failed(geoseg, world, patches, grid, made):
    outcome = geoseg("sweep", patches, "--grid", grid, "-o", world / "sweep")

    assert outcome.code == 1
    assert [(each.lr, each.max_time, each.batch_size) for each, _ in made] == [
        (1e-3, 600, None), (1, 600, None), (1e-4, 600, None)
    ]  # fmt: skip
    assert made[0][0].loggers == ("csv", "wandb")
    assert [line.split()[:2] for line in outcome.out.splitlines()] == [
        ["run", "lr"], ["lr=0.001", "0.001"], ["lr=0.0001", "0.0001"]
    ]  # fmt: skip
    assert "warning: " in outcome.err
    assert "1 trainings failed: lr=1.0; --resume --retry-failed" in outcome.err
    assert (world / "sweep" / "table.csv").read_text().startswith("run,lr,")


def test_what_is_finished_is_not_done_again(geoseg, world, patches, grid, made):
    geoseg("sweep", patches, "--grid", grid, "-o", world / "sweep", "-q")
    del made[:]

    refused = geoseg("sweep", patches, "--grid", grid, "-o", world / "sweep")
    resumed = geoseg("sweep", patches, "--grid", grid, "-o", world / "sweep", "--resume", "--json")

    assert made == []
    assert "--resume" in refused.err
    assert "2 trainings were finished before" in resumed.err
    assert [row["run"] for row in json.loads(resumed.out)] == ["lr=0.001", "lr=0.0001"]


def test_a_dry_run_names_the_trainings(geoseg, world, patches, grid, made):
    outcome = geoseg("sweep", patches, "--grid", grid, "-o", world / "sweep", "--dry-run")

    assert outcome.out.splitlines() == ["lr=0.001", "lr=1.0", "lr=0.0001", "3 trainings"]
    assert made == []
    assert not (world / "sweep").exists()


@pytest.mark.parametrize(
    ("patches_name", "text", "reason"),
    [
        ("nowhere", "[grid]\nlr = [1e-3]", "no patch set"),
        ("patches", "[grid]\narch = ['unet', 'nonsense']", "trainings would fail: .*nonsense"),
        ("patches", "[fixed]\nloss = 'nonsense'\n[grid]\nlr = [1e-3]", "nonsense"),
    ],
)
def test_a_dry_run_refuses_what_could_not_begin(geoseg, world, patches, patches_name, text, reason):
    (world / "g.toml").write_text(text)
    words = ["sweep", world / patches_name, "--grid", world / "g.toml", "-o", world / "sweep"]

    outcome = geoseg(*words, "--dry-run")

    assert outcome.code == 1
    assert re.search(reason, outcome.err)
    assert not (world / "sweep").exists()


def test_a_dry_run_refuses_what_is_in_the_way(geoseg, world, patches, made):
    (world / "g.toml").write_text("[grid]\nlr = [1e-3]")
    words = ["sweep", patches, "--grid", world / "g.toml", "-o", world / "sweep"]
    assert geoseg(*words, "-q").code == 0
    (world / "sweep" / "run" / "notes.txt").write_text("mine")

    outcomes = [geoseg(*words, *more) for more in (["--dry-run"], ["--dry-run", "--overwrite"])]

    assert [each.code for each in outcomes] == [1, 1]
    assert "--resume" in outcomes[0].err
    assert "notes.txt" in outcomes[1].err


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[grid]\nlearning-rate = [1]", "'learning-rate' is no option that a file can set"),
        ("[grid]\nmax_time = ['soon']", "max_time = 'soon': 'soon' is no time such as"),
        ("[grid]\noptimizer = ['lion']", "'lion' is not one of 'adam', 'adamw', 'sgd', 'asgd'"),
        ("[grid]\nlr = [0, 1e-3]", "lr = 0: '0' is no number above 0, nor auto"),
        ("[grid]\nbatch_size = [0]", "batch_size = 0: '0' is no number from 1, nor auto"),
        ("[grid]\nepochs = [0]", "epochs = 0: input should be greater than or equal to 1"),
        ("[grid]\nsamples-per-epoch = [0]", "samples_per_epoch = 0: input should be greater than"),
        ("[grid]\nlabel-smoothing = [1.0]", "label_smoothing = 1.0: input should be less than"),
        ("[grid]\nmax_time = [600]", "max_time = 600: '600' has no unit; write 600s, 600m or 600h"),
        ("[fixed]\nmax_time = 0\n[grid]\nlr = [1]", "max_time = 0: '0' is no time such as"),
        ("[search]\ntrials = 2\nlr = {low = 0, high = 1}", "lr = 0: '0' is no number above 0"),
        ("[fixed]\ndevices = 2\n[grid]\nlr = [1]", "make a sweep for each device"),
    ],
)
def test_a_wrong_grid_is_told_in_one_line(geoseg, world, made, text, reason):
    (world / "wrong.toml").write_text(text)

    outcome = geoseg("sweep", world, "--grid", world / "wrong.toml", "-o", world / "sweep")

    assert outcome.code == 1
    assert reason in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (world / "sweep").exists()


def test_a_figure_that_no_training_has_is_told_before_the_first(geoseg, world, patches, made):
    text = "[search]\ntrials = 3\nlr = [1e-3, 1e-4]\nmaximize = 'iou_car'"
    (world / "grid.toml").write_text(text)

    outcome = geoseg("sweep", patches, "--grid", world / "grid.toml", "-o", world / "sweep")

    assert outcome.code == 1
    assert "no 'iou_car' to maximize, but val_miou, iou_dark, iou_bright" in outcome.err
    assert made == []
    assert not (world / "sweep").exists()


def test_failures_are_only_tried_again_where_a_sweep_is_gone_on_with(geoseg, world, grid, made):
    outcome = geoseg("sweep", world, "--grid", grid, "-o", world / "sweep", "--retry-failed")

    assert outcome.code == 2
    assert "--retry-failed: goes with --resume" in outcome.err


def test_what_is_interrupted_says_how_to_go_on(geoseg, world, patches, grid, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("geoseg.training.train.train", stopped)

    outcome = geoseg("sweep", patches, "--grid", grid, "-o", world / "sweep")

    assert outcome.code == 130
    assert outcome.err.endswith("interrupted; --resume goes on\n")
