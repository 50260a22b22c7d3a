from contextlib import nullcontext

import pytest
import torch
from torch import nn

from geoseg.training.distributed import DepthwiseInFloat32


def gradients(conv, image, mode):
    """Output, and gradients of the image and the weights, of a step under autocast."""
    image = image.clone().requires_grad_()
    conv.zero_grad()
    with torch.autocast("cpu", torch.bfloat16), mode:
        made = conv(image)
    made.float().square().sum().backward()
    return made, image.grad, conv.weight.grad


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_gradients_are_those_of_float32_and_the_output_is_as_autocast_wants_it(stride):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 6, 5, stride, 2, groups=6)
    image = torch.randn(2, 6, 9, 9)
    exact = conv(image)

    made, _, weights = gradients(conv, image, DepthwiseInFloat32())

    assert made.dtype == torch.bfloat16
    assert torch.equal(made, exact.bfloat16())
    assert weights.dtype == torch.float32
    rounded = exact.detach().bfloat16().float()
    wanted = torch.autograd.grad(exact, conv.weight, (2 * rounded).bfloat16().float())[0]
    assert torch.equal(weights, wanted)


@pytest.mark.parametrize("groups", [1, 2])
def test_other_convolutions_are_left_to_autocast(groups):
    torch.manual_seed(0)
    conv, image = nn.Conv2d(4, 4, 3, groups=groups), torch.randn(1, 4, 6, 6)

    ours = gradients(conv, image, DepthwiseInFloat32())
    plain = gradients(conv, image, nullcontext())

    assert all(torch.equal(a, b) for a, b in zip(ours, plain, strict=True))


def test_without_autocast_nothing_changes():
    conv, image = nn.Conv2d(4, 4, 3, groups=4), torch.randn(1, 4, 6, 6)

    with DepthwiseInFloat32():
        made = conv(image)

    assert made.dtype == torch.float32
    assert torch.equal(made, conv(image))
