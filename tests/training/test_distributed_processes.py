import csv
import json
import os
import runpy
import subprocess
import sys

import pytest
import torch
from torch import nn

from geoseg.errors import TrainingError
from geoseg.model.network import build_network, load_network
from geoseg.patches.patch_set import PatchSet
from geoseg.training.data import EMPTY_PATCH, EpochSampler
from geoseg.training.distributed import (
    check_launched,
    is_first,
    mean_over_processes,
    rank,
    share_machine,
    sum_over_processes,
    with_sync_batchnorm,
)
from geoseg.training.options import TrainOptions
from geoseg.training.train import train

SCRIPT = """
import sys
from pathlib import Path
import torch
from torch import nn
from torch import nn
from geoseg.patches.patch_set import PatchSet
from geoseg.training.options import TrainOptions
from geoseg.training.start import resolve
from geoseg.training.train import Training

patches, run, devices = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
options = resolve(TrainOptions(
    arch="pspnet", encoder="tu-test_resnet", epochs=3, batch_size=4, device="cpu", workers=0,
    devices=devices, class_weights="dark=3", optimizer="sgd", lr=0.05, schedule="constant",
    loss="ce+dice+tversky+focal", precision="fp32",
))
run.mkdir(exist_ok=True)
training = Training(PatchSet.open(patches), run, options)
torch.manual_seed(0)
training.task.network = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 2, 1)
)
training.record.save_model = lambda row: None
training.fit(resume=False, quiet=True)
"""


@pytest.fixture
def history(tmp_path):
    """What a training of so many processes writes down, of which this process is the first."""

    def history(patches, devices):
        script, folder = tmp_path / "script.py", tmp_path / str(devices)
        script.write_text(SCRIPT)
        threads = torch.get_num_threads()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [str(script), str(patches), str(folder), str(devices)])
            patch.setattr(os, "environ", os.environ.copy())  # Lightning names the processes there
            try:
                runpy.run_path(str(script), run_name="__main__")
            finally:
                torch.set_num_threads(threads)
                if torch.distributed.is_initialized():
                    torch.distributed.destroy_process_group()
        return rows(folder)

    return history


def rows(folder):
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_two_processes_have_the_losses_and_metrics_of_one(make_patches, history):
    patches = make_patches(val=0.25)
    assert len(PatchSet.open(patches).in_split("val")) == 5  # one process has one less
    alone = history(patches, 1)
    together = history(patches, 2)

    assert len(alone) == len(together) == 3
    for one, two in zip(alone, together, strict=True):
        for name in ("train_loss", "val_miou", "iou_dark", "iou_bright"):
            assert float(two[name]) == pytest.approx(float(one[name]), rel=1e-4), name
        assert float(two["val_loss"]) == pytest.approx(float(one["val_loss"]), rel=1e-3)


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9])
@pytest.mark.parametrize("processes", [2, 3])
def test_validation_has_every_patch_once_and_all_processes_equally_many(count, processes):
    turns = [
        [key.number for key in EpochSampler(count, seed=0, shuffle=False, shard=(n, processes))]
        for n in range(processes)
    ]

    assert len({len(turn) for turn in turns}) == 1
    numbers = [number for turn in turns for number in turn if number != EMPTY_PATCH]
    assert sorted(numbers) == list(range(count))


def test_the_batches_of_all_processes_are_together_those_of_one():
    whole = list(EpochSampler(12, seed=3, shuffle=True))
    halves = [list(EpochSampler(12, seed=3, shuffle=True, shard=(n, 2))) for n in (0, 1)]

    for start in range(0, 6, 2):
        batch = {*halves[0][start : start + 2], *halves[1][start : start + 2]}
        assert batch == set(whole[2 * start : 2 * start + 4])


def test_more_processes_than_gpus_are_refused():
    with pytest.raises(TrainingError, match="--devices 2: this machine has 1 of mps"):
        share_machine(2, torch.device("mps"))


def test_a_batch_that_cannot_be_shared_is_refused():
    assert TrainOptions(batch_size=6, devices=3).own_batch_size() == 2
    with pytest.raises(TrainingError, match="--batch-size 5 is shared by --devices 2"):
        TrainOptions(batch_size=5, devices=2).own_batch_size()


@pytest.mark.parametrize(
    ("environment", "number", "first"),
    [({}, 0, True), ({"LOCAL_RANK": "1"}, 1, False), ({"RANK": "2", "LOCAL_RANK": "0"}, 2, False)],
)
def test_a_process_knows_from_its_environment_which_it_is(monkeypatch, environment, number, first):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert (rank(), is_first()) == (number, first)


def test_a_single_process_keeps_sums_and_means_as_they_are():
    assert mean_over_processes(torch.tensor(3.0)) == 3
    assert sum_over_processes(torch.tensor(3.0)) == 3


LAUNCHER = """
import sys
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from geoseg.cli import main
from geoseg.training import train

if __name__ == "__main__":
    start = "fork" if sys.platform == "linux" else "spawn"
    where = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "run_id": "test"}
    elastic_launch(LaunchConfig(1, 1, 2, start_method=start, **where), main)()
"""
"""What torchrun does, in one process that has imported everything and divides itself."""


def test_a_training_under_torchrun_goes_on_in_one_process(patches, tmp_path, quick):
    options = ["--arch", "pspnet", "--encoder", "tu-test_resnet", "--batch-size", "4"]
    options += ["--device", "cpu", "--workers", "0", "--epochs", "1", "--devices", "2"]
    (tmp_path / "launcher.py").write_text(LAUNCHER)
    command = [tmp_path / "launcher.py", "train", patches, "-o", tmp_path / "run", *options]

    done = subprocess.run(
        [sys.executable, *map(str, command)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best of 1 epochs") == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["ended"] == "epochs"

    report = train(patches, tmp_path / "run", options=quick, resume=True, quiet=True)

    assert [row["epoch"] for row in rows(tmp_path / "run")] == ["1", "2"]
    load_network(report.model)


@pytest.mark.parametrize(
    ("started", "here", "devices", "reason"),
    [
        (2, 2, 1, "torchrun started 2 processes, and --devices says 1: give --devices 2"),
        (4, 2, 2, "torchrun started 4 processes, 2 of them here: train on one machine"),
        (2, 2, 2, None),
        (1, 1, 1, None),
    ],
)
def test_torchrun_starts_as_many_as_train(monkeypatch, started, here, devices, reason):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", str(started))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(here))

    if reason is None:
        check_launched(devices)
    else:
        with pytest.raises(TrainingError, match=reason):
            check_launched(devices)


@pytest.mark.parametrize("encoder", ["tu-tf_efficientnet_lite0", "resnet18"])
def test_on_gpus_the_network_stays_what_it_is(encoder):
    network, _ = build_network("unet", encoder, bands=3, classes=2, encoder_weights="none")
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = network.eval()(images)

    shared = with_sync_batchnorm(network)

    with torch.no_grad():
        assert torch.equal(shared.eval()(images), before)
    norms = [each for each in shared.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(each, nn.SyncBatchNorm) for each in norms)
