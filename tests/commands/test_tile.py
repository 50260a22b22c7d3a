import json

import numpy as np
import pytest


@pytest.fixture
def tile(geoseg, world):
    """A function that tiles the world."""

    def run(*words, ortho="ortho.tif", reference="reference.tif", legend="legend.toml"):
        inputs = [world / ortho, "-r", world / reference, "-l", world / legend]
        small = ["-o", world / "patches", "--patch-size", 32, "--split-block", 32]
        return geoseg("tile", *inputs, *small, *words)

    return run


def test_it_says_how_many_patches_there_are(tile, world):
    outcome = tile()

    assert outcome.code == 0
    assert "patches (" in outcome.out
    assert "windows dropped" in outcome.out
    assert (world / "patches" / "patches.gpkg").exists()


def test_json_is_all_there_is_on_stdout(tile):
    report = json.loads(tile("--json").out)

    assert set(report["patches"]) == {"train", "val"}
    assert report["failures"] == {}


def test_a_dry_run_writes_nothing_and_counts_windows(tile, world):
    plan = json.loads(tile("--dry-run", "--json", "--stride", 32).out)

    assert plan["windows"] == 3 * 4
    assert not (world / "patches").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["-r", "nowhere.tif"],
        ["-r", "far.tif"],
        ["--legend", "nowhere.toml"],
        ["--aoi", "nowhere.gpkg"],
        ["--with", "nowhere.tif"],
        ["--bands", "9"],
        ["--patch-size", "500", "--edge", "drop"],
        ["--split-block", "500"],
        ["-o", "taken"],
        ["-o", "ortho.tif", "--overwrite"],
    ],
)
def test_a_dry_run_refuses_what_the_run_refuses(geoseg, world, write_raster, monkeypatch, words):
    monkeypatch.chdir(world)
    write_raster("far.tif", np.full((8, 8), 5, np.uint8), crs="EPSG:32633")
    (world / "taken").mkdir()
    (world / "taken" / "thesis.doc").write_text("years")
    before = sorted(world.rglob("*"))
    usual = {"-r": "reference.tif", "--legend": "legend.toml", "-o": "out", "--patch-size": "32"}
    rest = [word for key, value in usual.items() if key not in words for word in (key, value)]

    dry, real = (geoseg("tile", "ortho.tif", *rest, *words, *m) for m in (["--dry-run"], []))

    assert real.code in (1, 2)
    assert (dry.code, dry.err.splitlines()[-1]) == (real.code, real.err.splitlines()[-1])
    assert sorted(world.rglob("*")) == before


def test_an_existing_output_needs_overwrite(tile):
    assert tile().code == 0
    again = tile()
    assert again.code == 1
    assert "use --overwrite" in again.err
    assert tile("--overwrite").code == 0


def test_a_bad_source_is_named_and_the_others_are_tiled(tile, world):
    whole = (world / "ortho.tif").read_bytes()
    (world / "torn.tif").write_bytes(whole[: len(whole) // 2])

    outcome = tile(world / "torn.tif")

    assert outcome.code == 1
    assert "patches (" in outcome.out
    assert "1 of the orthophotos left out" in outcome.err
    assert "torn.tif" in outcome.err


def test_pairs_from_a_table_bring_their_own_splits(geoseg, world):
    (world / "pairs.csv").write_text(
        "ortho,reference,split\northo.tif,reference.tif,train\northo.tif,reference.tif,test\n"
    )
    out = geoseg("tile", "--pairs", world / "pairs.csv", "-l", world / "legend.toml",
                 "-o", world / "patches", "--patch-size", 32, "--json")  # fmt: skip

    patches = json.loads(out.out)["patches"]
    assert patches["train"] == patches["test"] > 0


def test_rasters_are_stacked(tile, world, write_raster):
    write_raster("dsm.tif", np.full((96, 112), 1500, np.int16))
    write_raster("slope.tif", np.full((96, 112), 5, np.int16))

    outcome = tile("--with", world / "dsm.tif", "--with", world / "slope.tif", "--index-only")

    assert outcome.code == 0
    record = json.loads((world / "patches" / "patches.json").read_text())
    assert record["read"]["stacked"] == ["../dsm.tif", "../slope.tif"]
    assert record["band_names"] == ["red", "green", "blue", "dsm", "slope"]


def test_random_splits_are_warned_of(tile):
    assert "--split block keeps them apart" in tile("--split", "random").err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--stride", 33], "leave gaps"),
        (["--val", 0.6, "--test", 0.4], "nothing for training"),
        (["--bands", "1,x"], "no list of band numbers"),
        (["--nodata", "black"], "neither a number nor none"),
        (["--edge", "wrap"], "--edge"),
        (["--pairs", "p.csv"], "takes the place"),
    ],
)
def test_wrong_usage_exits_2(tile, words, reason):
    outcome = tile(*words)

    assert outcome.code == 2
    assert reason in outcome.err


