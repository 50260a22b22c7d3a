import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from geoseg.errors import BundleError
from geoseg.model.bundle import INT8, RECORD, Int8Record, ModelBundle, SizeRecord
from geoseg.model.conversion import Quantisation
from geoseg.model.runtime import open_runtime
from geoseg.model.segmenter import IR
from geoseg.raster.folders import file_sha256

pytestmark = pytest.mark.skipif(
    find_spec("nncf") is None,  # to import it here would report it over the network
    reason="geoseg[quantize] is not installed",
)


def windows(size, count=4):
    rng = np.random.default_rng(0)
    return rng.uniform(40, 200, (count, 3, size, size)).astype(np.float32)


@pytest.fixture(scope="session")
def int8_files(tmp_path_factory, network):
    """The quantised network of the bundle, made once."""
    return tmp_path_factory.mktemp("int8")


@pytest.fixture
def quantized(bundle, int8_files):
    """A bundle with an int8 network and a proof."""
    folder = bundle.folder / INT8
    folder.mkdir()
    if not (int8_files / IR).exists():
        quantisation = Quantisation(bundle, 64)
        quantisation.calibrate(list(windows(64, count=8)))
        assert quantisation.takes_any_size()
        quantisation.save(int8_files)
    for path in int8_files.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    proof = Int8Record(
        agreement=0.99, miou_fp32=0.8, miou_int8=0.8, validation_patches=4, samples=8,
        forced=False, patch_size=64, any_size=True,
        sha256={path.name: file_sha256(path) for path in folder.iterdir()},
        versions={"nncf": "2.17", "openvino": "2025.2"},
    )  # fmt: skip
    return with_proof(bundle, proof)


def with_proof(bundle, proof):
    replace(bundle, quantized=proof).write_record(bundle.folder)
    return ModelBundle.load(bundle.folder)


def opened(bundle, size=64, **choices):
    return open_runtime(bundle, device="cpu", window_size=size, **choices)


def test_a_proof_comes_back_as_it_was_written(quantized):
    again = ModelBundle.load(quantized.folder)

    assert again == quantized
    assert again.quantized.any_size is True
    assert set(again.quantized.sha256) == {"model.xml", "model.bin"}


def test_a_bundle_without_a_proof_says_nothing_of_it(bundle):
    assert "quantized" not in (bundle.folder / RECORD).read_text()
    assert bundle.quantized is None


def test_with_a_proof_int8_is_taken_and_nearly_agrees_with_float32(quantized):
    runtime = opened(quantized)
    images = windows(64)

    assert (runtime.name, list(runtime.notes)) == ("openvino int8", [])
    exact = opened(quantized, precision="fp32")(images)
    assert runtime(images) == pytest.approx(exact, abs=0.1)
    assert not np.array_equal(runtime(images), exact)


@pytest.mark.parametrize(("size", "network_size"), [(96, None), (50, 64), (64, 96)])
def test_the_quantised_network_takes_windows_of_other_sizes(quantized, size, network_size):
    images = windows(size)
    images[0, :, :9] = np.nan

    scores = opened(quantized, size, network_size=network_size, precision="int8")(images)

    exact = opened(quantized, size, network_size=network_size, precision="fp32")(images)
    assert scores == pytest.approx(exact, abs=0.1)
    assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)


def proof_of(size, holds=True):
    return SizeRecord(size=size, agreement=0.9, miou_fp32=0.5, miou_int8=0.5, holds=holds)


def test_it_is_taken_by_itself_only_with_windows_of_sizes_that_were_measured(quantized):
    measured = (proof_of(64), proof_of(96, holds=False), proof_of(128))
    bundle = with_proof(quantized, replace(quantized.quantized, measured=measured))

    assert bundle.quantized.validated_sizes == (64, 128)
    assert opened(bundle, 64).precision == "int8"
    assert opened(bundle, 50, network_size=64).precision == "int8"
    for size in (96, 160):
        runtime = opened(bundle, size)
        assert runtime.precision != "int8"
        assert f"windows are of {size} px, and it is validated for 64, 128 px" in runtime.notes[0]
    assert opened(bundle, 96, precision="int8").precision == "int8"


def test_a_proof_without_sizes_is_one_of_the_patch_size(quantized):
    assert quantized.quantized.validated_sizes == (64,)
    assert replace(quantized.quantized, forced=True).validated_sizes == ()


@pytest.mark.parametrize("content", [b"", b"<net", b'<?xml version="1.0"?><net/>'])
def test_a_network_that_openvino_cannot_read_is_refused_in_one_line(quantized, content):
    path = quantized.folder / INT8 / IR
    path.write_bytes(content)
    hashes = dict(quantized.quantized.sha256) | {IR: file_sha256(path)}
    damaged = with_proof(quantized, replace(quantized.quantized, sha256=hashes))

    with pytest.raises(BundleError, match="int8: is damaged") as caught:
        opened(damaged, precision="int8")

    assert "\n" not in str(caught.value)


def test_a_forced_network_is_taken_only_by_name(quantized):
    forced = with_proof(quantized, replace(quantized.quantized, forced=True))

    assert opened(forced).precision != "int8"
    assert opened(forced, precision="int8").precision == "int8"


@pytest.mark.parametrize("damage", [b"", None])
def test_a_damaged_network_is_left_out_with_a_note_or_refused_by_name(quantized, damage):
    path = quantized.folder / INT8 / "model.bin"
    path.write_bytes(damage) if damage is not None else path.unlink()

    runtime = opened(quantized)

    assert runtime.precision != "int8"
    [note] = runtime.notes
    assert "int8 is not used" in note
    with pytest.raises(BundleError, match="damaged; recreate it"):
        opened(quantized, precision="int8")


def test_a_network_of_one_size_is_not_taken_for_another(quantized):
    fixed = with_proof(quantized, replace(quantized.quantized, any_size=False))

    assert opened(fixed, 64).precision == "int8"
    assert opened(fixed, 96, network_size=64).precision == "int8"
    assert opened(fixed, 96).precision != "int8"
    with pytest.raises(BundleError, match="windows of 64 px only"):
        opened(fixed, 96, precision="int8")


@pytest.mark.parametrize("content", [7, "x", {"agreement": 1}])
def test_a_damaged_proof_is_refused(quantized, content):
    path = quantized.folder / RECORD
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantized": content}))

    with pytest.raises(BundleError, match="damaged"):
        ModelBundle.load(quantized.folder)
