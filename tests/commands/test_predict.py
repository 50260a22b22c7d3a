import json
import re
import shutil

import numpy as np
import pytest
import rasterio
from shapely import box


def read(path):
    with rasterio.open(path) as file:
        return file.read(1), file.profile


def test_a_map_on_the_orthophotos_grid_with_its_nodata(geoseg, world, model):
    outcome = geoseg("predict", model, world / "ortho.tif", "-o", world / "map.tif")

    classes, profile = read(world / "map.tif")
    _, ortho = read(world / "ortho.tif")
    assert outcome.code == 0
    assert {key: profile[key] for key in ("crs", "transform", "height", "width")} == {
        key: ortho[key] for key in ("crs", "transform", "height", "width")
    }
    assert (classes[:10, :10] == 255).all()
    assert set(np.unique(classes)) <= {5, 9, 255}


def test_windows_that_were_kept_give_the_same_map(geoseg, world, model):
    geoseg("predict", model, world / "ortho.tif", "-o", world / "map.tif",
           "--windows", world / "windows", "--stride", 13)  # fmt: skip
    outcome = geoseg("mosaic", world / "windows", "-o", world / "mosaic.tif")

    assert outcome.code == 0
    assert (world / "map.tif").read_bytes() == (world / "mosaic.tif").read_bytes()


def test_windows_of_an_earlier_run_are_replaced_if_the_user_says_so(geoseg, world, model):
    words = ["predict", model, world / "ortho.tif", "-o", world / "map.tif",
             "--windows", world / "windows"]  # fmt: skip

    codes = [geoseg(*words, *more).code for more in ([], [], ["--overwrite"])]

    assert codes == [0, 1, 0]


@pytest.mark.parametrize("score_type", ["uint8", "float32"])
def test_scores_and_confidence_stand_beside_the_map(geoseg, world, model, score_type):
    geoseg("predict", model, world / "ortho.tif", "-o", world / "map.tif",
           "--scores", "--score-type", score_type, "--confidence", "margin")  # fmt: skip

    with rasterio.open(world / "map_scores.tif") as scores:
        assert scores.descriptions == ("dark", "bright")
        assert scores.dtypes == (score_type,) * 2
        stored, shown = scores.read(), scores.dataset_mask() > 0
    classes, _ = read(world / "map.tif")
    assert (shown == (classes != 255)).all()
    sure = shown & (np.abs(stored[0].astype(float) - stored[1]) > 1)
    assert (np.where(stored[1] > stored[0], 9, 5)[sure] == classes[sure]).all()
    assert read(world / "map_confidence.tif")[1]["dtype"] == "uint8"


def test_one_corrupt_file_does_not_stop_the_others(geoseg, world, model):
    whole = (world / "ortho.tif").read_bytes()
    (world / "torn.tif").write_bytes(whole[: len(whole) // 2])

    outcome = geoseg(
        "predict", model, world / "torn.tif", world / "ortho.tif", "-o", world / "maps"
    )

    assert outcome.code == 1
    assert "1 of 2 inputs failed" in outcome.err
    assert "torn.tif" in outcome.err
    assert [path.name for path in (world / "maps").glob("*.tif")] == ["ortho.tif"]


def test_a_patch_set_is_predicted_patch_by_patch(geoseg, world, model):
    geoseg("tile", world / "ortho.tif", "-r", world / "reference.tif", "-l", world / "legend.toml",
           "-o", world / "patches", "--patch-size", 32, "--split-block", 32)  # fmt: skip

    outcome = geoseg("predict", model, world / "patches", "-o", world / "maps", "--json")

    maps = sorted(path.name for path in (world / "maps").iterdir())
    assert maps == sorted(path.name for path in (world / "patches" / "images").iterdir())
    assert len(json.loads(outcome.out)) == len(maps)


def test_a_dry_run_writes_nothing(geoseg, world, model):
    outcome = geoseg("predict", model, world / "ortho.tif", "-o", world / "map.tif",
                     "--dry-run", "--json", "--patch-size", 32, "--overlap", 0)  # fmt: skip

    (plan,) = json.loads(outcome.out).values()
    assert plan["windows"] == 3 * 4
    assert not (world / "map.tif").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["-o", "reference.tif"],
        ["-o", "map.tif"],
        ["-o", "ortho.tif", "--overwrite"],
        ["--windows", "taken", "--overwrite"],
        ["--precision", "int8"],
        ["--device", "cuda:7"],
        ["--bands", "1"],
        ["--aoi", "nowhere.gpkg"],
        ["--bounds", "0,0,1,1"],
    ],
)
def test_a_dry_run_refuses_what_the_run_refuses(geoseg, world, model, monkeypatch, words):
    monkeypatch.chdir(world)
    (world / "map.qml").write_text("a style of the user's")
    (world / "taken").mkdir()
    (world / "taken" / "thesis.doc").write_text("years")
    before = sorted(world.rglob("*"))
    rest = [] if "-o" in words else ["-o", "new.tif"]

    dry, real = (geoseg("predict", model, "ortho.tif", *rest, *words, *m)
                 for m in (["--dry-run"], []))  # fmt: skip

    assert real.code in (1, 2)
    assert (dry.code, dry.err.splitlines()[-1]) == (real.code, real.err.splitlines()[-1])
    assert sorted(world.rglob("*")) == before


