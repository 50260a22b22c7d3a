import csv

import geopandas as gpd
import numpy as np
import pytest
from shapely import box

from geoseg.errors import EmptyError, VectorError
from geoseg.evaluation.compare import compare
from geoseg.evaluation.comparison import Measures, RegionSource
from geoseg.evaluation.evaluation import Evaluation
from geoseg.evaluation.report import write_report
from geoseg.evaluation.text import table_of

LEFT = box(500_000, 5_699_998, 500_001, 5_700_000)  # of 4 x 4 pixels of half a metre
TOP = box(500_000, 5_699_999, 500_002, 5_700_000)
AWAY = box(600_000, 5_000_000, 600_001, 5_000_001)
MAP = [[1, 1, 4, 4], [1, 1, 4, 4], [0, 0, 0, 4], [0, 0, 255, 255]]
TRUTH = [[10, 10, 20, 20], [10, 20, 21, 99], [30, 30, 10, 20], [30, 30, 30, 99]]


@pytest.fixture
def evaluated(write_pair, legend):
    """A function that evaluates the small map by regions."""

    def evaluate(path, column="town"):
        pair = write_pair(MAP, TRUTH)
        measures = Measures(by=RegionSource(path, column))
        return Evaluation({pair: compare(pair, legend, measures=measures)}, legend, measures)

    return evaluate


def counts(comparison):
    return comparison.confusion.counts.tolist()


def test_a_pixel_counts_in_all_regions_it_lies_in(evaluated, write_polygons):
    regions = write_polygons("r.gpkg", [LEFT, TOP, AWAY], town=["left", "top", "away"])

    counted = evaluated(regions).pooled

    assert list(counted.regions) == ["left", "top"]
    assert counts(counted.regions["left"]) == [[3, 0, 0], [1, 0, 0], [0, 0, 4]]
    assert counts(counted.regions["top"]) == [[3, 0, 0], [1, 3, 0], [0, 0, 0]]
    assert counted.regions["top"].without_reference == 1
    assert counts(counted.outside_regions) == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert counted.outside_regions.without_map == 1


def test_regions_in_another_crs_are_brought_onto_the_map(evaluated, write_polygons):
    frame = gpd.GeoSeries([LEFT.buffer(0.05)], crs=32632).to_crs(4326)
    regions = write_polygons("r.geojson", list(frame), crs=4326, town=["left"])

    assert counts(evaluated(regions).pooled.regions["left"]) == [[3, 0, 0], [1, 0, 0], [0, 0, 4]]


def test_polygons_of_one_name_are_one_region(evaluated, write_polygons):
    right = box(500_001, 5_699_998, 500_002, 5_700_000)
    regions = write_polygons("r.gpkg", [LEFT, right, LEFT], town=["all", "all", "all"])

    counted = evaluated(regions).pooled

    assert counts(counted.regions["all"]) == counts(counted)
    assert counted.outside_regions.confusion.total == 0


def test_regions_that_cross_blocks_are_whole(write_pair, write_polygons, legend):
    pair = write_pair(np.ones((1030, 4)), np.full((1030, 4), 10))
    half = box(500_000, 5_699_000, 500_001, 5_700_000)
    measures = Measures(by=RegionSource(write_polygons("r.gpkg", [half], town=["half"]), "town"))

    for workers in (1, 3):
        counted = compare(pair, legend, measures=measures, workers=workers)
        assert counted.regions["half"].confusion.total == 1030 * 2


def test_polygons_without_a_name_are_one_region_of_their_own(evaluated, write_polygons):
    regions = write_polygons("r.gpkg", [LEFT, TOP, TOP], town=["left", None, ""])

    assert list(evaluated(regions).pooled.regions) == ["left", "(no name)"]


def test_regions_of_an_empty_layer_are_refused(evaluated, write_polygons):
    with pytest.raises(EmptyError, match=r"r\.gpkg: the layer is empty"):
        evaluated(write_polygons("r.gpkg", [], town=[]))


def test_without_a_column_polygons_have_numbers(evaluated, write_polygons):
    regions = write_polygons("r.gpkg", [LEFT, TOP], town=["left", "top"])

    assert list(evaluated(regions, column=None).pooled.regions) == ["1", "2"]


def test_a_column_that_is_not_there_is_refused(evaluated, write_polygons):
    regions = write_polygons("r.gpkg", [LEFT], town=["left"])

    with pytest.raises(VectorError, match=r"r\.gpkg: has no column 'city'"):
        evaluated(regions, column="city")


def test_regions_of_several_maps_add_up(write_pair, write_polygons, legend):
    regions = write_polygons("r.gpkg", [LEFT, TOP], town=["left", "top"])
    measures = Measures(by=RegionSource(regions, "town"))
    pairs = [write_pair(MAP, TRUTH, name=name) for name in ("one", "two")]
    both = {pair: compare(pair, legend, measures=measures) for pair in pairs}

    total = Evaluation(both, legend, measures).pooled

    assert counts(total.regions["left"]) == [[6, 0, 0], [2, 0, 0], [0, 0, 8]]
    assert total.outside_regions.without_map == 2


def test_the_report_has_a_row_for_each_region_and_one_for_the_rest(
    evaluated, write_polygons, tmp_path
):
    regions = write_polygons("r.gpkg", [LEFT, TOP], town=["left", "top"])
    write_report(tmp_path / "report", evaluated(regions), overwrite=False)

    with (tmp_path / "report/regions.csv").open(encoding="utf-8") as file:
        left, top, outside = csv.DictReader(file)

    assert [row["region"] for row in (left, top, outside)] == ["left", "top", ""]
    assert [row["pixels"] for row in (left, top, outside)] == ["8", "7", "2"]
    assert float(left["overall_accuracy"]) == pytest.approx(7 / 8)
    assert float(left["iou_building"]) == pytest.approx(3 / 4)
    assert top["iou_water"] == ""


def test_the_table_names_regions(evaluated, write_polygons):
    regions = write_polygons("r.gpkg", [LEFT, TOP], town=["left", "top"])

    lines = [" ".join(line.split()) for line in table_of(evaluated(regions)).splitlines()]

    assert next(line for line in lines if line.startswith("left ")).endswith(" 8")
    assert next(line for line in lines if line.startswith("(outside) ")).endswith(" 2")


@pytest.mark.parametrize(
    ("text", "path", "column"),
    [
        ("towns.gpkg:name", "towns.gpkg", "name"),
        ("towns.gpkg", "towns.gpkg", None),
        ("C:/maps/towns.shp:the name", "C:/maps/towns.shp", "the name"),
        ("C:/maps/towns.shp", "C:/maps/towns.shp", None),
    ],
)
def test_a_file_and_its_column(text, path, column):
    source = RegionSource.parse(text)

    assert (source.path.as_posix(), source.column) == (path, column)
