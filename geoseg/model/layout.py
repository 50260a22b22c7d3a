"""Layers that must not compute in the layout of the others."""

import torch
from torch import Tensor, nn

NARROW = 16
"""Bands or channels from which such layers are safe."""


def spare_narrow_layers(network: nn.Module) -> int:
    """Let narrow 1 x 1 convolutions with a stride compute in the contiguous layout on a CPU.

    In channels_last, the gradients of a 1 x 1 convolution with stride 2 from 2 to 15 channels write
    beyond their memory in float32 (torch 2.15 with oneDNN): the process ends, or goes on with other
    numbers. The stems of MobileOne and RepVGG have such a branch, from the image's bands. The rest
    of the network keeps its layout.

    Args:
        network: Its weights have their layout already.

    Returns:
        How many layers there are.
    """
    found = [each for each in network.modules() if _is_narrow(each)]
    for layer in found:
        weight = layer.get_parameter("weight")
        # of a 1 x 1 kernel both layouts are contiguous: only a copy has the strides of this one
        weight.data = weight.data.clone(memory_format=torch.contiguous_format)
        layer.register_forward_pre_hook(_to_contiguous)
    return len(found)


def _is_narrow(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and max(layer.stride) > 1
        and 1 < layer.in_channels // layer.groups < NARROW
    )


def _to_contiguous(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    (images,) = inputs
    return (images.contiguous() if images.device.type == "cpu" else images,)