def test_resample_works_at_the_models_gsd_and_maps_the_orthophotos_pixels(
    geoseg, world, model, write_raster
):
    transform = rasterio.Affine(0.25, 0, 500_000, 0, -0.25, 5_700_000)
    image = np.random.default_rng(0).integers(1, 255, (3, 90, 70)).astype(np.uint8)
    fine = write_raster("fine.tif", image, transform=transform)

    refused = geoseg("predict", model, fine, "-o", world / "map.tif")
    accepted = geoseg("predict", model, fine, "-o", world / "map.tif", "--resample")

    assert refused.code == 1
    assert "trained at 0.5 m/px" in refused.err
    assert accepted.code == 0
    assert read(world / "map.tif")[0].shape == (90, 70)


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["--bands", "1,2"], 1, "has 2 bands, the model takes 3"),
        (["--device", "nonsense"], 1, "is not available"),
        (["--patch-size", 32, "--overlap", 32], 2, "not less than the window"),
        (["--overlap", 8, "--stride", 8], 2, "exclude each other"),
    ],
)
def test_what_does_not_fit_is_refused(geoseg, world, model, words, code, reason):
    outcome = geoseg("predict", model, world / "ortho.tif", "-o", world / "map.tif", *words)

    assert outcome.code == code
    assert reason in outcome.err
    assert not (world / "map.tif").exists()


def test_several_orthophotos_need_a_folder(geoseg, world, model, write_raster):
    other = write_raster("other.tif", np.ones((3, 8, 8), np.uint8))

    outcome = geoseg("predict", model, world / "ortho.tif", other, "-o", world / "map.tif")

    assert outcome.code == 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (31, 33), (7, 5)])
def test_any_size_is_mapped_whole(geoseg, world, model, write_raster, shape):
    path = write_raster("odd.tif", np.full((3, *shape), 90, np.uint8))

    assert geoseg("predict", model, path, "-o", world / "odd_map.tif").code == 0
    classes, _ = read(world / "odd_map.tif")
    assert classes.shape == shape
    assert (classes != 255).all()


def test_an_orthophoto_without_data_is_told(geoseg, world, model, write_raster):
    empty = write_raster("empty.tif", np.zeros((3, 8, 8), np.uint8), nodata=0)

    outcome = geoseg("predict", model, empty, "-o", world / "map.tif")

    assert outcome.code == 1
    assert "no pixel with data" in outcome.err
    assert not (world / "map.tif").exists()


