"""Averages of the weights that a training goes through: they are validated and kept."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from geoseg.training.optimization.modes import modes_kept

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

    @property
    def has_begun(self) -> bool:
        """Whether the averages are of now for the first time, and models before them are others."""
        return False

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

    @property
    def has_begun(self) -> bool:
        """Whether the second epoch was taken in just now."""
        return int(cast("AveragedModel", self._average_model).n_averaged) == 2  # noqa: PLR2004

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
        _copy_buffers(pl_module, average.module)
        if average.n_averaged > 1:
            with trainer.precision_plugin.forward_context():
                measure_statistics(average.module, pl_module, self._batches())


def measure_statistics(network: nn.Module, like: nn.Module, batches: Iterable[Any]) -> None:
    """Measure the batch statistics of a network anew, as means over batches.

    torch's `update_bn` would measure those of a frozen encoder too, which stay as they are.

    Args:
        network: Called with images; its statistics are replaced.
        like: As many modules, each in the mode, training or not, that its own is to have.
        batches: Images, or images and whatever belongs to them.
    """
    device = next(network.parameters()).device
    measured = []
    with modes_kept(network), torch.no_grad():
        for module, model in zip(network.modules(), like.modules(), strict=True):
            module.training = model.training
            if isinstance(module, _BatchNorm) and module.training:
                module.reset_running_stats()
                measured.append((module, module.momentum))
                module.momentum = None  # all batches count alike
        for batch in batches:
            network((batch[0] if isinstance(batch, list | tuple) else batch).to(device))
    for module, momentum in measured:
        module.momentum = momentum


def _copy_buffers(source: nn.Module, target: nn.Module) -> None:
    for ours, theirs in zip(target.buffers(), source.buffers(), strict=True):
        ours.copy_(theirs)
