import os

import numpy as np
import pytest

from geoseg.errors import RasterError
from geoseg.prediction import scenes as module
from geoseg.prediction.mosaic import METHODS
from geoseg.prediction.scenes import open_scenes
from geoseg.raster.reader import RasterReader


@pytest.fixture
def most_open(monkeypatch):
    """A list whose last element is the most scenes that were open at a time."""
    most, now = [0], set()

    class Counted(RasterReader):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            now.add(id(self))
            most.append(max(most[-1], len(now)))

        def close(self):
            super().close()
            now.discard(id(self))

    monkeypatch.setattr(module, "RasterReader", Counted)
    return most


@pytest.fixture
def row_of_scenes(make_scene):
    """Neighbours of one class each, 1 px wide."""
    return [make_scene(f"{n}", [[n % 3]], col=n) for n in range(9)]


@pytest.mark.parametrize("method", METHODS)
def test_of_many_scenes_few_are_open_and_all_are_read(
    monkeypatch, most_open, row_of_scenes, legend, method
):
    monkeypatch.setattr(module, "MOST_OPEN", 2)

    with open_scenes(row_of_scenes, legend, class_maps=True, resample=False) as scenes:
        [parts] = [METHODS[method](block, layers, 3) for block, layers in scenes.layers()]

    assert parts.scores.argmax(axis=0).tolist() == [[0, 1, 2, 0, 1, 2, 0, 1, 2]]
    assert parts.valid.all()
    assert most_open[-1] == 2


def test_a_scene_is_read_for_the_blocks_that_it_reaches(make_scene, legend, most_open):
    rows = module.ROWS
    paths = [make_scene("a", [[0]]), make_scene("b", [[1], [2]], row=rows - 1)]

    with open_scenes(paths, legend, class_maps=True, resample=False) as scenes:
        found = [[layer.part for layer in layers] for _, layers in scenes.layers()]

    places = [[(part.row_off, part.height) for part in parts] for parts in found]
    assert places == [[(0, 1), (rows - 1, 1)], [(0, 1)]]


def test_a_scene_that_changes_while_others_are_read_is_refused(make_scene, legend):
    path = make_scene("a", np.zeros((2, 2), int))

    with open_scenes([path], legend, class_maps=True, resample=False) as scenes:
        os.utime(path, (0, 0))
        with pytest.raises(RasterError, match="has changed since the mosaic began"):
            [list(layers) for _, layers in scenes.layers()]
