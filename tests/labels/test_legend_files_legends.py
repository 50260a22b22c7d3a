import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely

from geoseg.errors import EmptyError, LegendError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.legend_files import (
    PRESETS,
    derive_legend,
    find_legend,
    load_legend,
    preset,
    to_toml,
)

BOXES = [shapely.box(500_000 + x, 5_699_990, 500_005 + x, 5_700_000) for x in (0, 10, 20)]


@pytest.fixture
def write_toml(tmp_path):
    def write(text):
        path = tmp_path / "legend.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_legend_is_read_from_toml(write_toml):
    path = write_toml('ignore = [0]\n[[class]]\nvalue = 2\nname = "Bäume"\ncolor = "#00ff00"\n')

    legend = load_legend(str(path))

    assert legend.names == ["Bäume"]
    assert (legend.classes[0].value, legend.classes[0].color) == (2, (0, 255, 0))
    assert legend.ignore == (0,)


@pytest.mark.parametrize("name", [*PRESETS, "binary:roof"])
def test_a_preset_goes_by_its_name(name):
    assert load_legend(name) == preset(name)


def test_a_folder_is_no_legend(tmp_path):
    with pytest.raises(LegendError, match=rf"{tmp_path.name}: is a folder, and no preset"):
        load_legend(str(tmp_path))


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that reads fail of")
def test_a_legend_whose_reading_fails_is_named():
    with pytest.raises(LegendError, match=r"mem: cannot be read: "):
        load_legend("/proc/self/mem")


def test_neither_file_nor_preset_is_refused_with_the_presets():
    with pytest.raises(LegendError, match=r"nope: no such file.*isprs.*binary:NAME"):
        load_legend("nope")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[class]\n", "not a TOML file"),
        ("[[class]]\nvalue = 1\n", "name is missing"),
        ("", "class"),
    ],
)
def test_a_wrong_file_is_named_with_the_reason(write_toml, text, reason):
    path = write_toml(text)

    with pytest.raises(LegendError, match=rf"legend\.toml: .*{reason}"):
        load_legend(str(path))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "legend.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(LegendError, match="not a TOML file"):
        load_legend(str(path))


@pytest.mark.parametrize(
    "legend",
    [
        *map(preset, [*PRESETS, "binary:roof"]),
        Legend.from_dict(
            {
                "name": 'a "quoted" \\ name',
                "background": "Grün",
                "ignore": [0, "#123456", "unknown"],
                "class": [
                    {"value": 9, "name": "Grün", "values": [1, 700], "attributes": ["x'y", "7"]},
                    {"value": 8, "name": "b\tc", "colors": ["#ffffff", "#fffffe"]},
                ],
            }
        ),
    ],
)
def test_a_legend_survives_toml(write_toml, legend):
    assert load_legend(str(write_toml(to_toml(legend)))) == legend


def test_a_legend_is_derived_from_values(write_raster):
    legend = derive_legend(
        write_raster("cover.tif", np.array([[3, 1], [7, 0]], np.uint8), nodata=0)
    ).legend

    assert legend.name == "cover"
    assert [(each.value, each.name) for each in legend.classes] == [
        (1, "class 1"),
        (3, "class 3"),
        (7, "class 7"),
    ]


@pytest.mark.parametrize(
    "values", [[300, 1000], [-5, 3], [1, 300], [0, 2, 70_000], list(range(40))]
)
def test_a_derived_legend_fits_the_reference_it_comes_from(write_raster, values):
    array = np.array([values], np.int32)

    legend = derive_legend(write_raster("a.tif", array)).legend

    assert legend.encode_values(array).tolist() == [list(range(len(values)))]


@pytest.mark.parametrize("values", [[0, 255], [0, 1, 255], [254, 255], [255], [-1, 0, 65535]])
def test_every_value_is_a_class_and_255_is_one_of_them(write_raster, values):
    array = np.array([values], np.int32)

    found = derive_legend(write_raster("a.tif", array))

    assert found.legend.encode_values(array).tolist() == [list(range(len(values)))]
    assert found.legend.ignore == ()
    assert any("ignore = [255]" in line for line in found.about) == (255 in values)


def test_values_that_a_class_map_can_hold_keep_their_number(write_raster):
    legend = derive_legend(write_raster("a.tif", np.array([[0, 255, 7]], np.uint8))).legend

    assert [(each.value, each.name) for each in legend.classes] == [
        (0, "class 0"),
        (7, "class 7"),
        (8, "class 255"),
    ]


def test_nodata_is_no_class(write_raster):
    found = derive_legend(write_raster("a.tif", np.array([[0, 1, 255]], np.uint8), nodata=255))

    assert [each.value for each in found.legend.classes] == [0, 1]
    assert found.about == ("The file's nodata, 255, is unlabelled.",)


