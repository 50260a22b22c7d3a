import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
import safetensors.torch
import segmentation_models_pytorch as smp
import torch
from filelock import FileLock
from lightning.pytorch.callbacks import Callback

from geoseg.errors import BundleError, OutputExistsError, PatchSetError, RasterError, TrainingError
from geoseg.model.bundle import WEIGHTS, ModelBundle
from geoseg.model.torch_runtime import TorchSegmenter
from geoseg.patches.joined import JoinedPatchSet
from geoseg.patches.patch_set import PatchSet
from geoseg.training import task as pacing
from geoseg.training.callbacks import Progress, Record
from geoseg.training.data import TrainingSamples
from geoseg.training.train import prepare, train


def weights(run):
    return (run / "model" / WEIGHTS).read_bytes()


def last_weights(run, state="state_dict"):
    """Of the last epoch, from the checkpoint; averages and those that learn are kept apart."""
    return torch.load(run / "last.ckpt", weights_only=True).get(state, {})


def rows(run):
    with (run / "history.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def _kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def quick_run(patches, quick, _kept):
    """The run folder of a quick training, made once: to compare with, or to copy."""
    if not (run := _kept / "run").exists():
        train(patches, run, options=quick, quiet=True)
    return run


def test_a_training_leaves_a_model_a_history_curves_and_its_options(patches, tmp_path, quick):
    run = tmp_path / "run"

    report = train(patches, run, options=quick, quiet=True)

    bundle = ModelBundle.load(report.model)
    assert bundle.legend == PatchSet.open(patches).record.legend
    assert bundle.patch_size == 32
    assert bundle.training_ground is not None
    assert bundle.training_ground.is_complete
    (source,) = bundle.training_ground.sources
    of_split = PatchSet.open(patches).in_split("train")
    assert sum(each.height * each.width for each in source.windows["train"]) == 32**2 * len(
        of_split
    )
    assert bundle.gsd == pytest.approx(0.5, rel=0.01)
    assert [row["epoch"] for row in rows(run)] == ["1", "2"]
    assert {"train_loss", "val_loss", "val_miou", "iou_dark", "iou_bright", "lr"} <= set(
        rows(run)[0]
    )
    for name in ("curves.png", "validation.png"):
        assert (run / name).read_bytes().startswith(b"\x89PNG")
    record = json.loads((run / "run.json").read_text())
    assert record["options"]["encoder"] == "tu-test_resnet"
    assert torch.__version__.startswith(record["versions"]["torch"])
    assert not report.interrupted
    calibration = bundle.training["calibration"]
    assert record["calibration"] == calibration == asdict(report.calibration)
    assert bundle.temperature == calibration["temperature"] != 1
    assert calibration["patches"] == len(PatchSet.open(patches).in_split("val"))


def test_where_no_terminal_is_every_epoch_is_a_plain_line(patches, tmp_path, quick, capsys):
    train(patches, tmp_path / "run", options=quick)

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for number, line in enumerate(lines, start=1):
        figures = r"train_loss \d\.\d+, val_loss \d+\.\d+, val_miou 0\.\d+, \d+ s"
        assert re.fullmatch(rf"run, epoch {number} of 2: {figures}", line)


def test_the_bundle_opens_with_smp_and_scores_windows(quick_run):
    model = quick_run / "model"

    smp.from_pretrained(str(model))
    scores = TorchSegmenter(ModelBundle.load(model), device="cpu")(
        np.full((1, 3, 32, 32), 90, np.float32)
    )

    assert scores.shape == (1, 2, 32, 32)


def test_a_network_learns_what_can_be_seen(patches, tmp_path, quick):
    options = replace(quick, arch="unet", epochs=8, lr=3e-3, monitor="miou", early_stopping=0)
    options = replace(options, decoder_channels="quarter")

    report = train(patches, tmp_path / "run", options=options, quiet=True)

    assert report.best["val_miou"] > 0.6
    assert report.best["val_miou"] == max(float(row["val_miou"]) for row in rows(tmp_path / "run"))


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    patches, tmp_path, quick, quick_run
):
    for name, seed in (("same", quick.seed), ("other", quick.seed + 1)):
        train(patches, tmp_path / name, options=replace(quick, seed=seed), quiet=True)

    assert weights(tmp_path / "same") == weights(quick_run)
    assert weights(tmp_path / "other") != weights(quick_run)


