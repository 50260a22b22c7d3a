import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("nncf") is None,  # to import it here would report it over the network
    reason="geoseg[quantize] is not installed",
)

WITHOUT_NETWORK = """
import sys
def watch(event, _):
    if event.startswith("socket.connect") or event.startswith("socket.getaddrinfo"):
        print("NETWORK", event, file=sys.stderr)
sys.addaudithook(watch)
from geoseg.cli import main
sys.argv = ["geoseg", *sys.argv[1:]]
main()
"""


def test_the_proof_goes_into_the_bundle_and_nothing_over_the_network(geoseg, model, patches):
    weights = (model / "model.safetensors").read_bytes()
    words = ["quantize", model, patches, "--samples", 4, "--force", "--json", "--quiet"]
    home = patches.parent / "home"
    home.mkdir()
    env = {"HOME": str(home), "USERPROFILE": str(home), "PATH": ""}

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK, *map(str, words)],
        check=False, capture_output=True, text=True, env=env,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == {"folder", "proof", "speed", "notes"}
    assert "NETWORK" not in done.stderr
    assert not (home / "intel").exists()
    proof = json.loads((model / "geoseg.json").read_text())["quantized"]
    assert proof["samples"] == 4
    assert 0.5 < proof["agreement"] <= 1
    assert sorted(path.name for path in (model / "int8").iterdir()) == ["model.bin", "model.xml"]
    assert (model / "model.safetensors").read_bytes() == weights
    again = geoseg("quantize", model, patches)
    assert (again.code, again.err.count("\n")) == (1, 1)
    assert "--overwrite" in again.err


def test_patches_of_other_classes_are_refused(geoseg, world, model):
    legend = (world / "legend.toml").read_text().replace("bright", "other")
    (world / "other.toml").write_text(legend)
    geoseg("tile", world / "ortho.tif", "-r", world / "reference.tif", "-l", world / "other.toml",
           "-o", world / "others", "--patch-size", 32, "--split-block", 32)  # fmt: skip

    outcome = geoseg("quantize", model, world / "others")

    assert outcome.code == 1
    assert "its classes are dark, other, the model has dark, bright" in outcome.err
    assert not (model / "int8").exists()
