import csv
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import lightning
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from geoseg.core.confusion import ConfusionMatrix
from geoseg.model.files import WEIGHTS
from geoseg.training import train
from geoseg.training.optimization.averaging import (
    StochasticAverage,
    measure_statistics,
    moving_average,
)


class Net(lightning.LightningModule):
    """A layer and its batch statistics."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, images):
        return self.norm(self.layer(images))


class Standing:
    is_last_batch = True
    should_stop = False
    precision_plugin = SimpleNamespace(forward_context=nullcontext)


@pytest.mark.parametrize(("count", "follows"), [(0, 0.9), (10, 9 / 20), (10**6, 0.001)])
def test_a_moving_average_follows_at_once_and_later_slowly(count, follows):
    averaged = [torch.zeros(1), torch.full((2,), 10.0)]

    moving_average(averaged, [torch.ones(1), torch.zeros(2)], count)

    assert averaged[0].item() == pytest.approx(follows)
    assert averaged[1].tolist() == pytest.approx([10 - 10 * follows] * 2)


def test_what_is_counted_is_not_averaged():
    averaged = [torch.tensor(3)]

    moving_average(averaged, [torch.tensor(7)], 10)

    assert averaged[0].item() == 7


def test_the_mean_of_the_last_epochs_is_theirs_alone_and_its_statistics_are_measured():
    share = 0.0
    images = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    net = Net()
    callback = StochasticAverage(lambda: share, lambda: [images])
    callback.setup(None, net, "fit")

    for share, value in ((0.5, 9.0), (0.75, 7.0), (0.8, 1.0), (0.9, 2.0), (1.0, 6.0)):
        nn.init.constant_(net.layer.weight, value)
        callback.on_train_batch_end(Standing(), net)
        assert callback.has_begun == (share == 0.9)
        if share <= 0.8:  # as it is
            assert callback._average_model.module.layer.weight.item() == value

    with callback.applied(net):
        assert net.layer.weight.item() == pytest.approx(3.0)
        assert net.norm.running_mean.item() == pytest.approx(3 * images.mean().item(), abs=1e-5)
        assert net.norm.running_var.item() == pytest.approx(9 * images.var().item(), rel=1e-4)
    assert net.layer.weight.item() == 6.0


@pytest.mark.parametrize("average", ["ema", "swa"])
def test_what_is_kept_is_the_average_and_not_what_learns(patches, tmp_path, quick, average):
    options = replace(quick, epochs=9, average=average, early_stopping=0, lr=3e-3)

    report = train(patches, tmp_path / "run", options=options, quiet=True)

    checkpoint = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    key = "segmentation_head.0.weight"
    averaged, learning = (
        checkpoint[name][f"network.{key}"] for name in ("state_dict", "current_model_state")
    )
    assert not torch.equal(averaged, learning)
    assert average == "ema" or report.best["epoch"] >= 8  # of 9: the first mean is of two
    if report.best["epoch"] == report.epochs:
        assert torch.equal(load_file(report.model / WEIGHTS)[key], averaged)


def test_without_validation_the_average_is_kept_as_well(make_patches, tmp_path, quick):
    options = replace(quick, average="ema")

    report = train(make_patches(split="none"), tmp_path / "run", options=options, quiet=True)

    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    kept = load_file(report.model / WEIGHTS)
    assert all(torch.equal(kept[key], state[f"network.{key}"]) for key in kept)


def test_blended_maps_are_made_of_averages_too(make_patches, tmp_path, quick):
    options = replace(quick, average="ema", validate_stitched=True)
    seen = []

    def validate(scores, bundle, patch_set):
        seen.append(scores.__self__.network.segmentation_head[0].weight.clone())
        return ConfusionMatrix.zeros(2)

    train(make_patches(), tmp_path / "run", options=options, validate=validate, quiet=True)

    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(seen[-1], state["network.segmentation_head.0.weight"])


def test_averages_are_what_is_validated(patches, tmp_path, quick):
    """The same weights learn; only what is said of them differs."""
    found = {}
    for average in ("none", "ema"):
        train(patches, tmp_path / average, options=replace(quick, average=average), quiet=True)
        with (tmp_path / average / "history.csv").open() as file:
            found[average] = list(csv.DictReader(file))

    losses = {name: [row["train_loss"] for row in rows] for name, rows in found.items()}
    assert losses["none"] == losses["ema"]
    assert found["none"][-1]["val_loss"] != found["ema"][-1]["val_loss"]


def test_statistics_of_frozen_parts_are_not_measured():
    net, like = (nn.Sequential(nn.BatchNorm2d(1), nn.BatchNorm2d(1)) for _ in range(2))
    like[0].eval()
    net.eval()
    net[0].running_mean.fill_(5)
    batches = [torch.full((2, 1, 2, 2), value) for value in (5.0, 7.0)]

    measure_statistics(net, like, batches)

    assert net[0].running_mean.item() == 5
    assert net[1].running_mean.item() == pytest.approx(1, abs=1e-4)  # of 0 and 2
    assert not any(each.training for each in net)
    assert net[1].momentum == 0.1