class PullThePlug(Callback):
    """Interrupts a training in the middle of an epoch."""

    def on_train_batch_start(self, trainer, *_):
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt


@pytest.fixture
def interrupted_in_the_third_epoch(monkeypatch):
    """The progress bar pulls the plug."""
    start = PullThePlug.on_train_batch_start
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_train_batch_start", start, raising=False)
        yield patch


@pytest.mark.parametrize(
    "change",
    [
        {"workers": 2},
        {"schedule": "constant", "optimizer": "asgd", "accumulate": 2, "max_time": 3600.0},
        {"schedule": "plateau", "lr": 0.03, "encoder_lr": 0.1, "clip": 0.5},
        {"schedule": "poly", "freeze_encoder": 3, "optimizer": "sgd", "average": "ema"},
        {
            "schedule": "one-cycle",
            "average": "ema",
            "samples_per_epoch": 9,
            "augment": "strong,cutmix,mixup",
            "oversample": "rare",
        },
    ],
    ids=str,
)
def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(
    patches, tmp_path, quick, change, monkeypatch, interrupted_in_the_third_epoch
):
    monkeypatch.setattr(pacing, "PLATEAU_PATIENCE_EPOCHS", 0)
    options = replace(quick, **{"epochs": 4, "optimizer": "adamw", "early_stopping": 0} | change)
    stopped = train(patches, tmp_path / "stopped", options=options, quiet=True)
    interrupted_in_the_third_epoch.undo()
    resumed = train(patches, tmp_path / "stopped", options=options, resume=True, quiet=True)

    whole = train(patches, tmp_path / "whole", options=options, quiet=True)

    assert stopped.interrupted
    assert stopped.epochs == 2
    assert resumed.epochs == whole.epochs == options.epochs
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")
    for state in ("state_dict", "current_model_state"):
        ours, theirs = (last_weights(tmp_path / name, state) for name in ("stopped", "whole"))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    for column in ("train_loss", "val_loss", "lr"):
        assert [row[column] for row in rows(tmp_path / "stopped")] == [
            row[column] for row in rows(tmp_path / "whole")
        ]


SCRIPT = """
import ast, sys
from pathlib import Path
from geoseg.training.options import TrainOptions
from geoseg.training.train import train

options = TrainOptions(**ast.literal_eval(sys.argv[3]))
train(Path(sys.argv[1]), Path(sys.argv[2]), options=options, quiet=True)
"""


