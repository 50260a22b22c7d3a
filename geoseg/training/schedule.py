"""What happens to a training in its course: its time ends, its rate falls, its encoder thaws."""

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
from geoseg.training.options import Schedule, TrainOptions

RISE = {"cosine": 0.05, "one-cycle": 0.3}
"""Share of a training in which the rate rises if the user does not say; elsewhere 0."""

POWER = 0.9
"""Of the polynomial course, as DeepLab has it."""

FIRST, LAST = 1 / 25, 1 / 25e4
"""Where the one-cycle course begins and ends, as torch has it."""


def rise_steps(schedule: Schedule, steps: float, *, warmup: float | None, epoch: float) -> float:
    """Steps in which the rate rises.

    Args:
        schedule: Which.
        steps: Of the whole training.
        warmup: Epochs, or None for what is usual.
        epoch: Steps of an epoch.
    """
    if warmup is None:
        return max(round(RISE[schedule] * steps), 1) if schedule in RISE else 0
    return round(warmup * epoch)


def check_course(options: TrainOptions) -> None:
    """See that the options of the course of a training go together.

    Raises:
        TrainingError: If the schedule has no warm-up, or it has no place in the training.
    """
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


def course(schedule: Schedule, step: float, steps: float, rise: float) -> float:
    """Share of the highest learning rate.

    Args:
        schedule: Which; of ``plateau`` only that it begins at the highest.
        step: From 0; beyond the last the rate does not rise again.
        steps: Of the whole training.
        rise: Steps of the warm-up.

    >>> [round(course("cosine", step, 100, 5), 2) for step in (0, 4, 5, 52, 99)]
    [0.2, 1.0, 1.0, 0.51, 0.0]
    >>> [round(course("poly", step, 100, 0), 2) for step in (0, 50, 100)]
    [1.0, 0.54, 0.0]

    Source: Loshchilov and Hutter 2017, "SGDR" (cosine); Smith and Topin 2018,
    "Super-Convergence" (one-cycle); Chen et al. 2017, "DeepLab" (poly).
    """
    if schedule == "one-cycle":
        return _one_cycle(step, steps, rise)
    if step < rise:
        return (step + 1) / rise if step + 1 < rise else 1.0
    share = min((step - rise) / max(steps - rise, 1), 1)
    return AFTER_RISE[schedule](share)


AFTER_RISE: dict[Schedule, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "plateau": lambda _: 1.0,
    "cosine": lambda share: _cosine(1, 0, share),
    "poly": lambda share: (1 - share) ** POWER,
}


def _one_cycle(step: float, steps: float, rise: float) -> float:
    """As torch's OneCycleLR: half a cosine up, half a cosine down to almost nothing."""
    top = max(rise - 1, 0)
    if step < top:
        return _cosine(FIRST, 1, step / top)
    return _cosine(1, LAST, min((step - top) / max(steps - 1 - top, 1e-9), 1))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


MOMENTUM = 0.9
"""Of sgd."""


def make_optimizer(network: nn.Module, options: TrainOptions, lr: float) -> torch.optim.Optimizer:
    """The optimiser of a network; weight decay is torch's own unless the options say it."""
    more: dict[str, Any] = {"lr": lr}
    if options.weight_decay is not None:
        more["weight_decay"] = options.weight_decay
    groups = parameter_groups(network, options, lr)
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=MOMENTUM, **more)
    if options.optimizer == "asgd":
        return torch.optim.ASGD(groups, **more)
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, **more)
    return torch.optim.Adam(groups, **more)


def parameter_groups(network: nn.Module, options: TrainOptions, lr: float) -> list[dict[str, Any]]:
    """All parameters in one group; with a rate of its own the encoder is the second of two."""
    if options.encoder_lr == 1:
        return [{"params": list(network.parameters())}]
    encoder = list(cast("Any", network).encoder.parameters())
    known = set(map(id, encoder))
    return [
        {"params": [each for each in network.parameters() if id(each) not in known]},
        {"params": encoder, "lr": lr * options.encoder_lr},
    ]