def test_scores_are_no_classes(write_raster):
    with pytest.raises(LegendError, match=r"a\.tif: holds 0\.5, and classes are whole numbers"):
        derive_legend(write_raster("a.tif", np.array([[0, 1, 0.5]], np.float32)))


def test_a_raster_without_data_has_no_classes(write_raster):
    with pytest.raises(LegendError, match=r"a\.tif: no pixel has data"):
        derive_legend(write_raster("a.tif", np.zeros((2, 2), np.uint8), nodata=0))


def test_a_class_map_of_geosegs_brings_its_own_legend(write_raster):
    path = write_raster("map.tif", np.array([[1, 255]], np.uint8), nodata=255)
    with rasterio.open(path, "r+") as file:
        file.update_tags(GEOSEG=json.dumps({"legend": preset("binary:roof").to_dict()}))

    assert derive_legend(path).legend == preset("binary:roof")


@pytest.mark.parametrize("nulls", [[None, ""], [None, " "], ["", "nan"]])
def test_polygons_without_a_value_make_no_class(write_polygons, nulls):
    path = write_polygons("a.gpkg", BOXES, kind=["roof", *nulls])

    found = derive_legend(path, attribute="kind")

    assert found.legend.names == ["roof"]
    assert found.about == ("'kind' is null or empty for 2 polygon(s): unlabelled.",)


def test_numbers_with_gaps_stay_numbers(write_polygons):
    path = write_polygons("a.gpkg", BOXES, kind=[4.0, float("nan"), 255.0])

    legend = derive_legend(path, attribute="kind").legend

    assert [each.name for each in legend.classes] == ["class 4", "class 255"]
    assert legend.encode_attributes([4.0, None, 255]).tolist() == [0, IGNORE, 1]


@pytest.mark.parametrize("codes", [["01", "1", "002"], ["1", "2", "x"], ["-1", "0", "300"]])
def test_codes_of_every_kind_come_back(write_polygons, codes):
    legend = derive_legend(write_polygons("a.gpkg", BOXES, kind=codes), attribute="kind").legend

    assert sorted(legend.encode_attributes(codes).tolist()) == [0, 1, 2]


def test_a_column_without_any_value_is_named(write_polygons):
    path = write_polygons("a.gpkg", BOXES, kind=[None, "", " "])

    with pytest.raises(LegendError, match=r"a\.gpkg: column 'kind' is empty: null for all 3"):
        derive_legend(path, attribute="kind")


def test_an_empty_layer_is_named(write_polygons):
    path = write_polygons("a.gpkg", [], kind=[])

    with pytest.raises(EmptyError, match=r"a\.gpkg: the layer is empty"):
        derive_legend(path, attribute="kind")


@pytest.mark.parametrize("name", [*PRESETS, "binary:roof"])
def test_a_preset_is_printed_and_read_again(write_toml, name):
    found = find_legend(name)

    assert found.about
    assert load_legend(str(write_toml(to_toml(*found)))) == preset(name)


@pytest.mark.parametrize("second", [(4, 5, 6, 255), (1, 2, 3, 255)])
def test_colours_of_a_palette_are_taken(write_raster, second):
    colors = {1: (1, 2, 3, 255), 4: second, 9: (7, 7, 7, 255)}

    legend = derive_legend(
        write_raster("a.tif", np.array([[4, 1]], np.uint8), colormap=colors)
    ).legend

    assert [each.value for each in legend.classes] == [1, 4]
    assert legend.classes[0].color == (1, 2, 3)


def test_a_legend_is_derived_from_the_colours_of_an_image(write_raster):
    image = np.array([[(255, 0, 0), (0, 0, 255), (255, 0, 0)]], np.uint8).transpose(2, 0, 1)

    legend = derive_legend(write_raster("a.png", image)).legend

    assert [each.color for each in legend.classes] == [(0, 0, 255), (255, 0, 0)]
    assert legend.encode_colors(image).tolist() == [[1, 0, 1]]


@pytest.mark.parametrize(
    "column", [["tree", "roof", "tree"], [7, 3, 7], [7.0, 3.0, 7.0], [7.5, 3.0, 7.5], [900, 3, 900]]
)
def test_a_legend_is_derived_from_an_attribute(write_polygons, column):
    path = write_polygons("a.gpkg", BOXES, kind=column)

    legend = derive_legend(path, attribute="kind").legend

    assert legend.encode_attributes(column).tolist() == [1, 0, 1]


def test_polygons_need_a_column_to_derive_from(write_polygons):
    with pytest.raises(LegendError, match="--attribute"):
        derive_legend(write_polygons("a.gpkg", BOXES, kind=["a", "b", "c"]))


@pytest.mark.parametrize("bands", [1, 3])
def test_a_photograph_is_no_reference(write_raster, bands):
    image = np.random.default_rng(0).integers(0, 255, (bands, 30, 30), np.uint8)

    with pytest.raises(LegendError, match="different values cannot be classes"):
        derive_legend(write_raster("a.tif", image))