def test_a_training_that_was_killed_goes_on_as_if_nothing_had_happened(patches, tmp_path, quick):
    options = replace(quick, epochs=3, early_stopping=0, workers=None)
    (tmp_path / "script.py").write_text(SCRIPT)
    words = ["script.py", patches, tmp_path / "killed", asdict(options)]
    process = subprocess.Popen([sys.executable, *map(str, words)], cwd=tmp_path)
    while not (tmp_path / "killed" / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    done = len(rows(tmp_path / "killed"))

    train(patches, tmp_path / "killed", options=options, resume=True, quiet=True)
    train(patches, tmp_path / "whole", options=options, quiet=True)

    assert 1 <= done < 3
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    ours, theirs = (last_weights(tmp_path / name) for name in ("killed", "whole"))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_an_interrupted_training_leaves_the_best_model_so_far(
    patches, tmp_path, quick, interrupted_in_the_third_epoch
):
    report = train(patches, tmp_path / "run", options=replace(quick, epochs=9), quiet=True)

    assert report.interrupted
    assert json.loads((tmp_path / "run" / "run.json").read_text())["ended"] is None
    assert ModelBundle.load(report.model).training["best_epoch"]["epoch"] == report.best["epoch"]


def test_more_epochs_go_on_from_the_last_one(patches, tmp_path, quick, quick_run):
    run = shutil.copytree(quick_run, tmp_path / "run")

    report = train(patches, run, options=replace(quick, epochs=3), resume=True, quiet=True)

    assert report.epochs == 3


def test_a_training_is_not_resumed_with_other_options(patches, tmp_path, quick, quick_run):
    run = shutil.copytree(quick_run, tmp_path / "run")

    with pytest.raises(TrainingError, match=r"lr was 0\.002 and is 0\.5"):
        train(patches, run, options=replace(quick, epochs=3, lr=0.5), resume=True)


def test_there_must_be_something_to_resume(patches, tmp_path, quick):
    with pytest.raises(TrainingError, match="no training to resume"):
        train(patches, tmp_path / "run", options=quick, resume=True)


def test_an_earlier_training_is_not_overwritten_unasked(patches, tmp_path, quick):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{}")

    with pytest.raises(OutputExistsError):
        train(patches, run, options=quick)


def test_early_stopping_ends_a_training_that_does_not_improve(patches, tmp_path, quick):
    options = replace(quick, epochs=30, lr=1e-9, early_stopping=2, monitor="miou")

    report = train(patches, tmp_path / "run", options=options, quiet=True)

    again = train(patches, tmp_path / "run", options=options, resume=True, quiet=True)

    assert report.stopped_early
    assert report.epochs == report.best["epoch"] + 2 < 30
    assert (again.epochs, again.best) == (report.epochs, report.best)


def test_a_resumed_training_stops_early_where_an_uninterrupted_one_does(
    patches, tmp_path, quick, interrupted_in_the_third_epoch
):
    options = replace(quick, epochs=30, lr=1e-9, early_stopping=3, monitor="miou")
    stopped = train(patches, tmp_path / "stopped", options=options, quiet=True)
    interrupted_in_the_third_epoch.undo()

    resumed = train(patches, tmp_path / "stopped", options=options, resume=True, quiet=True)
    whole = train(patches, tmp_path / "whole", options=options, quiet=True)

    assert stopped.interrupted
    assert resumed.epochs == whole.epochs < 30
    record = json.loads((tmp_path / "stopped" / "run.json").read_text())
    assert record["ended"] == "patience"


def test_a_training_that_diverges_at_once_says_so_and_leaves_no_model(patches, tmp_path, quick):
    options = replace(quick, optimizer="sgd", lr=1e12, epochs=4, schedule="constant")

    with pytest.raises(TrainingError, match=r"diverged in epoch 1 .*there is no model.*lower --lr"):
        train(patches, tmp_path / "run", options=options, quiet=True)

    assert not (tmp_path / "run" / "model").exists()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["ended"] == "divergence"


@pytest.mark.parametrize(
    ("value", "change", "reason"),
    [
        (float("nan"), {}, "its weights are not finite"),
        (float("nan"), {"average": "ema"}, "its weights are not finite"),
        (3e38, {}, "its scores of validation ground are not finite"),
    ],
    ids=str,
)
def test_what_diverges_in_the_last_step_of_an_epoch_keeps_the_best_model_before(
    patches, tmp_path, quick, value, change, reason, monkeypatch
):
    def diverge(_, trainer, module, *__):
        """The loss of the epoch is known by then, and finite."""
        if trainer.current_epoch == 1 and trainer.is_last_batch:
            with torch.no_grad():
                for each in module.network.parameters():
                    each.fill_(value)

    monkeypatch.setattr(Progress, "on_train_batch_end", diverge)
    run = tmp_path / "run"

    with pytest.raises(TrainingError, match=rf"diverged in epoch 2 \({reason}\); .*of epoch 1"):
        train(patches, run, options=replace(quick, **change), quiet=True)

    kept = safetensors.torch.load_file(run / "model" / WEIGHTS)
    assert all(each.isfinite().all() for each in kept.values())
    assert [row["epoch"] for row in rows(run)] == ["1"]
    assert json.loads((run / "run.json").read_text())["ended"] == "divergence"


def test_two_trainings_do_not_write_to_the_same_folder(patches, tmp_path, quick):
    with (
        FileLock(tmp_path / ".run.lock"),  # as another process has it
        pytest.raises(OutputExistsError, match="another process"),
    ):
        train(patches, tmp_path / "run", options=quick, quiet=True)

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "change", [{"precision": "fp16"}, {"devices": 3, "batch_size": 4}, {"loggers": ("wandb",)}]
)
def test_options_that_cannot_be_leave_an_earlier_training_alone(patches, tmp_path, quick, change):
    (tmp_path / "run").mkdir()
    record = '{"kind": "training"}'
    (tmp_path / "run" / "run.json").write_text(record)
    options = replace(quick, device="cpu", **change)

    with pytest.raises((TrainingError, BundleError)):
        train(patches, tmp_path / "run", options=options, overwrite=True, quiet=True)

    assert (tmp_path / "run" / "run.json").read_text() == record


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"arch": "nothing"}, "known are unet"),
        (
            {"arch": "fpn", "encoder": "mobilenet_v2", "encoder_weights": "nothing.pth"},
            "no such file",
        ),
    ],
)
def test_options_that_cannot_be_leave_no_run_folder(patches, tmp_path, quick, change, reason):
    with pytest.raises(TrainingError, match=reason):
        train(patches, tmp_path / "run", options=replace(quick, **change))

    assert not (tmp_path / "run").exists()


