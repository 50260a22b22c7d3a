"""Predicting with rules instead of networks."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rules import LEGEND, Rule, brightest_band

from geoseg.labels.legend import Legend
from geoseg.model.bundle import WEIGHTS, ModelBundle, Normalisation
from geoseg.prediction.blend import WindowScores
from geoseg.prediction.map_writer import MapOutputs, write_map
from geoseg.prediction.plan import PredictOptions
from geoseg.prediction.predict import predict_map
from geoseg.raster.grid import Grid


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


MOSAICKING_LEGEND = {
    "class": [
        {"value": 1, "name": "building", "color": "#d7301f"},
        {"value": 4, "name": "tree", "color": "#00ff01"},
        {"value": 0, "name": "water", "color": "#0000ff"},
    ]
}


@pytest.fixture
def legend():
    """Three classes; their values are not their indices, and one is 0."""
    return Legend.from_dict(MOSAICKING_LEGEND)


@pytest.fixture
def make_grid():
    """A function that gives a grid of some size, its corner moved by whole or half pixels."""

    def make(height, width, *, row=0, col=0, gsd=0.5, epsg=32632):
        corner = Affine(gsd, 0, 500_000, 0, -gsd, 5_700_000) @ Affine.translation(col, row)
        return Grid(CRS.from_epsg(epsg), corner, height, width)

    return make


@pytest.fixture
def make_scene(tmp_path, legend, make_grid):
    """A function that writes class indices, 255 without data, as a class map and as scores.

    It gives the path of what ``kind`` names.
    """

    def make(name, indices, *, kind="class_map", top=1.0, legend=legend, grid=None, **place):
        indices = np.asarray(indices)
        grid = grid or make_grid(*indices.shape, **place)
        classes = np.arange(len(legend))[:, None, None]
        rest = (1 - top) / max(len(legend) - 1, 1)
        scores = np.where(indices == classes, top, rest).astype(np.float32)
        folder = tmp_path / name
        outputs = MapOutputs(
            class_map=folder / "map.tif", scores=folder / "scores.tif", score_type="float32"
        )
        strip = WindowScores(grid.window, scores, indices != 255)
        write_map([strip], grid, legend, outputs, provenance={"source": name})
        return {"class_map": outputs.class_map, "scores": outputs.scores}[kind]

    return make
