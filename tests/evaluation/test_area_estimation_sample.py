import csv
import json
import math

import numpy as np
import pytest
from shapely import Point, box

from geoseg.errors import EmptyError, InputError, LegendError, VectorError
from geoseg.evaluation.area_estimation import evaluate_sample, sample_table, write_sample_report
from geoseg.labels.legend_map import Correspondence, merge_legends

MAP = [[1, 1, 1, 1, 4, 4], [1, 1, 1, 1, 4, 255]]  # 8 building, 3 tree
PLACES = [(0, 0), (0, 1), (1, 2), (1, 3), (0, 4), (0, 5)]
TRUTH = ["building", "building", "building", "water", "tree", "building"]


@pytest.fixture
def estimate(write_raster, write_polygons, legend):
    """A function that evaluates a map by points at pixels."""

    def run(truth=TRUTH, places=PLACES, *, column=None, crs=32632, **columns):
        path = write_raster("map.tif", np.array(MAP, np.uint8), nodata=255)
        centres = [Point(500_000 + (c + 0.5) / 2, 5_700_000 - (r + 0.5) / 2) for r, c in places]
        named = {column or "reference": truth} | columns
        sample = write_polygons("sample.gpkg", centres, crs=crs, **named)
        return evaluate_sample(path, sample, legend, column=column)

    return run


def test_points_stand_for_as_much_of_the_map_as_their_class_has_per_point(estimate):
    figures = estimate().to_dict()

    assert figures["counts"]["counts"] == [[3, 1, 0], [0, 1, 0], [1, 0, 0]]
    building, tree, water = figures["classes"]
    assert building["area_pixels"] == pytest.approx(3 * 8 / 4 + 1 * 3 / 2)
    assert tree["area_pixels"] == pytest.approx(1 * 3 / 2)
    assert water["area_pixels"] == pytest.approx(1 * 8 / 4)
    assert figures["overall_accuracy"] == pytest.approx((3 * 8 / 4 + 1 * 3 / 2) / 11)
    assert building["users_accuracy"] == 0.75
    assert water["producers_accuracy"] == 0
    assert math.isnan(water["users_accuracy"])
    assert building["area_ha"] == pytest.approx(7.5 * 0.25 / 10_000, rel=0.01)


def test_a_class_may_be_named_by_its_value_in_maps(estimate):
    by_name, by_value = estimate(), estimate([1, 1, 1, 0, 4, 1])

    assert by_value.to_dict()["counts"] == by_name.to_dict()["counts"]


def test_the_column_may_have_another_name(estimate):
    assert estimate(column="seen").to_dict()["points"] == 6


def test_points_that_nobody_looked_at_are_left_out_and_counted(estimate):
    figures = estimate(["building", None, "", "99", "tree", "building"]).to_dict()

    assert (figures["points"], figures["without_reference"]) == (3, 3)


def test_text_that_stands_for_no_value_is_no_class(estimate):
    figures = estimate(["building", "nan", "  ", "<NA>", "tree", "building"]).to_dict()

    assert (figures["points"], figures["without_reference"]) == (3, 3)


def test_the_table_gives_intervals(estimate):
    lines = [" ".join(line.split()) for line in sample_table(estimate()).splitlines()]

    assert lines[1].startswith("building 4 75.0 +- 49.0 80.0 +- ")
    assert lines[3].startswith("water 0 - 0.0 +- ")
    assert lines[-2] == (
        "overall accuracy 68.2 +- 44.5 from 6 points; 0 without a reference left out"
    )


def test_the_report_holds_figures_and_matrices(estimate, tmp_path):
    write_sample_report(tmp_path / "report", estimate(), overwrite=False)

    figures = json.loads((tmp_path / "report/evaluation.json").read_text())
    assert figures["classes"][2]["users_accuracy"] is None
    with (tmp_path / "report/proportions.csv").open() as file:
        first = next(csv.DictReader(file))
    assert float(first["building"]) == pytest.approx(8 / 11 * 3 / 4)
    assert float(first["tree"]) == pytest.approx(3 / 11 / 2)


