"""Several processes that train together: which one this is, and what they agree on."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, distributed, nn
from torch.overrides import TorchFunctionMode

from geoseg.errors import TrainingError


def is_first() -> bool:
    """Whether this process is the one that writes and speaks; alone it always is."""
    return rank() == 0


def rank() -> int:
    """Number of this process among those that train together.

    Lightning and torchrun tell their processes through the environment.
    """
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))


def share_machine(devices: int, device: torch.device) -> None:
    """See that each of several processes has a GPU of its own, or give it a share of the threads.

    Raises:
        TrainingError: If there are fewer GPUs.
    """
    there = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device.type, devices)
    if devices > there:
        raise TrainingError(f"--devices {devices}: of {device.type} this machine has {there}")
    if devices > 1 and device.type == "cpu":
        torch.set_num_threads(max((os.cpu_count() or 1) // devices, 1))


def check_launched(devices: int) -> None:
    """See that torchrun, if it started this process, started as many as train together.

    Raises:
        TrainingError: If there are more or fewer, or they are on several machines.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    started, here = (int(os.environ[name]) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if started != here:
        raise TrainingError(
            f"torchrun started {started} processes, {here} of them here: train on one machine"
        )
    if started != devices:
        raise TrainingError(
            f"torchrun started {started} processes, and --devices says {devices}: give --devices "
            f"{started}"
        )


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a figure without gradient over all processes; alone, the figure."""
    if _is_alone():
        return value
    return sum_over_processes(value.detach()) / distributed.get_world_size()


def sum_over_processes(value: Tensor) -> Tensor:
    """The sum over all processes, with its gradient; alone, the figure.

    What each makes of it has the gradients of the whole batch once they are averaged.
    """
    if _is_alone():
        return value
    total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return total


def _is_alone() -> bool:
    return not (distributed.is_available() and distributed.is_initialized())


class _Sum(torch.autograd.Function):
    """Each process's part counts in the sums of all, and so do the gradients of all in its own."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        """The sum over all processes."""
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        """The sum of their gradients."""
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


def sharing_on_gpus(network: nn.Module) -> nn.Module:
    """A network whose batch normalisation is torch's for several GPUs.

    torch's own conversion, which Lightning uses, would drop the activations that timm's encoders
    have within their normalisation; timm's keeps them.
    """
    return cast("nn.Module", convert_sync_batchnorm(network))  # type: ignore[no-untyped-call]


class DepthwiseInFloat32(TorchFunctionMode):
    """Within it, under autocast on a CPU, depthwise convolutions compute in float32.

    What they give is of the type that autocast asks for. oneDNN (torch 2.15, with AMX) takes 4 to
    20 times as long for their gradients in bfloat16 as in float32, if the kernel is 5 x 5 or has
    a stride: half of a step of EfficientNet-Lite0.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, in float32 if it is such a convolution."""
        if func is torch.conv2d and len(args) > 1 and torch.is_autocast_enabled("cpu"):
            image, weight, *rest = args
            if image.device.type == "cpu" and weight.shape[1] == 1 < image.shape[1]:
                with torch.autocast("cpu", enabled=False):
                    wide: Tensor = func(image.float(), weight, *rest, **(kwargs or {}))
                return wide.to(torch.get_autocast_dtype("cpu"))
        return func(*args, **(kwargs or {}))


@contextmanager
def modes_kept(network: nn.Module) -> Iterator[None]:
    """Afterwards every module is in the mode that it was in before, each in its own."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
