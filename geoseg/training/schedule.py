"""LR schedules, optimisers, and callbacks: time limit, plateau schedule, encoder unfreezing."""

import math
import time
from collections.abc import Callable
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from geoseg.errors import TrainingError
from geoseg.training.options import Optimizer, Schedule, TrainOptions

WARMUP_SHARE = {"cosine": 0.05, "one-cycle": 0.3}
"""Default warm-up, as a share of the training; 0 for other schedules."""

POLY_POWER = 0.9
"""Exponent of the polynomial schedule, DeepLab's."""

ONE_CYCLE_START, ONE_CYCLE_END = 1 / 25, 1 / 25e4
"""First and last factor of the one-cycle schedule, torch's defaults."""

SGD_MOMENTUM = 0.9

PLATEAU_FACTOR, PLATEAU_PATIENCE_EPOCHS = 0.2, 4
"""The plateau schedule multiplies the rate by the factor after so many epochs without a better
one."""

VALIDATION_STEP_SHARE = 1 / 3
"""Time of a validation batch as a share of a training step, before any is measured: it has no
backward pass."""


def warmup_steps(schedule: Schedule, steps: float, *, warmup: float | None, epoch: float) -> float:
    """Steps of the warm-up.

    Args:
        schedule: The LR schedule.
        steps: Steps of the whole training.
        warmup: Warm-up in epochs; None for the schedule's default.
        epoch: Steps of an epoch.
    """
    if warmup is None:
        share = WARMUP_SHARE.get(schedule)
        return 0 if share is None else max(round(share * steps), 1)
    return round(warmup * epoch)


def check_warmup(options: TrainOptions) -> None:
    """Refuse a warm-up that does not go with the schedule, or not end within the training."""
    if not options.warmup:
        return
    if options.schedule == "plateau":
        raise TrainingError("--warmup does not go with --schedule plateau")
    if options.epochs is None and options.max_time is not None:
        raise TrainingError("--warmup counts epochs: with --max-time, give --epochs as well")
    if options.warmup >= options.most_epochs:
        raise TrainingError(
            f"--warmup {options.warmup:g}: must be less than the {options.most_epochs} epochs"
        )


def lr_factor(schedule: Schedule, step: float, steps: float, warmup: float) -> float:
    """Factor on the highest learning rate, 0..1.

    A function of the step and not torch's schedulers, because with `--max-time` the step is a share
    of the time.

    Args:
        schedule: The LR schedule; ``plateau`` is constant here, `Plateau` lowers it.
        step: From 0; beyond the last step the factor does not rise again.
        steps: Steps of the whole training.
        warmup: Steps of the warm-up.

    >>> [round(lr_factor("cosine", step, 100, 5), 2) for step in (0, 4, 5, 52, 99)]
    [0.2, 1.0, 1.0, 0.51, 0.0]
    >>> [round(lr_factor("poly", step, 100, 0), 2) for step in (0, 50, 100)]
    [1.0, 0.54, 0.0]

    Source: Loshchilov and Hutter 2017, "SGDR" (cosine); Smith and Topin 2018,
    "Super-Convergence" (one-cycle); Chen et al. 2017, "DeepLab" (poly).
    """
    if schedule == "one-cycle":
        return _one_cycle(step, steps, warmup)
    if step < warmup:
        return (step + 1) / warmup if step + 1 < warmup else 1.0
    share = min((step - warmup) / max(steps - warmup, 1), 1)
    return DECAY_CURVES[schedule](share)


DECAY_CURVES: dict[Schedule, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "plateau": lambda _: 1.0,
    "cosine": lambda share: _cosine(1, 0, share),
    "poly": lambda share: (1 - share) ** POLY_POWER,
}
"""Factors by the share of the training after the warm-up, 0..1."""


def _one_cycle(step: float, steps: float, warmup: float) -> float:
    """Half a cosine up, half a cosine down to almost 0, as torch's OneCycleLR."""
    top = max(warmup - 1, 0)
    if step < top:
        return _cosine(ONE_CYCLE_START, 1, step / top)
    return _cosine(1, ONE_CYCLE_END, min((step - top) / max(steps - 1 - top, 1e-9), 1))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


def make_optimizer(network: nn.Module, options: TrainOptions, lr: float) -> torch.optim.Optimizer:
    """The optimiser of a network; without `weight_decay` torch's default applies."""
    more: dict[str, Any] = {"lr": lr}
    if options.weight_decay is not None:
        more["weight_decay"] = options.weight_decay
    if options.optimizer == "sgd":
        more["momentum"] = SGD_MOMENTUM
    return OPTIMIZERS[options.optimizer](parameter_groups(network, options, lr), **more)


