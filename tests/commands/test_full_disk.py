"""No file may become longer than some bytes: the system refuses as it does where a disk is full."""

import sys
from contextlib import contextmanager

import pytest

resource = pytest.importorskip("resource", reason="the system has no limits")


@contextmanager
def longest_file(size):
    """Let no file become longer; Python ignores the signal that the system would send."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def run_full(capfd, monkeypatch):
    """A function that runs a command line; stderr is what the process has written, not Python."""
    from geoseg import cli

    def run(size, *words):
        monkeypatch.setattr(sys, "argv", ["geoseg", *map(str, words), "-q"])
        with longest_file(size), pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, capfd.readouterr().err.splitlines()

    return run


COMMANDS = {
    "tile": "tile {0}/ortho.tif -r {0}/reference.tif -l {0}/legend.toml -o {0}/out/p"
    " --patch-size 32 --split-block 32",
    "predict": "predict {0}/model {0}/ortho.tif -o {0}/out/m.tif --scores --runtime torch",
    "windows": "predict {0}/model {0}/ortho.tif -o {0}/out/m.tif --windows {0}/out/w"
    " --runtime torch",
    "mosaic": "mosaic {0}/reference.tif -l {0}/legend.toml -o {0}/out/m.tif",
    "postprocess": "postprocess {0}/reference.tif -l {0}/legend.toml -o {0}/out/m.tif"
    " --majority 5px",
    "vectorize": "vectorize {0}/reference.tif -l {0}/legend.toml -o {0}/out/p.gpkg",
    "vectorize --part": "vectorize {0}/reference.tif -l {0}/legend.toml -o {0}/out/p.gpkg"
    " --part 1/1",
    "evaluate": "evaluate {0}/reference.tif -r {0}/reference.tif -l {0}/legend.toml"
    " --error-map {0}/out/m.tif",
    "sample-points": "sample-points {0}/reference.tif -l {0}/legend.toml -o {0}/out/p.gpkg",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_where_a_file_takes_no_more_a_command_ends_in_one_line(run_full, world, request, name):
    if "model" in COMMANDS[name]:
        request.getfixturevalue("model")

    code, lines = run_full(300, *(word.format(world) for word in COMMANDS[name].split()))

    assert code == 1
    assert [line for line in lines if not line.startswith("warning: ")] == lines[-1:]
    assert lines[-1].startswith(f"geoseg: {world}/out/")
    assert "cannot be written" in lines[-1]
    left = [each for each in (world / "out").glob("*") if not each.name.endswith(".unfinished")]
    assert not left
