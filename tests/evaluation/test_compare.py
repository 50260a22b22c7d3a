from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from scipy import ndimage
from shapely import box
from sklearn.metrics import confusion_matrix

from geoseg.errors import EmptyError, GridMismatchError, InputError, LegendError, RasterError
from geoseg.evaluation.compare import OpenPair, compare, run_counters
from geoseg.evaluation.comparison import (
    EvaluationCounts,
    Measures,
    Pair,
    Reading,
    RegionSource,
)
from geoseg.evaluation.evaluation import Evaluation, pair_maps
from geoseg.labels.reference import ReferenceOptions
from geoseg.raster.grid import Length

NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
LEFT_HALF = box(500_000, 5_699_998, 500_001, 5_700_000)  # of 4 x 4 pixels
MAP = [[1, 1, 4, 4], [1, 1, 4, 4], [0, 0, 0, 4], [0, 0, 255, 255]]
TRUTH = [[10, 10, 20, 20], [10, 20, 21, 99], [30, 30, 10, 20], [30, 30, 30, 99]]


def counts(comparison):
    return comparison.confusion.counts.tolist()


def test_pixels_are_counted_by_reference_and_map(write_pair, legend):
    counted = compare(write_pair(MAP, TRUTH), legend)

    assert counts(counted) == [[3, 0, 1], [1, 4, 0], [0, 0, 4]]


def test_what_only_one_of_them_knows_is_dropped_and_counted(write_pair, legend):
    counted = compare(write_pair(MAP, TRUTH), legend)

    assert counted.without_map == 1  # water beneath the map's nodata
    assert counted.without_reference == 1  # unlabelled beneath a tree
    assert counted.confusion.total == 13


def test_value_0_is_a_class_and_only_255_is_nodata(write_pair, legend):
    counted = compare(write_pair([[0, 255]], [[30, 30]]), legend)

    assert counts(counted)[2] == [0, 0, 1]
    assert counted.without_map == 1


@pytest.mark.parametrize(("height", "width"), [(1, 1), (513, 3), (5, 8195), (700, 90)])
def test_counts_are_those_of_scikit_learn(write_pair, legend, height, width):
    rng = np.random.default_rng(height)
    mapped = rng.choice([0, 1, 4, 255], (height, width))
    truth = rng.choice([10, 20, 21, 30, 99], (height, width))
    mapped[0, 0], truth[0, 0] = 1, 10
    known = (mapped != 255) & (truth != 99)
    truth_of = np.select([truth == 10, truth == 30], [0, 2], 1)
    map_of = np.select([mapped == 1, mapped == 0], [0, 2], 1)

    counted = compare(write_pair(mapped, truth), legend)

    expected = confusion_matrix(truth_of[known], map_of[known], labels=[0, 1, 2])
    assert counts(counted) == expected.tolist()
    assert counted.without_map == np.count_nonzero((mapped == 255) & (truth != 99))
    assert counted.without_reference == np.count_nonzero((mapped != 255) & (truth == 99))


def test_a_map_in_colours_is_read_by_its_colours(write_raster, write_pair, legend):
    plain = write_pair(MAP, TRUTH)
    colors = np.zeros((256, 3), np.uint8)
    colors[[1, 4, 0]] = [each.color for each in legend.classes]
    filled = np.where(np.array(MAP) == 255, 0, MAP)
    picture = colors[filled].transpose(2, 0, 1)
    colored = write_raster("colored.tif", picture, mask=(np.array(MAP) != 255) * np.uint8(255))

    counted = compare(Pair("c", colored, plain.reference), legend)

    assert counts(counted) == counts(compare(plain, legend))
    assert (counted.without_map, counted.without_reference) == (1, 1)


def test_a_reference_may_reach_further_or_less_far_than_the_map(write_raster, write_pair, legend):
    mapped = write_pair(MAP, TRUTH).class_map
    around = np.full((8, 8), 30, np.uint8)
    around[2:6, 2:6] = TRUTH
    wide = write_raster("wide.tif", around, transform=NORTH_UP @ Affine.translation(-2, -2))
    part = np.array(TRUTH, np.uint8)[:2]
    short = write_raster("short.tif", part)

    assert counts(compare(Pair("w", mapped, wide), legend)) == [[3, 0, 1], [1, 4, 0], [0, 0, 4]]
    beneath = compare(Pair("s", mapped, short), legend)
    assert counts(beneath) == [[3, 0, 0], [1, 3, 0], [0, 0, 0]]
    assert beneath.without_reference == 1 + 6


@pytest.mark.parametrize("epsg", [32632, 25832, 4326, 3857])
def test_polygons_in_any_crs_are_a_reference(write_pair, write_polygons, legend, epsg):
    mapped = write_pair(np.full((20, 20), 1), np.full((20, 20), 10)).class_map
    left, right = (box(x, 5_699_990, x + 5, 5_700_000) for x in (500_000, 500_005))
    frame = gpd.GeoSeries([left, right], crs=32632).to_crs(epsg)
    truth = write_polygons("t.gpkg", list(frame), crs=epsg, kind=["building", "tree"])

    counted = compare(
        Pair("p", mapped, truth), legend, Reading(options=ReferenceOptions(attribute="kind"))
    )

    assert counted.confusion.total == pytest.approx(400, abs=20)
    assert counts(counted)[0][0] == pytest.approx(200, abs=20)
    assert counts(counted)[1][0] == pytest.approx(200, abs=20)


