"""Batch statistics of all processes that train together, as of a single one."""

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from geoseg.training.ranks import sum_over_processes


def sharing_on_gpus(network: nn.Module) -> nn.Module:
    """A network whose batch normalisation is torch's for several GPUs.

    torch's own conversion, which Lightning uses, would drop the activations that timm's encoders
    have within their normalisation; timm's keeps them.
    """
    return cast("nn.Module", convert_sync_batchnorm(network))  # type: ignore[no-untyped-call]


class SharedBatchStatistics(TorchFunctionMode):
    """Within it, batch normalisation of several processes on CPUs is that of one.

    torch has that for GPUs only.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, or `batch_norm` instead of its own."""
        own = batch_norm if func is functional.batch_norm else func
        return own(*args, **(kwargs or {}))


def batch_norm(  # noqa: PLR0917 torch's order
    images: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` whose statistics in training are of all processes.

    Args:
        images: (n, channels, ...); n may be another in every process.
        running_mean: (channels,), changed in place in training.
        running_var: (channels,), likewise, by the unbiased variance.
        weight: (channels,).
        bias: (channels,).
        training: Whether the statistics are those of the images.
        momentum: What they weigh in the running ones.
        eps: Added to the variance.
    """
    if not training:
        return functional.batch_norm(
            images, running_mean, running_var, weight, bias, training, momentum, eps
        )
    wide = images.float()
    others = [0, *range(2, wide.dim())]
    count = sum_over_processes(wide.new_tensor(wide.numel() / wide.shape[1]))
    mean = sum_over_processes(wide.sum(others, keepdim=True)) / count
    centred = wide - mean
    variance = sum_over_processes(centred.square().sum(others, keepdim=True)) / count
    with torch.no_grad():
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.flatten(), momentum)
            running_var.lerp_(variance.flatten() * count / (count - 1), momentum)
    made = centred * torch.rsqrt(variance + eps)
    if weight is not None:
        made = made * weight.view_as(mean)
    if bias is not None:
        made = made + bias.view_as(mean)
    return made.to(images.dtype)
