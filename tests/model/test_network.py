import json
import os

import pytest
import segmentation_models_pytorch as smp
import torch

from geoseg.errors import BundleError, TrainingError
from geoseg.model.bundle import CONFIG, WEIGHTS
from geoseg.model.network import (
    ARCHITECTURES,
    build_network,
    decoder_channels,
    decoder_channels_of,
    load_network,
    parameter_count,
    save_network,
    size_divisor,
)

SMALL = {"bands": 3, "classes": 2, "encoder_weights": "none"}


def test_a_saved_network_gives_the_same_scores_when_loaded(bundle, network):
    images = torch.rand(2, 3, 32, 32)

    with torch.inference_mode():
        assert torch.equal(load_network(bundle.folder)(images), network(images))


def test_smp_itself_opens_the_bundle(bundle, network, capsys):
    images = torch.rand(1, 3, 32, 32)

    opened = smp.from_pretrained(str(bundle.folder)).eval()

    with torch.inference_mode():
        assert torch.equal(opened(images), network(images))


@pytest.mark.parametrize("arch", sorted(set(ARCHITECTURES) - {"dpt"}))
def test_every_architecture_is_built_for_any_number_of_bands(arch):
    encoder = "mit_b0" if arch == "segformer" else "resnet18"
    network, _ = build_network(arch, encoder, **SMALL | {"bands": 5})

    with torch.inference_mode():
        assert network.eval()(torch.rand(1, 5, 128, 128)).shape == (1, 2, 128, 128)


@pytest.mark.parametrize(
    ("arch", "encoder", "reason"),
    [
        ("unnet", "resnet18", "known are unet"),
        ("unet", "resnet17", "Wrong encoder name"),
        ("dpt", "resnet18", "--arch dpt --encoder resnet18"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(arch, encoder, reason):
    with pytest.raises(TrainingError, match=reason) as caught:
        build_network(arch, encoder, **SMALL)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arch", "width", "channels"),
    [
        ("unet", "half", "128,64,32,16,16"),
        ("unet", "full", "full"),
        ("unet", "20,18,16,12,8", "20,18,16,12,8"),
        ("fpn", "quarter", "64,32"),
        ("deeplabv3plus", "48", "48"),
    ],
)
def test_a_decoder_has_the_width_that_is_named_and_is_loaded_with_it(
    arch, width, channels, tmp_path
):
    how = SMALL | {"decoder_channels": width}
    network, _ = build_network(arch, "tu-test_resnet", **how)

    save_network(network, tmp_path)

    loaded = load_network(tmp_path).state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in network.state_dict().items())
    assert decoder_channels(network) == decoder_channels_of(tmp_path) == channels


@pytest.mark.parametrize(
    ("arch", "width", "reason"),
    [
        ("linknet", "half", "the decoder of linknet has no width to choose"),
        ("unet", "64,32", "unet takes 5 numbers; its own are 256,128,64,32,16"),
        ("fpn", "128,40", r"--decoder-channels 128,40: num_channels \(40\) must be divisible"),
    ],
)
def test_a_width_that_a_decoder_cannot_have_is_refused_in_one_line(arch, width, reason):
    with pytest.raises(TrainingError, match=reason) as caught:
        build_network(arch, "tu-test_resnet", **SMALL, decoder_channels=width)

    assert "\n" not in str(caught.value)


def test_the_size_divisor_is_what_the_network_really_needs():
    network, _ = build_network("fpn", "resnet18", **SMALL)
    divisor = size_divisor(network)

    network.eval()(torch.rand(1, 3, divisor, divisor))
    with pytest.raises(RuntimeError, match="divisible"):
        network(torch.rand(1, 3, divisor + 1, divisor))


def test_parameters_are_counted(network):
    assert parameter_count(network) == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("config", ["{}", "x", '{"_model_class": "Nothing"}'])
def test_a_damaged_config_is_refused(bundle, config):
    (bundle.folder / CONFIG).write_text(config)

    with pytest.raises(BundleError, match="cannot be loaded"):
        load_network(bundle.folder)


@pytest.mark.parametrize("arch", sorted(set(ARCHITECTURES) - {"dpt"}))
def test_every_architecture_is_loaded_as_it_was_saved_and_by_smp_too(arch, tmp_path):
    encoder = "mit_b0" if arch == "segformer" else "tu-mobilenetv3_small_050"
    network, _ = build_network(arch, encoder, **SMALL | {"bands": 4})
    network.eval()
    side = 32 * size_divisor(network)  # pan needs more than one divisor
    images = torch.rand(1, 4, min(side, 128), min(side, 128))

    save_network(network, tmp_path)

    with torch.inference_mode():
        expected = network(images)
        assert torch.equal(load_network(tmp_path)(images), expected)
        assert torch.equal(smp.from_pretrained(str(tmp_path)).eval()(images), expected)


@pytest.fixture(scope="module")
def weights(tmp_path_factory, network):
    """The files of the network, written once."""
    folder = tmp_path_factory.mktemp("network")
    save_network(network, folder)
    return folder


@pytest.fixture
def saved(weights, tmp_path):
    """A folder with the network, whose config may be edited."""
    (tmp_path / CONFIG).write_bytes((weights / CONFIG).read_bytes())
    os.link(weights / WEIGHTS, tmp_path / WEIGHTS)
    return tmp_path


def edit_config(folder, **changes):
    config = json.loads((folder / CONFIG).read_text()) | changes
    (folder / CONFIG).write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"_model_class": "from_pretrained"}, "no architecture"),
        ({"_model_class": "create_model"}, "no architecture"),
        ({"_model_class": "losses"}, "no architecture"),
        ({"_model_class": "_torch"}, "no architecture"),
        ({"encoder_name": "tu-hf-hub:evil/repo"}, "Wrong encoder name"),
        ({"encoder_name": "tu-local-dir:/tmp"}, "Wrong encoder name"),
        ({"encoder_name": "timm-hf-hub:evil/repo"}, "Wrong encoder name"),
        ({"encoder_name": "tu-no_such_model"}, "Wrong encoder name"),
        ({"encoder_name": 7}, "encoder_name is a text"),
        ({"encoder_weights": "imagenet"}, "encoder_weights is null"),
        ({"aux_params": {"classes": 3}}, "aux_params is null"),
        ({"activation": "softmax"}, "activation is null"),
        ({"pretrained_model_name_or_path": "evil/repo"}, "unknown entries: pretrained_model"),
        ({"checkpoint_path": "evil.pth"}, "unknown entries: checkpoint_path"),
        ({"classes": 10**12}, "is of 3, that of config.json of 1000000000000"),
        ({"in_channels": 4}, "is of 16 x 3 x 3 x 3, that of config.json of 16 x 4"),
        ({"in_channels": 10**12}, r"in_channels is a whole number in 1\.\.10000"),
        ({"decoder_channels": [10**7] * 5}, "one of them is of another model"),
        ({"decoder_channels": "many"}, "cannot be loaded"),
        ({"encoder_depth": 3}, "cannot be loaded"),
        ({"decoder_attention_type": "scse"}, r"is in config\.json alone"),
    ],
)
def test_a_config_loads_nothing_from_elsewhere_and_allocates_nothing(
    saved, monkeypatch, changes, reason
):
    edit_config(saved, **changes)
    monkeypatch.setattr("socket.socket", None)  # whoever opens one fails

    with pytest.raises(BundleError, match=reason) as caught:
        load_network(saved)

    assert "\n" not in str(caught.value)


