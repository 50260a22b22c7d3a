import json
from types import SimpleNamespace

import pytest

from geoseg import training
from geoseg.errors import TrainingError


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

    def train(patches, run, *, options: training.TrainOptions, resume, **_):
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
    monkeypatch.setattr(training, "train", train)
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


def test_a_dry_run_names_the_trainings(geoseg, world, grid, made):
    outcome = geoseg("sweep", world, "--grid", grid, "-o", world / "sweep", "--dry-run")

    assert outcome.out.splitlines() == ["lr=0.001", "lr=1.0", "lr=0.0001", "3 trainings"]
    assert made == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[grid]\nlearning-rate = [1]", "'learning-rate' is no option of `geoseg train`"),
        ("[grid]\nmax_time = ['soon']", "max_time = 'soon': 'soon' is no time such as"),
        ("[grid]\noptimizer = ['lion']", "is none of adam, adamw, sgd, asgd"),
    ],
)
def test_a_wrong_grid_is_told_in_one_line(geoseg, world, made, text, reason):
    (world / "wrong.toml").write_text(text)

    outcome = geoseg("sweep", world, "--grid", world / "wrong.toml", "-o", world / "sweep")

    assert outcome.code == 1
    assert reason in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (world / "sweep").exists()
