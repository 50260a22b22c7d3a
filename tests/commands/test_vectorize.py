"""``geoseg vectorize`` as a user calls it."""

import json

import geopandas as gpd
import numpy as np
import pytest


@pytest.fixture
def scene(write_raster):
    """Bright ground (9) with a dark field (5), and no data in a corner."""
    values = np.full((8, 10), 9, np.uint8)
    values[4:, 6:] = 5
    values[0, 0] = 255
    return write_raster("map.tif", values, nodata=255)


def test_what_was_written_is_said(geoseg, world, scene):
    outcome = geoseg("vectorize", scene, "-o", world / "map.gpkg", "-l", world / "legend.toml")

    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        f"{world / 'map.gpkg'}: 2 regions",
        "  dark    1   4.0 m²",
        "  bright  1  15.8 m²",
    ]


def test_how_many_have_right_angles_is_said(geoseg, world, scene):
    outcome = geoseg("vectorize", scene, "-o", world / "map.gpkg", "-l", world / "legend.toml",
                     "--regularize", "dark", "--split-touching", "dark")  # fmt: skip

    assert outcome.out.splitlines()[-1] == "  1 with right angles, 0 stay simplified"
    assert len(gpd.read_file(world / "map.gpkg", layer=1)) == 1


def test_all_of_it_as_json(geoseg, world, scene):
    outcome = geoseg("vectorize", scene, "-o", world / "map.fgb", "-l", world / "legend.toml",
                     "--json", "--classes", "dark", "--simplify", "0")  # fmt: skip

    (report,) = json.loads(outcome.out)
    assert report["path"] == str(world / "map.fgb")
    assert report["regions"] == {"dark": 1}
    assert report["pixels"] == {"dark": 16}
    assert gpd.read_file(world / "map.fgb").area.tolist() == [4]


def test_several_maps_become_files_of_a_folder(geoseg, world, scene, write_raster):
    write_raster("other.tif", np.full((3, 3), 5, np.uint8))
    outcome = geoseg("vectorize", scene, world / "other.tif", "-o", world / "out", "--format",
                     "parquet", "-l", world / "legend.toml")  # fmt: skip

    assert outcome.code == 0
    files = sorted(path.name for path in (world / "out").iterdir())
    assert files == ["map.parquet", "map.qml", "other.parquet", "other.qml"]


def test_a_map_that_fails_does_not_stop_the_others(geoseg, world, scene, write_raster):
    write_raster("other.tif", np.full((3, 3), 77, np.uint8))
    outcome = geoseg("vectorize", world / "other.tif", scene, "-o", world / "out", "-l",
                     world / "legend.toml")  # fmt: skip

    assert outcome.code == 1
    assert "77" in outcome.err
    assert (world / "out/map.gpkg").exists()
    assert not (world / "out/other.gpkg").exists()


def test_what_failed_is_tried_again_with_resume(geoseg, world, scene, write_raster):
    words = [world / "other.tif", scene, "-o", world / "out", "-l", world / "legend.toml"]
    write_raster("other.tif", np.full((3, 3), 77, np.uint8))
    assert geoseg("vectorize", *words).code == 1
    write_raster("other.tif", np.full((3, 3), 5, np.uint8))

    assert geoseg("vectorize", *words, "--resume").code == 0
    assert sorted(each.name for each in (world / "out").iterdir()) == ["map.gpkg", "other.gpkg"]


def test_polygons_may_have_the_name_of_their_map(geoseg, world, scene):
    (world / "map.qml").write_text("the map's")
    outcome = geoseg("vectorize", scene, "-o", world / "map.fgb", "-l", world / "legend.toml")

    assert outcome.code == 0
    assert "map.qml: is the style of something else, and stays" in outcome.err
    assert (world / "map.qml").read_text() == "the map's"


def test_parts_are_joined(geoseg, world, scene):
    for part in ("1/2", "2/2"):
        outcome = geoseg("vectorize", scene, "-o", world / "map.gpkg", "-l", world / "legend.toml",
                         "--part", part)  # fmt: skip
        assert outcome.code == 0
    parts = [world / f"map_part-{index}-of-2" for index in (1, 2)]
    assert outcome.out == f"{parts[1]}: part 2 of 2\n"

    outcome = geoseg("vectorize", *parts, "-o", world / "map.gpkg")

    assert outcome.code == 0
    assert len(gpd.read_file(world / "map.gpkg", layer=0)) == 2


