"""Depthwise convolutions that train fast in bfloat16 on a processor."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


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
