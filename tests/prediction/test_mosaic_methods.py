import numpy as np
import pytest

from geoseg.prediction.mosaic import (
    METHODS,
    Layer,
    blend_layers,
    first,
    last,
    majority,
    most_certain,
)
from geoseg.raster.window import Window

BLOCK = Window(row_off=0, col_off=0, height=1, width=4)


def layer(scores, *, col=0, valid=None, distance=None):
    """A scene of one row; its scores are those of the classes, one list each."""
    scores = np.array(scores, np.float32)[:, None]
    width = scores.shape[2]
    return Layer(
        Window(row_off=0, col_off=col, height=1, width=width),
        scores,
        np.array([valid or [True] * width]),
        np.array([distance or [1] * width], np.float32),
    )


def a(share):
    """Scores of two classes."""
    return [list(share), [1 - each for each in share]]


def test_blend_weighs_a_scene_by_the_distance_to_its_edge():
    left = layer(a([1, 1, 1]), distance=[3, 3, 1])
    right = layer(a([0, 0]), col=2, distance=[3, 1])

    scores, valid = blend_layers(BLOCK, [left, right], 2)[1:]

    assert scores[:, 0].tolist() == [[1, 1, 0.25, 0], [0, 0, 0.75, 1]]
    assert valid.all()


def test_max_takes_the_scene_that_is_most_certain_of_anything():
    one = layer(a([0.9, 0.6, 0.5, 0.2]))
    other = layer(a([0.2, 0.3, 0.5, 0.9]))

    scores, _ = most_certain(BLOCK, [one, other], 2)[1:]

    assert scores[0, 0] == pytest.approx([0.9, 0.3, 0.5, 0.9])


def test_of_scenes_equally_certain_max_takes_the_first():
    one, other = layer(a([1, 1, 0, 0])), layer(a([0, 1, 1, 0]))

    assert most_certain(BLOCK, [one, other], 2).scores[0].tolist() == [[1, 1, 0, 0]]


def test_first_and_last_take_the_scene_that_has_data_there():
    one = layer(a([0.1] * 3), valid=[True, False, True])
    other = layer(a([0.8] * 3), col=1, valid=[True, True, False])

    assert first(BLOCK, [one, other], 2).scores[0, 0] == pytest.approx([0.1, 0.8, 0.1, 0])
    assert last(BLOCK, [one, other], 2).scores[0, 0] == pytest.approx([0.1, 0.8, 0.8, 0])
    assert last(BLOCK, [one, other], 2).valid.tolist() == [[True, True, True, False]]


def test_majority_counts_the_scenes_that_have_data():
    scenes = [
        layer(a([1, 0, 1, 1])),
        layer(a([1, 1, 0, 0]), valid=[True, True, True, False]),
        layer(a([0, 1, 0, 0]), valid=[True, True, True, False]),
    ]

    scores, valid = majority(BLOCK, scenes, 2)[1:]

    assert scores[0, 0] == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1])
    assert valid.all()


def test_of_an_equal_count_the_class_of_lower_index_wins():
    scores = majority(BLOCK, [layer(a([1, 1, 0, 0])), layer(a([0, 0, 1, 1]))], 2).scores

    assert scores.argmax(axis=0).tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("method", METHODS)
def test_one_scene_stays_as_it_is(method):
    alone = layer(a([0.25, 0.5, 1, 0]), distance=[1, 2, 2, 1])

    block, scores, valid = METHODS[method](BLOCK, [alone], 2)

    assert block == BLOCK
    assert scores == pytest.approx(alone.scores)
    assert valid.all()


@pytest.mark.parametrize("method", METHODS)
def test_scenes_that_agree_stay_as_they_are(method):
    scenes = [layer(a([0.25] * 4), distance=[3, 1, 7, 2]) for _ in range(3)]

    assert METHODS[method](BLOCK, scenes, 2).scores[0] == pytest.approx(0.25)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_valid_is_never_seen(method):
    seen = layer(a([0.25] * 4), valid=[True, True, False, False])
    hidden = layer([[9.0] * 4, [9.0] * 4], valid=[False, False, False, False])

    _, scores, valid = METHODS[method](BLOCK, [hidden, seen, hidden], 2)

    assert valid.tolist() == [[True, True, False, False]]
    assert scores[:, 0].T.tolist() == [[0.25, 0.75], [0.25, 0.75], [0, 0], [0, 0]]


@pytest.mark.parametrize("method", METHODS)
def test_a_block_that_no_scene_reaches_is_not_valid(method):
    _, scores, valid = METHODS[method](BLOCK, [], 2)

    assert scores.shape == (2, 1, 4)
    assert not scores.any()
    assert not valid.any()


@pytest.mark.parametrize("method", ["blend", "majority", "max"])
def test_the_order_of_scenes_does_not_matter(method):
    rng = np.random.default_rng(3)
    scenes = [
        layer(a(rng.random(4)), valid=list(rng.random(4) < 0.7), distance=list(rng.random(4) + 1))
        for _ in range(5)
    ]

    there, back = (METHODS[method](BLOCK, order, 2) for order in (scenes, scenes[::-1]))

    assert there.scores == pytest.approx(back.scores, abs=1e-6)
    assert (there.valid == back.valid).all()
