import json

import pytest


@pytest.fixture
def tiled(geoseg, world):
    """A function that tiles the world and gives the folder."""

    def run(*words):
        inputs = [world / "ortho.tif", "-r", world / "reference.tif", "-l", world / "legend.toml"]
        geoseg("tile", *inputs, "-o", world / "patches", "--patch-size", 32, *words)
        return world / "patches"

    return run


def test_a_sound_set_exits_0_and_shows_its_classes(geoseg, tiled):
    outcome = geoseg("check", tiled("--split-block", 32))

    assert outcome.code == 0
    assert "dark" in outcome.out
    assert outcome.out.endswith("0 errors, 0 warnings\n")


def test_a_leak_exits_1_and_says_what_to_do(geoseg, tiled):
    folder = tiled("--stride", 16, "--split", "random")

    outcome = geoseg("check", folder)

    assert outcome.code == 1
    assert "error leaks" in outcome.out
    assert "--split block" in outcome.out


def test_json_holds_the_findings(geoseg, tiled):
    folder = tiled("--split", "none", "--stride", 32)
    report = json.loads(geoseg("check", folder, "--json").out)

    assert [finding["kind"] for finding in report["findings"]] == ["missing-splits"]
    assert report["errors"] == 1
    assert report["counts"] == {"train": 12}


def test_what_is_dropped_is_an_error_no_more(geoseg, tiled, world):
    folder = tiled("--stride", 24, "--split", "random", "--val", 0.05)

    dropped = geoseg("check", folder, "--drop", "leaks", "-o", world / "cleaned", "-q")

    assert dropped.code == 0
    assert "error leaks" in dropped.out
    assert geoseg("check", world / "cleaned").code == 0
    assert geoseg("check", folder, "-o", world / "cleaned").code == 1
    assert geoseg("check", folder, "-o", world / "cleaned", "--overwrite").code == 1
    assert (world / "cleaned" / "patches.json").exists()
    assert geoseg("check", folder, "-o", world / "checked").code == 1
    assert geoseg("check", folder, "-o", world / "checked", "--overwrite").code == 1
    assert (world / "checked" / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--drop", "leaks"], "--output"),
        (
            ["--drop", "missing-classes", "-o", "x"],
            "cannot be dropped; choose from all, unreadable",
        ),
        (["--drop", "leeks", "-o", "x"], "'leeks' cannot be dropped"),
    ],
)
def test_wrong_usage_exits_2(geoseg, world, words, reason):
    outcome = geoseg("check", world, *words)

    assert outcome.code == 2
    assert reason in outcome.err


def test_what_is_no_patch_set_is_refused(geoseg, world):
    outcome = geoseg("check", world)

    assert outcome.code == 1
    assert "patches.json is missing" in outcome.err
