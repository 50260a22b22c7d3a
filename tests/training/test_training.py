import json
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from geoseg.errors import GeosegError, TrainingError
from geoseg.model.bundle import Normalisation
from geoseg.model.torch_runtime import DTYPES
from geoseg.prediction.patches import stitched_confusion
from geoseg.training import tuning
from geoseg.training.callbacks import LOGGER_FACTORIES
from geoseg.training.losses import make_loss
from geoseg.training.options import TrainOptions
from geoseg.training.task import SegmentationTask
from geoseg.training.train import train
from geoseg.training.tuning import find_batch_size

CPU = torch.device("cpu")


@pytest.fixture
def task():
    """A network of one convolution."""
    return SegmentationTask(
        nn.Conv2d(3, 2, 3, padding=1),
        make_loss("ce", torch.ones(2)),
        Normalisation(mean=(0.0,) * 3, std=(1.0,) * 3),
        classes=2,
        options=TrainOptions(),
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gsd": 1e308}, "gsd is a number in"),
        ({"std": [1e-40] * 3}, "std is a list of numbers in"),
        ({"mean": [1e308] * 3}, "mean is a list of numbers in"),
    ],
)
def test_patches_whose_model_could_not_be_loaded_are_refused_before_training(
    patches, tmp_path, quick, change, reason
):
    folder = tmp_path / "set"
    shutil.copytree(patches, folder)
    record = json.loads((folder / "patches.json").read_text())
    for name, value in change.items():
        (record if name in record else record["statistics"])[name] = value
    (folder / "patches.json").write_text(json.dumps(record))

    with pytest.raises(GeosegError, match=reason):
        train(folder, tmp_path / "run", options=quick, quiet=True)

    assert not (tmp_path / "run").exists()


def test_what_is_found_is_written_down_and_taken_again(patches, tmp_path, quick, monkeypatch):
    monkeypatch.setattr(tuning, "LR_TEST_STEPS", 20)
    options = replace(quick, epochs=1, lr=None, batch_size=None, accumulate=50)

    train(patches, tmp_path / "run", options=options, quiet=True)

    found = json.loads((tmp_path / "run" / "run.json").read_text())["found"]
    assert 1e-7 <= found["lr"] <= 0.1
    assert found["batch_size"] == 10
    assert found["lr_seconds"] > 0
    assert (tmp_path / "run" / "lr_finder.png").stat().st_size > 0
    monkeypatch.setattr(tuning, "LR_TEST_STEPS", 0)  # to look again would fail
    train(patches, tmp_path / "run", options=replace(options, epochs=2), resume=True, quiet=True)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["found"] == found


def test_time_that_the_rate_has_eaten_is_told(patches, tmp_path, quick, monkeypatch):
    monkeypatch.setattr("geoseg.training.train.find_lr", lambda *_, **__: time.sleep(0.2) or 0.02)
    options = replace(quick, lr=None, epochs=None, max_time=0.1)

    with pytest.raises(TrainingError, match=r"leaves nothing of --max-time: .* --lr 0\.02"):
        train(patches, tmp_path / "run", options=options, quiet=True)


def test_a_cpu_with_little_memory_gets_small_batches(task, monkeypatch):
    class Memory:
        available = 0  # a small network's steps may fit into what the process has already

    monkeypatch.setattr(tuning.psutil, "virtual_memory", Memory)

    assert find_batch_size(task, bands=3, size=32, device=CPU, patches=99) == 1


def test_looking_for_a_batch_size_leaves_the_network_as_it_was(task):
    before = {name: value.clone() for name, value in task.state_dict().items()}

    find_batch_size(task, bands=3, size=32, device=CPU, patches=99)

    assert task.training
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())
    assert all(parameter.grad is None for parameter in task.parameters())


def test_several_processes_do_not_look_each_for_itself(patches, tmp_path, quick):
    options = replace(quick, devices=2, lr=None)

    with pytest.raises(TrainingError, match="found by one process"):
        train(patches, tmp_path / "run", options=options, quiet=True)


def test_a_logger_is_told_of_every_epoch(patches, tmp_path, quick):
    train(patches, tmp_path / "run", options=replace(quick, loggers=("csv",)), quiet=True)

    logged = (tmp_path / "run" / "logs" / "version_0" / "metrics.csv").read_text()
    assert "val_miou" in logged.splitlines()[0]
    assert "arch: pspnet" in (tmp_path / "run" / "logs" / "version_0" / "hparams.yaml").read_text()


def test_a_logger_without_its_package_is_refused_with_the_command(patches, tmp_path, quick):
    with pytest.raises(TrainingError, match=r"--logger wandb: .*pip install 'geoseg\[wandb\]'"):
        train(patches, tmp_path / "run", options=replace(quick, loggers=("wandb",)), quiet=True)


def test_a_logger_that_cannot_begin_is_refused_in_one_line(patches, tmp_path, quick, monkeypatch):
    def no_server(run):
        raise RuntimeError("no server answers\nat length")

    monkeypatch.setitem(LOGGER_FACTORIES, "csv", no_server)

    with pytest.raises(TrainingError, match=r"^--logger csv: no server answers$"):
        train(patches, tmp_path / "run", options=replace(quick, loggers=("csv",)), quiet=True)


def test_validation_on_blended_maps_counts_every_pixel_of_its_ground_once(
    make_patches, tmp_path, quick, monkeypatch
):
    patches = make_patches(stride=16, split_block=64)
    counted = []

    def validate(segmenter, bundle, patch_set):
        confusion = stitched_confusion(segmenter, bundle, patch_set)
        counted.append((confusion, patch_set))
        return confusion

    monkeypatch.setattr("geoseg.training.train.stitched_confusion", validate)
    report = train(
        patches,
        tmp_path / "run",
        options=replace(quick, epochs=1, validate_stitched=True),
        quiet=True,
    )

    confusion, patch_set = counted[-1]
    ground = np.zeros((128, 160), bool)
    for patch in patch_set.in_split("val"):
        ground[patch.window.slices] = True
    ground[60:64] = False  # unlabelled
    ground[50:60, 20:30] = False  # without data
    assert confusion.total == ground.sum()
    assert report.best["val_miou"] == pytest.approx(confusion.iou.mean())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_batch_size_is_tried_in_the_precision_of_the_training(task, precision):
    task.options = replace(task.options, precision=precision)
    seen = set()
    task.network.register_forward_hook(lambda _, __, scores: seen.add(scores.dtype))

    find_batch_size(task, bands=3, size=32, device=CPU, patches=99)

    assert seen == {DTYPES[precision]}


@pytest.mark.parametrize(
    ("fits", "patches", "expected"),
    [(1000, 10**6, 64), (40, 10**6, 16), (1000, 160, 20), (1000, 30, 10), (4, 30, 2), (1, 30, 1)],
)
def test_a_gpu_gets_half_of_what_fits_and_an_epoch_enough_steps(
    task, monkeypatch, fits, patches, expected
):
    def step(_, count, *__):
        if count > fits:
            raise torch.OutOfMemoryError

    monkeypatch.setattr(tuning, "_step", step)
    monkeypatch.setattr(task, "to", lambda _: task)
    device = torch.device("cuda")

    found = find_batch_size(task, bands=3, size=32, device=device, patches=patches)

    assert found == expected
