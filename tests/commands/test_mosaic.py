import json

import numpy as np
import pytest
import rasterio


def scene(write_raster, name, values, *, left=0, size=0.5):
    transform = rasterio.Affine(size, 0, 500_000 + left, 0, -size, 5_700_000)
    return write_raster(name, np.array(values, np.uint8), nodata=255, transform=transform)


def test_class_maps_of_neighbours_become_one(geoseg, world, write_raster):
    west = scene(write_raster, "west.tif", [[5, 5, 9]])
    east = scene(write_raster, "east.tif", [[9, 9, 255]], left=1.0)

    outcome = geoseg("mosaic", west, east, "-o", world / "map.tif", "-l", world / "legend.toml",
                     "--method", "first", "--json")  # fmt: skip

    with rasterio.open(world / "map.tif") as file:
        assert file.read(1).tolist() == [[5, 5, 9, 9, 255]]
        assert file.transform.c == 500_000
    assert json.loads(outcome.out)["class_pixels"] == {"dark": 2, "bright": 2}


def test_other_grids_are_refused_unless_resampling_is_asked_for(geoseg, world, write_raster):
    fine = scene(write_raster, "fine.tif", [[5, 5, 9]] * 2)
    coarse = scene(write_raster, "coarse.tif", [[9]], left=1.5, size=1.0)
    words = ["mosaic", fine, coarse, "-o", world / "map.tif", "-l", world / "legend.toml"]

    refused = geoseg(*words)
    accepted = geoseg(*words, "--resample")

    assert refused.code == 1
    assert "resample with --resample" in refused.err
    assert accepted.code == 0
    with rasterio.open(world / "map.tif") as file:
        assert file.read(1).tolist() == [[5, 5, 9, 9, 9]] * 2


def test_a_method_that_does_not_suit_is_refused(geoseg, world, write_raster):
    west = scene(write_raster, "west.tif", [[5, 5, 9]])

    outcome = geoseg("mosaic", west, "-o", world / "map.tif", "-l", world / "legend.toml",
                     "--method", "blend")  # fmt: skip

    assert outcome.code == 1
    assert "not for class maps" in outcome.err


def test_files_that_do_not_name_their_classes_need_a_legend(geoseg, world, write_raster):
    outcome = geoseg("mosaic", scene(write_raster, "w.tif", [[5]]), "-o", world / "map.tif")

    assert outcome.code == 1
    assert "pass --legend" in outcome.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-o", "map.png"], "--output"),
        (["-o", "map.tif", "--confidence", "much"], "--confidence"),
        (["-o", "map.tif", "--parts", "--method", "max"], "is not for --parts"),
        (["-o", "map.tif", "--parts", "--resample"], "is not for --parts"),
    ],
)
def test_words_that_make_no_sense_are_wrong_usage(
    geoseg, tmp_path, monkeypatch, write_raster, words, reason
):
    west = scene(write_raster, "west.tif", [[5, 5, 9]])
    monkeypatch.chdir(tmp_path)

    outcome = geoseg("mosaic", west, *words)

    assert outcome.code == 2
    assert reason in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["west.tif"]
