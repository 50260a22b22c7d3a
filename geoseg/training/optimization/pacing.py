"""What happens to a training in its course: its time ends, its rate falls, its encoder thaws."""

import time
from typing import Any, cast

import lightning
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

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
