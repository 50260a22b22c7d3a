"""A class map and a reference."""

import numpy as np
import pytest

from geoseg.evaluation.comparison import EvaluationCounts, Pair
from geoseg.evaluation.evaluation import Evaluation
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import Legend


@pytest.fixture
def legend():
    """Three classes whose values in maps are not their indices and not those of references."""
    classes = [
        {"value": 1, "name": "building", "color": "#d7301f", "values": [10]},
        {"value": 4, "name": "tree", "color": "#00ff01", "values": [20, 21]},
        {"value": 0, "name": "water", "color": "#0000ff", "values": [30]},
    ]
    return Legend.from_dict({"ignore": [99], "class": classes})


@pytest.fixture
def write_pair(tmp_path, write_raster):
    """A function that writes values of a map and of a reference."""

    def write(mapped, reference, *, name="one", **profile):
        mapped, reference = (np.asarray(each, np.uint8) for each in (mapped, reference))
        class_map = write_raster(f"maps/{name}.tif", mapped, nodata=255)
        return Pair(name, class_map, write_raster(f"truth/{name}.tif", reference, **profile))

    return write


@pytest.fixture
def evaluate(tmp_path, legend):
    """A function that makes an evaluation of counts, a matrix for each map."""

    def make(*matrices):
        pairs = [
            Pair(name, tmp_path / f"{name}.tif", tmp_path / f"{name}_ref.tif")
            for name, _ in zip("abc", matrices, strict=False)
        ]
        counted = [
            EvaluationCounts(ConfusionMatrix(np.array(counts)), without_map=3, without_reference=5)
            for counts in matrices
        ]
        return Evaluation(dict(zip(pairs, counted, strict=True)), legend)

    return make
