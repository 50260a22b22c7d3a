import numpy as np
import pytest

from geoseg.errors import LegendError
from geoseg.labels.legend import IGNORE
from geoseg.labels.legend_files import PRESETS, preset


@pytest.mark.parametrize(
    ("name", "classes", "second"),
    [("isprs", 6, "building"), ("landcover-ai", 5, "building"), ("voc", 21, "aeroplane")],
)
def test_presets_hold_the_classes_of_their_data_set(name, classes, second):
    legend = preset(name)

    assert len(legend) == classes
    assert legend.names[1] == second
    assert [each.value for each in legend.classes] == list(range(classes))


def test_every_preset_can_be_made():
    assert [preset(name).name for name in PRESETS] == list(PRESETS)


def test_voc_has_the_colours_of_its_bit_pattern():
    def color(index):  # the development kit's VOCcolormap
        bits = [[(index >> (3 * place + band)) & 1 for place in range(8)] for band in range(3)]
        return tuple(sum(bit << (7 - place) for place, bit in enumerate(band)) for band in bits)

    assert [each.color for each in preset("voc").classes] == [color(index) for index in range(21)]


def test_contours_of_voc_and_borders_of_isprs_are_unlabelled():
    contour = np.array([0xE0, 0xE0, 0xC0], np.uint8)[:, None, None]
    border = np.zeros((3, 1, 1), np.uint8)

    assert preset("voc").encode_colors(contour).tolist() == [[IGNORE]]
    assert preset("voc").encode_values(np.array([255], np.uint8)).tolist() == [IGNORE]
    assert preset("isprs").encode_colors(border).tolist() == [[IGNORE]]


def test_a_binary_legend_has_the_class_and_all_else():
    legend = preset("binary:solar panel")

    assert legend.names == ["other", "solar panel"]
    assert legend.background_index == 0


@pytest.mark.parametrize("name", ["binary:", "binary:other"])
def test_a_binary_legend_without_a_class_is_refused(name):
    with pytest.raises(LegendError, match="binary:building"):
        preset(name)


def test_another_name_is_no_preset():
    assert preset("legend.toml") is None
