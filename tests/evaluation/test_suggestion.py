import json
from zipfile import ZipFile

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from shapely import box

from geoseg.errors import EmptyError, InputError, RasterError
from geoseg.evaluation.suggestion import SuggestOptions, rank, standardised, suggest_windows
from geoseg.labels.legend import Legend
from geoseg.raster.grid import Length
from geoseg.raster.paths import parse_name
from geoseg.raster.records import PROVENANCE

LEGEND = Legend.from_dict({"class": [{"value": 1, "name": "grass"}, {"value": 2, "name": "car"}]})
PLACE = {"transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000), "crs": CRS.from_epsg(32632)}
SIDE = 8


@pytest.fixture
def write_map(write_raster):
    """A function that writes a map of windows in a row, and its confidence x 254 beside it."""

    def write(classes, sure, name="map"):
        values = np.array([classes], np.uint8).repeat(SIDE, 0).repeat(SIDE, 1)
        stored = np.rint(np.array([sure]) * 254).astype(np.uint8).repeat(SIDE, 0).repeat(SIDE, 1)
        beside = write_raster(f"{name}_confidence.tif", stored, nodata=255, **PLACE)
        mark(beside, {"kind": "confidence"})
        return write_raster(f"{name}.tif", values, nodata=255, **PLACE)

    return write


def mark(path, tags):
    with rasterio.open(path, "r+") as file:
        file.update_tags(**{PROVENANCE: json.dumps(tags)})


def suggested(path, **options):
    size = Length(SIDE, "px")
    return suggest_windows(path, LEGEND, SuggestOptions(window_size=size, **options))


def columns(chosen):
    return [each.window.col_off // SIDE for each in chosen]


def test_where_the_map_is_least_sure_labels_teach_most(write_map):
    path = write_map([1, 1, 1, 1], [0.9, 0.5, 0.99, 0.8])

    chosen, found = suggested(path, windows=2)

    assert columns(chosen) == [1, 3]
    assert chosen[0].expected_error == pytest.approx(0.5, abs=0.005)
    assert len(found.windows) == 4


def test_an_error_in_a_rare_class_counts_more(write_map):
    path = write_map([1, 1, 1, 2], [0.6, 0.6, 0.6, 0.7])

    (first, *_), _ = suggested(path, windows=1)

    assert (first.main_class, first.doubted_class) == ("car", "car")


def test_scores_say_how_sure_a_map_is_as_well(write_raster, write_map):
    path = write_map([1, 1], [0.5, 0.9])
    top = np.array([[0.95, 0.55]]).repeat(SIDE, 0).repeat(SIDE, 1)
    scores = write_raster("s.tif", np.stack([top, 1 - top]).astype(np.float32), **PLACE)

    assert columns(suggested(path, windows=1)[0]) == [0]
    assert columns(suggested(path, windows=1, confidence=scores)[0]) == [1]


def test_a_map_in_a_bucket_or_archive_has_its_confidence_beside_it(write_map, bucket, tmp_path):
    path = write_map([1, 1, 1], [0.9, 0.5, 0.8])
    files = sorted(path.parent.glob("map*.tif"))
    with ZipFile(tmp_path / "maps.zip", "w") as archive:
        for each in files:
            archive.write(each, f"d/{each.name}")
            bucket.put(f"d/{each.name}", each.read_bytes())
    bucket.put("alone.tif", path.read_bytes())

    for place in (f"s3://{bucket.name}/d/map.tif", f"/vsizip/{tmp_path}/maps.zip/d/map.tif"):
        assert columns(suggested(parse_name(place), windows=2)[0]) == [1, 2]
    with pytest.raises(InputError, match="there is neither alone_confidence"):
        suggested(parse_name(f"s3://{bucket.name}/alone.tif"))


def test_confidence_of_another_model_is_refused_and_that_of_a_postprocessed_map_is_not(write_map):
    path = write_map([1, 1], [0.5, 0.9])
    beside = path.with_name("map_confidence.tif")
    made = {"weights_sha256": "a"}
    mark(path, {"provenance": made | {"postprocessing": ["fill"]}})
    mark(beside, {"kind": "confidence", "provenance": made})
    assert columns(suggested(path, windows=1)[0]) == [0]

    mark(beside, {"provenance": {"weights_sha256": "b"}})
    with pytest.raises(
        InputError, match=r"something else than .* \(weights_sha256\): predict both"
    ):
        suggested(path, windows=1)


def test_of_windows_that_look_alike_others_come_between(write_map, write_raster):
    path = write_map([1, 1, 1, 1], [0.5, 0.5, 0.5, 0.6])
    look = np.array([[[9, 9, 9, 200]]], np.uint8).repeat(SIDE, 1).repeat(SIDE, 2)
    ortho = write_raster("ortho.tif", look, photometric="minisblack", **PLACE)

    assert columns(suggested(path, windows=4)[0]) == [0, 1, 2, 3]
    assert columns(suggested(path, windows=2, ortho=ortho)[0]) == [0, 3]


def test_windows_with_little_data_or_outside_of_the_area_are_not_suggested(
    write_map, write_polygons
):
    path = write_map([255, 1, 1], [0.1, 0.9, 0.5])
    right, bottom = PLACE["transform"] @ (2 * SIDE, SIDE)
    aoi = write_polygons("aoi.gpkg", [box(500_000, bottom, right, 5_700_000)])

    assert columns(suggested(path)[0]) == [2, 1]
    assert columns(suggested(path, aoi=aoi)[0]) == [1]


def test_a_map_without_confidence_is_refused_with_the_way_out(write_raster):
    path = write_raster("map.tif", np.ones((SIDE, SIDE), np.uint8), **PLACE)

    with pytest.raises(InputError, match=r"neither map_confidence\.tif nor .*--confidence score"):
        suggested(path)


@pytest.mark.parametrize("kind", ["margin", "entropy", "disagreement"])
def test_confidence_that_is_no_probability_is_passed_over_or_refused(write_raster, write_map, kind):
    path = write_map([1, 1], [0.5, 0.9])
    sure = path.with_name("map_confidence.tif")
    with rasterio.open(sure, "r+") as file:
        file.update_tags(**{PROVENANCE: json.dumps({"kind": "confidence", "figure": kind})})

    with pytest.raises(InputError, match=rf"holds {kind}, .* predict with --confidence score"):
        suggested(path)
    top = np.array([[0.95, 0.55]]).repeat(SIDE, 0).repeat(SIDE, 1)
    write_raster("map_scores.tif", np.stack([top, 1 - top]).astype(np.float32), **PLACE)
    assert columns(suggested(path, windows=1)[0]) == [1]
    with pytest.raises(InputError, match=f"holds {kind}"):
        suggested(path, confidence=sure)


def test_a_class_map_or_an_orthophoto_is_no_confidence(write_raster, write_map):
    path = write_map([1, 1], [0.5, 0.9])
    with rasterio.open(path, "r+") as file:
        file.update_tags(**{PROVENANCE: json.dumps({"kind": "class map"})})
    ones = np.ones((SIDE, 2 * SIDE), np.uint8)
    colored = write_raster("colored.tif", ones, colormap={1: (9, 9, 9)}, **PLACE)
    ortho = write_raster("ortho.tif", np.stack([ones] * 3), **PLACE)

    bare = write_raster("bare.tif", ones, **PLACE)
    with pytest.raises(RasterError, match=r"bare\.tif: is a band of bytes that does not say it is"):
        suggested(path, confidence=bare)
    for other, what in ((path, "class map"), (colored, "class map"), (ortho, "raster of 3 bands")):
        with pytest.raises(InputError, match=f"{other.name}: is a {what}, neither confidence"):
            suggested(path, confidence=other)


def test_an_orthophoto_on_other_pixels_is_resampled(write_map, write_raster):
    path = write_map([1, 1, 1, 1], [0.5, 0.5, 0.5, 0.6])
    look = np.array([[[9, 9, 9, 200]]], np.uint8).repeat(2 * SIDE, 1).repeat(2 * SIDE, 2)
    place = PLACE | {"transform": PLACE["transform"] @ Affine.scale(0.5)}
    ortho = write_raster("ortho.tif", look, photometric="minisblack", **place)

    assert columns(suggested(path, windows=2, ortho=ortho)[0]) == [0, 3]


def test_windows_that_are_too_large_for_the_map_are_refused_as_such(write_map):
    path = write_map([1, 1], [0.5, 0.9])

    with pytest.raises(InputError, match=r"has 16 x 8 px, .* of 17 px: give a smaller --window-s"):
        suggest_windows(path, LEGEND, SuggestOptions(window_size=Length(17, "px")))


def test_a_map_without_a_window_is_refused(write_map):
    with pytest.raises(EmptyError, match="no window has enough data"):
        suggested(write_map([255], [0.5]))


def test_the_order_is_that_of_value_times_distance_to_those_before():
    rng = np.random.default_rng(1)
    values, features = rng.random(40), standardised(rng.random((40, 3)))

    order = rank(values, features, 40)

    assert sorted(order) == list(range(40))
    assert order[0] == values.argmax()
    assert order[:10] == rank(values, features, 10)
