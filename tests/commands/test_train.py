import csv
import json
import os
import shutil
import signal
import sys
import threading
import time

import pytest

from geoseg.training.options import TrainOptions

pytestmark = pytest.mark.usefixtures("without_pictures")

SMALL = ["--arch", "pspnet", "--encoder", "tu-test_resnet", "--workers", 0, "--device", "cpu"]


def test_the_command_line_has_the_defaults_of_the_options(geoseg, world, patches):
    [line] = [
        line
        for line in geoseg("train", patches, "--dry-run", "--verbose").err.splitlines()
        if line.startswith("TrainOptions")
    ]

    assert line == str(TrainOptions())


def test_the_record_of_a_training_is_a_file_of_options(geoseg, world, patches):
    words = ["--epochs", 1, "--max-time", "10m", "--logger", "csv", *SMALL]
    assert geoseg("train", patches, "-o", world / "run", *words, "-q").code == 0
    again = ["train", patches, "-o", world / "again", "--config", world / "run" / "run.json"]

    outcome = geoseg(*again, "-q")

    assert outcome.code == 0, outcome.err
    ours, theirs = (
        json.loads((world / run / "run.json").read_text())["options"] for run in ("run", "again")
    )
    assert ours == theirs
    assert (ours["arch"], ours["max_time"], ours["loggers"]) == ("pspnet", 600.0, ["csv"])


