import numpy as np
import pytest

from geoseg.errors import LegendError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import parse_color, to_hex

COVER = Legend.from_dict(
    {
        "name": "cover",
        "ignore": [0, 9, "#000000", "unknown"],
        "class": [
            {"value": 10, "name": "building", "color": "#ff0000", "attributes": ["roof", "12"]},
            {"value": 20, "name": "tree", "color": "#00ff00", "values": [3, 500]},
            {"value": 30, "name": "water", "colors": ["#0000ff", "#0000fe"]},
        ],
    }
)


def legend(*tables, **head):
    return Legend.from_dict({"class": list(tables), **head})


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "int64", "float32", "float64"])
def test_source_values_become_indices(dtype):
    values = np.array([[10, 3, 500, 30], [0, 9, 9, 10]], dtype)

    assert COVER.encode_values(values).tolist() == [
        [0, 1, 1, 2],
        [IGNORE, IGNORE, IGNORE, 0],
    ]


def test_bytes_become_indices():
    values = np.array([[10, 3, 30], [0, 9, 9]], np.uint8)

    assert COVER.encode_values(values).tolist() == [[0, 1, 2], [IGNORE, IGNORE, IGNORE]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_values_that_are_also_indices_are_remapped_once_and_not_twice(dtype):
    swapped = legend(
        {"value": 2, "name": "a"}, {"value": 0, "name": "b"}, {"value": 1, "name": "c"}
    )

    assert swapped.encode_values(np.array([0, 1, 2], dtype)).tolist() == [1, 2, 0]
    assert swapped.decode_map(np.array([0, 1, 2], np.uint8)).tolist() == [2, 0, 1]


@pytest.mark.parametrize("values", [np.array([7, 7, 77, 10], np.uint8), np.array([7, 7, 77, 10])])
def test_unknown_values_are_refused_with_a_list(values):
    with pytest.raises(LegendError, match=r"7 \(2x\), 77 \(1x\).*`ignore`"):
        COVER.encode_values(values)


@pytest.mark.parametrize("value", [10.5, -10.0, np.nan, np.inf])
def test_a_number_between_the_values_is_no_class(value):
    with pytest.raises(LegendError, match="without a class"):
        COVER.encode_values(np.array([10, value]))


def test_only_the_five_most_frequent_unknown_values_are_listed():
    with pytest.raises(LegendError, match=r"41 \(3x\).* and 2 more"):
        COVER.encode_values(np.array([41, 41, 41, 42, 43, 44, 45, 46, 47], np.uint8))


@pytest.mark.parametrize("shape", [(0,), (0, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_no_pixels_are_no_classes(shape, dtype):
    assert COVER.encode_values(np.zeros(shape, dtype)).shape == shape


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_255_is_a_value_like_others(dtype):
    values = np.array([10, 255, 255], dtype)

    with pytest.raises(LegendError, match=r"255(\.0)? \(2x\)"):
        COVER.encode_values(values)
    assert legend({"name": "a", "value": 10}, ignore=[255]).encode_values(values).tolist() == [
        *(0, IGNORE, IGNORE)
    ]


def test_an_alternative_means_the_class_too():
    either = legend({"name": "no"}, {"name": "yes", "alternative": 255})

    assert either.encode_values(np.array([0, 1, 255], np.uint8)).tolist() == [0, 1, 1]
    assert Legend.from_dict(either.to_dict()) == either
    with pytest.raises(LegendError, match="source value 255 belongs to two"):
        legend({"name": "no", "values": [255]}, {"name": "yes", "alternative": 255})


def test_values_near_enough_to_those_of_a_class_mean_it():
    either = legend({"name": "no"}, {"name": "yes", "alternative": 255})
    values = np.array([0, 1, 60, 195, 254, 255], np.uint8)

    assert either.encode_values(values, tolerance=60).tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(LegendError, match=r"61 \(1x\)"):
        either.encode_values(np.array([0, 61], np.uint8), tolerance=60)


@pytest.mark.parametrize(
    ("tables", "ignore", "spacing"),
    [
        ([{"name": "a"}, {"name": "b"}], [], 1),
        ([{"name": "a"}, {"name": "b", "alternative": 255}], [], 255),
        ([{"name": "a", "values": [0, 1]}, {"name": "b", "values": [100]}], [150], 50),
        ([{"name": "a", "values": [0, 1]}], [], float("inf")),
    ],
)
def test_how_far_values_of_different_meaning_lie_apart(tables, ignore, spacing):
    assert legend(*tables, ignore=ignore).spacing() == spacing


def test_class_maps_of_others_hold_values_and_no_source_values():
    theirs = legend(
        {"name": "a", "value": 1, "values": [7]},
        {"name": "b", "value": 2, "values": [1], "alternative": 255},
        ignore=[2, 9],
    ).of_maps()

    assert theirs.encode_values(np.array([1, 2, 255, 9])).tolist() == [0, 1, 1, IGNORE]
    with pytest.raises(LegendError, match=r"7 \(1x\)"):
        theirs.encode_values(np.array([7]))


def test_a_class_map_holds_the_legends_values_and_comes_back():
    indices = np.array([[0, 1], [2, IGNORE]], np.uint8)

    values = COVER.decode_map(indices)

    assert values.tolist() == [[10, 20], [30, 255]]
    assert COVER.encode_map(values).tolist() == indices.tolist()


def test_source_values_are_unknown_in_a_class_map():
    with pytest.raises(LegendError, match=r"3 \(1x\)"):
        COVER.encode_map(np.array([3], np.uint8))


def test_colours_become_indices():
    red, green, blue, almost, black = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 254), (0, 0, 0)
    image = np.array([[red, green, blue], [almost, black, red]], np.uint8).transpose(2, 0, 1)

    assert legend_with_colors().encode_colors(image).tolist() == [[0, 1, 2], [2, IGNORE, 0]]


def legend_with_colors():
    return Legend.from_dict(
        {
            "ignore": ["#000000"],
            "class": [
                {"name": "red", "color": "#ff0000"},
                {"name": "green", "color": "#00FF00"},
                {"name": "blue", "colors": ["#0000ff", "#0000fe"]},
            ],
        }
    )


def test_colours_near_enough_to_that_of_a_class_mean_it():
    image = np.array([[(255, 0, 0), (240, 9, 9), (3, 4, 0)]], np.uint8).transpose(2, 0, 1)

    assert legend_with_colors().encode_colors(image, tolerance=20).tolist() == [[0, 0, IGNORE]]
    with pytest.raises(LegendError, match=r"#f00909 \(1x\)"):
        legend_with_colors().encode_colors(image, tolerance=19)


def test_white_and_black_are_255_and_0_where_255_may_be_a_class():
    image = np.array([[[0, 255, 0]]] * 3, np.uint8)
    either = legend({"name": "no"}, {"name": "yes", "alternative": 255})

    assert either.encode_colors(image).tolist() == [[0, 1, 0]]
    with pytest.raises(LegendError, match=r"#000000 \(2x\), #ffffff"):
        legend({"name": "no"}, {"name": "yes"}).encode_colors(image)


@pytest.mark.parametrize("value", [256, 65535, -1, 0.5])
def test_colours_beyond_a_byte_are_refused(value):
    image = np.full((3, 1, 2), value, np.array(value).dtype)

    with pytest.raises(LegendError, match="colours have 8 bits"):
        legend_with_colors().encode_colors(image)


def test_unknown_colours_are_refused_with_a_list():
    image = np.array([[(255, 0, 0), (1, 2, 3), (1, 2, 3)]], np.uint8).transpose(2, 0, 1)

    with pytest.raises(LegendError, match=r"colours without a class: #010203 \(2x\)"):
        legend_with_colors().encode_colors(image)


def test_attributes_become_indices_whatever_their_type():
    texts = ["roof", " roof ", 12, 12.0, "12", "tree", 500, "water", 30.0, "unknown", 9]

    assert COVER.encode_attributes(texts).tolist() == [0] * 5 + [1, 1, 2, 2, IGNORE, IGNORE]


def test_attributes_of_a_class_that_lists_them_replace_its_name():
    with pytest.raises(LegendError, match=r"'building' \(1x\)"):
        COVER.encode_attributes(["building"])


def test_a_name_counts_before_the_value_of_another_class():
    named = legend({"name": "1"}, {"name": "2"}, {"name": "x"})  # values 0, 1, 2

    assert named.encode_attributes(["1", "2", "x", 0]).tolist() == [0, 1, 2, 0]


def test_unknown_attributes_are_refused_with_a_list():
    with pytest.raises(LegendError, match=r"'shed' \(2x\), 'None' \(1x\)"):
        COVER.encode_attributes(["shed", "tree", "None", "shed"])


@pytest.mark.parametrize(
    "value", [None, float("nan"), np.float32("nan"), "", "  ", "nan", "NaN", "<NA>"]
)
def test_polygons_without_a_value_are_unlabelled(value):
    assert COVER.encode_attributes(["tree", value]).tolist() == [1, IGNORE]


def test_a_class_may_be_called_what_else_stands_for_no_value():
    named = legend({"name": "a", "attributes": ["nan"]}, {"name": "b"})

    assert named.encode_attributes(["nan", float("nan"), None]).tolist() == [0, 0, IGNORE]


@pytest.mark.parametrize("value", [4, 4.0, np.float32(4), np.int16(4), "4", " 4 "])
def test_codes_compare_as_text_whatever_their_type(value):
    assert legend({"name": "a", "value": 4}).encode_attributes([value]).tolist() == [0]


def test_no_polygon_has_no_class():
    assert COVER.encode_attributes([]).shape == (0,)


def test_ground_without_polygons_is_unlabelled_unless_a_class_is_named():
    tables = [{"name": "other"}, {"name": "building"}]

    assert legend(*tables).background_index == IGNORE
    assert legend(*tables, background="building").background_index == 1


def test_a_legend_survives_its_record():
    assert Legend.from_dict(COVER.to_dict()) == COVER


def test_classes_without_value_or_colour_get_their_index_and_different_colours():
    many = legend(*({"name": str(number)} for number in range(16)))

    assert [each.value for each in many.classes] == list(range(16))
    assert len({each.color for each in many.classes}) == 16


def test_more_classes_than_colours_of_our_own_are_told_apart():
    many = legend(*({"name": str(number)} for number in range(40)))

    assert len({each.color for each in many.classes}) == 40


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({}, "at least one"),
        ({"class": []}, "at least one"),
        ({"class": [{"value": 0}]}, "number 1: name is missing"),
        ({"class": [{"name": "a", "colour": "#ffffff"}]}, "unknown keys.*colour"),
        ({"class": [{"name": "a"}], "classes": []}, "unknown keys.*classes"),
        ({"class": [{"name": "a", "color": "red"}]}, "#rrggbb.*red"),
        ({"class": [{"name": "a", "value": "1"}]}, "whole number"),
        ({"class": [{"name": "a", "value": True}]}, "whole number"),
        ({"class": [{"name": "a", "alternative": "x"}]}, "alternative is a whole number"),
        ({"class": [{"name": " "}]}, "name is missing"),
        ({"class": [{"name": "a"}], "ignore": [0]}, "0 means class 'a' and is in `ignore`"),
        (
            {"class": [{"name": "a", "color": "#00FF00"}], "ignore": ["#00ff00"]},
            "'#00ff00' means class 'a' and is in `ignore`",
        ),
        ({"class": [{"name": "a"}], "ignore": [1.5]}, "ignore lists whole numbers"),
        ({"class": [{"name": "a", "value": 255}]}, "holds 0..254"),
        ({"class": [{"name": "a", "value": -1}]}, "holds 0..254"),
        ({"class": [{"name": "a", "values": 3}]}, "values is a list"),
        ({"class": [{"name": "a"}, {"name": "a"}]}, "name a belongs to two"),
        ({"class": [{"name": "a", "value": 1}, {"name": "b"}]}, "value 1 belongs to two"),
        (
            {"class": [{"name": "a", "values": [7]}, {"name": "b", "values": [7]}]},
            "source value 7 belongs to two",
        ),
        (
            {"class": [{"name": "a", "color": "#ffffff"}, {"name": "b", "color": "#FFFFFF"}]},
            "colour #ffffff belongs to two",
        ),
        ({"class": [{"name": "a"}], "background": "b"}, "background = 'b' is not a class"),
        ({"class": [{"name": str(n), "value": n} for n in range(255)]}, "254"),
    ],
)
def test_a_wrong_legend_is_refused_with_the_reason(record, reason):
    with pytest.raises(LegendError, match=reason):
        Legend.from_dict(record)


@pytest.mark.parametrize("kind", ["colors", "attributes"])
def test_what_means_two_classes_is_refused(kind):
    shared = {"colors": ["#123456"], "attributes": ["shed"]}[kind]

    with pytest.raises(LegendError, match="belongs to two"):
        legend({"name": "a", kind: shared}, {"name": "b", kind: shared})


@pytest.mark.parametrize("key", ["values", "colors", "attributes"])
def test_a_string_in_place_of_a_list_is_refused(key):
    with pytest.raises(LegendError):
        legend({"name": "a", key: "12"})


@pytest.mark.parametrize("head", [{"ignore": 5}, {"ignore": "#000000"}, {"background": 3}])
def test_a_wrong_head_is_a_legend_error(head):
    with pytest.raises(LegendError):
        legend({"name": "a"}, **head)


@pytest.mark.parametrize(
    ("palette", "fits"),
    [
        ({0: (255, 0, 0), 1: (0, 255, 0), 2: (0, 0, 255)}, True),  # the same
        ({0: (1, 1, 1), 1: (2, 2, 2), 2: (3, 3, 3)}, True),  # other colours: values decide
        ({0: (0, 255, 0), 1: (255, 0, 0)}, False),  # the same colours at other values
    ],
)
def test_a_palette_fits_unless_it_has_a_class_colour_at_another_value(palette, fits):
    tables = [{"name": "r", "color": "#ff0000"}, {"name": "g", "color": "#00ff00"}]

    assert legend(*tables).fits_palette(palette) is fits


@pytest.mark.parametrize("color", [(0, 0, 0), (1, 171, 255), (255, 255, 255)])
def test_a_colour_survives_its_text(color):
    assert parse_color(to_hex(color)) == color


@pytest.mark.parametrize("text", ["#fff", "ffffff", "#gggggg", "#1234567", 7, None])
def test_what_is_no_colour_is_refused(text):
    with pytest.raises(LegendError, match="#rrggbb"):
        parse_color(text)


@pytest.mark.parametrize(
    "record",
    [
        [],
        {"class": [7]},
        {"class": [{"value": 1, "name": "of\ntwo lines"}]},
        {"class": [{"value": 1, "name": "a", "values": [1.5]}]},
        {"class": [{"value": 1, "name": "a", "values": ["1"]}]},
        {"class": [{"value": 1, "name": "a", "values": [True]}]},
        {"class": [{"value": 1, "name": "a", "values": [10**30]}]},
        {"class": [{"value": 1, "name": "a", "attributes": [[]]}]},
        {"class": [{"value": 1, "name": "a"}], "ignore": [{}]},
        {"class": [{"value": 1, "name": "a"}], "ignore": [0.5]},
        {"class": [{"value": 1, "name": "a"}], "background": 7},
    ],
)
def test_a_legend_of_other_types_is_refused(record):
    with pytest.raises(LegendError):
        Legend.from_dict(record)