def test_ground_outside_the_area_of_interest_does_not_count(write_pair, write_polygons, legend):
    pair = write_pair(MAP, TRUTH)
    aoi = write_polygons("aoi.gpkg", [LEFT_HALF], side=["left"])

    counted = compare(pair, legend, Reading(aoi=aoi))

    assert counts(counted) == [[3, 0, 0], [1, 0, 0], [0, 0, 4]]
    assert (counted.without_map, counted.without_reference) == (0, 0)


def test_an_area_and_other_ground_count_where_both_lie(write_pair, write_polygons, legend):
    top = gpd.GeoSeries([box(500_000, 5_699_999, 500_002, 5_700_000)], crs=32632)
    aoi = write_polygons("aoi.gpkg", [LEFT_HALF], side=["left"])

    counted = compare(write_pair(MAP, TRUTH), legend, Reading(aoi=aoi, ground=top))

    assert counts(counted) == [[3, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_counts_of_maps_add_up(write_pair, legend):
    one = compare(write_pair(MAP, TRUTH), legend)
    other = compare(write_pair([[1, 255]], [[20, 20]], name="two"), legend)

    both = EvaluationCounts.nothing(3) + one + other

    assert counts(both) == [[3, 0, 1], [2, 4, 0], [0, 0, 4]]
    assert (both.without_map, both.without_reference) == (2, 1)


@pytest.mark.parametrize(
    "place",
    [
        {"transform": NORTH_UP @ Affine.translation(0.5, 0)},
        {"transform": NORTH_UP @ Affine.scale(2)},
        {"crs": "EPSG:25832"},
    ],
    ids=["moved", "coarser", "crs"],
)
def test_a_reference_on_another_grid_is_refused_but_resampled_on_request(write_pair, legend, place):
    pair = write_pair(np.full((8, 8), 1), np.full((8, 8), 10), **place)

    with pytest.raises(GridMismatchError, match=r"truth/one\.tif: not on the grid .*--resample"):
        compare(pair, legend)

    counted = compare(pair, legend, Reading(options=ReferenceOptions(resample=True)))
    assert counts(counted)[0][0] >= 8 * 7
    assert counted.confusion.total == counts(counted)[0][0]


def test_a_reference_elsewhere_is_refused(write_pair, legend):
    away = NORTH_UP @ Affine.translation(1000, 0)

    with pytest.raises(EmptyError, match=r"truth/one\.tif: does not overlap"):
        compare(write_pair(MAP, TRUTH, transform=away), legend)


@pytest.mark.parametrize(("mapped", "truth"), [([[255, 1]], [[10, 99]]), ([[255]], [[10]])])
def test_no_pixel_known_to_both_is_refused(write_pair, legend, mapped, truth):
    with pytest.raises(EmptyError, match="no pixel is known to both the map and"):
        compare(write_pair(mapped, truth), legend)


@pytest.mark.parametrize(
    ("mapped", "truth", "culprit"),
    [([[7]], [[10]], r"maps/one\.tif: .*7"), ([[1]], [[1]], r"truth/one\.tif: .*1")],
)
def test_a_value_without_a_class_is_refused_and_its_file_named(
    write_pair, legend, mapped, truth, culprit
):
    with pytest.raises(LegendError, match=culprit):
        compare(write_pair(mapped, truth), legend)


def test_a_missing_file_is_named(write_pair, legend, tmp_path):
    with pytest.raises(RasterError, match=r"gone\.tif: no such file"):
        compare(Pair("x", write_pair(MAP, TRUTH).class_map, tmp_path / "gone.tif"), legend)


def test_progress_is_told_for_every_block(write_pair, legend):
    told = []

    def watch(blocks, total):
        told.append((len(list(blocks)), total))
        return blocks

    compare(write_pair(np.ones((1025, 2)), np.full((1025, 2), 10)), legend, watch=watch)

    assert told == [(3, 3)]


def test_maps_are_paired_by_order_or_by_name():
    maps = [Path("a/north.tif"), Path("a/south.tif")]
    truth = [Path("b/south_ref.tif"), Path("b/north_ref.tif")]

    by_order, by_name = pair_maps(maps, truth, by="order"), pair_maps(maps, truth, by="name")

    assert [pair.reference for pair in by_order] == truth
    assert by_name == [Pair("north", maps[0], truth[1]), Pair("south", maps[1], truth[0])]


def test_one_reference_serves_all_maps():
    maps = [Path("x/map.tif"), Path("y/map.tif")]

    pairs = pair_maps(maps, [Path("truth.gpkg")], by="order")

    assert [pair.name for pair in pairs] == ["x_map", "y_map"]
    assert {pair.reference for pair in pairs} == {Path("truth.gpkg")}


def test_maps_and_references_of_different_number_are_refused():
    with pytest.raises(InputError, match="3 rasters and 2 references"):
        pair_maps([Path(name) for name in "abc"], [Path("b.tif"), Path("c.tif")], by="order")


def test_pixels_near_a_border_of_the_reference_do_not_count_in_the_eroded_figures(
    write_pair, legend
):
    truth = [[10, 10, 10, 20, 20, 20], [10, 10, 10, 20, 20, 20], [10, 10, 10, 20, 20, 99]]
    mapped = [[1, 1, 4, 4, 4, 4], [1, 1, 4, 4, 4, 4], [4, 1, 4, 4, 4, 4]]
    one_px = Measures(erode=Length(1, "px"))

    counted = compare(write_pair(mapped, truth), legend, measures=one_px)

    assert counts(counted) == [[5, 4, 0], [0, 8, 0], [0, 0, 0]]
    assert counted.eroded.counts.tolist() == [[5, 1, 0], [0, 5, 0], [0, 0, 0]]


def test_borders_are_followed_from_block_to_block(write_pair, legend):
    rng = np.random.default_rng(5)
    truth = rng.choice([10, 20, 30], (131, 9)).repeat(8, 0).repeat(7, 1)
    mapped = np.roll(np.select([truth == 10, truth == 20], [1, 4], 0), 2, 0)
    three_px = Measures(boundary=Length(3, "px"), erode=Length(3, "px"))

    counted = compare(write_pair(mapped, truth), legend, measures=three_px)

    near = [ndimage.distance_transform_edt(truth == value) <= 3 for value in (10, 20, 30)]
    rims = [near[i] & (truth == value) for i, value in enumerate((10, 20, 30))]
    kept = ~np.any(rims, axis=0)
    assert counted.eroded.total == kept.sum()
    for index, (value, of_map) in enumerate(((10, 1), (20, 4), (30, 0))):
        masks = [truth == value, mapped == of_map]
        rims = [mask & (ndimage.distance_transform_edt(mask) <= 3) for mask in masks]
        either = (rims[0] | rims[1]).sum()
        assert counted.borders.iou[index] == pytest.approx((rims[0] & rims[1]).sum() / either)


def test_the_edge_of_an_area_makes_no_border(write_pair, write_polygons, legend):
    aoi = write_polygons("aoi.gpkg", [LEFT_HALF], side=["left"])
    one_px = Measures(boundary=Length(1, "px"))

    whole = compare(write_pair(MAP, TRUTH), legend, measures=one_px)
    left = compare(write_pair(MAP, TRUTH), legend, Reading(aoi=aoi), measures=one_px)

    assert left.borders.rim_map.sum() < whole.borders.rim_map.sum()
    assert left.borders.rim_map.tolist() == [3, 0, 2]  # of six that are known, all but the corner


def test_objects_are_those_of_pixels_that_both_know(write_pair, legend):
    truth = [[10, 10, 20, 20], [20, 20, 20, 20], [10, 99, 10, 10]]
    mapped = [[1, 1, 4, 4], [4, 4, 4, 4], [4, 1, 1, 4]]

    counted = compare(
        write_pair(mapped, truth), legend, measures=Measures(objects=("building", "tree"))
    )

    building, tree = counted.objects[0], counted.objects[1]
    assert (building.reference, building.mapped, building.matched) == (3, 2, 2)
    assert building.iou_sum == pytest.approx(1 + 1 / 2)
    assert (tree.reference, tree.matched) == (1, 1)
    assert (counted + counted).objects[0].matched == 4


def test_counts_do_not_depend_on_the_number_of_workers(write_pair, write_polygons, legend):
    rng = np.random.default_rng(2)
    truth = rng.choice([10, 20, 30, 99], (130, 30)).repeat(8, 0).repeat(9, 1)
    mapped = rng.choice([0, 1, 4, 255], truth.shape)
    regions = write_polygons("r.gpkg", [LEFT_HALF.buffer(200)], town=["west"])
    pair = write_pair(mapped, truth)
    everything = Measures(
        boundary=Length(2, "px"),
        erode=Length(2, "px"),
        objects=("building",),
        by=RegionSource(regions, "town"),
        intervals=95,
        block=Length(40, "px"),
        bootstrap=100,
    )

    figures = [
        Evaluation(
            {pair: compare(pair, legend, measures=everything, workers=workers)}, legend, everything
        ).to_dict()
        for workers in (1, 4)
    ]

    assert str(figures[0]) == str(figures[1])


class RowsSeen:
    """A counter of a test: which rows it gets, and with how much halo."""

    halo = 3

    def __init__(self):
        self.seen = []

    def count(self, block):
        return block.window.row_off, block.all_mapped.shape[0]

    def add(self, counted):
        self.seen.append(counted)


def test_a_counter_of_ones_own_gets_all_blocks_in_order_with_its_halo(write_pair, legend):
    pair = write_pair(np.ones((1025, 2)), np.full((1025, 2), 10))
    counter = RowsSeen()

    with OpenPair(pair, legend) as opened:
        run_counters(opened, [counter], workers=2)

    assert counter.seen == [(0, 515), (512, 516), (1024, 4)]
