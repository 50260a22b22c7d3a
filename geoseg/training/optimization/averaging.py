"""An average of the weights that a training goes through: it is validated and kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

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
