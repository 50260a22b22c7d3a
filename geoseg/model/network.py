"""Networks of segmentation-models-pytorch: build, save, load, and the window sizes they take."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from inspect import Parameter, signature
from itertools import chain
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from geoseg.errors import BundleError, TrainingError
from geoseg.model.bundle import (
    CONFIG,
    MAX_AUTO_SIZE_PX,
    MAX_BANDS,
    SIZE_MULTIPLE_PX,
    WEIGHTS,
    Normalisation,
    Shapes,
    read_shapes,
)
from geoseg.model.weights import TIMM_PREFIX, load_encoder_weights
from geoseg.options import MAX_CHANNELS, WIDTHS
from geoseg.raster.records import Fields, read_object

ARCHITECTURES = tuple(smp.MODEL_ARCHITECTURES_MAPPING)
"""Architectures, smp's names."""

DECODER_PARAMETERS = (
    *("decoder_channels", "decoder_pyramid_channels", "decoder_segmentation_channels"),
    *("decoder_intermediate_channels", "decoder_fusion_channels", "psp_out_channels"),
)
"""Parameters of smp's architectures that are widths of the decoder."""

LEAST_CHANNELS = 16
"""Channels below which a narrower layer is no faster."""

NAMED_PARAMETERS = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
"""Kinds of parameters that ``config.json`` may set."""

PLAIN_NAME = re.compile(r"[\w.+-]+", re.ASCII)
"""Names of timm's own models; those from elsewhere have colons or slashes."""

CONSTRUCTOR_ERRORS = (
    *(OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError),
    *(AssertionError, ArithmeticError, MemoryError),
)
"""Exceptions of constructors of networks on unsuitable arguments."""


def build_network(
    arch: str,
    encoder: str,
    *,
    bands: int,
    classes: int,
    encoder_weights: str,
    decoder_channels: str = "full",
) -> tuple[nn.Module, Normalisation | None]:
    """A new network, by smp's names of architecture and encoder.

    Args:
        arch: Architecture.
        encoder: Encoder.
        bands: Bands of the input.
        classes: Number of classes.
        encoder_weights: ``none``, ``imagenet`` (from the hub), ``package:lite0`` or a file.
        decoder_channels: ``full``, ``half``, ``quarter``, or numbers.

    Returns:
        The network, and the normalisation of its weights, of values 0..1, if they have one.

    Raises:
        TrainingError: If names do not go together, or weights are not available.
    """
    if arch not in ARCHITECTURES:
        raise TrainingError(f"--arch {arch}: unknown; known are {', '.join(ARCHITECTURES)}")
    widths = _decoder_widths(arch, decoder_channels)
    try:
        refuse_foreign_encoder(encoder)
        network = smp.create_model(
            arch, encoder, encoder_weights=None, in_channels=bands, classes=classes, **widths
        )
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        reason = str(error.args[0] if error.args else error).splitlines()[0]
        words = f" --decoder-channels {decoder_channels}" if widths else ""
        raise TrainingError(f"--arch {arch} --encoder {encoder}{words}: {reason[:300]}") from error
    wanted = load_encoder_weights(network, encoder, encoder_weights, bands)
    return cast("nn.Module", network), wanted


def _decoder_widths(arch: str, channels: str) -> dict[str, Any]:
    """Arguments of an architecture's constructor that give its decoder a width.

    Raises:
        TrainingError: If the decoder has none, or another number of layers.
    """
    own = _own_widths(smp.MODEL_ARCHITECTURES_MAPPING[arch])
    if channels == "full":
        return {}
    what = f"--decoder-channels {channels}"
    if not own:
        raise TrainingError(f"{what}: the decoder of {arch} has no width to choose")
    plain = _numbers(own)
    if channels in WIDTHS:
        numbers = [max(int(WIDTHS[channels] * each), min(LEAST_CHANNELS, each)) for each in plain]
    else:
        numbers = [int(each) for each in channels.split(",")]
    if len(numbers) != len(plain):
        shown = ",".join(map(str, plain))
        raise TrainingError(f"{what}: {arch} takes {len(plain)} numbers; its own are {shown}")
    rest = iter(numbers)
    return {
        name: tuple(next(rest) for _ in value) if isinstance(value, tuple) else next(rest)
        for name, value in own.items()
    }