OPTIMIZERS: dict[Optimizer, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "asgd": torch.optim.ASGD,
}


def parameter_groups(network: nn.Module, options: TrainOptions, lr: float) -> list[dict[str, Any]]:
    """Parameter groups: one, or decoder and encoder where the encoder has its own rate."""
    if options.encoder_lr == 1:
        return [{"params": list(network.parameters())}]
    encoder = list(cast("Any", network).encoder.parameters())
    known = set(map(id, encoder))
    return [
        {"params": [each for each in network.parameters() if id(each) not in known]},
        {"params": encoder, "lr": lr * options.encoder_lr},
    ]


def schedule_callbacks(
    options: TrainOptions, network: nn.Module, limit: "TimeLimit | None", *, monitor: str | None
) -> list[Callback]:
    """The callbacks that the options ask for, in their order.

    The plateau schedule monitors a metric of the validation; None, without one, takes the training
    loss.
    """
    callbacks: list[Callback] = [] if limit is None else [limit]
    if options.freeze_encoder:
        callbacks.append(FreezeEncoder(network, options.freeze_encoder))
    if options.schedule == "plateau":
        callbacks.append(Plateau(monitor or "train_loss"))
    return callbacks


class TimeLimit(Callback):
    """Ends a training so that it takes a given time, last validation included.

    Time spent before `--resume` counts. Training steps have at least half of the time, even if
    validation then ends late.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.spent = self.validation = 0.0
        self.reached = False
        self._since: float | None = None
        self._shared: float | None = None
        self._validating_since = self._first_step = self._estimated = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds of training so far."""
        return self.spent + (0.0 if self._since is None else time.monotonic() - self._since)

    @property
    def share(self) -> float:
        """Share of the time for training steps that has passed, 0..1.

        Several processes take that of the first one at the last step.
        """
        if self._shared is not None:
            return self._shared
        reserved = min(self.validation or self._estimated, self.seconds / 2)
        return min(self.elapsed / max(self.seconds - reserved, 1e-9), 1.0)

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Start the clock; a training that is resumed after its end stops at once."""
        self._since = time.monotonic()
        self._end_if_over(trainer)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _: Any, __: Any, ___: Any, number: int
    ) -> None:
        """Check the time; the first validation is estimated from the steps before it.

        The very first step is left out: workers start and networks compile in it.
        """
        if number == 0:
            self._first_step = self.elapsed
        else:
            step = (self.elapsed - self._first_step) / number
            self._estimated = VALIDATION_STEP_SHARE * step * sum(trainer.num_val_batches)
        self._end_if_over(trainer)

    def on_validation_start(self, *_: Any) -> None:
        """Start the clock of the validation."""
        self._validating_since = time.monotonic()

    def on_validation_end(self, *_: Any) -> None:
        """Expect the next one to take as long."""
        self.validation = time.monotonic() - self._validating_since

    def _end_if_over(self, trainer: lightning.Trainer) -> None:
        if trainer.world_size > 1:
            self._shared = None  # for the share of this process
            self._shared = float(trainer.strategy.broadcast(self.share))
        if self.share >= 1:
            self.reached = True
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint."""
        return {"spent": self.elapsed, "validation": self.validation}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.spent = state_dict["spent"]
        self.validation = state_dict["validation"]


class FreezeEncoder(Callback):
    """Keeps the encoder frozen for some epochs, its batch statistics included."""

    def __init__(self, network: nn.Module, epochs: int) -> None:
        self.encoder: nn.Module = cast("Any", network).encoder
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Freeze or unfreeze."""
        learns = trainer.current_epoch >= self.epochs
        self.encoder.requires_grad_(learns)
        self.encoder.train(learns)


class Plateau(Callback):
    """Lowers the learning rate when epochs bring no improvement.

    Lightning's own handling steps only after the checkpoint of the epoch is written, so that a
    resumed training would miss the step.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        self._schedule: ReduceLROnPlateau | None = None
        self._saved: dict[str, Any] | None = None

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Take the optimiser and the state of a resumed training."""
        self._schedule = ReduceLROnPlateau(
            trainer.optimizers[0],
            mode="max" if self.monitor == "val_miou" else "min",
            factor=PLATEAU_FACTOR,
            patience=PLATEAU_PATIENCE_EPOCHS,
        )
        if self._saved is not None:
            self._schedule.load_state_dict(self._saved)

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Compare the epoch with the best one."""
        metric = trainer.callback_metrics[self.monitor]
        cast("ReduceLROnPlateau", self._schedule).step(float(metric))

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint."""
        return {} if self._schedule is None else {"schedule": self._schedule.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self._saved = state_dict.get("schedule")