@pytest.fixture
def parts(geoseg, world, scene):
    """Both parts of the scene."""
    for part in ("1/2", "2/2"):
        words = [scene, "-o", world / "map.gpkg", "-l", world / "legend.toml", "--part", part]
        assert geoseg("vectorize", *words).code == 0
    return [world / f"map_part-{index}-of-2" for index in (1, 2)]


def test_a_part_that_is_done_is_skipped_with_resume(geoseg, world, scene, parts):
    words = [scene, "-o", world / "map.gpkg", "-l", world / "legend.toml", "--part", "1/2"]
    before = (parts[0] / "part.json").stat().st_mtime_ns

    assert geoseg("vectorize", *words, "--resume").code == 0
    assert (parts[0] / "part.json").stat().st_mtime_ns == before
    assert geoseg("vectorize", *words, "--resume", "--smooth").code == 1
    assert geoseg("vectorize", *words).code == 1


def test_parts_are_told_if_they_were_made(geoseg, world, scene, write_raster):
    write_raster("other.tif", np.full((3, 3), 77, np.uint8))
    outcome = geoseg("vectorize", scene, world / "other.tif", "-o", world / "out", "-l",
                     world / "legend.toml", "--part", "2/2", "--json")  # fmt: skip

    assert outcome.code == 1
    made = world / "out" / "map_part-2-of-2"
    assert json.loads(outcome.out) == [{"path": str(made), "part": [2, 2]}]


def test_no_output_lies_in_a_part(geoseg, parts):
    outcome = geoseg("vectorize", *parts, "-o", parts[0] / "map.gpkg")

    assert outcome.code == 2
    assert "lies in an input" in outcome.err


def test_what_is_no_part_cannot_be_joined(geoseg, world, scene, parts):
    (parts[1] / "part.json").write_text("{")
    for other in (parts[1], scene):
        outcome = geoseg("vectorize", parts[0], other, "-o", world / "map.gpkg")

        assert outcome.code == 1
        assert f"{other}: is no part of polygons" in outcome.err


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["map.tif", "-o", "a.shp"], 2, "polygons are written as .gpkg, .fgb"),
        (["map.tif", "floats.tif", "-o", "a.gpkg"], 2, "name a folder for 2 maps"),
        (["map.tif", "-o", "a.gpkg", "--simplify", "x"], 2, "is not a distance"),
        (["map.tif", "-o", "a.gpkg", "--part", "3/2"], 2, "3/2"),
        (["map.tif", "-o", "a.gpkg", "--classes", ","], 2, "names no class"),
        (["map.tif", "-o", "a.gpkg", "--classes", "car"], 1, "car: is not in the map's legend"),
        (["map.tif", "-o", "a.gpkg", "--regularize", "car"], 1, "--regularize car: is not in"),
        (["map.tif", "-o", "map.tif"], 2, "polygons are written as"),
        (["no.tif", "-o", "a.gpkg"], 1, "no such file"),
        (["floats.tif", "-o", "a.gpkg"], 1, "floats.tif"),
    ],
)
def test_wrong_words_are_told_in_one_line(
    geoseg, world, scene, write_raster, monkeypatch, words, code, reason
):
    monkeypatch.chdir(world)
    write_raster("floats.tif", np.full((3, 3), 0.5, np.float32))
    before = sorted(world.iterdir())

    outcome = geoseg("vectorize", *words, "-l", "legend.toml")

    assert outcome.code == code
    assert reason in outcome.err.replace("\n", " ")
    assert sorted(world.iterdir()) == before


def test_an_existing_file_stays(geoseg, world, scene):
    (world / "map.gpkg").write_text("mine")
    outcome = geoseg("vectorize", scene, "-o", world / "map.gpkg", "-l", world / "legend.toml")

    assert outcome.code == 1
    assert "--overwrite" in outcome.err
    assert (world / "map.gpkg").read_text() == "mine"
