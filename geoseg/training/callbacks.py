"""What happens beside the training: records, the best model, checkpoints, progress."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
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
from tqdm import tqdm

from geoseg.errors import TrainingError
from geoseg.raster.atomic import staged
from geoseg.text import ProgressLines
from geoseg.training.options import UNLIMITED, TrainOptions
from geoseg.training.run_folder import Row, write_history
from geoseg.training.task import SegmentationTask


class Record(Callback):
    """Writes history.csv, and keeps the best model and a checkpoint after every epoch.

    Comes after all callbacks that have a state, so that the checkpoint holds what they know.
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
        """Take what to ask.

        Args:
            folder: Of the training.
            names: (classes,).
            monitor: The figure that makes an epoch the best.
            save_model: Keeps the model as it is now.
            is_finite: Whether all weights of the model as it is now are numbers.
        """
        self.folder = folder
        self.names = names
        self.monitor = monitor
        self.save_model = save_model
        self.is_finite = is_finite
        self.rows: list[Row] = []
        self.best: Row | None = None
        self.diverged = ""
        self.is_running = False
        self._started = time.monotonic()

    @property
    def checkpoint(self) -> Path:
        """State of the training after the last complete epoch."""
        return self.folder / "last.ckpt"

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """See that all was resumed: Lightning passes over what a checkpoint lacks.

        Raises:
            LookupError: If it was not.
        """
        schedules = [each.scheduler for each in trainer.lr_scheduler_configs]
        if self.rows and not (
            trainer.current_epoch == len(self.rows)
            and trainer.optimizers[0].state
            and all(each.last_epoch for each in schedules)
        ):
            raise LookupError("the checkpoint lacks a state")
        self.is_running = True

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Write down the epoch; keep the model if it is the best so far.

        An epoch that diverged ends the training. Nothing of it is kept: a model that scores
        NaN may well have the best mean IoU, as its argmax is a class.
        """
        row = self._row(trainer, module)
        if what := self._not_finite(row, module):
            self.diverged = f"has diverged in epoch {row['epoch']} ({what})"
            trainer.should_stop = True
            return
        self.rows.append(row)
        best = self.best is None or self._rank(row) < self._rank(self.best)
        self.best = row if best else self.best
        if not trainer.is_global_zero:
            trainer.save_checkpoint(self.checkpoint)  # takes part; the first process writes
            return
        write_history(self.folder / "history.csv", self.rows)
        if best:
            self.save_model(row)
        with staged(self.checkpoint, overwrite=True) as partial:
            trainer.save_checkpoint(partial)

    def _not_finite(self, row: Row, task: SegmentationTask) -> str:
        """What is no number any more; empty: nothing."""
        if not math.isfinite(row["train_loss"]):
            return f"its loss is {row['train_loss']}"
        if not self.is_finite():
            return "its weights are not finite"
        return "" if task.scores_are_finite else "its scores of validation ground are not finite"

    def _rank(self, row: Row) -> float:
        """Lower is better; what is not finite is worst. Without validation the last is best."""
        if self.monitor not in row:
            return float(-row["epoch"])
        value = float(row[self.monitor])
        if not math.isfinite(value):
            return math.inf
        return -value if self.monitor == "val_miou" else value

    def _row(self, trainer: lightning.Trainer, task: SegmentationTask) -> Row:
        metrics = trainer.callback_metrics
        row: Row = {"epoch": trainer.current_epoch + 1}
        for name in ("train_loss", "val_loss", "val_miou"):
            if name in metrics:
                row[name] = float(metrics[name])
        if "val_loss" in row:
            ious = np.where(task.counted, task.confusion.iou, math.nan).tolist()
            for name, iou in zip(self.names, ious, strict=True):
                row[f"iou_{name}"] = "" if math.isnan(iou) else iou
        row["lr"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        row["seconds"] = round(time.monotonic() - self._started, 1)
        return row

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"rows": self.rows, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.rows = state_dict["rows"]
        self.best = state_dict["best"]


class Patience(Callback):
    """Ends a training whose best epoch is long ago.

    It asks the record, whose state the checkpoint holds, and comes after it.
    """

    def __init__(self, record: Record, epochs: int) -> None:
        """Take how many epochs may follow the best one; 0: any number."""
        self.record = record
        self.epochs = epochs

    @property
    def is_over(self) -> bool:
        """Whether as many epochs as may be were no better."""
        best = self.record.best
        if best is None or not self.epochs:
            return False
        return len(self.record.rows) - int(best["epoch"]) >= self.epochs

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """What had ended before it was resumed stays as it is."""
        trainer.should_stop = trainer.should_stop or self.is_over

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Judge the epoch."""
        trainer.should_stop = trainer.should_stop or self.is_over


