"""Maps held against several references, and against one with another legend."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geoseg.errors import InputError
from geoseg.evaluation.compare import compare
from geoseg.evaluation.comparison import Measures, Pair
from geoseg.evaluation.evaluation import Evaluation, pair_maps
from geoseg.evaluation.text import table_of
from geoseg.labels.legend_map import Correspondence, merge_legends

MAP = [[1, 1, 4, 4, 0, 255]]


def counts(comparison):
    return comparison.confusion.counts.tolist()


@pytest.fixture
def pair(write_pair, write_raster):
    first = write_pair(MAP, [[10, 99, 99, 20, 99, 99]])
    second = write_raster("second.tif", np.array([[20, 10, 20, 30, 99, 10]], np.uint8))
    return replace(first, further=(second,))


def test_references_fill_what_others_leave_unlabelled(pair, legend):
    counted = compare(pair, legend)

    assert counts(counted) == [[2, 0, 0], [0, 2, 0], [0, 0, 0]]
    assert counted.without_reference == 1
    assert counted.without_map == 1


def test_what_two_references_label_differently_is_counted_and_told(pair, legend):
    counted = compare(pair, legend)

    assert counted.label_conflicts == 2
    told = table_of(Evaluation({pair: counted}, legend))
    assert "2 px are labelled differently by two references; the first one counts" in told


def test_a_single_reference_contradicts_nobody(pair, legend):
    assert compare(replace(pair, further=()), legend).label_conflicts is None


def test_one_map_has_all_references_and_several_have_them_on_request():
    maps, truth = [Path("a.tif"), Path("b.tif")], [Path("x.tif"), Path("y.gpkg"), Path("z.tif")]

    [alone] = pair_maps(maps[:1], truth, by="order")
    each = pair_maps(maps, truth, by="all")

    assert (alone.reference, alone.further) == (truth[0], (truth[1], truth[2]))
    assert [pair.further for pair in each] == [(truth[1], truth[2])] * 2
    assert [pair.further for pair in pair_maps(maps, truth[:2], by="order")] == [(), ()]


def test_scores_belong_to_maps_in_their_order():
    maps, scores = [Path("a.tif"), Path("b.tif")], [Path("s.tif"), Path("t.tif")]

    pairs = pair_maps(maps, [Path("x.tif")], by="order", scores=scores)

    assert [pair.scores for pair in pairs] == scores
    with pytest.raises(InputError, match="2 maps and 1 rasters of scores"):
        pair_maps(maps, [Path("x.tif")], by="order", scores=scores[:1])


def test_legends_that_differ_are_merged(write_pair, legend):
    rows = [("building", "1", "built"), ("tree", "2"), ("water", "2", "green"), ("", "7")]
    merged = merge_legends([Correspondence(*row) for row in rows], legend)
    pair = write_pair(MAP, [[1, 2, 2, 1, 7, 2]])

    counted = compare(pair, merged, measures=Measures(objects=("green",)))

    assert merged.names == ["built", "green"]
    assert counts(counted) == [[1, 1], [1, 1]]
    assert (counted.without_map, counted.without_reference) == (1, 1)
    assert counted.objects[1].mapped == 1
    told = table_of(Evaluation({pair: counted}, merged))
    assert "merged: green = tree + water of the map, 2 of the reference" in told
    assert "left out: 7 of the reference" in told


def test_a_map_in_colours_is_merged_by_its_colours(write_raster, write_pair, legend):
    merged = merge_legends(
        [Correspondence(*row) for row in [("building", "1"), ("tree", "2"), ("water", "2")]], legend
    )
    colors = np.array([[each.color for each in legend.classes]], np.uint8).transpose(2, 0, 1)
    pair = write_pair([[0]], [[1, 2, 1]])

    counted = compare(Pair("c", write_raster("c.tif", colors), pair.reference), merged)

    assert counts(counted) == [[1, 1], [0, 1]]
