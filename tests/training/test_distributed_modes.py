import pytest
from torch import nn

from geoseg.training.distributed import preserve_modes


def fail(network):
    network.eval()
    raise MemoryError


def test_every_module_is_afterwards_in_its_own_mode_whatever_happens():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.BatchNorm2d(1))
    network[0].eval()

    with pytest.raises(MemoryError), preserve_modes(network):
        fail(network)

    assert (network.training, network[0].training, network[1].training) == (True, False, True)
