import numpy as np
import shapely

from geoseg.labels.legend_files import load_legend


def test_a_legend_from_values_can_be_used(geoseg, world):
    outcome = geoseg("legend", world / "reference.tif", "-o", world / "found.toml")

    assert outcome.code == 0
    assert [each.value for each in load_legend(str(world / "found.toml")).classes] == [5, 9]


def test_without_an_output_it_goes_to_stdout(geoseg, world, write_raster):
    picture = np.zeros((3, 2, 2), np.uint8)
    picture[0, 0] = 255

    outcome = geoseg("legend", write_raster("colours.png", picture))

    assert '"#ff0000"' in outcome.out
    assert '"#000000"' in outcome.out


def test_a_mask_of_0_and_255_has_two_classes(geoseg, write_raster):
    mask = write_raster("mask.png", np.array([[0, 255], [0, 0]], np.uint8))

    found = geoseg("legend", mask).out

    assert found.count("[[class]]") == 2
    assert "values = [255]" in found
    assert not [line for line in found.splitlines() if line.startswith("ignore")]


def test_presets_are_printed_with_the_other_coding(geoseg):
    outcome = geoseg("legend", "isprs")

    assert outcome.out.count("[[class]]") == 6
    assert "isprs-1to6" in outcome.out.splitlines()[1]
    assert "ignore = [0," in geoseg("legend", "isprs-1to6").out
    assert "alternative = 255" in geoseg("legend", "binary:roof").out


def test_what_is_neither_file_nor_preset_is_refused_with_the_presets(geoseg):
    outcome = geoseg("legend", "ispr")

    assert outcome.code == 1
    assert "isprs-1to6" in outcome.err


def test_polygons_need_a_column(geoseg, world, write_polygons):
    outcome = geoseg("legend", write_polygons("cover.gpkg", [shapely.box(0, 0, 1, 1)], code=["1"]))

    assert outcome.code == 1
    assert "--attribute" in outcome.err
