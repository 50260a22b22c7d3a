"""Callbacks that record a training: history, best model, checkpoint, progress, EMA, loggers."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch import loggers
from lightning.pytorch.callbacks import Callback, WeightAveraging
from lightning.pytorch.loggers import Logger
from torch import Tensor

from geoseg.errors import TrainingError
from geoseg.progress import ProgressEvents, ProgressLines, bar_class, say, shown_as, write_event
from geoseg.raster.atomic import staged
from geoseg.report.runs import complete_epochs
from geoseg.training.options import UNLIMITED, TrainOptions
from geoseg.training.run_folder import Row, write_table
from geoseg.training.task import SegmentationTask, TimeLimit


class Record(Callback):
    """Writes history, best model and checkpoint after every epoch.

    It comes after all callbacks with a state, so that the checkpoint holds their latest.
    """

    def __init__(
        self,
        folder: Path,
        names: list[str],
        *,
        monitor: str,
        save_model: Callable[[Row], None],
        is_finite: Callable[[], bool] = lambda: True,
    ) -> None:
        """Set up the record of a run folder.

        Args:
            folder: Run folder.
            names: (classes,) class names.
            monitor: Metric that decides the best epoch.
            save_model: Saves the current model.
            is_finite: Whether all weights of the current model are finite.
        """
        self.folder, self.names, self.monitor = folder, names, monitor
        self.save_model, self.is_finite = save_model, is_finite
        self.rows: list[Row] = []
        self.best: Row | None = None
        self.diverged = ""
        self.is_running = False
        self._started = time.monotonic()

    @property
    def checkpoint(self) -> Path:
        """Checkpoint of the last complete epoch."""
        return self.folder / "last.ckpt"

    @property
    def epochs(self) -> int:
        """Complete epochs."""
        return complete_epochs(self.rows)

    @property
    def notes(self) -> list[str]:
        """What the user should know of the model that is kept."""
        if self.best is None or self.best["epoch"]:
            return []
        return [
            "no epoch is better on validation ground than the model it began with, which is kept"
        ]

    def on_sanity_check_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Record the model that the training begins with as epoch 0: others have to be better."""
        self._add(self._row(trainer, module, epoch=0), trainer)

    def on_sanity_check_start(self, *_: Any) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Check that every state was resumed: Lightning ignores what a checkpoint lacks.

        Raises:
            LookupError: If one was not.
        """
        schedules = [each.scheduler for each in trainer.lr_scheduler_configs]
        if self.epochs and not (
            trainer.current_epoch == self.epochs
            and trainer.optimizers[0].state
            and all(each.last_epoch for each in schedules)
        ):
            raise LookupError("the checkpoint lacks a state")
        self.is_running = True

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Record the epoch; save the model if it is the best so far.

        An epoch that diverged ends the training and is not recorded: the argmax of NaN is a class,
        so that its mean IoU may well be the best.
        """
        row = self._row(trainer, module, epoch=trainer.current_epoch + 1)
        if what := self._divergence(row, module):
            self.diverged = f"has diverged in epoch {row['epoch']} ({what})"
            trainer.should_stop = True
            return
        self._add(row, trainer)
        if not trainer.is_global_zero:
            trainer.save_checkpoint(self.checkpoint)  # collective; the first process writes
            return
        with staged(self.checkpoint, overwrite=True) as partial:
            trainer.save_checkpoint(partial)

    def _add(self, row: Row, trainer: lightning.Trainer) -> None:
        self.rows.append(row)
        best = self.best is None or self._rank(row) < self._rank(self.best)
        self.best = row if best else self.best
        if trainer.is_global_zero:
            write_table(self.folder / "history.csv", self.rows)
            if best:
                self.save_model(row)

    def _divergence(self, row: Row, task: SegmentationTask) -> str:
        """What is no longer finite; empty if all is."""
        if not math.isfinite(row["train_loss"]):
            return f"its loss is {row['train_loss']}"
        if not self.is_finite():
            return "its weights are not finite"
        return "" if task.scores_are_finite else "its scores of validation ground are not finite"

    def _rank(self, row: Row) -> float:
        """Sort key: lower is better, not finite is worst; without validation the last is best."""
        if self.monitor not in row:
            return float(-row["epoch"])
        value = float(row[self.monitor])
        if not math.isfinite(value):
            return math.inf
        return -value if self.monitor == "val_miou" else value

    def _row(self, trainer: lightning.Trainer, task: SegmentationTask, *, epoch: int) -> Row:
        metrics = trainer.callback_metrics
        row: Row = {"epoch": epoch}
        names = ("train_loss", "val_loss", "val_miou")
        row |= {name: float(metrics[name]) for name in names if name in metrics}
        if "val_loss" in row:
            ious = np.where(task.counted, task.confusion.iou, math.nan).tolist()
            for name, iou in zip(self.names, ious, strict=True):
                row[f"iou_{name}"] = "" if math.isnan(iou) else iou
        row["lr"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        row["seconds"] = round(time.monotonic() - self._started, 1)
        return row

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint."""
        return {"rows": self.rows, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.rows = state_dict["rows"]
        self.best = state_dict["best"]


class EarlyStopping(Callback):
    """Ends a training after so many epochs without a better one.

    It has no state of its own: it reads that of the record, and comes after it.
    """

    def __init__(self, record: Record, epochs: int) -> None:
        """Set the number of epochs that may follow the best one; 0: any number."""
        self.record = record
        self.epochs = epochs

    @property
    def is_over(self) -> bool:
        """Whether that number of epochs has brought no improvement."""
        best = self.record.best
        if best is None or not self.epochs:
            return False
        return self.record.epochs - int(best["epoch"]) >= self.epochs

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Stop after an epoch, and a resumed training that had ended this way."""
        trainer.should_stop = trainer.should_stop or self.is_over

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Check the epoch."""
        self.on_train_start(trainer)


class Progress(Callback):
    """Progress of the first process on stderr: a bar, lines or events.

    A line, or event, comes after every epoch, too.
    """

    def __init__(self, name: str, limit: TimeLimit | None, *, quiet: bool) -> None:
        """Set the name of the training, and its limit of time."""
        self._name, self._limit = name, limit
        self._quiet = quiet
        self._shown = "nothing"
        self._bar: Any = None
        self._lines = ProgressLines(say)
        self._events = ProgressEvents()
        self._steps: int | None = None
        self._started = 0.0

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Open the bar at the current step."""
        if not trainer.is_global_zero:
            return
        self._shown = shown_as(quiet=self._quiet)
        timed = trainer.max_epochs == UNLIMITED
        self._steps = None if timed else int(trainer.estimated_stepping_batches)
        self._lines = ProgressLines(say)
        if self._shown == "bar":
            self._bar = bar_class()(
                total=self._steps, initial=trainer.global_step, file=sys.stderr, desc="train"
            )

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _: Any, outputs: Any, __: Any, number: int
    ) -> None:
        """Advance by one step."""
        if self._bar is not None:
            loss = float(outputs["loss"])
            metrics = {"epoch": str(trainer.current_epoch + 1), "loss": f"{loss:.3f}"}
            metrics |= _in_text(_metrics(trainer, "val_loss", "val_miou"))
            self._bar.set_postfix(metrics, refresh=False)
            self._bar.update(trainer.global_step - self._bar.n)
        elif self._shown == "lines":
            steps = int(trainer.num_training_batches)
            self._lines.tell(f"{self._name}, {_epoch(trainer)}, steps", number + 1, steps)
        elif self._shown == "events":
            done = trainer.global_step
            shares = [done / self._steps] if self._steps else []
            shares += [] if self._limit is None else [self._limit.share]
            share = max(shares, default=None)
            self._events.tell(self._name, done, self._steps, share=share, **_epochs(trainer))

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Tell what came of it, if there is no bar."""
        metrics = _metrics(trainer, "train_loss", "val_loss", "val_miou")
        seconds = time.monotonic() - self._started
        if self._shown == "lines":
            told = [f"{name} {value}" for name, value in _in_text(metrics).items()]
            say(f"{self._name}, {_epoch(trainer)}: {', '.join((*told, f'{seconds:.0f} s'))}")
        elif self._shown == "events":
            facts = {**_epochs(trainer), **metrics, "seconds": round(seconds, 1)}
            write_event("epoch", step=self._name, **facts)

    def on_train_end(self, *_: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()

    def on_exception(self, *_: Any) -> None:
        """Close the bar."""
        self.on_train_end()


def _metrics(trainer: lightning.Trainer, *names: str) -> dict[str, float]:
    metrics = trainer.callback_metrics
    return {name: float(metrics[name]) for name in names if name in metrics}


def _in_text(metrics: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.3f}" for name, value in metrics.items()}


def _epochs(trainer: lightning.Trainer) -> dict[str, int | None]:
    """The current epoch, and how many there will be at most."""
    timed = trainer.max_epochs == UNLIMITED
    return {"epoch": trainer.current_epoch + 1, "epochs": None if timed else trainer.max_epochs}


def _epoch(trainer: lightning.Trainer) -> str:
    epoch, epochs = _epochs(trainer).values()
    return f"epoch {epoch}" if epochs is None else f"epoch {epoch} of {epochs}"


EMA_DECAY = 0.999
"""Decay of the moving average per step, after its warm-up."""


def moving_average(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
    """Update an exponential moving average in place, with a smaller decay in the first steps.

    Integers are copied; the count is that of the steps in the average so far.

    Source: TensorFlow's ExponentialMovingAverage with ``num_updates``.
    """
    if not averaged[0].is_floating_point():
        torch._foreach_copy_(averaged, current)
        return
    keep = min(EMA_DECAY, (1 + int(count)) / (10 + int(count)))
    torch._foreach_lerp_(averaged, current, 1 - keep)


class MovingAverage(WeightAveraging):
    """Exponential moving average of weights and batch statistics over steps.

    Lightning's, except that the averages can be applied at any time.
    """

    def __init__(self) -> None:
        super().__init__(use_buffers=True, multi_avg_fn=moving_average)

    def on_validation_epoch_end(self, *_: Any) -> None:
        """Keep the averages for the validation on blended maps, which comes after."""

    def on_validation_end(self, _: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Restore the trained weights after validation."""
        if self._average_model is not None:
            self._swap_models(module)

    @contextmanager
    def applied(self, task: lightning.LightningModule) -> Iterator[None]:
        """Give the task the averaged weights inside the block."""
        self._swap_models(task)
        try:
            yield
        finally:
            self._swap_models(task)