def test_it_says_where_the_model_is_and_how_good_and_how_far_it_has_come(geoseg, world, patches):
    words = ["--epochs", 1, *SMALL, "--json", "--progress", "json"]
    outcome = geoseg("train", patches, "-o", world / "run", *words)

    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert report["model"] == str(world / "run" / "model")
    assert report["best"]["epoch"] == 1
    told = [json.loads(line) for line in outcome.err.splitlines()]
    steps, [epoch] = ([e for e in told if e["event"] == name] for name in ("progress", "epoch"))
    assert (steps[0]["done"], steps[-1]["share"], steps[-1]["epochs"]) == (1, 1.0, 1)
    assert epoch["val_miou"] == report["best"]["val_miou"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--arch", "nothing"], "known are unet"),
        (["--encoder-weights", "nothing.pth"], "no such file"),
        (["--arch", "fpn", "--device", "nonsense"], "is not available"),
        (["--device", "meta"], "choose auto, cpu, cuda, mps"),
        (["--loss", "ce+dise"], "'dise' is unknown; known are ce, focal, dice"),
        (["--class-weights", "rock=2"], "no class is named 'rock'; they are dark, bright"),
        (["--loss", "dice", "--label-smoothing", 0.1], "applies to cross-entropy"),
        (["--warmup", 20], "must be less than the 20 epochs"),
        (["--init-from", "nowhere"], "no such folder"),
        (["--oversample", "rock=2"], "no class is named 'rock'; they are dark, bright"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(geoseg, world, patches, words, reason):
    outcome = geoseg("train", patches, "-o", world / "run", *words)

    assert outcome.code == 1
    assert reason in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (world / "run").exists()


@pytest.mark.parametrize("folds", [[], ["--folds", 2]])
def test_resuming_what_was_killed_before_it_wrote_anything_begins_anew(
    geoseg, world, patches, folds
):
    words = ["train", patches, "-o", world / "run", *SMALL, "--epochs", 1, *folds]
    planned = geoseg(*words, "--resume", "--dry-run")

    resumed = geoseg(*words, "--resume")

    assert "run: there is nothing to resume; the training begins anew\n" in resumed.err
    assert (planned.code, resumed.code) == (0, 0)
    assert "anew" not in geoseg(*words, "--resume").err


def test_a_folder_without_a_training_is_not_resumed(geoseg, world, patches):
    (world / "run").mkdir()
    (world / "run" / "thesis.doc").touch()

    outcome = geoseg("train", patches, "-o", world / "run", "--resume")

    assert outcome.code == 1
    assert "there is no training to resume" in outcome.err
    assert [each.name for each in (world / "run").iterdir()] == ["thesis.doc"]


def test_each_logger_that_is_named_is_asked(geoseg, world, patches):
    outcome = geoseg("train", patches, "-o", world / "run", "--logger", "wandb,csv")

    assert outcome.code == 1
    assert "pip install 'geoseg[wandb]'" in outcome.err


def test_a_patch_size_that_the_network_cannot_take_is_told_with_one_that_it_can(geoseg, world):
    patches = world / "patches"
    geoseg("tile", world / "ortho.tif", "-r", world / "reference.tif", "-l", world / "legend.toml",
           "-o", patches, "--patch-size", 40, "--split-block", 40)  # fmt: skip

    outcome = geoseg("train", patches, "-o", world / "run", "--arch", "fpn")

    assert outcome.code == 1
    assert "--patch-size 32 or 64" in outcome.err


def test_two_trainings_with_one_seed_say_and_write_the_same(geoseg, world, patches):
    for name in ("a", "b"):
        outcome = geoseg("train", patches, "-o", world / name, *SMALL, "--epochs", 2, "--seed", 7)
        assert outcome.code == 0

    for file in ("model.safetensors", "mlm.json"):
        ours, theirs = (world / name / "model" / file for name in ("a", "b"))
        assert ours.read_bytes() == theirs.read_bytes()


def test_a_model_of_other_classes_is_gone_on_with_in_the_time_that_there_is(
    geoseg, world, patches, model
):
    words = ["--init-from", model, "--workers", 0, "--device", "cpu", "--max-time", "1s"]
    more = ["--loss", "ce:0.5+dice:0.5", "--class-weights", "dark=2", "--average", "ema"]

    outcome = geoseg("train", patches, "-o", world / "run", *words, *more)

    assert outcome.code == 0, outcome.err
    assert outcome.out.endswith("(the time was over)\n")


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        ("soon", "'soon' is no time such as 90s, 10m or 1h30m"),
        ("0m", "'0m' is no time such as 90s, 10m or 1h30m"),
        ("10", "'10' has no unit; write 10s, 10m or 10h"),
    ],
)
def test_a_time_that_is_none_or_has_no_unit_is_wrong_usage(geoseg, world, patches, time, reason):
    outcome = geoseg("train", patches, "-o", world / "run", "--max-time", time)

    assert outcome.code == 2
    assert reason in outcome.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            ["--augment", "d4,spin:30"],
            "'spin:30' is not an augmentation; choose from none, flips, d4",
        ),
        (
            ["--augment", "rotation:999"],
            "rotation:999 is out of range: the strength goes from 0 to 180",
        ),
        (["--samples-per-epoch", 0], "greater than or equal to 1"),
    ],
)
def test_a_change_that_is_none_is_wrong_usage(geoseg, world, patches, words, reason):
    outcome = geoseg("train", patches, "-o", world / "run", *words)

    assert outcome.code == 2
    assert reason in " ".join(outcome.err.replace("│", "").split())


def test_samples_can_be_looked_at_without_training(geoseg, world, patches):
    sheet = world / "sheet.png"
    words = ["train", patches, "--preview", sheet, "--augment", "strong,cutmix", "--jitter"]

    first, again = geoseg(*words), geoseg(*words)

    assert (first.code, first.out) == (0, f"{sheet}\n")
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert again.code == 1
    assert "--overwrite" in again.err


def test_a_training_needs_a_folder(geoseg, patches):
    outcome = geoseg("train", patches)

    assert outcome.code == 2
    assert "--output" in outcome.err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a signal of Unix")
def test_ctrl_c_exits_130_and_leaves_a_model_that_predicts_and_can_be_resumed(
    geoseg, world, patches
):
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        pytest.skip("Ctrl-C is ignored where this runs")
    words = ["train", patches, "-o", world / "run", *SMALL, "--epochs", 100_000]

    def press():
        while not (world / "run" / "last.ckpt").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    outcome = geoseg(*words, "--schedule", "constant")

    assert outcome.code == 130, outcome.err
    assert "best of" in outcome.out
    last = outcome.err.splitlines()[-1]  # after lines of epochs
    assert last == "interrupted; the best model so far is kept, --resume goes on"
    model, ortho = world / "run" / "model", world / "ortho.tif"
    assert geoseg("predict", model, ortho, "-o", world / "map.tif").code == 0
    with (world / "run" / "history.csv").open() as file:
        done = len(list(csv.DictReader(file)))
    more = ["--resume", "--schedule", "constant", "--json"]
    again = geoseg(*words[:-1], done + 1, *more)
    assert json.loads(again.out)["epochs"] == done + 1


