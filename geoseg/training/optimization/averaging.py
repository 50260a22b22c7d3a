"""Averages of the weights that a training goes through: they are validated and kept."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, update_bn

DECAY = 0.999
"""What the moving average keeps of itself in a step, once it is warm."""

SWA_START = 0.75
"""Share of a training after which the weights of each epoch count in the mean."""


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


class Averaging(WeightAveraging):
    """Lightning's averaging, whose averages can be put to use at any time."""

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


class MovingAverage(Averaging):
    """Exponential moving average over steps, of weights and batch statistics alike."""

    def __init__(self) -> None:
        super().__init__(use_buffers=True, multi_avg_fn=moving_average)


class StochasticAverage(Averaging):
    """Mean of the weights at the end of each of the last epochs.

    Their batch statistics are measured anew. Until then it is the network as it is.

    Source: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better
    Generalization".
    """

    def __init__(self, progress: Callable[[], float], batches: Callable[[], Iterable[Any]]) -> None:
        """Take what to ask.

        Args:
            progress: Share of the training that is done, 0..1.
            batches: Training batches to measure batch statistics with.
        """
        super().__init__(use_buffers=False)
        self._progress = progress
        self._batches = batches

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any, **__: Any
    ) -> None:
        """At the end of an epoch, take its weights in."""
        if not (trainer.is_last_batch or trainer.should_stop):
            return
        average = cast("AveragedModel", self._average_model)
        average.update_parameters(pl_module)
        if self._progress() <= SWA_START:
            average.n_averaged.zero_()  # the next one replaces it
        if average.n_averaged > 1:
            update_bn(self._batches(), average.module, device=pl_module.device)
        else:
            _copy_buffers(pl_module, average.module)


def _copy_buffers(source: torch.nn.Module, target: torch.nn.Module) -> None:
    for ours, theirs in zip(target.buffers(), source.buffers(), strict=True):
        ours.copy_(theirs)
