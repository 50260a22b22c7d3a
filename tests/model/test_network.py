import pytest
import segmentation_models_pytorch as smp
import torch

from geoseg.errors import BundleError, TrainingError
from geoseg.model.bundle import CONFIG, WEIGHTS
from geoseg.model.network import (
    ARCHITECTURES,
    build_network,
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
