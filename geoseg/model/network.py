"""Networks of segmentation-models-pytorch: build, save, load."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import segmentation_models_pytorch as smp
from safetensors import SafetensorError
from torch import nn

from geoseg.errors import BundleError, TrainingError
from geoseg.model.bundle import CONFIG, WEIGHTS
from geoseg.model.weights import ImagenetNormalisation, load_encoder_weights

ARCHITECTURES = tuple(smp.MODEL_ARCHITECTURES_MAPPING)
"""smp's names."""


def build_network(
    arch: str, encoder: str, *, bands: int, classes: int, encoder_weights: str
) -> tuple[nn.Module, ImagenetNormalisation | None]:
    """A new network.

    Args:
        arch: smp's name of the architecture.
        encoder: smp's name of the encoder.
        bands: Bands of the input.
        classes: Classes to score.
        encoder_weights: ``none``, ``imagenet`` (from the hub), ``package:lite0`` or a file.

    Returns:
        The network, and the normalisation that its weights want if they want one.

    Raises:
        TrainingError: If the names are unknown or do not go together, or the weights
            cannot be had.
    """
    if arch not in ARCHITECTURES:
        raise TrainingError(f"--arch {arch}: unknown; known are {', '.join(ARCHITECTURES)}")
    with _explaining(f"--arch {arch} --encoder {encoder}"):
        network = smp.create_model(
            arch, encoder, encoder_weights=None, in_channels=bands, classes=classes
        )
    wanted = load_encoder_weights(network, encoder, encoder_weights, bands)
    return cast("nn.Module", network), wanted


def size_divisor(network: nn.Module) -> int:
    """What the sides of an input must be divisible by, in pixels."""
    net = cast("Any", network)
    return int(net.encoder.output_stride) if net.requires_divisible_input_shape else 1


def save_network(network: nn.Module, folder: Path) -> None:
    """Write what `smp.from_pretrained` opens."""
    net = cast("Any", network)
    config = dict(net.config) | {"_model_class": type(network).__name__, "encoder_weights": None}
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(state))


def load_network(folder: Path) -> nn.Module:
    """The network of a bundle, ready to predict.

    Raises:
        BundleError: If it cannot be loaded.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind = getattr(smp, config.pop("_model_class"))
        network: nn.Module = kind(**config)
        network.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
        raise BundleError(f"{folder}: the network cannot be loaded: {error}") from error
    except SafetensorError as error:
        raise BundleError(f"{folder}: {WEIGHTS} is damaged: {error}") from error
    return network.eval()


def parameter_count(network: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(parameter.numel() for parameter in network.parameters())


@contextmanager
def _explaining(what: str) -> Iterator[None]:
    """Smp refuses wrong names and combinations in many ways."""
    try:
        yield
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        reason = str(error.args[0] if error.args else error).splitlines()[0]
        raise TrainingError(f"{what}: {reason[:300]}") from error
