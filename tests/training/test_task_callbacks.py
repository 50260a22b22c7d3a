import csv
import time
from dataclasses import replace
from unittest.mock import Mock

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from geoseg.model.bundle import ModelBundle
from geoseg.model.network import build_network, load_network
from geoseg.training.callbacks import Progress
from geoseg.training.options import TrainOptions
from geoseg.training.task import (
    PLATEAU_FACTOR,
    PLATEAU_PATIENCE_EPOCHS,
    FreezeEncoder,
    Plateau,
    TimeLimit,
    schedule_callbacks,
)
from geoseg.training.train import train


class Standing:
    """What callbacks ask of a trainer."""

    should_stop = False
    current_epoch = 0
    world_size = 1
    num_val_batches = (0,)
    num_training_batches = 1


def rates(run):
    with (run / "history.csv").open() as file:
        return [float(row["lr"]) for row in csv.DictReader(file)]


def test_a_frozen_encoder_stays_as_it_is_with_its_statistics_and_then_learns(
    patches, tmp_path, quick
):
    options = replace(quick, average="none", monitor="miou")
    lightning.seed_everything(options.seed, verbose=False)
    begun, _ = build_network("pspnet", "tu-test_resnet", bands=3, classes=2, encoder_weights="none")
    states = []
    for epochs in (1, 2):
        run = tmp_path / str(epochs)
        train(patches, run, options=replace(options, epochs=epochs, freeze_encoder=1), quiet=True)
        saved = torch.load(run / "last.ckpt", weights_only=True)["state_dict"]
        states.append({k: v for k, v in saved.items() if k.startswith("network.")})

    begun = {f"network.{key}": value for key, value in begun.state_dict().items()}
    frozen, free = states
    for key, value in begun.items():
        if key.startswith("network.encoder."):
            assert torch.equal(frozen[key], value), key
    used = [key for key in begun if key.startswith("network.encoder.model.conv1.")]
    assert used
    assert not any(torch.equal(free[key], begun[key]) for key in used)
    head = "network.segmentation_head.0.weight"
    assert not torch.equal(frozen[head], begun[head])


def test_batch_normalisation_of_a_frozen_encoder_does_not_measure():
    network, _ = build_network("unet", "resnet18", bands=3, classes=2, encoder_weights="none")
    network.train()
    callback, trainer = FreezeEncoder(network, 1), Standing()

    callback.on_train_epoch_start(trainer)
    assert not network.encoder.training
    assert network.decoder.training

    trainer.current_epoch = 1
    callback.on_train_epoch_start(trainer)
    assert network.encoder.training
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_random_weights_are_not_frozen_without_a_word(patches, tmp_path, quick):
    options = replace(quick, epochs=1, freeze_encoder=1)

    report = train(patches, tmp_path / "run", options=options, quiet=True)

    assert "frozen with random weights" in report.warnings[0]


class Slow(Callback):
    """A step takes a tenth of a second."""

    def on_train_batch_end(self, *_):
        time.sleep(0.1)


def test_a_training_ends_when_its_time_is_over_and_its_rate_with_it(
    patches, tmp_path, quick, monkeypatch
):
    monkeypatch.setattr(Progress, "on_train_batch_start", Slow.on_train_batch_end, raising=False)
    options = replace(quick, epochs=None, max_time=3.0, early_stopping=0)

    report = train(patches, tmp_path / "run", options=options, quiet=True)
    again = train(patches, tmp_path / "run", options=options, resume=True, quiet=True)

    assert report.timed_out
    assert report.epochs >= 2
    assert rates(tmp_path / "run")[-1] < 0.2 * options.lr
    assert ModelBundle.load(report.model).training["best_epoch"]["epoch"] == report.best["epoch"]
    assert (again.epochs, again.best) == (report.epochs, report.best)
    load_network(report.model)


def test_time_that_allows_more_than_the_epochs_changes_nothing(patches, tmp_path, quick):
    options = replace(quick, epochs=2, max_time=3600.0)

    report = train(patches, tmp_path / "run", options=options, quiet=True)

    assert (report.epochs, report.timed_out) == (2, False)
    assert rates(tmp_path / "run")[-1] < 0.6 * options.lr


def test_time_spent_before_counts_and_the_last_validation_is_within_the_time():
    limit, trainer = TimeLimit(100.0), Standing()

    limit.load_state_dict({"spent": 60.0, "validation": 20.0})
    limit.on_train_start(trainer)
    assert limit.share == pytest.approx(0.75, abs=0.01)
    assert not trainer.should_stop

    limit.load_state_dict({"spent": 80.0, "validation": 20.0})
    limit.on_train_batch_end(trainer, None, None, None, 0)
    assert trainer.should_stop
    assert limit.reached


def test_the_first_validation_is_guessed_by_the_steps_before_it():
    limit, trainer = TimeLimit(100.0), Standing()
    trainer.num_val_batches = [12]  # at a third of a step's 5 s each

    limit.load_state_dict({"spent": 20.0, "validation": 0.0})
    limit.on_train_batch_end(trainer, None, None, None, 0)  # with all that a start takes
    assert limit.share == pytest.approx(20 / 100, abs=0.01)

    limit.load_state_dict({"spent": 50.0, "validation": 0.0})
    limit.on_train_batch_end(trainer, None, None, None, 6)
    assert limit.share == pytest.approx(50 / (100 - 20), abs=0.01)


def test_a_long_validation_leaves_half_of_the_time_for_steps():
    limit = TimeLimit(100.0)

    limit.load_state_dict({"spent": 40.0, "validation": 300.0})

    assert limit.share == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    ("monitor", "rise", "rate"),
    [
        ("val_miou", 0.1, 1),
        ("val_miou", -0.1, PLATEAU_FACTOR),
        ("train_loss", -0.1, 1),
        ("val_loss", 0, PLATEAU_FACTOR),
    ],
)
def test_a_plateau_is_where_the_metric_gets_no_better(monitor, rise, rate):
    trainer = Standing()
    trainer.optimizers = [torch.optim.SGD([torch.zeros(1)], lr=1)]
    plateau = Plateau(monitor)

    plateau.on_train_start(trainer)
    for epoch in range(PLATEAU_PATIENCE_EPOCHS + 2):
        trainer.callback_metrics = {monitor: torch.tensor(2 + rise * epoch)}
        plateau.on_train_epoch_end(trainer)

    assert trainer.optimizers[0].param_groups[0]["lr"] == rate


def test_without_validation_the_training_loss_makes_a_plateau():
    options = TrainOptions(schedule="plateau")

    [plateau] = schedule_callbacks(options, Mock(), None, monitor=None)

    assert plateau.monitor == "train_loss"
