import numpy as np
import pytest
from affine import Affine
from shapely import box

from geoseg.cluster import maps, pool
from geoseg.postprocess import strips


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


def contents(folder):
    files = [each for each in folder.rglob("*") if each.is_file()]
    return {each.relative_to(folder): each.read_bytes() for each in files}


def test_maps_of_a_cluster_are_those_of_one_machine(predict, orthos, address, tmp_path):
    here = predict(*orthos, output="here", scores=None)
    there = predict(*orthos, output="there", cluster=address, scores=None)

    assert (here.code, there.code) == (0, 0)
    assert bytes_of(tmp_path / "there") == bytes_of(tmp_path / "here")
    assert there.out == here.out.replace("/here/", "/there/")
    again = predict(*orthos, output="there", cluster=address, scores=None, resume=None)
    assert again.out == there.out


@pytest.fixture
def two_maps(world, write_raster):
    """Two maps of the world's legend."""
    rng = np.random.default_rng(1)
    folder = world / "maps"
    folder.mkdir()
    for number in range(2):
        values = np.kron(rng.integers(0, 2, (9, 10)), np.ones((4, 4))) * 4 + 5
        write_raster(f"maps/m{number}.tif", values.astype(np.uint8))
    return folder


def test_patches_of_a_cluster_are_those_of_one_machine(
    geoseg, world, write_raster, write_polygons, address, monkeypatch
):
    """One source of each kind: whole, without a polygon, torn, of another kind."""
    monkeypatch.chdir(world)
    rng = np.random.default_rng(1)
    (world / "orthos").mkdir()
    for name, bands, away in (("a", 3, 0), ("b", 3, 1000), ("c", 3, 0), ("d", 1, 0)):
        at = Affine(0.5, 0, 500_000 + away, 0, -0.5, 5_700_000)
        image = rng.integers(1, 200, (bands, 96, 96)).astype(np.uint8)
        write_raster(f"orthos/{name}.tif", image, transform=at)
    whole = (world / "orthos" / "c.tif").read_bytes()
    (world / "orthos" / "c.tif").write_bytes(whole[:-9000])
    west = box(500_000, 5_699_900, 500_020, 5_700_000)
    write_polygons("truth.gpkg", [west, box(501_200, 0, 501_201, 1)], kind=["dark", "bright"])
    (world / "names.toml").write_text(
        'background = "bright"\n[[class]]\nname = "dark"\n[[class]]\nname = "bright"\n'
    )
    monkeypatch.setattr(pool, "delay_before", lambda _: 0.05)
    words = ["tile", "orthos", "-r", "truth.gpkg", "-l", "names.toml", "--patch-size", 32]

    here = geoseg(*words, "-o", "here")
    there = geoseg(*words, "-o", "there", "--cluster", address)

    assert (here.code, there.code, there.err) == (1, 1, here.err)
    assert "without a polygon" in here.err
    assert "2 of the orthophotos left out: orthos/d.tif" in here.err.replace("\\", "/")
    assert there.out == here.out.replace("here:", "there:")
    assert contents(world / "there") == contents(world / "here")


@pytest.mark.parametrize(
    "words",
    [
        ("vectorize", "-l", "legend.toml", "--format", "geojson"),
        ("postprocess", "-l", "legend.toml", "--min-area", "20px"),
        ("evaluate", "-l", "legend.toml", "-r", "maps", "--objects", "dark", "--intervals", "95"),
    ],
    ids=lambda words: words[0],
)
def test_what_other_commands_write_is_the_same_too(geoseg, two_maps, address, monkeypatch, words):
    monkeypatch.chdir(two_maps.parent)
    command, *options = words

    here = geoseg(command, "maps", "-o", "here", *options)
    there = geoseg(command, "maps", "-o", "there", *options, "--cluster", address)

    assert (here.code, there.code, there.err) == (0, 0, here.err)
    assert there.out == here.out.replace("here/", "there/")
    assert bytes_of(two_maps.parent / "there") == bytes_of(two_maps.parent / "here")


@pytest.mark.parametrize("words", [("vectorize", "--smooth"), ("postprocess",)])
def test_what_is_made_of_a_large_map_in_parts_is_the_same(
    geoseg, world, write_raster, address, monkeypatch, words
):
    rng = np.random.default_rng(1)
    values = np.kron(rng.integers(0, 2, (9, 220)), np.ones((5, 5))) * 4 + 5
    path = write_raster("large.tif", values.astype(np.uint8))  # two cells
    monkeypatch.setattr(strips, "STRIP_PIXELS", 0)
    monkeypatch.setattr(strips, "MIN_STRIP_ROWS", 4)
    monkeypatch.setattr(maps, "LEAST_WINDOWS", 0)
    command, *more = words
    made = "made.fgb" if command == "vectorize" else "made.tif"
    options = ["-l", world / "legend.toml", "--min-area", "60px", *more]

    here = geoseg(command, path, "-o", world / "here" / made, *options)
    there = geoseg(command, path, "-o", world / "there" / made, *options, "--cluster", address)

    assert (here.code, there.code, there.err) == (0, 0, here.err)
    assert there.out == here.out.replace("here", "there")
    assert bytes_of(world / "there") == bytes_of(world / "here")


def test_a_map_that_fails_on_the_workers_is_named_and_the_others_go_on(
    geoseg, two_maps, address, tmp_path
):
    (two_maps / "torn.tif").write_bytes((two_maps / "m0.tif").read_bytes()[:200])
    legend = two_maps.parent / "legend.toml"

    outcome = geoseg("vectorize", two_maps, "-o", tmp_path / "v", "-l", legend,
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