def _own_widths(kind: type[nn.Module]) -> dict[str, int | tuple[int, ...]]:
    """The widths of an architecture's decoder if no others are chosen, by parameter."""
    found = signature(kind).parameters
    return {name: found[name].default for name in DECODER_PARAMETERS if name in found}


def _numbers(widths: Mapping[str, int | Sequence[int]]) -> list[int]:
    values = ([value] if isinstance(value, int) else value for value in widths.values())
    return list(chain.from_iterable(values))


def decoder_channels_of(folder: Path) -> str:
    """Width of the decoder of a bundle: ``full``, or numbers.

    Raises:
        BundleError: If its config is damaged.
    """
    try:
        kind, choices = _read_config(folder)
    except CONSTRUCTOR_ERRORS as error:
        raise BundleError(f"{folder}: {CONFIG} is damaged: {error}") from error
    return _chosen_channels(kind, choices)


def _chosen_channels(kind: type[nn.Module], choices: Mapping[str, Any]) -> str:
    own = _own_widths(kind)
    numbers = _numbers(own | {name: choices[name] for name in own if name in choices})
    return "full" if numbers == _numbers(own) else ",".join(map(str, numbers))


def decoder_channels(network: nn.Module) -> str:
    """Width of the decoder of a network: ``full``, or numbers."""
    return _chosen_channels(type(network), cast("Any", network).config)


def size_divisor(network: nn.Module) -> int:
    """Divisor of the sides of the input, in pixels."""
    net = cast("Any", network)
    return int(net.encoder.output_stride) if net.requires_divisible_input_shape else 1


def save_network(network: nn.Module, folder: Path) -> None:
    """Write a network for `smp.from_pretrained`."""
    net = cast("Any", network)
    config = dict(net.config) | {"_model_class": type(network).__name__, "encoder_weights": None}
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(state))


def load_network(folder: Path) -> nn.Module:
    """The network of a bundle, ready to predict.

    ``config.json`` is not trusted: it may name only classes and entries of `save_network`, and is
    compared with the shapes of the weights before memory of their size is allocated.

    Raises:
        BundleError: If it cannot be loaded.
    """
    try:
        kind, choices = _read_config(folder)
        _check_shapes(kind, choices, read_shapes(folder))
        network = kind(**choices)
        network.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    except CONSTRUCTOR_ERRORS as error:
        reason = " ".join(str(error).split())[:300]
        raise BundleError(f"{folder}: the network cannot be loaded: {reason}") from error
    except SafetensorError as error:
        raise BundleError(f"{folder}: {WEIGHTS} is damaged: {error}") from error
    return network.eval()


def _read_config(folder: Path) -> tuple[type[nn.Module], dict[str, Any]]:
    """The class of a network, and the allowed arguments of its constructor."""
    config = read_object(folder / CONFIG)
    kind = _class_named(Fields(config).text("_model_class"))
    choices = {key: value for key, value in config.items() if key != "_model_class"}
    taken = {
        name for name, each in signature(kind).parameters.items() if each.kind in NAMED_PARAMETERS
    }
    if unknown := sorted(set(choices) - taken):  # smp would pass them on to timm
        raise ValueError(f"{CONFIG} has unknown entries: {', '.join(unknown)[:100]}")
    if choices.get("encoder_weights") is not None:
        raise ValueError(f"{CONFIG}: encoder_weights is null, as the weights are in {WEIGHTS}")
    for output in ("activation", "aux_params"):
        if choices.get(output) is not None:
            raise ValueError(f"{CONFIG}: {output} is null, as geoseg expects plain logits")
    if "encoder_weights" in taken:
        choices["encoder_weights"] = None  # smp's default downloads some
    if "in_channels" in choices:  # smp's stems allocate memory for them first
        Fields(choices).whole("in_channels", 1, MAX_BANDS)
    if "encoder_name" in choices:
        refuse_foreign_encoder(choices["encoder_name"])
    return kind, choices


