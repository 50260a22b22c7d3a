"""Predicting with rules instead of networks."""

import pytest
import rasterio
from rules import LEGEND, Rule, brightest_band

from geoseg.chains import PredictOptions, predict_map
from geoseg.model.bundle import ModelBundle, Normalisation
from geoseg.model.files import WEIGHTS
from geoseg.mosaicking import MapOutputs


@pytest.fixture
def bundle(tmp_path):
    """A model of which only the record matters."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(b"of no matter")
    return ModelBundle(
        arch="rule",
        encoder="none",
        legend=LEGEND,
        bands=3,
        band_names=("red", "green", "blue"),
        dtype="uint8",
        value_range=(1, 255),
        normalisation=Normalisation(mean=(0,) * 3, std=(1,) * 3),
        patch_size=8,
        gsd=0.5,
        folder=folder,
    )


@pytest.fixture
def predict(tmp_path, bundle):
    """A function that predicts an orthophoto and gives the report; files are in ``out``."""

    def run(
        ortho, score=brightest_band, *, model=bundle, windows=None, more=None, streams=1, **options
    ):
        outputs = MapOutputs(**{"class_map": tmp_path / "out/map.tif"} | (more or {}))
        size = {} if "patch_size" in options else {"patch_size": 8, "stride": 6}
        choices = PredictOptions(**size | options)
        rule = Rule(score, model, streams=streams)
        return predict_map(ortho, rule, outputs, options=choices, windows=windows)

    return run


@pytest.fixture
def read():
    """A function that reads all pixels of a raster."""

    def pixels(path):
        with rasterio.open(path) as file:
            return file.read()

    return pixels


@pytest.fixture
def files():
    """A function that lists the files below a folder."""

    def names(folder):
        return sorted(path.name for path in folder.rglob("*") if path.is_file())

    return names
