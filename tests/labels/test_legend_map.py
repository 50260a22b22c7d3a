import json

import numpy as np
import pytest

from geoseg.errors import LegendError
from geoseg.labels.legend import IGNORE, Legend, Merged
from geoseg.labels.legend_map import (
    Correspondence,
    legend_from_dict,
    merge_legends,
)

U = IGNORE


def legend(*names, start=0, **record):
    tables = [{"value": start + number, "name": name} for number, name in enumerate(names)]
    return Legend.from_dict({"class": tables, **record})


OURS = legend("roof", "road", "tree", "grass", "cloud", start=1)
THEIRS = legend("building", "sealed", "green", "water", start=11, background="sealed", ignore=[99])
ROWS = [
    Correspondence("roof", "building"),
    Correspondence("road", "sealed"),
    Correspondence("tree", "green"),
    Correspondence("4", "13"),  # grass, green
    Correspondence("cloud", ""),
    Correspondence("", "water"),
]


def test_several_classes_become_one_and_others_are_left_out():
    merged = merge_legends(ROWS, OURS, THEIRS)

    assert merged.names == ["building", "sealed", "green"]
    assert merged.indices_of_map.tolist() == [0, 1, 2, 2, U]
    assert merged.encode_values(np.array([11, 12, 13, 14, 99])).tolist() == [0, 1, 2, U, U]
    assert merged.encode_attributes(["building", "13", "water"]).tolist() == [0, 2, U]
    assert merged.background_index == 1
    assert merged.of_map == OURS


def test_the_parts_of_merged_classes_are_listed():
    merged = merge_legends(ROWS, OURS, THEIRS)

    assert merged.merge.table == (
        Merged("building", ("roof",), ("building",)),
        Merged("sealed", ("road",), ("sealed",)),
        Merged("green", ("tree", "grass"), ("green",)),
        Merged("", ("cloud",), ()),
        Merged("", (), ("water",)),
    )


@pytest.mark.parametrize(
    "merged",
    [
        OURS,
        merge_legends(ROWS, OURS, THEIRS),
        merge_legends([Correspondence("roof", "#ff0000", "house"), *ROWS[1:5]], OURS),
    ],
)
def test_a_record_gives_the_same_legend(merged):
    record = json.loads(json.dumps(merged.to_dict()))

    assert legend_from_dict(record) == merged


def test_classes_of_the_reference_are_merged_too():
    rows = [("a", "x"), ("a", "y"), ("b", "y"), ("c", "z")]  # a chain: a, b, x and y are one

    merged = merge_legends(
        [Correspondence(*row) for row in rows], legend(*"abc"), legend(*"xyz", start=5)
    )

    assert merged.names == ["x + y", "z"]
    assert merged.indices_of_map.tolist() == [0, 0, 1]
    assert merged.encode_values(np.array([5, 6, 7])).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    "rows", [("a:x", "b:y", "b:x"), ("b:x", "a:x", "b:y"), ("b:y", "a:x", "b:x")]
)
def test_the_order_of_rows_does_not_matter(rows):
    pairs = [Correspondence(*row.split(":")) for row in rows]

    assert len(merge_legends(pairs, legend("a", "b"), legend("x", "y"))) == 1


def test_a_merged_class_may_be_given_a_name():
    rows = [Correspondence("a", "x", "land"), Correspondence("b", "x")]

    assert merge_legends(rows, legend("a", "b"), legend("x")).names == ["land"]


def test_rows_with_the_same_name_are_one_class():
    rows = [("a", "x", "land"), ("b", "y", "sea"), ("c", "z", "land")]

    merged = merge_legends([Correspondence(*row) for row in rows], legend(*"abc"), legend(*"xyz"))

    assert merged.names == ["land", "sea"]
    assert merged.indices_of_map.tolist() == [0, 1, 0]


def test_a_class_that_is_named_twice_is_one_class():
    own = legend("a", "b", start=1)
    rows = [Correspondence("a", "1"), Correspondence("a", "a"), Correspondence("b", "2")]

    assert merge_legends(rows, own).encode_values(np.array([1, 2])).tolist() == [0, 1]


def test_a_class_of_the_map_for_several_of_the_reference_keeps_its_name():
    rows = [Correspondence("a", "x"), Correspondence("a", "y")]

    assert merge_legends(rows, legend("a"), legend("x", "y")).names == ["a"]


def test_without_a_legend_the_reference_is_named_by_what_it_holds():
    rows = [("roof", "300"), ("road", "#ffffff"), ("tree", "Wald"), ("grass", "-7"), ("cloud", "")]

    merged = merge_legends([Correspondence(*row) for row in rows], OURS)

    assert merged.encode_values(np.array([300, -7])).tolist() == [0, 3]
    assert merged.encode_attributes(["Wald", 300]).tolist() == [2, 0]
    white = np.full((3, 1, 1), 255, np.uint8)
    assert merged.encode_colors(white).tolist() == [[1]]


def test_the_legend_of_the_map_may_say_what_its_names_are_in_the_reference():
    classes = [{"name": "roof", "values": [7]}, {"name": "tree", "values": [8, 9]}]
    rows = [Correspondence("roof", "roof"), Correspondence("tree", "tree")]

    merged = merge_legends(rows, Legend.from_dict({"class": classes}))

    assert merged.encode_values(np.array([7, 8, 9])).tolist() == [0, 1, 1]


def test_bare_values_are_values_whatever_colours_a_palette_shows():
    own = legend("a", "b")
    by_value = [Correspondence("a", "1"), Correspondence("b", "0")]
    palette = {0: own.classes[0].color, 1: own.classes[1].color}  # as the map's, the other way

    assert merge_legends(by_value, own).fits_palette(palette)
    assert not merge_legends(by_value, own, legend("a", "b")).fits_palette(
        {0: own.classes[1].color, 1: own.classes[0].color}
    )


def test_colours_of_the_map_are_apart_from_those_of_the_reference():
    own = legend("a", "b")
    red = np.array(own.classes[0].color, np.uint8).reshape(3, 1, 1)
    rows = [Correspondence("a", "y"), Correspondence("b", "x")]

    merged = merge_legends(rows, own, legend("x", "y"))

    assert merged.encode_colors(red).tolist() == [[1]]
    assert merged.of_map.encode_colors(red).tolist() == [[0]]
    assert own.of_map == own


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("roof", "x")], r"of the map that the legend map does not name: \['road'\]"),
        ([("roof", "x"), ("road", "x")], r"of the reference .*: \['y'\]"),
        ([("house", "x")], r"'house' is not a class of the map; its classes are roof, road"),
        ([("roof", "z")], r"'z' is not a class of the reference; its classes are x, y"),
        ([("roof", ""), ("road", ""), ("", "x"), ("", "y")], "no class of the map corresponds"),
        ([("roof", "x"), ("road", "y"), ("", "y")], "'y' is left out in one row and kept in"),
        ([("roof", "x"), ("road", ""), ("road", "y")], "'road' is left out in one row and kept"),
    ],
)
def test_a_map_that_is_not_whole_is_refused(rows, reason):
    with pytest.raises(LegendError, match=reason):
        merge_legends(
            [Correspondence(*row) for row in rows], legend("roof", "road"), legend("x", "y")
        )


def test_one_class_with_two_names_is_refused():
    rows = [Correspondence("a", "x", "one"), Correspondence("b", "x", "two")]

    with pytest.raises(LegendError, match=r"has several names in the legend map: \['one', 'two'\]"):
        merge_legends(rows, legend("a", "b"), legend("x"))
