"""An untrained bundle: what it says does not matter here, only that it is kept."""

import shutil
from functools import cache

import pytest
import torch

from geoseg.labels.legend import Legend
from geoseg.model.bundle import ModelBundle, Normalisation
from geoseg.model.network import build_network, save_network

LEGEND = Legend.from_dict({"class": [{"name": "a"}, {"name": "b"}, {"name": "c"}]})


@pytest.fixture(scope="session")
def network():
    torch.manual_seed(0)
    built, _ = build_network(
        *("unet", "tu-test_resnet"), bands=3, classes=3, encoder_weights="none",
        decoder_channels="32,16,16,16,16",  # weights of 2 MB: 9 take longer to convert than to run
    )  # fmt: skip
    return built.eval()


@pytest.fixture(scope="session")
def fpn():
    torch.manual_seed(0)
    built, _ = build_network("fpn", "tu-test_resnet", bands=3, classes=3, encoder_weights="none")
    return built.eval()


@pytest.fixture(scope="session")
def _write(tmp_path_factory):
    """A function that writes a network, once, and gives the folder."""

    @cache
    def write(network):
        folder = tmp_path_factory.mktemp("network")
        save_network(network, folder)
        return folder

    return write


@pytest.fixture
def make_bundle(tmp_path, _write):
    """A function that puts a network into a bundle on disk, and loads it."""

    def make(network, arch):
        folder = shutil.copytree(_write(network), tmp_path / arch)
        ModelBundle(
            arch=arch,
            encoder="tu-test_resnet",
            legend=LEGEND,
            bands=3,
            band_names=("red", "green", "blue"),
            dtype="uint8",
            value_range=(10.0, 200.0),
            normalisation=Normalisation(mean=(100.0, 110.0, 120.0), std=(30.0, 31.0, 32.0)),
            patch_size=32,
            gsd=0.5,
            temperature=1.5,
            training={"options": {"lr": 0.001}},
        ).write_record(folder)
        return ModelBundle.load(folder)

    return make


@pytest.fixture
def bundle(make_bundle, network):
    """A bundle of U-Net, which takes windows of any size."""
    return make_bundle(network, "unet")


@pytest.fixture
def fpn_bundle(make_bundle, fpn):
    """A bundle of FPN, which takes multiples of 32 px."""
    return make_bundle(fpn, "fpn")
