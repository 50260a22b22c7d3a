"""Weights of segmentation-models-pytorch that were trained elsewhere."""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import segmentation_models_pytorch as smp
import torch
from torch import nn

from geoseg.errors import BundleError, InputError, TrainingError
from geoseg.labels.legend import Legend
from geoseg.model.bundle import CONFIG, HEAD, RECORD, WEIGHTS, ModelBundle
from geoseg.model.imports import (
    NO_NORMALISATION,
    TILE_PX,
    ImportOptions,
    ImportReport,
    legend_of,
    names_of,
    write_bundle,
)
from geoseg.model.network import build_network, find_sizes, load_network, refusal
from geoseg.model.weights import ENCODER_PREFIX, State, read_state
from geoseg.raster.records import Fields, read_object

HEAD_PREFIX = "segmentation_head."
"""Prefix of the weights of smp's last layers."""

NAMED = 3
"""Weights that a message names."""


def import_smp(
    path: Path,
    folder: Path,
    *,
    options: ImportOptions,
    legend: Legend | None = None,
    overwrite: bool = False,
) -> ImportReport:
    """Make a bundle of a network of smp.

    Args:
        path: Folder of `save_pretrained`, or a file with a state dict of plain tensors.
        folder: Bundle to write.
        options: What they do not say.
        legend: The classes; None: as options say.
        overwrite: Whether an existing bundle is replaced.

    Raises:
        BundleError: If weights and network do not fit each other, or something is missing.
    """
    if options.mean is None or options.std is None:
        raise BundleError(f"{path}: says nothing of its normalisation; {NO_NORMALISATION}")
    config, state = _of_folder(path) if path.is_dir() else _of_file(path, options)
    rows = _channels(state)
    names = options.classes
    count = max(rows or len(legend or names or ()), 2)
    own = legend_of(path, legend, names, count)
    notes = []
    if rows == 1:
        state = with_background(state)
        notes.append(f"its only class is {own.names[1]!r}, and all else {own.names[0]!r}")
    elif config.get("activation") == "sigmoid":
        notes.append("its classes are independent of each other: a pixel gets the most probable")
    config |= {"classes": count, "activation": None, "encoder_weights": None}
    bands = int(config.get("in_channels") or 3)
    if options.bands and len(options.bands) != bands:
        raise BundleError(f"{path}: takes {bands} bands, --bands names {len(options.bands)}")
    if options.gsd is None:
        notes.append("its GSD is unknown, orthophotos of any are taken; --gsd names it")
    size = options.patch_size or TILE_PX
    normalisation = options.normalisation(bands)

    def write(partial: Path) -> None:
        (partial / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        (partial / WEIGHTS).write_bytes(safetensors.torch.save(state))

    network = _loaded(path, write)
    if (reason := refusal(network, bands, size)) is not None:
        raise BundleError(f"{path}: does not take tiles of {size} px ({reason}); pass --patch-size")
    kinds = {each.__name__: name for name, each in smp.MODEL_ARCHITECTURES_MAPPING.items()}
    kind = str(config["_model_class"])
    bundle = ModelBundle(
        arch=kinds.get(kind, kind),
        encoder=str(config.get("encoder_name", "")),
        legend=own,
        bands=bands,
        band_names=options.bands or names_of(bands),
        dtype=options.dtype,
        value_range=(0.0, options.divisor),
        normalisation=normalisation,
        patch_size=size,
        gsd=options.gsd,
        sizes=find_sizes(network, bands, size),
        training={"imported_from": path.name},
    )
    return ImportReport(
        bundle=write_bundle(bundle, folder, write, overwrite=overwrite), notes=tuple(notes)
    )


Config = dict[str, Any]
"""Arguments of a network's constructor, and its class under ``_model_class``."""


def _of_folder(path: Path) -> tuple[Config, State]:
    """Config and weights of a folder of `save_pretrained`."""
    if (path / RECORD).is_file():
        raise BundleError(f"{path}: is a bundle of geoseg already")
    for name in (CONFIG, WEIGHTS):
        if not (path / name).is_file():
            raise BundleError(f"{path}: has no {name}; save_pretrained of smp writes it")
    try:
        config = read_object(path / CONFIG)
        Fields(config).text("_model_class")
    except (ValueError, TypeError) as error:
        raise BundleError(f"{path / CONFIG}: is damaged: {error}") from error
    return config, _tensors(path / WEIGHTS)


def _of_file(path: Path, options: ImportOptions) -> tuple[Config, State]:
    """Config of the network that options name, and the weights of a file, which must fit it."""
    tensors = _tensors(path)
    if not options.arch or not options.encoder:
        raise BundleError(
            f"{path}: a state dict does not say of which network it is; pass --arch and --encoder"
        )
    state = without_prefix(tensors)
    bands, rows = len(options.bands or names_of(3)), _channels(state)
    try:
        network, _ = build_network(
            options.arch.lower(), options.encoder, bands=bands, classes=rows or 1,
            encoder_weights="none", decoder_channels=options.decoder_channels or "full",
        )  # fmt: skip
    except TrainingError as error:
        raise BundleError(str(error)) from error
    what = f"{path}: is no {options.arch} with {options.encoder} for {bands} bands (--bands)"
    _compare({key: tuple(own.shape) for key, own in network.state_dict().items()}, state, what)
    own: Any = network
    return dict(own.config) | {"_model_class": type(network).__name__}, state


def _compare(expected: Mapping[str, tuple[int, ...]], state: State, what: str) -> None:
    """Refuse, by BundleError, weights of other names or shapes."""
    lacking = [key for key in expected if key not in state]
    foreign = [key for key in state if key not in expected]
    if lacking or foreign:
        told = [f"it lacks {_first(lacking)}"] if lacking else []
        told += [f"it has {_first(foreign)}"] if foreign else []
        raise BundleError(f"{what}: {'; '.join(told)}")
    for key, shape in expected.items():
        if shape != (found := tuple(state[key].shape)):
            raise BundleError(
                f"{what}: {key} is of {' x '.join(map(str, found))}, not "
                f"{' x '.join(map(str, shape))}"
            )


def _first(keys: list[str]) -> str:
    more = len(keys) - NAMED
    return ", ".join(keys[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _tensors(path: Path) -> State:
    """The tensors of a file, those of a checkpoint too."""
    if not path.is_file():
        raise BundleError(f"{path}: no such file")
    try:
        return read_state(path, "--from-smp")
    except TrainingError as error:
        raise BundleError(str(error)) from error


def without_prefix(state: State) -> State:
    """The network of a checkpoint, whose weights may stand under a name such as ``model``.

    >>> list(without_prefix({"model.encoder.w": torch.zeros(1), "loss.w": torch.zeros(1)}))
    ['encoder.w']
    """
    places = (key.partition(ENCODER_PREFIX) for key in state)
    prefixes = Counter(before for before, found, _ in places if found)
    if not prefixes:
        return state
    ((prefix, _),) = prefixes.most_common(1)
    return {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }


def _channels(state: State) -> int | None:
    """Number of channels of the last layer, if it is one that is known."""
    heads = {int(found[1]): key for key in state if (found := HEAD.fullmatch(key))}
    return len(state[heads[max(heads)]]) if heads else None


def with_background(state: State) -> State:
    """Weights of one class as those of two: logits 0 and z have the softmax that z has as sigmoid.

    >>> with_background({"segmentation_head.0.bias": torch.tensor([3.0])})
    {'segmentation_head.0.bias': tensor([0., 3.])}
    """
    return {
        key: torch.cat([torch.zeros_like(value), value])
        if key.startswith(HEAD_PREFIX) and value.ndim and len(value) == 1
        else value
        for key, value in state.items()
    }


def _loaded(path: Path, write: Callable[[Path], None]) -> nn.Module:
    """The network of config and weights, checked as that of a bundle."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        write(Path(folder))
        try:
            return load_network(Path(folder))
        except (BundleError, InputError) as error:
            raise BundleError(str(error).replace(folder, str(path))) from error