def test_a_dry_run_says_what_a_training_takes_and_writes_nothing(geoseg, world, patches):
    outcome = geoseg("train", patches, "-o", world / "run", *SMALL, "--dry-run")
    told = geoseg("train", patches, *SMALL, "--dry-run", "--json", "--max-time", "5m")

    assert outcome.code == 0, outcome.err
    titles = ["patches", "classes", "network", "machine", "steps", "time", "memory"]
    assert [line.split(":")[0] for line in outcome.out.splitlines()] == titles
    assert "dark " in outcome.out
    assert (json.loads(told.out)["epochs"], json.loads(told.out)["seconds"]) == (None, 300)
    assert not (world / "run").exists()


def test_a_dry_run_draws_no_picture(geoseg, world, patches):
    outcome = geoseg("train", patches, "--dry-run", "--preview", world / "samples.png")

    assert outcome.code == 2
    assert "--preview: draws, and --dry-run writes nothing" in outcome.err


@pytest.mark.parametrize("option", ["--weight-decay", "--encoder-lr", "--warmup", "--clip"])
@pytest.mark.parametrize("value", ["inf", "nan"])
def test_numbers_that_are_not_finite_are_wrong_usage(geoseg, world, option, value):
    outcome = geoseg("train", world, "-o", world / "run", option, value)

    assert outcome.code == 2
    assert option in outcome.err
    assert not (world / "run").exists()


def test_a_run_to_begin_with_means_its_model(geoseg, world, patches, model):
    run = world / "earlier"
    shutil.copytree(model, run / "model")

    taken = geoseg("train", patches, "-o", world / "run", "--init-from", run, "--dry-run")
    shutil.copytree(model, world / "folds" / "fold1" / "model")
    shutil.copytree(model, world / "folds" / "fold2" / "model")
    folds = geoseg("train", patches, "-o", world / "run", "--init-from", world / "folds")

    assert taken.code == 0, taken.err
    assert folds.code == 1
    assert "has 2 models, of which one is needed" in folds.err


def test_orthophotos_without_labels_are_counted_learnt_from_and_recorded(
    geoseg, world, patches, model
):
    more = ["--epochs", 1, "--workers", 0, "--device", "cpu"]
    words = ["--init-from", model, "--unlabelled", world / "ortho*.tif", *more]

    plan = geoseg("train", patches, "--dry-run", *words)
    outcome = geoseg("train", patches, "-o", world / "run", *words)
    config = world / "run" / "run.json"
    again = geoseg("train", patches, "-o", world / "again", "--config", config, "-q")

    assert ", 12 windows without labels" in plan.out
    assert outcome.code == again.code == 0, outcome.err + again.err
    assert "validation patches lie on ground of --unlabelled" in outcome.err
    assert "12 windows without labels" in geoseg("info", world / "run" / "model").out
    ours, theirs = (
        json.loads((world / run / "run.json").read_text())["options"] for run in ("run", "again")
    )
    assert ours == theirs
    assert ours["unlabelled"] == [str(world / "ortho.tif")]


def test_orthophotos_without_labels_need_a_model_and_pixels(geoseg, world, patches, model):
    alone = geoseg("train", patches, "-o", world / "run", "--unlabelled", world / "ortho.tif")
    words = ["--init-from", model, "--unlabelled", world / "nothing"]
    nowhere = geoseg("train", patches, "-o", world / "run", *words)

    assert (alone.code, nowhere.code) == (1, 1)
    assert "--unlabelled needs --init-from MODEL" in alone.err
    assert "nothing: no such file" in nowhere.err
    assert not (world / "run").exists()
