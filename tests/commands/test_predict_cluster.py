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
        how = ("--runtime", "torch", "--patch-size", "64", "--precision", "fp32", "--json")
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
