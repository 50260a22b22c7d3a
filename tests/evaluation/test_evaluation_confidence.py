"""Bounds of the maps' own Dice and of confusions, by hand."""

import numpy as np
import pytest

from geoseg.evaluation.compare import compare
from geoseg.evaluation.comparison import Measures
from geoseg.evaluation.evaluation import Evaluation
from geoseg.evaluation.text import table_of
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.raster.grid import Length

SIDE = 8
SEED = 11
OPTIONS = {"intervals": 80, "block": Length(SIDE, "px"), "bootstrap": 50, "seed": SEED}
VALUES, CODES = np.array([1, 4, 0]), np.array([10, 20, 30])


def patchy(seed, rows, cols):
    """A map and a reference that agree more in some blocks than in others."""
    rng = np.random.default_rng(seed)
    truth, other = rng.integers(0, 3, (2, rows * SIDE, cols * SIDE))
    wrong = rng.uniform(0.1, 0.9, (rows, cols)).repeat(SIDE, 0).repeat(SIDE, 1)
    return np.where(rng.random(truth.shape) < wrong, other, truth), truth


def blocks_of(mapped, truth, where=True):
    """The confusion matrix of each block, where pixels count."""
    where = np.broadcast_to(where, truth.shape)
    places = [
        np.s_[row : row + SIDE, col : col + SIDE]
        for row in range(0, truth.shape[0], SIDE)
        for col in range(0, truth.shape[1], SIDE)
    ]
    counts = [np.zeros((3, 3), int) for _ in places]
    for own, place in zip(counts, places, strict=True):
        inside = where[place]
        np.add.at(own, (truth[place][inside], mapped[place][inside]), 1)
    return np.array(counts)


def bounds_by_hand(blocks, figure):
    """Of a figure of the counts of blocks that are drawn, (blocks, ...)."""
    rng = np.random.default_rng(SEED)
    every = range(OPTIONS["bootstrap"])
    places = [rng.integers(len(blocks), size=len(blocks)) for _ in every]
    return np.nanquantile([figure(blocks, drawn) for drawn in places], [0.1, 0.9]).tolist()


def pooled(name):
    return lambda blocks, drawn: getattr(ConfusionMatrix(blocks[drawn].sum(axis=0)), name)


@pytest.fixture
def evaluate_all(write_pair, legend):
    """A function that evaluates maps."""

    def evaluate(*worlds, **more):
        measures = Measures(**OPTIONS, **more)
        pairs = [
            write_pair(VALUES[mapped], CODES[truth], name=f"map{number}")
            for number, (mapped, truth) in enumerate(worlds)
        ]
        compared = {pair: compare(pair, legend, measures=measures) for pair in pairs}
        return Evaluation(compared, legend, measures)

    return evaluate


def test_dice_of_maps_has_bounds_of_blocks_drawn_among_all(evaluate_all):
    worlds = patchy(1, 2, 2), patchy(2, 2, 4)

    bounds = evaluate_all(*worlds).confidence["per_map"]

    def mean_dice(blocks, drawn):
        parts = drawn[drawn < 4], drawn[drawn >= 4]
        each = [ConfusionMatrix(blocks[part].sum(axis=0)).mean_f1 for part in parts]
        return np.nanmean(each)

    blocks = np.concatenate([blocks_of(*world) for world in worlds])
    assert bounds["mean_dice"] == pytest.approx(bounds_by_hand(blocks, mean_dice))
    assert bounds["classes"][0]["name"] == "building"
    assert evaluate_all(worlds[0]).confidence["per_map"] is None


def test_confusions_have_bounds(evaluate_all):
    world = patchy(3, 3, 4)
    evaluation = evaluate_all(world)

    def share(blocks, drawn):
        counts = blocks[drawn].sum(axis=0)
        return counts[0, 2] / counts[0].sum()

    expected = bounds_by_hand(blocks_of(*world), share)
    assert evaluation.confidence["shares_of_reference"][0][2] == pytest.approx(expected)
    low, high = (f"{100 * each:.1f}" for each in expected)
    assert f"({low}..{high}) of building is mapped as water" in table_of(evaluation)
