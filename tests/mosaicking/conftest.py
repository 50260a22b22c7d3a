"""Scores and class maps as `write_map` writes them."""

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from geoseg.core.blend import WindowScores
from geoseg.core.grid import Grid
from geoseg.core.legend import Legend
from geoseg.mosaicking import MapOutputs, write_map

LEGEND = {
    "class": [
        {"value": 1, "name": "building", "color": "#d7301f"},
        {"value": 4, "name": "tree", "color": "#00ff01"},
        {"value": 0, "name": "water", "color": "#0000ff"},
    ]
}


@pytest.fixture
def legend():
    """Three classes; their values are not their indices, and one is 0."""
    return Legend.from_dict(LEGEND)


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