def test_a_missing_device_leaves_no_run_folder(patches, tmp_path, quick):
    with pytest.raises(BundleError, match="--device"):
        train(patches, tmp_path / "run", options=replace(quick, device="nonsense"))

    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_patch_set_is_refused(tmp_path, quick):
    with pytest.raises(PatchSetError, match=r"patches\.json is missing"):
        train(tmp_path, tmp_path / "run", options=quick)


def test_without_validation_the_last_epoch_is_the_best():
    record = Record(None, [], monitor="val_loss", save_model=print)

    assert record._rank({"epoch": 3}) < record._rank({"epoch": 2})
    assert record._rank({"epoch": 1, "val_loss": float("nan")}) == float("inf")


@pytest.mark.parametrize("change", [{"workers": 1}, {"early_stopping": 0}])
def test_how_patches_are_read_and_when_to_stop_changes_no_weight(
    patches, tmp_path, quick, quick_run, change
):
    train(patches, tmp_path / "run", options=replace(quick, **change), quiet=True)

    assert weights(tmp_path / "run") == weights(quick_run)


def test_patches_that_stay_in_the_orthophoto_give_the_same_weights(
    make_patches, tmp_path, quick, quick_run
):
    still = replace(quick, jitter=False)
    train(make_patches(storage="index"), tmp_path / "run", options=still, quiet=True)

    assert weights(tmp_path / "run") == weights(quick_run)


def test_windows_that_stay_in_the_orthophoto_lie_anywhere(make_patches, quick):
    stored, index = make_patches(), make_patches(storage="index")

    jittered = [
        TrainingSamples(each, quick).dataset.jitter is not None
        for each in map(PatchSet.open, (stored, index))
    ]

    assert jittered == [False, True]


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "dice", "optimizer": "adamw", "augment": "flips"},
        {"loss": "ce+dice", "optimizer": "sgd", "augment": "none"},
        {"class_weights": "inverse", "schedule": "constant"},
        {"loss": "focal:2+lovasz", "class_weights": "effective", "clip": 1.0},
        {"loss": "jaccard+tversky", "optimizer": "asgd", "accumulate": 3},
        {"class_weights": "dark=0.5", "label_smoothing": 0.1, "average": "ema"},
    ],
)
def test_every_choice_trains(patches, tmp_path, quick, change):
    report = train(patches, tmp_path / "run", options=replace(quick, **change), quiet=True)

    assert all(np.isfinite(report.best[name]) for name in ("train_loss", "val_loss", "val_miou"))
    ModelBundle.load(report.model)


def test_the_model_that_is_kept_is_that_of_the_lowest_validation_loss(patches, tmp_path, quick):
    options = replace(quick, epochs=5, lr=0.02, monitor="loss")

    report = train(patches, tmp_path / "run", options=options, quiet=True)

    losses = [float(row["val_loss"]) for row in rows(tmp_path / "run")]
    assert report.best["epoch"] == 1 + int(np.argmin(losses))
    assert ModelBundle.load(report.model).training["best_epoch"]["val_loss"] == min(losses)


