"""Training in several processes, and modes of torch around a step."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, distributed, nn
from torch.overrides import TorchFunctionMode

from geoseg.errors import TrainingError
from geoseg.raster.threads import core_count


def is_first() -> bool:
    """Whether this process writes files and messages; a single process always does."""
    return rank() == 0


def rank() -> int:
    """Rank of this process; Lightning and torchrun set it in the environment."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))


def share_machine(devices: int, device: torch.device) -> None:
    """Check that each process has its own GPU, or give it its share of the CPU's threads.

    Raises:
        TrainingError: If there are fewer GPUs.
    """
    there = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device.type, devices)
    if devices > there:
        raise TrainingError(f"--devices {devices}: this machine has {there} of {device.type}")
    if devices > 1 and device.type == "cpu":
        torch.set_num_threads(max(core_count() // devices, 1))


def check_launched(devices: int) -> None:
    """Check that torchrun, if used, started as many processes as `--devices` says.

    Raises:
        TrainingError: If there are more or fewer, or they run on several machines.
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
    """Mean over all processes, without gradient."""
    if _is_alone():
        return value
    return sum_over_processes(value.detach()) / distributed.get_world_size()


def sum_over_processes(value: Tensor) -> Tensor:
    """Sum over all processes, with its gradient.

    Averaged over processes, the gradients of a loss of this sum are those of the whole batch.
    """
    if _is_alone():
        return value
    total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return total


def _is_alone() -> bool:
    return not (distributed.is_available() and distributed.is_initialized())


class _Sum(torch.autograd.Function):
    """Sum over processes; its gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(_, gradient)


def with_sync_batchnorm(network: nn.Module) -> nn.Module:
    """The network with batch statistics shared over GPUs.

    timm's conversion, as torch's (which Lightning uses) drops the activations that timm's encoders
    keep inside their normalisation layers.
    """
    return cast("nn.Module", convert_sync_batchnorm(network))  # type: ignore[no-untyped-call]


class DepthwiseInFloat32(TorchFunctionMode):
    """Mode in which depthwise convolutions under autocast on a CPU compute in float32.

    Why: in bfloat16, oneDNN (torch 2.15, with AMX) takes 4 to 20 times as long for their gradients
    as in float32, if the kernel is 5 x 5 or strided. Why a mode: autocast has no list of exceptions
    that a user could extend. Gain: half of a step of EfficientNet-Lite0. The output has the type
    that autocast asks for.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a torch function, in float32 if it is a depthwise convolution."""
        if func is torch.conv2d and len(args) > 1 and torch.is_autocast_enabled("cpu"):
            image, weight, *rest = args
            if image.device.type == "cpu" and weight.shape[1] == 1 < image.shape[1]:
                with torch.autocast("cpu", enabled=False):
                    wide: Tensor = func(image.float(), weight, *rest, **(kwargs or {}))
                return wide.to(torch.get_autocast_dtype("cpu"))
        return func(*args, **(kwargs or {}))


@contextmanager
def preserve_modes(network: nn.Module) -> Iterator[None]:
    """Restore each module's own training or evaluation mode afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