class Progress(Callback):
    """Progress on stderr: a bar on a terminal, elsewhere a line per epoch, in long ones per minute.

    Of several processes the first speaks.
    """

    def __init__(self, name: str, *, quiet: bool) -> None:
        """Take what to call the training."""
        self._name = name
        self._quiet = quiet
        self._bar: tqdm[Any] | None = None
        self._lines: ProgressLines | None = None
        self._began = 0.0

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Open the bar where a resumed training stands."""
        if self._quiet or not trainer.is_global_zero:
            return
        if not sys.stderr.isatty():
            self._lines = ProgressLines(_write)
            return
        timed = trainer.max_epochs == UNLIMITED
        total = None if timed else int(trainer.estimated_stepping_batches)
        self._bar = tqdm(total=total, initial=trainer.global_step, file=sys.stderr, desc="train")

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _: Any, outputs: Any, __: Any, number: int
    ) -> None:
        """One step on."""
        if self._bar is not None:
            loss = float(outputs["loss"])
            figures = {"epoch": str(trainer.current_epoch + 1), "loss": f"{loss:.3f}"}
            figures |= _figures(trainer, "val_loss", "val_miou")
            self._bar.set_postfix(figures, refresh=False)
            self._bar.update(trainer.global_step - self._bar.n)
        if self._lines is not None:
            steps = int(trainer.num_training_batches)
            self._lines.tell(f"{self._name}, {_epoch(trainer)}, steps", number + 1, steps)

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Write a line, where there is no bar."""
        if self._lines is None:
            return
        figures = _figures(trainer, "train_loss", "val_loss", "val_miou")
        told = [f"{name} {value}" for name, value in figures.items()]
        seconds = time.monotonic() - self._began
        _write(f"{self._name}, {_epoch(trainer)}: {', '.join((*told, f'{seconds:.0f} s'))}")

    def on_train_end(self, *_: Any) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, *_: Any) -> None:
        """Close the bar."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _figures(trainer: lightning.Trainer, *names: str) -> dict[str, str]:
    metrics = trainer.callback_metrics
    return {name: f"{float(metrics[name]):.3f}" for name in names if name in metrics}


def _epoch(trainer: lightning.Trainer) -> str:
    of = "" if trainer.max_epochs == UNLIMITED else f" of {trainer.max_epochs}"
    return f"epoch {trainer.current_epoch + 1}{of}"


def _write(line: str) -> None:
    """Write a line; a log that is full or closed does not end a training."""
    with suppress(OSError, ValueError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


DECAY = 0.999
"""What the moving average keeps of itself in a step, once it is warm."""


def moving_average(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
    """Take a step of the exponential moving average; in the beginning it follows faster.

    Args:
        averaged: Tensors of one type, changed in place; of whole numbers: those of now.
        current: Of the same shapes.
        count: Steps that are in the average.

    Source: TensorFlow's ExponentialMovingAverage with ``num_updates``.
    """
    if not averaged[0].is_floating_point():
        torch._foreach_copy_(averaged, current)
        return
    keep = min(DECAY, (1 + int(count)) / (10 + int(count)))
    torch._foreach_lerp_(averaged, current, 1 - keep)


class MovingAverage(WeightAveraging):
    """Exponential moving average over steps, of weights and batch statistics alike.

    Lightning's, but that its averages can be put to use at any time.
    """

    def __init__(self) -> None:
        super().__init__(use_buffers=True, multi_avg_fn=moving_average)

    def on_validation_epoch_end(self, *_: Any) -> None:
        """Blended maps are yet to be made of the averages."""

    def on_validation_end(self, _: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Validation is over: train the network as it was."""
        if self._average_model is not None:
            self._swap_models(module)

    @contextmanager
    def applied(self, task: lightning.LightningModule) -> Iterator[None]:
        """The task has the averaged weights within."""
        self._swap_models(task)
        try:
            yield
        finally:
            self._swap_models(task)


PROJECT = "geoseg"
"""What trainings are called together, where a logger wants a name for that."""

FOLDER = "logs"
"""Below the run folder."""


def _mlflow(run: Path) -> Logger:
    folder = (run / FOLDER).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return loggers.MLFlowLogger(
        experiment_name=PROJECT,
        run_name=run.name,
        # MLflow 3 refuses Lightning's own default, a store of files
        tracking_uri=os.environ.get(
            "MLFLOW_TRACKING_URI", f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
        ),
    )


MAKERS: dict[str, Callable[[Path], Logger]] = {
    "csv": lambda run: loggers.CSVLogger(run, name=FOLDER),
    "tensorboard": lambda run: loggers.TensorBoardLogger(run, name=FOLDER),
    "mlflow": _mlflow,
    "wandb": lambda run: loggers.WandbLogger(project=PROJECT, name=run.name, save_dir=run),
}
"""Where each keeps its records: in the run folder, unless its own settings say otherwise."""

PACKAGES = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
}
"""Of which a logger needs one."""


def check_loggers(names: Sequence[str]) -> None:
    """See that the packages of loggers are installed.

    Raises:
        TrainingError: If one is not.
    """
    for name in names:
        if name in PACKAGES and not any(map(find_spec, PACKAGES[name])):
            raise TrainingError(
                f"--logger {name}: its package is not installed: `pip install 'geoseg[{name}]'`"
            )


def make_loggers(options: TrainOptions, run: Path) -> list[Logger]:
    """The loggers that the options name, knowing the options.

    Raises:
        TrainingError: If one cannot begin.
    """
    record: dict[str, Any] = asdict(options)
    return [_made(name, run, record) for name in options.loggers]


def _made(name: str, run: Path, record: dict[str, Any]) -> Logger:
    try:
        logger = MAKERS[name](run)
        logger.log_hyperparams(record)
    except Exception as error:  # each has errors of its own: no server, no login
        reason = str(error).strip().partition("\n")[0]
        raise TrainingError(f"--logger {name}: {reason or type(error).__name__}") from error
    return logger
