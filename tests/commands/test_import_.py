import json

import numpy as np
import pytest
import rasterio
from onnx_models import DEEPNESS, write_onnx


@pytest.fixture
def theirs(world):
    return write_onnx(world / "theirs.onnx", DEEPNESS)


@pytest.fixture
def imported(geoseg, theirs):
    outcome = geoseg("import", theirs, "-o", theirs.parent / "bundle", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["classes"] == ["reddish", "greenish", "bluish"]
    return theirs.parent / "bundle"


def test_maps_of_an_imported_model_know_nodata_and_join_to_the_byte(
    geoseg, tmp_path, imported, write_raster
):
    image = np.random.default_rng(0).integers(1, 255, (3, 1100, 40)).astype(np.uint8)
    image[:, :10, :10] = 0
    words = ["predict", imported, write_raster("tall.tif", image, nodata=0), "--precision", "fp32"]
    assert geoseg(*words, "-o", tmp_path / "map.tif").code == 0
    for part in ("1/2", "2/2"):
        assert geoseg(*words, "-o", tmp_path / "parts", "--part", part).code == 0

    geoseg("mosaic", "--parts", tmp_path / "parts", "-o", tmp_path / "joined.tif")

    with rasterio.open(tmp_path / "map.tif") as found:
        values = found.read(1)
    ranked = np.sort(image, axis=0)
    clear = ranked[2] > ranked[1]
    assert (values[:10, :10] == 255).all()
    assert (values == image.argmax(axis=0))[clear].all()
    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "joined.tif").read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["quantize", "bundle", "patches"], "it cannot be quantised"),
        (["train", "patches", "-o", "run", "--init-from", "bundle"], "cannot start from it"),
        (["export", "bundle", "-o", "a.onnx"], "that file is"),
    ],
)
def test_what_needs_torch_is_refused(geoseg, patches, imported, monkeypatch, words, said):
    monkeypatch.chdir(patches.parent)

    outcome = geoseg(*words)

    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "was imported from an ONNX file" in outcome.err
    assert said in outcome.err


def test_info_tells_where_a_model_came_from(geoseg, imported):
    assert "imported from  theirs.onnx" in geoseg("info", imported).out


def test_a_source_is_named_once(geoseg, theirs):
    outcome = geoseg("import", theirs, "--from-smp", theirs, "-o", theirs.parent / "b")

    assert outcome.code == 2
    assert "name an ONNX file, or --from-smp, and not both" in outcome.err
