"""Bounds of regions, of maps' own Dice and of confusions; the table that tells them."""

import csv

import numpy as np
import pytest
from shapely import box

from geoseg.evaluation.bootstrap import Bootstrap
from geoseg.evaluation.compare import compare
from geoseg.evaluation.comparison import Measures, RegionSource
from geoseg.evaluation.metrics import Evaluation
from geoseg.evaluation.report import write_report
from geoseg.evaluation.text import table_of
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.raster.units import Distance

SIDE = 8
OPTIONS = Bootstrap(block=Distance(SIDE, "px"), resamples=50, seed=11, level=0.8)
VALUES, CODES = np.array([1, 4, 0]), np.array([10, 20, 30])


def patchy(seed, rows, cols):
    """A map and a reference that agree more in some squares than in others."""
    rng = np.random.default_rng(seed)
    truth, other = rng.integers(0, 3, (2, rows * SIDE, cols * SIDE))
    wrong = rng.uniform(0.1, 0.9, (rows, cols)).repeat(SIDE, 0).repeat(SIDE, 1)
    return np.where(rng.random(truth.shape) < wrong, other, truth), truth


def squares_of(mapped, truth, where=True):
    """The confusion matrix of each square, where pixels count."""
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


def bounds_by_hand(squares, figure):
    """Of a figure of the counts of squares that are drawn, (squares, ...)."""
    rng = np.random.default_rng(OPTIONS.seed)
    every = range(OPTIONS.resamples)
    places = [rng.integers(len(squares), size=len(squares)) for _ in every]
    return np.nanquantile([figure(squares, drawn) for drawn in places], [0.1, 0.9]).tolist()


def pooled(name):
    return lambda squares, drawn: getattr(ConfusionMatrix(squares[drawn].sum(axis=0)), name)


@pytest.fixture
def evaluate_all(write_pair, legend):
    """A function that evaluates maps."""

    def evaluate(*worlds, **more):
        measures = Measures(bootstrap=OPTIONS, **more)
        pairs = [
            write_pair(VALUES[mapped], CODES[truth], name=f"map{number}")
            for number, (mapped, truth) in enumerate(worlds)
        ]
        compared = {pair: compare(pair, legend, measures=measures) for pair in pairs}
        return Evaluation(compared, legend, measures)

    return evaluate


@pytest.fixture
def west(write_polygons):
    """The left 20 columns of a map, which end within squares, and a corner of one square."""
    shapes = [
        box(500_000, 5_699_900, 500_010, 5_700_000),
        box(500_000, 5_699_999, 500_001, 5_700_000),
    ]
    return RegionSource(write_polygons("regions.gpkg", shapes, town=["west", "corner"]), "town")


def test_regions_have_the_bounds_of_their_pixels_in_the_squares_drawn(evaluate_all, west):
    world = patchy(0, 3, 5)
    inside = np.arange(40) < 20

    regions = evaluate_all(world, by=west).confidence["regions"]

    own, rest = squares_of(*world, inside), squares_of(*world, ~inside)
    by_name = {row["name"]: row for row in regions["rows"]}
    assert by_name["west"]["kappa"] == pytest.approx(bounds_by_hand(own, pooled("kappa")))
    iou = bounds_by_hand(own, lambda *draw: pooled("iou")(*draw)[1])
    assert by_name["west"]["classes"][1]["iou"] == pytest.approx(iou)
    accuracy = bounds_by_hand(rest, pooled("overall_accuracy"))
    assert regions["outside"]["overall_accuracy"] == pytest.approx(accuracy)
    assert np.isnan(by_name["corner"]["kappa"]).all()  # it lies in one square
    assert np.isnan(by_name["corner"]["classes"][0]["f1"]).all()


def test_a_region_on_one_of_several_maps_keeps_its_squares(evaluate_all, write_polygons):
    small, large = patchy(1, 2, 2), patchy(2, 2, 6)
    east = box(500_012, 5_699_900, 500_100, 5_700_000)  # beyond the small map
    source = RegionSource(write_polygons("regions.gpkg", [east], town=["east"]), "town")

    [row] = evaluate_all(small, large, by=source).confidence["regions"]["rows"]

    nothing = np.zeros((4, 3, 3), int)
    squares = np.concatenate([nothing, squares_of(*large, np.arange(48) >= 24)])
    assert row["mean_iou"] == pytest.approx(bounds_by_hand(squares, pooled("mean_iou")))


def test_dice_of_maps_has_bounds_of_squares_drawn_among_all(evaluate_all):
    worlds = patchy(1, 2, 2), patchy(2, 2, 4)

    bounds = evaluate_all(*worlds).confidence["per_map"]

    def mean_dice(squares, drawn):
        parts = drawn[drawn < 4], drawn[drawn >= 4]
        each = [ConfusionMatrix(squares[part].sum(axis=0)).mean_f1 for part in parts]
        return np.nanmean(each)

    squares = np.concatenate([squares_of(*world) for world in worlds])
    assert bounds["mean_dice"] == pytest.approx(bounds_by_hand(squares, mean_dice))
    assert bounds["classes"][0]["name"] == "building"
    assert evaluate_all(worlds[0]).confidence["per_map"] is None


def test_confusions_have_bounds(evaluate_all):
    world = patchy(3, 3, 4)
    evaluation = evaluate_all(world)

    def share(squares, drawn):
        counts = squares[drawn].sum(axis=0)
        return counts[0, 2] / counts[0].sum()

    expected = bounds_by_hand(squares_of(*world), share)
    assert evaluation.confidence["shares_of_reference"][0][2] == pytest.approx(expected)
    low, high = (f"{100 * each:.1f}" for each in expected)
    assert f"({low}..{high}) of building is mapped as water" in table_of(evaluation)


def test_bounds_of_regions_are_told_and_written(evaluate_all, west, tmp_path):
    evaluation = evaluate_all(patchy(0, 3, 5), by=west)
    write_report(tmp_path / "report", evaluation, overwrite=False)

    with (tmp_path / "report/regions.csv").open(encoding="utf-8") as file:
        rows = {row["region"]: row for row in csv.DictReader(file)}

    [bounds] = [r for r in evaluation.confidence["regions"]["rows"] if r["name"] == "west"]
    low, high = bounds["overall_accuracy"]
    assert float(rows["west"]["overall_accuracy_low"]) == low
    assert float(rows["west"]["dice_tree_high"]) == bounds["classes"][1]["f1"][1]
    assert rows["corner"]["kappa_low"] == ""
    assert rows[""]["kappa_low"] != ""
    lines = table_of(evaluation).splitlines()
    assert any(
        line.startswith("west") and f"{100 * low:.1f}..{100 * high:.1f}" in line for line in lines
    )
