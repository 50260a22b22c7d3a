import numpy as np
import pytest


@pytest.fixture
def orthos(tmp_path, write_raster):
    """A low one, and one of three rows of storage blocks whose middle has no data."""
    rng = np.random.default_rng(3)
    low, high = (rng.integers(60, 220, (3, rows, 40)).astype(np.uint8) for rows in (50, 1300))
    high[:, 300:900] = 0
    return [write_raster("low.tif", low, nodata=0), write_raster("high.tif", high, nodata=0)]


@pytest.fixture
def predict(geoseg, model, tmp_path):
    def run(*orthos, output, **options):
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        how = ("--runtime", "openvino", "--patch-size", "64", "--precision", "fp32", "--json")
        return geoseg(
            "predict", model, *orthos, "-o", tmp_path / output, *how, *filter(None, words)
        )

    return run


@pytest.fixture
def address(cluster):
    return cluster.client.scheduler.address


def bytes_of(folder):
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def test_maps_of_a_cluster_are_those_of_one_machine(predict, orthos, address, tmp_path):
    here = predict(*orthos, output="here", scores=None)
    there = predict(*orthos, output="there", cluster=address, scores=None)

    assert (here.code, there.code) == (0, 0)
    assert bytes_of(tmp_path / "there") == bytes_of(tmp_path / "here")
    assert there.out == here.out.replace("/here/", "/there/")
    again = predict(*orthos, output="there", cluster=address, scores=None, resume=None)
    assert again.out == there.out


@pytest.fixture
def maps(world, write_raster):
    """Two maps of the world's legend, of which one is damaged in a copy."""
    rng = np.random.default_rng(1)
    folder = world / "maps"
    folder.mkdir()
    for number in range(2):
        values = np.kron(rng.integers(0, 2, (9, 10)), np.ones((4, 4))) * 4 + 5
        write_raster(f"maps/m{number}.tif", values.astype(np.uint8))
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("vectorize", "-l", "legend.toml", "--format", "geojson"),
        ("postprocess", "-l", "legend.toml", "--min-area", "20px"),
        ("evaluate", "-l", "legend.toml", "-r", "maps", "--objects", "dark", "--intervals", "95"),
    ],
    ids=lambda words: words[0],
)
def test_what_other_commands_write_is_the_same_too(geoseg, maps, address, monkeypatch, words):
    monkeypatch.chdir(maps.parent)
    command, *options = words

    here = geoseg(command, "maps", "-o", "here", *options)
    there = geoseg(command, "maps", "-o", "there", *options, "--cluster", address)

    assert (here.code, there.code, there.err) == (0, 0, here.err)
    assert there.out == here.out.replace("here/", "there/")
    assert bytes_of(maps.parent / "there") == bytes_of(maps.parent / "here")


def test_a_map_that_fails_on_the_workers_is_named_and_the_others_go_on(
    geoseg, maps, address, tmp_path
):
    (maps / "torn.tif").write_bytes((maps / "m0.tif").read_bytes()[:200])

    outcome = geoseg("vectorize", maps, "-o", tmp_path / "v", "-l", maps.parent / "legend.toml",
                     "--cluster", address)  # fmt: skip

    assert outcome.code == 1
    assert "1 of 3 inputs failed" in outcome.err
    assert sorted(each.name for each in (tmp_path / "v").glob("*.gpkg")) == ["m0.gpkg", "m1.gpkg"]
    assert "torn.tif" in (tmp_path / "v" / "failed.json").read_text()


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("--cluster", "lokal:2"), 2, "'lokal:2' is no cluster; write local:4, tcp://HOST:8786"),
        (("--cluster", "local:0"), 2, "at least one process is needed"),
        (("--cluster", "no.json"), 1, "no.json: no such file"),
        (("--cluster", "local:2", "--part", "1/2"), 2, "--cluster goes with none of"),
    ],
)
def test_clusters_that_cannot_be_are_told(geoseg, world, model, words, code, reason):
    outcome = geoseg("predict", model, world / "ortho.tif", "-o", world / "new.tif", *words)

    assert outcome.code == code
    assert reason in " ".join(outcome.err.split())
