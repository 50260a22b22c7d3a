"""Maps of rasters on servers that fail: the map of the file, to the byte, or a failure."""

import json
import shutil

import numpy as np
import pytest
from servers import serving

TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64}


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


@pytest.fixture
def ortho(world, write_raster, monkeypatch):
    """An orthophoto of several requests, which are repeated at once."""
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    rng = np.random.default_rng(0)
    bright = np.kron(rng.integers(0, 2, (20, 24)), np.ones((16, 16)))
    image = np.where(bright, 180, 60) + rng.integers(1, 40, (3, *bright.shape))
    (world / "there").mkdir()
    return write_raster("there/big.tif", image.astype(np.uint8), **TILED)


@pytest.fixture
def predict(geoseg, world, model):
    """A function that predicts a raster into a file."""

    def run(source, target, *words):
        return geoseg("predict", model, source, "-o", world / target, "--patch-size", 96, *words)

    return run


@pytest.mark.parametrize(
    "faults",
    [
        {"status": 503, "every": 3},
        {"close": 1000, "after": 3, "times": 1},
    ],
)
def test_the_map_is_that_of_the_file_and_repetitions_are_told(
    predict, ortho, server, world, faults
):
    shelf = server.shelf(ortho.parent, **faults)
    predict(ortho, "local.tif")

    outcome = predict(f"{shelf.url}/big.tif", "remote.tif")

    assert outcome.code == 0
    assert (world / "remote.tif").read_bytes() == (world / "local.tif").read_bytes()
    assert "repeated" in outcome.err


def test_what_fails_for_ever_leaves_no_map_and_is_told(predict, ortho, server, world):
    shelf = server.shelf(ortho.parent, status=503, after=4)

    outcome = predict(f"{shelf.url}/big.tif?token=hunter2", "remote.tif", "-v")

    assert outcome.code == 1
    assert "token=REDACTED: cannot be read in Window(" in outcome.err
    assert "answered 503 (Service Unavailable); tried 4 times; try again later" in outcome.err
    assert "request repeated: " in outcome.err
    assert "hunter2" not in outcome.err
    assert not (world / "remote.tif").exists()


def test_no_map_is_made_of_a_file_that_changes_meanwhile(predict, ortho, server, world):
    shelf = server.shelf(ortho.parent, after=4, etag2='"two"')

    outcome = predict(f"{shelf.url}/big.tif", "remote.tif")

    assert outcome.code == 1
    assert 'has changed on the server while it was read (ETag "one", now "two")' in outcome.err
    assert "--resume" not in outcome.err
    assert not [*world.glob("*remote.tif*")]


def test_a_copy_serves_where_the_server_gives_no_ranges(predict, ortho, server, world):
    shelf = server.shelf(ortho.parent, ranges=False)
    words = ["--stage", world / "copies", "--overwrite"]
    predict(ortho, "local.tif")

    first = predict(f"{shelf.url}/big.tif", "remote.tif", *words)
    asked = sum(count for *_, count in shelf.log())
    again = predict(f"{shelf.url}/big.tif", "remote.tif", *words)

    assert (first.code, again.code) == (0, 0), first.err
    assert "copying" in first.err
    assert "copying" not in again.err
    assert sum(count for *_, count in shelf.log()) == asked
    assert (world / "remote.tif").read_bytes() == (world / "local.tif").read_bytes()


def test_a_dry_run_copies_nothing(predict, ortho, server, world):
    shelf = server.shelf(ortho.parent)

    outcome = predict(f"{shelf.url}/big.tif", "remote.tif", "--stage", world / "c", "--dry-run")

    assert outcome.code == 0
    assert not (world / "c").exists()


def test_metrics_of_copies_are_those_of_the_files(geoseg, world, server):
    shutil.copy(world / "reference.tif", world / "map.tif")
    words = ["-l", world / "legend.toml", "--json"]
    url = server.shelf(world).url

    own = geoseg("evaluate", world / "map.tif", "-r", world / "reference.tif", *words)
    copied = geoseg("evaluate", f"{url}/map.tif", "-r", f"{url}/reference.tif", *words,
                    "--stage", world / "copies")  # fmt: skip

    assert copied.code == 0
    assert json.loads(copied.out)["classes"] == json.loads(own.out)["classes"]
    assert len([*(world / "copies").glob("*.tif")]) == 2