def _class_named(name: str) -> type[nn.Module]:
    """An architecture of smp's list, or a network class added to the module."""
    listed = {each.__name__: each for each in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    kind = listed.get(name) or getattr(smp, name, None)
    if name.startswith("_") or not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ValueError(f"{name[:60]!r} is no architecture of {', '.join(listed)}")
    return kind


def refuse_foreign_encoder(name: object) -> None:
    """Refuse encoders other than smp's and timm's own.

    Both also take names of the hub and of local folders, and would load code from there.
    """
    if not isinstance(name, str):
        raise TypeError(f"encoder_name is a text, got {name!r}"[:100])
    if name in smp.encoders.get_encoder_names():
        return
    inside = name.removeprefix("timm-").removeprefix(TIMM_PREFIX)
    if inside == name or not PLAIN_NAME.fullmatch(name):
        raise ValueError(f"Wrong encoder name {name[:60]!r}: it is none of smp's or timm's")
    if name.startswith(TIMM_PREFIX) and not timm.is_model(inside):
        raise ValueError(f"Wrong encoder name {name[:60]!r}: timm has no such model")


def _check_shapes(kind: type[nn.Module], choices: dict[str, Any], found: Shapes) -> None:
    """Compare the weights of a network with those of a file, before either is in memory."""
    expected = _shapes_of(kind.__name__, json.dumps(choices, sort_keys=True))
    if expected is None:
        _refuse_other_defaults(kind, choices)
        return
    for key, shape in found.items():
        if key in expected and shape != expected[key]:
            theirs, ours = (
                " x ".join(map(str, each)) or "a single number" for each in (shape, expected[key])
            )
            raise ValueError(
                f"{key} in {WEIGHTS} is of {theirs}, that of {CONFIG} of {ours}: one of them is of "
                f"another model"
            )
    if different := sorted(expected.keys() ^ found.keys()):
        where = WEIGHTS if different[0] in found else CONFIG
        raise ValueError(
            f"{WEIGHTS} and {CONFIG} are of different networks: {different[0]} is in {where} "
            f"alone (of {len(different)} such weights)"
        )


@lru_cache(maxsize=8)
def _shapes_of(name: str, choices: str) -> Shapes | None:
    """Shapes of a network's weights, from the device "meta", which takes no memory for them.

    The arguments of the constructor are JSON. None for a network that computes with values there.
    """
    try:
        with torch.device("meta"), _RangesOnCpu():
            state = _class_named(name)(**json.loads(choices)).state_dict()
    except (NotImplementedError, RuntimeError) as error:
        if "meta" not in str(error):
            raise
        return None
    return {key: tuple(own.shape) for key, own in state.items()}


class _RangesOnCpu(TorchFunctionMode):
    """Mode in which ranges have values on the device "meta", as some encoders need them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a torch function, on the CPU if it makes a range."""
        where = {"device": "cpu"} if func is torch.linspace else {}
        return func(*args, **(kwargs or {}) | where)


def _refuse_other_defaults(kind: type[nn.Module], choices: dict[str, Any]) -> None:
    """Refuse arguments that `build_network` does not set, for networks of unknown size."""
    for key, each in signature(kind).parameters.items():
        ours = each.default if each.default is not Parameter.empty else None
        value: Any = choices.get(key, ours)
        plain = list(ours) if isinstance(ours, tuple) else ours
        if key in DECODER_PARAMETERS and max(_numbers({key: value})) <= MAX_CHANNELS:
            continue
        if key not in {"encoder_name", "encoder_weights", "in_channels", "classes"} and (
            value != plain and each.kind in NAMED_PARAMETERS
        ):
            raise ValueError(f"{CONFIG}: {key} is not smp's default, {plain!r}")


def parameter_count(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


MIN_SAFE_CHANNELS = 16
"""Input channels from which strided 1 x 1 convolutions are safe, see below."""


def protect_narrow_convolutions(network: nn.Module) -> int:
    """Run narrow strided 1 x 1 convolutions in the contiguous layout on a CPU; their number.

    Why: in channels_last, their gradients write beyond their memory in float32 if they have 2 to 15
    input channels (torch 2.15 with oneDNN): the process crashes, or continues with wrong numbers.
    The stems of MobileOne and RepVGG have such a branch. The rest of the network keeps its layout,
    which must be the final one.
    """
    found = [each for each in network.modules() if _is_narrow(each)]
    for layer in found:
        weight = layer.get_parameter("weight")
        # a 1 x 1 kernel is contiguous in both layouts: only a copy gets the strides of this one
        weight.data = weight.data.clone(memory_format=torch.contiguous_format)
        layer.register_forward_pre_hook(_to_contiguous)
    return len(found)


def _is_narrow(layer: nn.Module) -> bool:
    if not isinstance(layer, nn.Conv2d) or layer.kernel_size != (1, 1) or max(layer.stride) == 1:
        return False
    return 1 < layer.in_channels // layer.groups < MIN_SAFE_CHANNELS


def _to_contiguous(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    (images,) = inputs
    return (images.contiguous() if images.device.type == "cpu" else images,)


LARGE_SIZE_PX = 31 * SIZE_MULTIPLE_PX
"""A large side with few divisors: a network that takes it takes every multiple of 32."""

_SIZES: dict[tuple[type[nn.Module], str, int, int], tuple[int, ...]] = {}
"""Results of `find_sizes` in this process, by class, config, bands and patch size."""


def refusal(network: nn.Module, bands: int, size: int, *, weightless: bool = False) -> str | None:
    """Reason why a network does not take windows of a size, in pixels; None if it does.

    Its modes and weights stay unchanged. A weightless check is of shapes alone: it takes no memory
    and hardly any time, and misses position tables of fixed length.
    """
    device = torch.device("meta" if weightless else next(network.parameters()).device)
    window = torch.zeros(1, bands, size, size, device=device)
    tensors = *network.named_parameters(), *network.named_buffers()
    state = {key: value.to(device) for key, value in tensors} if weightless else {}
    was_training = network.training
    try:
        with torch.inference_mode():
            logits = functional_call(network.eval(), state, (window,))
    except (*CONSTRUCTOR_ERRORS, NotImplementedError) as error:
        return " ".join(str(error).split())[:200] or type(error).__name__
    finally:
        network.train(was_training)
    if logits.ndim != 4 or max(logits.shape[2:]) > 2 * size:  # noqa: PLR2004 (n, classes, rows, columns)
        return f"its scores are of {tuple(logits.shape)}"
    return None


def find_sizes(network: nn.Module, bands: int, patch_size: int) -> tuple[int, ...]:
    """Sides of windows that a network takes, see `ModelBundle.sizes`.

    Nearly all networks take any size, which two or three trials show; for the others every multiple
    of 32 is tried. Results are kept for the process, as folds and searches ask repeatedly.

    Returns:
        In pixels, ascending; empty: every multiple of 32 from the patch size on.
    """
    config = getattr(network, "config", None)  # smp's: everything that shapes depend on
    if config is None:
        return _find_sizes(network, bands, patch_size)
    known = (type(network), repr(config), bands, patch_size)
    if known not in _SIZES:
        _SIZES[known] = _find_sizes(network, bands, patch_size)
    return _SIZES[known]


def _find_sizes(network: nn.Module, bands: int, patch_size: int) -> tuple[int, ...]:
    following = (patch_size // SIZE_MULTIPLE_PX + 1) * SIZE_MULTIPLE_PX
    follows = refusal(network, bands, following) is None
    if follows and (
        refusal(network, bands, LARGE_SIZE_PX, weightless=True) is None
        or refusal(network, bands, patch_size, weightless=True) is not None  # "meta" cannot do it
    ):
        return ()
    fitting = _fitting_sizes(network, bands, following)
    if following in fitting and not follows:
        fitting = [side for side in fitting if refusal(network, bands, side) is None]
    return (patch_size, *fitting)


def _fitting_sizes(network: nn.Module, bands: int, least: int) -> list[int]:
    """Multiples of 32 that a network takes, by its shapes alone."""
    sides = range(least, MAX_AUTO_SIZE_PX + 1, SIZE_MULTIPLE_PX)
    return [side for side in sides if refusal(network, bands, side, weightless=True) is None]


def nearest_sizes(network: nn.Module, bands: int, near: int) -> list[int]:
    """The nearest multiples of 32 below and above a size that a network takes."""
    fitting = _fitting_sizes(network, bands, SIZE_MULTIPLE_PX)
    below = [side for side in fitting if side < near][-1:]
    return [*below, *[side for side in fitting if side > near][:1]]