@pytest.mark.parametrize(
    ("truth", "places", "error", "message"),
    [
        (["house"] * 6, PLACES, LegendError, r"holds \['house'\], and the classes are"),
        ([None] * 6, PLACES, EmptyError, "no points with a class in column 'reference'"),
        (TRUTH, [*PLACES[:5], (1, 5)], InputError, "1 of 6 points lie where .* has no data"),
        (TRUTH, [*PLACES[:5], (9, 9)], InputError, "was the sample drawn from another map"),
        (TRUTH, [(0, 0)] * 6, InputError, r"no points with a reference lie in \['tree'\]"),
    ],
)
def test_a_sample_that_says_nothing_of_the_map_is_refused(estimate, truth, places, error, message):
    with pytest.raises(error, match=message):
        estimate(truth, places)


def test_a_sample_of_another_map_is_refused(estimate):
    with pytest.raises(InputError, match="1 of 6 points were drawn from another class than"):
        estimate(map_value=[1, 1, 1, 1, 4, 1])


def test_a_missing_column_is_named(estimate, write_polygons, write_raster, legend):
    path = write_raster("map.tif", np.array(MAP, np.uint8), nodata=255)
    sample = write_polygons("s.gpkg", [Point(500_000.2, 5_699_999.8)], id=[1])

    with pytest.raises(VectorError, match=r"has no column 'reference'; it has \['id'\]"):
        evaluate_sample(path, sample, legend)


def plot(col, row, width, height):
    left, top = 500_000 + col / 2, 5_700_000 - row / 2
    return box(left, top - height / 2, left + width / 2, top)


@pytest.fixture
def estimate_plots(write_raster, write_polygons, legend):
    """A function that evaluates a map by polygons."""

    def run(plots, truth, **columns):
        path = write_raster("map.tif", np.array(MAP, np.uint8), nodata=255)
        sample = write_polygons("plots.gpkg", plots, reference=truth, **columns)
        return evaluate_sample(path, sample, legend)

    return run


def test_a_polygon_has_the_class_of_most_of_its_pixels_and_counts_once(estimate_plots):
    plots = [plot(0, 0, 4, 2), plot(2, 0, 3, 2), plot(4, 0, 2, 2), plot(0.1, 0.1, 0.1, 0.1)]

    evaluation = estimate_plots(plots, ["building", "tree", "tree", "water"])

    figures = evaluation.to_dict()
    assert figures["counts"]["counts"] == [[1, 0, 0], [1, 1, 0], [1, 0, 0]]
    assert figures["units"] == "polygons"
    assert figures["purity"] == pytest.approx((1 + 4 / 6 + 1 + 1) / 4)  # nodata is no share
    assert figures["classes"][1]["area_pixels"] == pytest.approx(8 / 3 + 3)
    told = sample_table(evaluation)
    assert "from 4 polygons; 0 without a reference left out" in told
    assert "each polygon counts once, whatever its size" in told


def test_a_large_polygon_is_read_in_parts(estimate_plots, monkeypatch):
    whole = estimate_plots([plot(0, 0, 6, 2), plot(4, 0, 1, 2)], ["building", "tree"])
    monkeypatch.setattr("geoseg.evaluation.sampling.PLOT_BLOCK_SIDE", 1)
    parts = estimate_plots([plot(0, 0, 6, 2), plot(4, 0, 1, 2)], ["building", "tree"])

    assert parts.to_dict()["counts"] == whole.to_dict()["counts"]
    assert parts.purity == whole.purity == pytest.approx((8 / 11 + 1) / 2)


THREE = [[1, 1, 1, 1, 4, 4], [1, 1, 1, 1, 0, 0]]  # 8 building, 2 tree, 2 water