FACTOR, PATIENCE = 0.2, 4
"""The plateau schedule lowers the rate so much after so many epochs without a better one."""

FORWARD = 1 / 3
"""Share of a training step that a batch of validation takes."""


class TimeLimit(Callback):
    """Ends a training so that, with its last validation, it takes as long as it may.

    Time that was spent before a training was resumed counts. A validation that takes more than
    half of the time ends after it: steps have at least the other half.
    """

    def __init__(self, seconds: float) -> None:
        """Set the time.

        Args:
            seconds: Of training, validation included.
        """
        self.seconds = seconds
        self.spent = 0.0
        self.validation = 0.0
        self.reached = False
        self._since: float | None = None
        self._validating_since = 0.0
        self._agreed: float | None = None
        self._first_step = 0.0
        self._guessed = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds of training until now."""
        return self.spent + (0.0 if self._since is None else time.monotonic() - self._since)

    @property
    def share(self) -> float:
        """Share of the time for training steps that is over, 0..1.

        Of several processes that of the first, as of the last step.
        """
        if self._agreed is not None:
            return self._agreed
        reserved = min(self.validation or self._guessed, self.seconds / 2)
        return min(self.elapsed / max(self.seconds - reserved, 1e-9), 1.0)

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Start the clock; what was resumed after its end stays as it is."""
        self._since = time.monotonic()
        self._end_if_over(trainer)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _: Any, __: Any, ___: Any, number: int
    ) -> None:
        """See whether the time is over; the first validation is guessed by the steps before it.

        The very first step tells nothing: processes that read are started in it, networks compiled.
        """
        if number == 0:
            self._first_step = self.elapsed
        else:
            step = (self.elapsed - self._first_step) / number
            self._guessed = FORWARD * step * sum(trainer.num_val_batches)
        self._end_if_over(trainer)

    def on_validation_start(self, *_: Any) -> None:
        """Validation takes time as well."""
        self._validating_since = time.monotonic()

    def on_validation_end(self, *_: Any) -> None:
        """The next one will take as long."""
        self.validation = time.monotonic() - self._validating_since

    def _end_if_over(self, trainer: lightning.Trainer) -> None:
        if trainer.world_size > 1:
            self._agreed = None
            self._agreed = float(trainer.strategy.broadcast(self.share))
        if self.share >= 1:
            self.reached = True
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"spent": self.elapsed, "validation": self.validation}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.spent = state_dict["spent"]
        self.validation = state_dict["validation"]


class FreezeEncoder(Callback):
    """Lets the encoder of a network learn only after some epochs.

    Until then its batch normalisation keeps its statistics too.
    """

    def __init__(self, network: nn.Module, epochs: int) -> None:
        self.encoder: nn.Module = cast("Any", network).encoder
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Freeze or set free."""
        learns = trainer.current_epoch >= self.epochs
        self.encoder.requires_grad_(learns)
        self.encoder.train(learns)


class Plateau(Callback):
    """Lowers the rate when an epoch is no better than those before.

    Lightning would do so only after the checkpoint of the epoch is written, and a resumed
    training would miss it.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        self._schedule: ReduceLROnPlateau | None = None
        self._saved: dict[str, Any] | None = None

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Take the optimiser, and go on where a resumed training was."""
        self._schedule = ReduceLROnPlateau(
            trainer.optimizers[0],
            mode="max" if self.monitor == "val_miou" else "min",
            factor=FACTOR,
            patience=PATIENCE,
        )
        if self._saved is not None:
            self._schedule.load_state_dict(self._saved)

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Judge the epoch."""
        figure = trainer.callback_metrics[self.monitor]
        cast("ReduceLROnPlateau", self._schedule).step(float(figure))

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {} if self._schedule is None else {"schedule": self._schedule.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self._saved = state_dict.get("schedule")
