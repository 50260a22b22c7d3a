from contextlib import nullcontext

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from geoseg.model.network import build_network
from geoseg.training.optimization.batch_statistics import SharedBatchStatistics, sharing_on_gpus


def step(norm, images, mode):
    """Output, gradients and running statistics of a step."""
    images = images.clone().requires_grad_()
    with mode:
        made = norm(images)
    (made.float().square() * torch.arange(made.numel()).view_as(made)).sum().backward()
    grads = [images.grad, *(each.grad for each in norm.parameters())]
    return [made, *grads, *norm.buffers()]


@pytest.mark.parametrize("make", [nn.BatchNorm2d, BatchNormAct2d])
@pytest.mark.parametrize("training", [True, False])
def test_alone_it_is_torchs_batch_normalisation(make, training):
    images = 3 + torch.randn(4, 2, 5, 6, generator=torch.Generator().manual_seed(0))

    theirs, ours = (
        step(make(2).train(training), images, mode)
        for mode in (nullcontext(), SharedBatchStatistics())
    )

    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def test_what_comes_in_bfloat16_goes_out_in_it():
    with SharedBatchStatistics():
        made = nn.BatchNorm2d(2)(torch.rand(2, 2, 3, 3).bfloat16())

    assert made.dtype == torch.bfloat16


@pytest.mark.parametrize("encoder", ["tu-tf_efficientnet_lite0", "resnet18"])
def test_on_gpus_the_network_stays_what_it_is(encoder):
    network, _ = build_network("unet", encoder, bands=3, classes=2, encoder_weights="none")
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = network.eval()(images)

    shared = sharing_on_gpus(network)

    with torch.no_grad():
        assert torch.equal(shared.eval()(images), before)
    norms = [each for each in shared.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(each, nn.SyncBatchNorm) for each in norms)