@pytest.mark.parametrize(
    ("changes", "words", "reason"),
    [
        ({"ortho": "nothing.tif"}, [], "no such file"),
        ({"reference": "nothing.tif"}, [], "no such file"),
        ({"legend": "nothing.toml"}, [], "no preset"),
        ({}, ["-l", "isprs"], "values without a class"),
        ({}, ["--with", "nothing.tif"], "nothing.tif: no such file"),
        ({}, ["--bands", "1,4"], "has bands 1..3, not [4]"),
        ({}, ["--patch-size", 400, "--edge", "drop"], "no patch is left"),
        ({}, ["--split-block", 500], "smaller --patch-size"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(tile, world, changes, words, reason):
    before = sorted(world.iterdir())

    outcome = tile(*words, **changes)

    assert outcome.code == 1
    assert reason in outcome.err
    assert outcome.err.count("\n") == 1
    assert sorted(world.iterdir()) == before


def test_there_is_a_line_for_each_class(tile):
    outcome = tile()

    rows = [line.split()[0] for line in outcome.out.splitlines() if line.endswith(("%", "-"))]
    assert rows == ["dark", "bright", "(unlabelled)"]
    splits = json.loads(tile("--overwrite", "--json").out)["classes"]
    assert sum(splits["train"].values()) == pytest.approx(1)


@pytest.fixture
def binary(geoseg, world, write_raster):
    """A function that tiles the world with masks of 0 and the given values."""
    shape = (96, 112)

    def run(*tops, legend="binary:roof"):
        words = []
        for number, top in enumerate(tops):
            write_raster(f"o{number}.tif", np.full((1, *shape), 7 + number, np.uint8))
            mask = np.where(np.arange(112) % 20 < 9, top, 0) * np.ones((96, 1), int)
            write_raster(f"m{number}.tif", mask.astype(np.uint8))
        orthos = [world / f"o{number}.tif" for number in range(len(tops))]
        words = [w for number in range(len(tops)) for w in ("-r", world / f"m{number}.tif")]
        return geoseg("tile", *orthos, *words, "-l", legend, "-o", world / "set", "--patch-size",
                      32, "--split", "none", "--index-only")  # fmt: skip

    return run


def test_a_mask_of_0_and_255_is_tiled_and_what_means_what_is_printed(binary):
    outcome = binary(255)

    assert outcome.code == 0
    assert "labels: values 0 = other, 255 = roof\n" in outcome.out


def test_masks_of_1_and_of_255_in_one_set_are_told(binary):
    outcome = binary(1, 255)

    assert outcome.code == 0
    assert "'roof' is 1 in 1 references and 255 in 1; if 255 is unlabelled" in outcome.err


def test_a_mask_without_the_class_says_nothing_of_its_coding(binary):
    assert "references and 255" not in binary(0, 255).err


@pytest.mark.parametrize(("legend", "told"), [("isprs", True), ("isprs-1to6", False)])
def test_the_other_coding_of_isprs_is_named(binary, legend, told):
    outcome = binary(5, legend=legend)

    assert outcome.code == 0
    assert ("isprs-1to6" in outcome.err) == told
    assert ("unlabelled: 0" in outcome.out) != told


def test_polygons_of_geoseg_need_no_option(geoseg, world, write_raster):
    write_raster("map.tif", np.kron([[5, 9], [9, 5]], np.ones((48, 56))).astype(np.uint8))
    geoseg("vectorize", world / "map.tif", "-o", world / "map.gpkg", "-l", world / "legend.toml")
    cut = ["--patch-size", 32, "--split-block", 32]

    outcome = geoseg("tile", world / "ortho.tif", "-r", world / "map.gpkg", "-o", world / "a", *cut)

    assert outcome.code == 0
    assert "column 'class' 5 = dark, 9 = bright" in outcome.out
    geoseg("tile", world / "ortho.tif", "-r", world / "map.tif", "-l", world / "legend.toml", "-o",
           world / "b", *cut)  # fmt: skip
    for mask in sorted((world / "b/masks").rglob("*.png")):
        other = world / "a/masks" / mask.relative_to(world / "b/masks")
        assert other.read_bytes() == mask.read_bytes()


def test_references_that_carry_no_legend_need_one(geoseg, world):
    outcome = geoseg("tile", world / "ortho.tif", "-r", world / "reference.tif", "-o", world / "a")

    assert outcome.code == 1
    assert "reference.tif: carries no legend; pass --legend" in outcome.err