def test_weights_are_never_fetched_even_if_the_config_does_not_say_so(saved, network):
    config = json.loads((saved / CONFIG).read_text())
    del config["encoder_weights"]
    (saved / CONFIG).write_text(json.dumps(config))

    assert load_network(saved).state_dict().keys() == network.state_dict().keys()


class Plugged(torch.nn.Module):
    """A network that somebody adds to smp's module."""

    requires_divisible_input_shape = False

    def __init__(self, classes=2):
        super().__init__()
        self.head = torch.nn.Conv2d(3, classes, 1)


def test_a_class_of_networks_that_was_added_to_the_module_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(smp, "Plugged", Plugged, raising=False)
    network = Plugged(classes=3)
    network.config = {"classes": 3}
    save_network(network, tmp_path)

    edit_config(tmp_path, encoder_weights=None)
    with pytest.raises(BundleError, match="unknown entries: encoder_weights"):
        load_network(tmp_path)
    (tmp_path / CONFIG).write_text('{"_model_class": "Plugged", "classes": 3}')

    assert torch.equal(load_network(tmp_path).head.weight, network.head.weight)


def test_the_encoders_of_segformer_are_measured_before_they_are_built(tmp_path):
    network, _ = build_network("segformer", "mit_b0", **SMALL)
    save_network(network, tmp_path)
    edit_config(tmp_path, decoder_segmentation_channels=10**6)

    with pytest.raises(BundleError, match="one of them is of another model"):
        load_network(tmp_path)


def test_damaged_weights_are_refused(bundle):
    path = bundle.folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(BundleError, match="damaged"):
        load_network(bundle.folder)


def test_weights_of_another_architecture_are_refused(bundle, tmp_path):
    other, _ = build_network("fpn", "resnet18", **SMALL)
    save_network(other, tmp_path)
    (tmp_path / WEIGHTS).replace(bundle.folder / WEIGHTS)

    with pytest.raises(BundleError, match="cannot be loaded"):
        load_network(bundle.folder)
