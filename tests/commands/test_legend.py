import numpy as np
import shapely

from geoseg.io.legends import load_legend


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


def test_string_codes_keep_their_numbers_and_255_is_ignored(geoseg, world, write_polygons):
    squares = [shapely.box(n, 0, n + 1, 1) for n in range(3)]
    polygons = write_polygons("cover.gpkg", squares, code=["1", "4", "255"])

    found = geoseg("legend", polygons, "--attribute", "code").out

    assert "value = 4" in found
    assert "ignore = [255]" in found


def test_polygons_need_a_column(geoseg, world, write_polygons):
    outcome = geoseg("legend", write_polygons("cover.gpkg", [shapely.box(0, 0, 1, 1)], code=["1"]))

    assert outcome.code == 1
    assert "--attribute" in outcome.err
