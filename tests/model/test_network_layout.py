import subprocess
import sys

import pytest
import torch
from torch import nn

from geoseg.model.network import protect_narrow_convolutions

CODE = """
import torch
from torch import nn
from geoseg.model.network import protect_narrow_convolutions
torch.set_num_threads(1)
torch.manual_seed(0)
stem = nn.Conv2d(3, 16, 1, stride=2, bias=False).to(memory_format=torch.channels_last)
protect_narrow_convolutions(stem)
images = torch.randn(4, 3, 64, 64).contiguous(memory_format=torch.channels_last)
for _ in range(30):
    stem.zero_grad()
    stem(images).square().mean().backward()
expected = torch.einsum("nbhw,ob->nohw", images[:, :, ::2, ::2], stem.weight[:, :, 0, 0])
assert torch.allclose(stem(images), expected, atol=1e-5)
"""


def test_narrow_layers_with_a_stride_train_in_channels_last():
    """In a process of its own: without the remedy it is ended by a signal."""
    done = subprocess.run([sys.executable, "-c", CODE], check=False)

    assert done.returncode == 0


@pytest.mark.parametrize(
    ("layer", "spared"),
    [
        (nn.Conv2d(3, 8, 1, stride=2), 1),
        (nn.Conv2d(15, 8, 1, stride=2), 1),
        (nn.Conv2d(1, 8, 1, stride=2), 0),
        (nn.Conv2d(16, 8, 1, stride=2), 0),
        (nn.Conv2d(3, 8, 3, stride=2), 0),
        (nn.Conv2d(3, 8, 1), 0),
        (nn.Linear(3, 8), 0),
    ],
)
def test_only_narrow_1_x_1_convolutions_with_a_stride_change_their_layout(layer, spared):
    assert protect_narrow_convolutions(nn.Sequential(layer)) == spared


def test_the_weights_get_the_strides_of_the_contiguous_layout():
    layer = nn.Conv2d(3, 8, 1, stride=2).to(memory_format=torch.channels_last)

    protect_narrow_convolutions(layer)

    assert layer.weight.stride() == (3, 1, 1, 1)