def test_without_a_validation_split_the_last_model_is_kept_and_that_is_said(
    make_patches, tmp_path, quick
):
    report = train(make_patches(split="none"), tmp_path / "run", options=quick, quiet=True)

    assert report.best["epoch"] == report.epochs == 2
    assert "no validation split" in report.warnings[0]
    assert "val_loss" not in rows(tmp_path / "run")[0]
    assert report.calibration is None
    assert ModelBundle.load(report.model).temperature == 1


@pytest.mark.parametrize("arch", ["unet", "deeplabv3plus"])
def test_a_single_patch_per_step_trains_or_is_refused_in_a_line(patches, tmp_path, quick, arch):
    """Batch normalisation cannot work on one value per channel."""
    options = replace(quick, arch=arch, batch_size=1, epochs=1)

    try:
        report = train(patches, tmp_path / "run", options=options, quiet=True)
    except TrainingError as error:
        assert "--batch-size" in str(error)  # noqa: PT017 either will do
    else:
        ModelBundle.load(report.model)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_patch_is_named_in_one_line(make_patches, tmp_path, quick, workers):
    folder = make_patches()
    patch_set = PatchSet.open(folder)
    bad = patch_set.image_path(patch_set.in_split("train")[0])
    bad.write_bytes(bad.read_bytes()[:200])

    with pytest.raises(RasterError, match=bad.name) as caught:
        train(folder, tmp_path / "run", options=replace(quick, workers=workers))

    assert "\n" not in str(caught.value)


def test_patches_that_the_network_cannot_take_are_refused_with_sizes_that_it_can(
    make_patches, tmp_path, quick
):
    folder = make_patches(patch_size=40, stride=40, split_block=40)

    with pytest.raises(TrainingError, match=r"are 40 px.*multiple of 32.*--patch-size 32 or 64"):
        train(folder, tmp_path / "run", options=replace(quick, arch="linknet"))

    assert not (tmp_path / "run").exists()


def test_what_is_finished_stays_as_it_is_when_resumed(patches, tmp_path, quick, quick_run):
    run = shutil.copytree(quick_run, tmp_path / "run")
    before = weights(run), (run / "model" / "geoseg.json").read_bytes()

    again = train(patches, run, options=quick, resume=True, quiet=True)

    assert (again.epochs, again.best) == (2, ModelBundle.load(again.model).training["best_epoch"])
    assert (weights(run), (run / "model" / "geoseg.json").read_bytes()) == before


class PullThePlugAtOnce(Callback):
    """Interrupts a training before there is anything to keep."""

    def on_train_batch_start(self, *_):
        raise KeyboardInterrupt


def test_what_was_interrupted_before_the_first_epoch_has_no_model_but_can_be_resumed(
    patches, tmp_path, quick, quick_run, monkeypatch
):
    with monkeypatch.context() as patch:
        start = PullThePlugAtOnce.on_train_batch_start
        patch.setattr(Progress, "on_train_batch_start", start, raising=False)
        with pytest.raises(KeyboardInterrupt):
            train(patches, tmp_path / "stopped", options=quick, quiet=True)

    train(patches, tmp_path / "stopped", options=quick, resume=True, quiet=True)

    assert weights(tmp_path / "stopped") == weights(quick_run)


def test_a_training_is_not_resumed_with_patches_of_other_bands(
    patches, tmp_path, quick, quick_run, monkeypatch
):
    run = shutil.copytree(quick_run, tmp_path / "run")
    patch_set = PatchSet.open(patches)
    swapped = tuple(reversed(patch_set.record.band_names))
    other = replace(patch_set.record, band_names=swapped)
    monkeypatch.setattr(patch_set, "record", other)

    with pytest.raises(TrainingError, match="with other patches"):
        train(patch_set, run, options=replace(quick, epochs=3), resume=True, quiet=True)