@pytest.fixture
def estimate_merged(write_raster, write_polygons, legend):
    """A function that evaluates a map by units whose classes a legend map ties to the map's."""

    def run(rows, units, truth):
        path = write_raster("map.tif", np.array(THREE, np.uint8), nodata=255)
        merged = merge_legends([Correspondence(*row) for row in rows], legend)
        sample = write_polygons("sample.gpkg", units, reference=truth)
        return evaluate_sample(path, sample, merged)

    return run


def at(row, col):
    return Point(500_000 + (col + 0.5) / 2, 5_700_000 - (row + 0.5) / 2)


UNITS = [at(0, 0), at(0, 1), at(1, 2), at(1, 3), at(0, 4), at(0, 5), at(1, 4)]


def test_classes_merged_by_a_legend_map_keep_their_own_share_of_the_map(estimate_merged):
    """Both points in trees are green, the one in water is not: half of the green is right."""
    rows = [("building", "built"), ("tree", "green"), ("water", "green")]
    truth = ["built", "built", "built", "green", "green", "green", "built"]

    evaluation = estimate_merged(rows, UNITS, truth)

    figures = evaluation.to_dict()
    built, green = figures["classes"]
    assert figures["counts"]["counts"] == [[3, 1], [1, 2]]
    assert (green["name"], green["points"], green["mapped_pixels"]) == ("green", 3, 4)
    assert green["users_accuracy"] == pytest.approx(0.5)
    assert built["area_pixels"] == pytest.approx(3 / 4 * 8 + 2)
    assert figures["overall_accuracy"] == pytest.approx((3 / 4 * 8 + 2) / 12)
    assert "merged: green = tree + water of the map, green of the reference" in (
        sample_table(evaluation)
    )


def test_what_a_legend_map_leaves_out_does_not_count(estimate_merged, tmp_path):
    rows = [("building", "built"), ("tree", "green"), ("water", ""), ("", "snow")]
    truth = ["built", "built", "snow", "green", "green", "green", "green"]

    evaluation = estimate_merged(rows, UNITS, truth)
    write_sample_report(tmp_path / "report", evaluation, overwrite=False)

    figures = evaluation.to_dict()
    assert figures["counts"]["counts"] == [[2, 0], [1, 2]]
    assert (figures["pixels"], figures["without_reference"], figures["without_map"]) == (10, 1, 1)
    assert "1 in classes of the map that are left out" in sample_table(evaluation)
    assert (tmp_path / "report/merged_classes.csv").read_text().splitlines()[1:] == [
        "built,building,built", "green,tree,green", ",water,", ",,snow"]  # fmt: skip


def test_a_polygon_in_merged_classes_is_pure(estimate_merged):
    rows = [("building", "built"), ("tree", "green"), ("water", "green")]
    units = [plot(0, 0, 4, 2), plot(4, 0, 2, 2), plot(4, 1, 1, 1)]

    figures = estimate_merged(rows, units, ["built", "green", "green"]).to_dict()

    assert figures["purity"] == 1
    assert figures["counts"]["counts"] == [[1, 0], [0, 2]]


def test_a_sample_that_names_classes_of_neither_legend_is_refused(estimate_merged):
    rows = [("building", "built"), ("tree", "green"), ("water", "green")]

    with pytest.raises(LegendError, match=r"holds \['4'\], and the classes are \['built', 'green'"):
        estimate_merged(rows, UNITS[:1], ["4"])


def test_a_polygon_beside_the_map_is_refused(estimate_plots):
    with pytest.raises(InputError, match="1 of 2 polygons lie where"):
        estimate_plots([plot(0, 0, 1, 1), plot(50, 0, 1, 1)], ["building", "tree"])


def test_lines_are_no_sample(write_polygons, write_raster, legend):
    path = write_raster("map.tif", np.array(MAP, np.uint8), nodata=255)
    sample = write_polygons("s.gpkg", [plot(0, 0, 1, 1).boundary], reference=["tree"])

    with pytest.raises(VectorError, match=r"needs points or polygons, .*\['LineString'\]"):
        evaluate_sample(path, sample, legend)