def test_an_interrupted_batch_goes_on_file_by_file_and_tells_failures_again(geoseg, world, model):
    whole = (world / "ortho.tif").read_bytes()
    (world / "torn.tif").write_bytes(whole[: len(whole) // 2])
    (world / "other.tif").write_bytes(whole)
    words = ["predict", model, world / "torn.tif", world / "ortho.tif", "-o", world / "maps"]
    geoseg(*words)
    before = (world / "maps/ortho.tif").stat().st_mtime_ns

    resumed = geoseg(*words, world / "other.tif", "--resume")

    assert resumed.code == 1
    assert "not tried again; --retry-failed does" in resumed.err
    assert (world / "maps/other.tif").exists()
    assert (world / "maps/ortho.tif").stat().st_mtime_ns == before

    (world / "torn.tif").write_bytes(whole)
    retried = geoseg(*words, world / "other.tif", "--resume", "--retry-failed")

    assert retried.code == 0
    assert sorted(path.name for path in (world / "maps").glob("*.tif")) == [
        "ortho.tif",
        "other.tif",
        "torn.tif",
    ]
    assert not (world / "maps/failed.json").exists()


def test_parts_are_joined_to_the_map_to_the_byte(geoseg, world, model, write_raster, monkeypatch):
    image = np.random.default_rng(0).integers(1, 255, (3, 1100, 40)).astype(np.uint8)
    tall = write_raster("tall.tif", image)
    words = ["predict", model, tall, "--patch-size", 64, "--scores"]
    geoseg(*words, "-o", world / "map.tif")
    assert geoseg(*words, "-o", world / "parts", "--part", "1/2").code == 0
    monkeypatch.setenv("PBS_ARRAY_INDEX", "2")
    by_array = geoseg(*words, "-o", world / "parts", "--part", "auto/2")
    assert by_array.code == 0
    assert "part 2 of 2: PBS_ARRAY_INDEX = 2, counted from 1\n" in by_array.err

    joined = geoseg("mosaic", "--parts", world / "parts", "-o", world / "joined.tif", "--scores")

    assert joined.code == 0
    assert (world / "parts/tall_part-2-of-2_scores.tif").exists()
    for ours, theirs in [("map.tif", "joined.tif"), ("map_scores.tif", "joined_scores.tif")]:
        assert (world / ours).read_bytes() == (world / theirs).read_bytes()


def test_orthophotos_with_windows_of_a_size_come_together(geoseg, world, model, write_raster):
    sides = {"a": 40, "b": 90, "c": 40, "d": 90}
    for name, side in sides.items():
        write_raster(f"in/{name}.tif", np.full((3, side, side), 99, np.uint8))

    outcome = geoseg("predict", model, world / "in", "-o", world / "out", "-v")

    opened = re.findall(r"(\w)\.tif: 1 windows of (\d+) px", outcome.err)
    told = re.findall(r"(\w)\.tif: \d+ px,", outcome.out)
    assert opened == [("a", "64"), ("c", "64"), ("b", "128"), ("d", "128")]
    assert told == ["a", "b", "c", "d"]


def test_an_index_names_the_maps_that_are_there(geoseg, world, model):
    (world / "broken.tif").write_bytes(b"II*\0")
    words = ["predict", model, world / "ortho.tif", world / "broken.tif", "-o", world / "out"]

    outcome = geoseg(*words, "--index", world / "all.json")

    links = json.loads((world / "all.json").read_text())["links"]
    assert outcome.code == 1
    assert [each["href"] for each in links if each["rel"] == "item"] == ["out/ortho.stac.json"]
    assert geoseg(*words, "--index", world / "all.gti").code == 2
    assert geoseg(*words, "--index", world / "all.json", "--part", "1/2").code == 2
    assert geoseg(*words, "--index", "s3://bucket/all.json").code == 2


def test_several_models_are_averaged(geoseg, world, model):
    copy = world / "run" / "model"
    shutil.copytree(model, copy)
    words = [world / "ortho.tif", "--scores", "--score-type", "float32"]

    geoseg("predict", model, *words, "-o", world / "one.tif")
    outcome = geoseg("predict", model, world / "run", *words, "-o", world / "two.tif")

    assert outcome.code == 0
    with (
        rasterio.open(world / "one_scores.tif") as one,
        rasterio.open(world / "two_scores.tif") as two,
    ):
        np.testing.assert_allclose(one.read(), two.read(), atol=1e-6)
        assert len(json.loads(two.tags()["GEOSEG"])["provenance"]["model"]) == 2


def test_a_model_without_an_orthophoto_is_wrong_usage(geoseg, world, model):
    assert geoseg("predict", model, model, "-o", world / "map.tif").code == 2


def test_test_time_augmentation_makes_the_map_turn_with_the_picture(
    geoseg, world, model, write_raster
):
    image = np.random.default_rng(0).integers(1, 255, (3, 64, 64)).astype(np.uint8)
    write_raster("straight.tif", image)
    write_raster("turned.tif", np.rot90(image, axes=(1, 2)).copy())
    for name in ("straight", "turned"):
        geoseg("predict", model, world / f"{name}.tif", "-o", world / f"{name}_map.tif",
               "--test-time-augmentation", "d4", "--scores", "--score-type", "float32",
               "--patch-size", 64)  # fmt: skip

    with (
        rasterio.open(world / "straight_map_scores.tif") as straight,
        rasterio.open(world / "turned_map_scores.tif") as turned,
    ):
        expected = np.rot90(straight.read(), axes=(1, 2))
        np.testing.assert_allclose(turned.read(), expected, atol=1e-5)


def test_bounds_cut_the_map(geoseg, world, model):
    outcome = geoseg("predict", model, world / "ortho.tif", "-o", world / "map.tif",
                     "--bounds", "500010,5699970,500030,5699980")  # fmt: skip

    assert outcome.code == 0
    with rasterio.open(world / "map.tif") as file:
        assert tuple(file.bounds) == (500010, 5699970, 500030, 5699980)


@pytest.mark.parametrize(
    "words",
    [
        ["--part", "3/2"],
        ["--part", "half"],
        ["--memory", "much"],
        ["--memory", "500"],
        ["--bounds", "1,2,3"],
        ["--bounds", "3,2,1,4"],
        ["--batch-size", "0"],
        ["--retry-failed"],
        ["--windows", "w", "--resume"],
        ["--windows", "w", "--part", "1/2"],
        ["--split", "val"],
        ["--patch-size", 1],
        ["--aoi-layer", "north"],
    ],
)
def test_words_that_make_no_sense_are_wrong_usage(geoseg, world, model, words):
    outcome = geoseg("predict", model, world / "ortho.tif", "-o", world / "map.tif", *words)

    assert outcome.code == 2
    assert not (world / "map.tif").exists()


@pytest.mark.parametrize(
    "words",
    [["ortho.tif", "-o", "ortho.tif"], ["ortho.tif", "ortho_scores.tif", "-o", ".", "--scores"]],
)
def test_an_output_that_is_an_input_is_refused_even_with_overwrite(
    geoseg, world, model, words, monkeypatch
):
    monkeypatch.chdir(world)
    shutil.copy("ortho.tif", "ortho_scores.tif")
    before = (world / "ortho.tif").read_bytes()

    assert geoseg("predict", model, *words, "--overwrite").code == 2
    assert (world / "ortho.tif").read_bytes() == before


def test_a_nodata_value_of_0_makes_another_map(geoseg, world, model):
    words = ["predict", model, world / "ortho.tif", "-o", world / "map.tif"]
    geoseg(*words)

    assert geoseg(*words, "--nodata", 0, "--resume").code == 1


def test_scores_that_are_asked_for_later_are_not_said_to_be_there(geoseg, world, model):
    words = ["predict", model, world / "ortho.tif", "-o", world / "map.tif", "--resume"]

    assert [geoseg(*words).code, geoseg(*words).code] == [0, 0]
    assert geoseg(*words, "--scores").code == 1
    assert geoseg(*words, "--scores", "--overwrite").code == 0
    assert (world / "map_scores.tif").exists()


def test_what_would_be_ignored_with_a_patch_set_is_wrong_usage(geoseg, world, model):
    (world / "patches").mkdir()
    (world / "patches" / "patches.json").touch()
    ignored = ["--dry-run", "--bounds 0,0,1,1", "--aoi no.gpkg", "--scores", "--part 1/2"]

    for words in [*ignored, "--patch-size 64", "--resume", "--taper flat"]:
        outcome = geoseg("predict", model, world / "patches", "-o", world / "maps", *words.split())

        assert outcome.code == 2
        assert f"'{words.split()[0]}': is not for patch sets" in outcome.err
    assert not (world / "maps").exists()


def test_an_output_called_as_another_format_is_wrong_usage(geoseg, world, model):
    for name in ("map.png", "map.gpkg", "map.VRT", "map.txt", "map.json"):
        outcome = geoseg("predict", model, world / "ortho.tif", "-o", world / name)

        assert outcome.code == 2
        assert "end the name in .tif, or name a folder" in outcome.err
        assert not (world / name).exists()


def test_a_folder_may_have_a_dot_in_its_name(geoseg, world, model):
    (world / "maps.old").mkdir()
    for name in ("maps.v2", "maps.2024", "maps.old"):
        assert geoseg("predict", model, world / "ortho.tif", "-o", world / name, "-q").code == 0
        assert (world / name / "ortho.tif").is_file()


def test_those_who_want_to_know_more_are_told_plan_runtime_and_time(geoseg, world, model):
    outcome = geoseg("predict", model, world / "ortho.tif", "-o", world / "map.tif", "--verbose",
                     "--runtime", "torch", "--precision", "fp32")  # fmt: skip

    assert "1 windows of 128 px at stride 112" in outcome.err
    assert "torch fp32" in outcome.err
    assert "1 windows with data scored in " in outcome.err


def test_an_orthophoto_outside_of_the_aoi_is_no_failure(
    geoseg, world, model, write_raster, write_polygons
):
    with rasterio.open(world / "ortho.tif") as file:
        moved = file.transform @ file.transform.translation(9999, 0)
        write_raster("away.tif", file.read(), transform=moved, nodata=0)
    aoi = write_polygons("aoi.gpkg", [box(500_005, 5_699_960, 500_020, 5_699_990)])
    words = ("--aoi", aoi, "--runtime", "torch")

    both = geoseg("predict", model, world / "ortho.tif", world / "away.tif",
                  "-o", world / "maps", *words)  # fmt: skip
    alone = geoseg("predict", model, world / "away.tif", "-o", world / "map.tif", *words)

    assert both.code == 0
    assert both.err.splitlines()[0].startswith("predicting with torch ")
    assert both.err.splitlines()[1:] == ["away.tif is outside of the AOI: no map is made"]
    assert [path.name for path in (world / "maps").glob("*.tif")] == ["ortho.tif"]
    assert alone.code == 1
    assert "no polygon of the area lies on the raster; are the CRS right?" in alone.err