def test_ctrl_c_works_again_after_a_training_that_it_ended(
    patches, tmp_path, quick, interrupted_in_the_third_epoch
):
    before = signal.getsignal(signal.SIGINT)

    train(patches, tmp_path / "run", options=replace(quick, epochs=3), quiet=True)

    try:
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_training_is_not_resumed_with_other_patches(make_patches, tmp_path, quick, quick_run):
    run, options = shutil.copytree(quick_run, tmp_path / "run"), replace(quick, epochs=3)

    with pytest.raises(TrainingError, match="patches"):
        train(make_patches(val=0.5), run, options=options, resume=True, quiet=True)


def test_validation_on_ground_that_trained_the_first_model_is_left_out_in_every_start(
    patches, make_patches, tmp_path, quick, quick_run
):
    options = replace(quick, epochs=1, init_from=quick_run / "model")
    other, run = make_patches(val=0.6), tmp_path / "run"
    every = len(PatchSet.open(other).in_split("val"))

    again, _ = prepare(patches, None, options=options)
    report = train(other, run, options=options, quiet=True)

    assert not [each for each in again.warnings if "that trained" in each]
    counted = ModelBundle.load(report.model).training["validation_patches"]
    told = f"{every - counted} of {every} validation patches lie on ground that trained {quick_run}"
    assert 0 < counted < every
    assert any(told in each for each in report.warnings)
    options = replace(options, epochs=2)
    assert train(other, run, options=options, resume=True, quiet=True).epochs == 2


@pytest.mark.parametrize("part", ["optimizer_states", "lr_schedulers", "loops"])
def test_a_checkpoint_that_lacks_a_state_is_not_resumed(patches, tmp_path, quick, quick_run, part):
    path = shutil.copytree(quick_run, tmp_path / "run") / "last.ckpt"
    content = torch.load(path, weights_only=True)
    torch.save(content | {part: {"fit_loop": {}} if part == "loops" else []}, path)

    with pytest.raises(TrainingError, match=r"last\.ckpt: is not the checkpoint of this training"):
        train(patches, tmp_path / "run", options=replace(quick, epochs=3), resume=True)


@pytest.mark.parametrize("name", ["run.json", "last.ckpt"])
def test_a_damaged_run_is_not_resumed_and_the_file_is_named(
    patches, tmp_path, quick, quick_run, name
):
    path = shutil.copytree(quick_run, tmp_path / "run") / name
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(TrainingError, match=name):
        train(patches, tmp_path / "run", options=replace(quick, epochs=3), resume=True)


class ToldError(Exception):
    """Ends a training before it begins."""


def test_what_spoils_a_training_is_told_before_it_begins(patches, quick, tmp_path):
    patch_set = PatchSet.open(patches)
    table = patch_set.patches
    dark = np.stack([table.class_shares.sum(axis=1), np.zeros(len(table))], axis=1)
    one_class = PatchSet(patches, patch_set.record, replace(table, class_shares=dark))

    def warn(warning):
        raise ToldError(warning)

    with pytest.raises(ToldError, match="no pixel of 'bright' in any split"):
        train(one_class, tmp_path / "run", options=quick, warn=warn)
    assert not (tmp_path / "run").exists()


def test_several_patch_sets_are_known_to_record_bundle_and_resume(
    patches, make_patches, tmp_path, quick
):
    other = make_patches(split="none")
    both, run = JoinedPatchSet.open_all([patches, other]), tmp_path / "run"
    options = replace(quick, weights=(0.25, 0.75), epochs=1)

    report = train(both, run, options=options, quiet=True)

    bundle, record = ModelBundle.load(report.model), json.loads((run / "run.json").read_text())
    assert record["patches"] == bundle.training["patches"] == [str(patches), str(other)]
    assert len(bundle.training_ground.sources) == 2
    assert any("lie on training ground of another set" in each for each in report.warnings)
    train(both, run, options=replace(options, epochs=2), resume=True, quiet=True)
    assert len(rows(run)) == 2
    with pytest.raises(TrainingError, match="other patches"):
        train(patches, run, options=replace(options, epochs=3), resume=True, quiet=True)
    with pytest.raises(TrainingError, match="--weights has 2 shares, and there are 1 patch sets"):
        train(patches, tmp_path / "new", options=options, quiet=True)
