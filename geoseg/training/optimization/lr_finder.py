"""A learning rate from a range test: it rises step by step until the loss does."""

import contextlib
import io
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.tuner.tuning import Tuner
from numpy.typing import NDArray

from geoseg.errors import TrainingError
from geoseg.io.outputs import staged
from geoseg.training.options import HIGHEST, LOWEST, UNLIMITED, TrainOptions
from geoseg.training.task import SegmentationTask
from geoseg.training.trainer import make_trainer

STEPS = 100
"""Of the test."""

BETA = 0.98
"""What Lightning's running mean of the loss keeps of itself in a step."""


def find_lr(
    task: SegmentationTask,
    batches: Any,
    options: TrainOptions,
    device: torch.device,
    *,
    picture: Path,
) -> float:
    """A tenth of the rate at which the loss was lowest; the task is afterwards as it was.

    Args:
        task: Whose network is tried.
        batches: Of training.
        options: Of the training.
        device: Where it computes.
        picture: PNG file to draw the loss over the rate in.

    Raises:
        TrainingError: If the loss falls at no rate.

    Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks", the test as
    Lightning does it; the tenth is the rule of the fast.ai course.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        trainer = make_trainer(
            replace(options, accumulate=1),
            device,
            [],
            max_epochs=UNLIMITED,
            default_root_dir=folder,
            limit_val_batches=0,
        )
        finder: Any = _finder(trainer, task, batches)
    lightning.seed_everything(options.seed, verbose=False)
    losses = unbiased(np.array(finder.results["loss"], float))
    rates = np.array(finder.results["lr"], float)[: len(losses)]
    lowest = int(np.nanargmin(losses)) if np.isfinite(losses).any() else 0
    if not lowest:
        raise TrainingError("--lr auto: the loss falls at no rate; give one, such as --lr 0.001")
    found = float(f"{rates[lowest] / 10:.2g}")
    _draw(picture, rates, losses, found)
    return found


def unbiased(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running means as they should be: Lightning divides by the weight of one step too many.

    Args:
        losses: (steps,) as Lightning's range test gives them, the first only half its loss.

    >>> unbiased(np.array([(1 - BETA) / (1 - BETA**2)])).round(6).tolist()
    [1.0]
    """
    steps = np.arange(1, len(losses) + 1)
    return losses * (1 - BETA ** (steps + 1)) / (1 - BETA**steps)


def _draw(path: Path, rates: NDArray[np.float64], losses: NDArray[np.float64], rate: float) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(rates, losses)
    axes.axvline(rate, color="black", linestyle=":", label=f"{rate:g}")
    axes.set_ylim(top=float(losses[np.isfinite(losses)][0]) * 1.5)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("smoothed training loss")
    axes.legend()
    with staged(path, overwrite=True) as partial:
        figure.savefig(partial, dpi=110, metadata={"Software": None})


def _finder(trainer: lightning.Trainer, task: SegmentationTask, batches: Any) -> Any:
    return Tuner(trainer).lr_find(
        task,
        batches,
        min_lr=LOWEST,
        max_lr=HIGHEST,
        num_training=STEPS,
        update_attr=False,
        attr_name="lr",
    )
