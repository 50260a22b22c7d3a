import csv
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from geoseg.labels.confusion import ConfusionMatrix
from geoseg.model.bundle import WEIGHTS
from geoseg.training.callbacks import moving_average
from geoseg.training.train import train


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


def test_what_is_kept_is_the_average_and_not_what_learns(patches, tmp_path, quick):
    options = replace(quick, epochs=9, average="ema", early_stopping=0, lr=3e-3)

    report = train(patches, tmp_path / "run", options=options, quiet=True)

    checkpoint = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    key = "segmentation_head.0.weight"
    averaged, learning = (
        checkpoint[name][f"network.{key}"] for name in ("state_dict", "current_model_state")
    )
    assert not torch.equal(averaged, learning)
    if report.best["epoch"] == report.epochs:
        assert torch.equal(load_file(report.model / WEIGHTS)[key], averaged)


def test_without_validation_the_average_is_kept_as_well(make_patches, tmp_path, quick):
    options = replace(quick, average="ema")

    report = train(make_patches(split="none"), tmp_path / "run", options=options, quiet=True)

    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    kept = load_file(report.model / WEIGHTS)
    assert all(torch.equal(kept[key], state[f"network.{key}"]) for key in kept)


def test_blended_maps_are_made_of_averages_too(make_patches, tmp_path, quick, monkeypatch):
    options = replace(quick, average="ema", validate_stitched=True)
    seen = []

    def validate(scores, bundle, patch_set):
        seen.append(scores.__self__.network.segmentation_head[0].weight.clone())
        return ConfusionMatrix.zeros(2)

    monkeypatch.setattr("geoseg.training.train.stitched_confusion", validate)
    train(make_patches(), tmp_path / "run", options=options, quiet=True)

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
