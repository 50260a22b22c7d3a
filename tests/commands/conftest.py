"""The command line in this process: exit code, stdout, stderr; and a small world to run it on."""

import shutil
import sys
from typing import NamedTuple

import numpy as np
import pytest
import torch

from geoseg import cli
from geoseg.labels.legend import Legend
from geoseg.labels.legend_files import to_toml
from geoseg.model.bundle import ModelBundle, Normalisation
from geoseg.model.network import build_network, save_network

LEGEND = Legend.from_dict(
    {"name": "two", "class": [{"value": 5, "name": "dark"}, {"value": 9, "name": "bright"}]}
)


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def geoseg(monkeypatch, capsys):
    """A function that runs a command line."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["geoseg", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def _kept(tmp_path_factory):
    """What is made once and copied: by name."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def world(tmp_path, write_raster, _kept):
    """An orthophoto with a nodata corner, its reference and legend: folder of all."""
    if not (kept := _kept / "world").exists():
        rng = np.random.default_rng(0)
        bright = np.kron(rng.integers(0, 2, (12, 14)), np.ones((8, 8))).astype(bool)
        image = np.where(bright, 180, 60) + rng.integers(1, 40, (3, *bright.shape))
        image[:, :10, :10] = 0
        write_raster("kept/ortho.tif", image.astype(np.uint8), nodata=0)
        write_raster("kept/reference.tif", np.where(bright, 9, 5).astype(np.uint8))
        (tmp_path / "kept" / "legend.toml").write_text(to_toml(LEGEND))
        shutil.move(tmp_path / "kept", kept)
    for each in kept.iterdir():
        shutil.copyfile(each, tmp_path / each.name)
    return tmp_path


@pytest.fixture
def patches(geoseg, world, _kept):
    """An index of the world's patches, which names its files as they lie from there."""
    folder = world / "patches"
    if (kept := _kept / "patches").exists():
        return shutil.copytree(kept, folder)
    geoseg("tile", world / "ortho.tif", "-r", world / "reference.tif", "-l", world / "legend.toml",
           "-o", folder, "--patch-size", 32, "--split-block", 32, "--index-only")  # fmt: skip
    shutil.copytree(folder, kept)
    return folder


@pytest.fixture(scope="session")
def write_legend():
    """A function that writes the world's legend."""
    return lambda path: path.write_text(to_toml(LEGEND))


@pytest.fixture(scope="session")
def write_bundle(tmp_path_factory):
    """A function that writes an untrained bundle for the world."""
    first = tmp_path_factory.mktemp("bundle") / "model"
    first.mkdir()
    torch.manual_seed(0)
    network, _ = build_network(
        *("unet", "tu-test_resnet"), bands=3, classes=2, encoder_weights="none",
        decoder_channels="32,16,8,8,8",  # of 9 MB, as it is, weights take a tenth of a prediction
    )  # fmt: skip
    save_network(network, first)
    ModelBundle(
        arch="unet",
        encoder="tu-test_resnet",
        legend=LEGEND,
        bands=3,
        band_names=("red", "green", "blue"),
        dtype="uint8",
        value_range=(60.0, 220.0),
        normalisation=Normalisation(mean=(120.0,) * 3, std=(60.0,) * 3),
        patch_size=32,
        gsd=0.5,
    ).write_record(first)
    return lambda folder: shutil.copytree(first, folder)


@pytest.fixture
def model(tmp_path, write_bundle):
    """An untrained bundle for the world."""
    return write_bundle(tmp_path / "model")


@pytest.fixture
def without_pictures(monkeypatch):
    """Curves and predicted patches take a third of a training of a second."""
    for name in ("draw_curves", "draw_validation"):
        monkeypatch.setattr(f"geoseg.training.train.{name}", lambda *_: None)
