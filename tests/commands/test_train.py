import json

import pytest


@pytest.fixture
def patches(geoseg, world):
    folder = world / "patches"
    geoseg("tile", world / "ortho.tif", "-r", world / "reference.tif", "-l", world / "legend.toml",
           "-o", folder, "--patch-size", 32, "--split-block", 32, "--index-only")  # fmt: skip
    return folder


def test_it_says_where_the_model_is_and_how_good(geoseg, world, patches):
    outcome = geoseg("train", patches, "-o", world / "run", "--epochs", 1, "--workers", 0, "--json")

    report = json.loads(outcome.out)
    assert outcome.code == 0
    assert report["model"] == str(world / "run" / "model")
    assert report["best"]["epoch"] == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--arch", "nothing"], "known are unet"),
        (["--encoder-weights", "nothing.pth"], "no such file"),
        (["--arch", "fpn", "--device", "nonsense"], "not to be had"),
        (["--resume"], "no training to resume"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(geoseg, world, patches, words, reason):
    outcome = geoseg("train", patches, "-o", world / "run", *words)

    assert outcome.code == 1
    assert reason in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (world / "run").exists()


def test_a_patch_size_that_the_network_cannot_take_is_told_with_one_that_it_can(geoseg, world):
    patches = world / "patches"
    geoseg("tile", world / "ortho.tif", "-r", world / "reference.tif", "-l", world / "legend.toml",
           "-o", patches, "--patch-size", 40, "--split-block", 40)  # fmt: skip

    outcome = geoseg("train", patches, "-o", world / "run", "--arch", "fpn")

    assert outcome.code == 1
    assert "--patch-size 32 or 64" in outcome.err
