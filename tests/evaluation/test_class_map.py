"""Maps of polygons: burnt onto a grid and counted like rasters."""

import numpy as np
import pytest
import shapely

from geoseg.errors import EmptyError, GridMismatchError, InputError, RasterError
from geoseg.evaluation.class_map import ClassMap, MapOptions
from geoseg.evaluation.compare import compare
from geoseg.evaluation.comparison import Measures, Pair, Reading
from geoseg.labels.legend import Legend
from geoseg.labels.reference import ReferenceOptions
from geoseg.raster.vector import read_layer
from geoseg.vectorize.options import VectorizeOptions
from geoseg.vectorize.vectorize import vectorize

MAP = [[1, 1, 4, 4], [1, 255, 4, 0], [0, 0, 0, 0]]
TRUTH = [[10, 20, 20, 20], [10, 10, 99, 30], [30, 30, 20, 30]]


@pytest.fixture
def polygons(tmp_path, legend):
    """A function that writes the polygons of a map."""

    def write(path, name="polygons.gpkg", **options):
        vectorize(path, legend, tmp_path / name, VectorizeOptions(simplify=None, **options))
        return tmp_path / name

    return write


def of(pair, class_map, **more):
    return Pair("drawn", class_map, more.pop("reference", pair.reference), **more)


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet", "a.fgb"])
def test_polygons_count_as_the_raster_that_they_were_made_of(write_pair, polygons, legend, name):
    pair = write_pair(MAP, TRUTH)
    measures = Measures(boundary=None, objects=("building",))

    raster = compare(pair, legend, measures=measures)
    drawn = compare(of(pair, polygons(pair.class_map, name)), legend, measures=measures)

    assert (drawn.confusion.counts == raster.confusion.counts).all()
    assert (drawn.without_map, drawn.without_reference) == (1, 1)
    assert drawn.objects == raster.objects
    assert drawn.notes == ()