PROJECT_NAME, LOG_FOLDER = "geoseg", "logs"
"""Project or experiment of loggers that group runs, and folder of logs in the run folder."""


def _mlflow(run: Path) -> Logger:
    folder = (run / LOG_FOLDER).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    # Lightning's default, a file store, is refused by MLflow 3
    store = f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
    store = os.environ.get("MLFLOW_TRACKING_URI", store)
    return loggers.MLFlowLogger(PROJECT_NAME, run_name=run.name, tracking_uri=store)


LOGGER_FACTORIES: dict[str, Callable[[Path], Logger]] = {
    "csv": lambda run: loggers.CSVLogger(run, name=LOG_FOLDER),
    "tensorboard": lambda run: loggers.TensorBoardLogger(run, name=LOG_FOLDER),
    "mlflow": _mlflow,
    "wandb": lambda run: loggers.WandbLogger(project=PROJECT_NAME, name=run.name, save_dir=run),
}
"""Loggers by name; they write into the run folder unless their own settings differ."""

LOGGER_PACKAGES = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
}
"""Packages of loggers, of which one is needed."""


def check_loggers(names: Sequence[str]) -> None:
    """Check that the packages of loggers are installed.

    Raises:
        TrainingError: If one is not.
    """
    for name in names:
        if name in LOGGER_PACKAGES and not any(map(find_spec, LOGGER_PACKAGES[name])):
            raise TrainingError(
                f"--logger {name}: its package is not installed: `pip install 'geoseg[{name}]'`"
            )


def make_loggers(options: TrainOptions, run: Path) -> list[Logger]:
    """The loggers of the options, with the options as hyperparameters.

    Raises:
        TrainingError: If one cannot start.
    """
    made = []
    for name in options.loggers:
        try:
            made.append(LOGGER_FACTORIES[name](run))
            made[-1].log_hyperparams(options.to_record())
        except Exception as error:  # each has its own: no server, no login
            reason = str(error).strip().partition("\n")[0]
            raise TrainingError(f"--logger {name}: {reason or type(error).__name__}") from error
    return made
