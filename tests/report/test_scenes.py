import numpy as np
import pytest
from affine import Affine

from geoseg.errors import LegendError
from geoseg.report.inputs import SceneFiles
from geoseg.report.scenes import count_classes, opened_scenes


def test_areas_are_of_all_pixels_of_the_map(write_map):
    """A pixel of UTM 32 at its central meridian is 0.25 m2 but for the scale of 0.9996."""
    path = write_map("map.tif", [[1, 1, 1, 0, 255]] * 1000)

    with opened_scenes([SceneFiles(class_map=path)]) as [scene]:
        building, tree = scene.area_table(count_classes(scene, threads=2))

    assert (building["name"], building["pixels"], building["share"]) == ("building", 3000, 0.75)
    assert building["hectares"] == pytest.approx(3000 * 0.25 / 10_000, rel=2e-3)
    assert tree["pixels"] == 1000


def test_without_a_crs_there_is_no_area(write_map):
    path = write_map("map.tif", [[1, 0]], crs=None, transform=None)

    with opened_scenes([SceneFiles(class_map=path)]) as [scene]:
        assert [row["hectares"] for row in scene.area_table(count_classes(scene))] == [None, None]
        assert scene.for_page()["transform"] is None


def test_a_page_knows_where_a_pixel_lies(write_map):
    path = write_map("map.tif", np.zeros((40, 30)))

    with opened_scenes([SceneFiles(class_map=path)], size=10) as [scene]:
        told = scene.for_page()

    assert (told["height"], told["width"], told["shrink"]) == (10, 8, 4)
    assert Affine(*told["transform"]) @ (1, 1) == (500_002, 5_699_998)
    assert told["metres"] == pytest.approx(2, rel=2e-3)
    assert told["crs"] == "EPSG:32632"


def test_a_map_that_brings_no_legend_needs_one(write_raster):
    path = write_raster("plain.tif", np.zeros((2, 2), np.uint8))

    with (
        pytest.raises(LegendError, match="--legend"),
        opened_scenes([SceneFiles(class_map=path)]),
    ):
        pass


def test_a_picture_alone_has_no_classes(files):
    with opened_scenes([SceneFiles(images=(files["ortho"],))]) as [scene]:
        assert scene.area_table(count_classes(scene)) == []
        assert list(scene.layers) == ["image"]