def test_a_class_that_was_left_out_is_unknown_and_not_another_one(write_pair, polygons, legend):
    pair = write_pair(MAP, TRUTH)
    path = polygons(pair.class_map, classes=("building",))

    counts = compare(of(pair, path), legend)

    assert counts.confusion.counts.tolist() == [[2, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert counts.without_map == 8
    assert (
        "holds polygons of 'building' alone: ground without a polygon is unknown"
        in (counts.notes[0])
    )


def test_a_map_of_another_program_follows_the_rule_of_references(
    write_pair, write_polygons, legend
):
    pair = write_pair(MAP, TRUTH)
    drawn = write_polygons("b.gpkg", [shapely.box(500_000, 5_699_999, 500_001, 5_700_000)] * 2,
                           what=["building", "tree"])  # fmt: skip
    background = Legend.from_dict(legend.to_dict() | {"background": "water"})
    how = Reading(map=MapOptions(map_attribute="what"))

    unknown, water = (compare(of(pair, drawn), each, how) for each in (legend, background))

    assert unknown.confusion.total == 4
    assert water.confusion.total == 11
    assert water.confusion.predicted.tolist() == [0, 4, 7]  # the tree, further down, lies on top
    assert unknown.notes == (f"{drawn}: ground without a polygon is unknown, and does not count",)
    assert water.notes == (f"{drawn}: ground without a polygon is 'water'",)


def test_polygons_on_both_sides_need_the_pixels_of_a_raster(write_pair, polygons, legend):
    pair = write_pair(MAP, [[1, 1, 4, 4], [4, 4, 4, 0], [0, 0, 0, 0]])
    drawn = polygons(pair.class_map)
    truth = polygons(pair.reference, "truth.fgb")
    both = of(pair, drawn, reference=truth)

    with pytest.raises(InputError, match=r"^[^\n]*polygons\.gpkg: .* name one with --grid"):
        compare(both, legend)
    counts = compare(both, legend, Reading(map=MapOptions(grid=pair.class_map)))
    assert counts.confusion.counts.tolist() == [[2, 0, 0], [1, 3, 0], [0, 0, 5]]


def test_the_grid_that_is_named_goes_before_the_references(write_pair, write_raster, legend,
                                                            polygons):  # fmt: skip
    pair = write_pair(MAP, TRUTH)
    other = write_raster("other.tif", np.zeros((3, 3), np.uint8))

    with ClassMap(polygons(pair.class_map), legend, drawn=MapOptions(grid=other),
                  references=pair.references) as found:  # fmt: skip
        assert found.read(found.grid.window).tolist() == [[0, 0, 1], [0, 255, 1], [2, 2, 2]]


def test_where_a_raster_is_needed_polygons_are_refused(write_pair, polygons, legend):
    path = polygons(write_pair(MAP, TRUTH).class_map)

    with pytest.raises(RasterError, match=r"polygons\.gpkg: cannot be read as a raster"):
        ClassMap(path, legend)


def test_an_area_and_scores_are_those_of_a_raster(
    write_pair, write_raster, write_polygons, polygons, legend
):
    pair = write_pair(MAP, TRUTH)
    drawn = polygons(pair.class_map)
    aoi = write_polygons("aoi.gpkg", [shapely.box(500_000, 5_699_999, 500_001, 5_700_000)])
    scores = write_raster("scores.tif", np.full((3, 3, 4), 84, np.uint8), nodata=255)
    elsewhere = write_raster("small.tif", np.full((3, 2, 2), 84, np.uint8), nodata=255, crs=None)

    inside = compare(of(pair, drawn), legend, Reading(aoi=aoi))
    assert inside.confusion.total == 3
    assert compare(of(pair, drawn, scores=scores), legend).scores.pixels == 10
    with pytest.raises(GridMismatchError, match=r"small\.tif"):
        compare(of(pair, drawn, scores=elsewhere), legend)


def test_polygons_elsewhere_are_refused(write_pair, write_polygons, legend):
    pair = write_pair(MAP, TRUTH)
    path = write_polygons("b.gpkg", [shapely.box(0, 0, 1, 1)], what=["building"])

    with pytest.raises(EmptyError, match=r"b\.gpkg: no polygon lies on the raster"):
        compare(of(pair, path), legend, Reading(map=MapOptions(map_attribute="what")))


def square(col, row, width, height):
    left, top = 500_000 + col / 2, 5_700_000 - row / 2
    return shapely.box(left, top - height / 2, left + width / 2, top)


@pytest.fixture
def houses(write_pair, write_polygons):
    """Three houses, two of which touch, mapped with other shapes; and a raster of that place."""
    pair = write_pair(np.zeros((4, 6)), np.full((4, 6), 10))
    truth = [square(0, 0, 2, 2), square(2, 0, 2, 2), square(3.5, 3, 2, 1), square(0, 3, 1, 1)]
    mapped = [square(0, 0, 2, 2), square(2, 0, 2, 1), square(3.75, 3, 2, 1)]
    drawn = write_polygons("m.gpkg", mapped, what=["building"] * 3, score=[0.5, 0.9, None])
    truth_path = write_polygons("t.gpkg", truth, kind=["building"] * 3 + [99])
    return of(pair, drawn, reference=truth_path), pair


def test_polygons_are_matched_with_polygons_by_area(houses, legend):
    both, raster = houses
    reading = Reading(
        options=ReferenceOptions(attribute="kind"),
        map=MapOptions(map_attribute="what", grid=raster.class_map),
    )

    def run(**how):
        return compare(both, legend, reading, measures=Measures(objects=("building",), **how))

    exact = run().objects[0]
    assert (exact.reference, exact.mapped, exact.matched) == (3, 3, 3)
    assert exact.iou_sum == pytest.approx(1 + 0.5 + 1.75 / 2.25)  # of no whole pixels
    assert exact.detections.scores.tolist() == [0.5, 0.9, 0]
    assert run(reference_objects="polygons").objects[0] == exact
    pixels = run(reference_objects="components").objects[0]
    assert pixels.reference == 2  # the two that touch are one
    assert pixels.mapped == 3


def test_polygons_of_a_map_are_objects_for_a_raster_too(houses, legend):
    both, raster = houses
    pair = Pair("one", both.class_map, raster.reference)
    reading = Reading(map=MapOptions(map_attribute="what"))

    counts = compare(pair, legend, reading, measures=Measures(objects=("building",))).objects[0]

    assert counts.mapped == 3


def test_parts_of_one_region_are_one_object(write_pair, polygons, legend, monkeypatch):
    monkeypatch.setattr("geoseg.vectorize.cells.CELL_PX", 2)
    comb = np.full((9, 200), 1)
    comb[1:, 1::2] = 4
    pair = write_pair(comb, np.where(comb == 1, 10, 20))
    path = polygons(pair.class_map, max_vertices=100)
    how = Reading(map=MapOptions(grid=pair.class_map))
    both = of(pair, path, reference=polygons(pair.class_map, "truth.gpkg"))
    assert (read_layer(path)["name"] == "building").sum() > 1

    objects = compare(both, legend, how, measures=Measures(objects=("building",))).objects[0]

    assert (objects.reference, objects.mapped, objects.matched) == (1, 1, 1)
    assert objects.iou_sum == 1
