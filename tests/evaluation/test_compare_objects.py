import numpy as np
import pytest
from shapely import box

from geoseg.errors import VectorError
from geoseg.evaluation.compare import compare
from geoseg.evaluation.comparison import Measures, Pair, Reading
from geoseg.labels.reference import ReferenceOptions

HOUSE = [
    [1, 1, 1, 1, 0, 0],
    [1, 1, 1, 1, 0, 0],
    [0, 0, 0, 0, 0, 0],
    [0, 0, 0, 1, 1, 255],
]  # two semi-detached houses as one, and a third


def square(col, row, width, height):
    left, top = 500_000 + col / 2, 5_700_000 - row / 2
    return box(left, top - height / 2, left + width / 2, top)


@pytest.fixture
def pair(write_pair, write_polygons):
    mapped = write_pair(HOUSE, np.full((4, 6), 10)).class_map
    houses = [square(0, 0, 3, 2), square(3, 0, 1, 2), square(3, 3, 2, 1), square(5, 3, 1, 1)]
    ground = box(500_000, 5_699_998, 500_003, 5_700_000)
    kinds = ["building"] * 4 + ["water"]
    return Pair("one", mapped, write_polygons("t.gpkg", [*houses, ground], kind=kinds))


@pytest.fixture
def match(legend):
    def run(pair, *, polygons, **more):
        measures = Measures(
            objects=("building",), reference_objects="polygons" if polygons else "components"
        )
        reading = Reading(options=ReferenceOptions(attribute="kind"), **more)
        return compare(pair, legend, reading, measures=measures).objects[0]

    return run


def test_polygons_stay_apart_where_they_touch(pair, match):
    # water is further down the legend and hides all houses among the pixels, not as objects
    counted = match(pair, polygons=True)

    assert (counted.reference, counted.mapped, counted.matched) == (3, 2, 2)
    assert counted.iou_sum == pytest.approx(6 / 8 + 1)


def test_a_polygon_without_a_pixel_that_counts_is_left_out_and_counted(pair, match):
    assert match(pair, polygons=True).left_out == 1  # beneath the map's nodata
    assert match(pair, polygons=False).left_out == 0


@pytest.mark.parametrize("pixels", [1, 12, 1000])
def test_strips_do_not_matter(pair, match, monkeypatch, pixels):
    whole = match(pair, polygons=True)
    monkeypatch.setattr("geoseg.evaluation.compare.STRIP_PIXELS", pixels)

    assert match(pair, polygons=True) == whole


def test_an_area_cuts_objects(pair, match, write_polygons):
    aoi = write_polygons("aoi.gpkg", [square(0, 0, 2, 4)], side=["left"])

    counted = match(pair, polygons=True, aoi=aoi)

    assert (counted.reference, counted.mapped, counted.matched) == (1, 1, 1)
    assert counted.iou_sum == 1


def test_scores_make_objects_come_one_after_the_other(pair, match, write_raster):
    own = np.full((4, 6), 127, np.uint8)
    own[3] = 254
    stored = np.stack([own, 254 - own, np.zeros_like(own)])
    scores = write_raster("scores.tif", stored, nodata=255)

    counted = match(Pair("one", pair.class_map, pair.reference, scores=scores), polygons=True)

    assert sorted(counted.detections.scores.tolist()) == pytest.approx([0.5, 1])
    assert counted.detections.scored
    assert counted.ap50 == pytest.approx(67 / 101)  # a recall of 2/3, all of it right


def test_a_raster_has_no_polygons(write_pair, match):
    pair = write_pair(HOUSE, np.full((4, 6), 10))

    with pytest.raises(VectorError, match="a raster has no polygons that could be objects"):
        match(pair, polygons=True)
