"""The network and bundle that a training starts with; `--init-from` transfers weights."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from geoseg.errors import TrainingError
from geoseg.model.bundle import WEIGHTS, ModelBundle, Normalisation, bundle_folders
from geoseg.model.network import (
    build_network,
    decoder_channels,
    decoder_channels_of,
    find_sizes,
    nearest_sizes,
    refusal,
    size_divisor,
)
from geoseg.model.weights import DEFAULT_ENCODER, default_weights, packaged_encoder
from geoseg.patches.record import PatchSetRecord
from geoseg.raster.lists import find_rasters
from geoseg.raster.paths import parse_name
from geoseg.text import quoted_list
from geoseg.training.options import PATIENCE, TrainOptions

HEAD_PREFIX = "segmentation_head."
"""Prefix of the weights of smp's last layers."""

GENERIC_BAND_NAME = re.compile(r"(band|channel|b)?[ _-]?\d*")
"""Names of bands that say nothing, as files without band names have them."""


def matched_bands(old: Sequence[str], new: Sequence[str]) -> tuple[int | None, ...]:
    """Band of a bundle for each band of the patches, by old and new names; None for a new band.

    Bands match by name. A band without a name of its own matches the one in the same place, and if
    no band matches, all match in order. Gray matches no colour, and no colour gray.

    >>> matched_bands(["red", "green", "blue"], ["nir", "red", "green", "blue"])
    (None, 0, 1, 2)
    >>> matched_bands(["red", "green", "blue"], ["band 1", "band 2", "band 3", "band 4"])
    (0, 1, 2, None)
    """
    theirs, ours = _search_names(old), _search_names(new)
    found = [theirs.index(name) if name and name in theirs else None for name in ours]
    for band, name in enumerate(ours[: len(old)]):
        if found[band] is None and band not in found and not (name and theirs[band]):
            found[band] = band
    if any(each is not None for each in found):
        return tuple(found)
    if 1 in {len(old), len(new)} and len(old) != len(new):
        return (None,) * len(new)
    return tuple(band if band < len(old) else None for band in range(len(new)))


def _search_names(names: Sequence[str]) -> list[str]:
    """Normalised band names; empty where generic or ambiguous."""
    plain = [name.strip().casefold() for name in names]
    return ["" if GENERIC_BAND_NAME.fullmatch(n) or plain.count(n) > 1 else n for n in plain]


def transfer_weights(
    network: nn.Module, bundle: ModelBundle, *, band_names: Sequence[str], names: Sequence[str]
) -> tuple[str, ...]:
    """Load the weights of a bundle into a network of the same architecture.

    Classes and bands match by name. New classes keep their initial weights; new bands have weight
    0, so that the network starts with the scores of the bundle's.

    Returns:
        Notes on dropped, adapted and new classes and bands.

    Raises:
        TrainingError: If they do not fit.
    """
    if bundle.folder is None:
        raise ValueError("a bundle that was not loaded has no weights")
    state = safetensors.torch.load_file(bundle.folder / WEIGHTS)
    own = network.state_dict()
    old = bundle.legend.names
    rows = [(here, old.index(name)) for here, name in enumerate(names) if name in old]
    bands = matched_bands(bundle.band_names, band_names)
    inputs = set() if bands == tuple(range(bundle.bands)) else _input_weights(bundle, len(bands))
    adapted = {}
    for key, value in state.items():
        if key.startswith(HEAD_PREFIX) and value.ndim and len(value) == len(bundle.legend):
            adapted[key] = _with_classes(value, own.get(key), rows)
        else:
            adapted[key] = _with_bands(value, bands) if key in inputs else value
    try:
        network.load_state_dict(adapted)
    except RuntimeError as error:
        raise TrainingError(
            f"--init-from {bundle.folder}: does not fit: {' '.join(str(error).split())[:300]}"
        ) from error
    notes = *_class_notes(bundle, names), *_band_notes(bundle.band_names, band_names, bands)
    return tuple(f"{bundle.folder}: {note}" for note in notes)


def _input_weights(bundle: ModelBundle, bands: int) -> set[str]:
    """Names of the weights with an axis of bands: their shape depends on the number of bands."""
    how: dict[str, Any] = {"classes": len(bundle.legend), "encoder_weights": "none"}
    few, many = (
        build_network(bundle.arch, bundle.encoder, bands=count, **how)[0].state_dict()
        for count in sorted({bands, bundle.bands, bundle.bands + 1})[:2]
    )
    return {key for key, value in few.items() if value.shape != many[key].shape}


def _with_bands(weight: Tensor, bands: Sequence[int | None]) -> Tensor:
    """An (out, bands, ...) weight for other bands; new ones have weight 0."""
    if not any(each is not None for each in bands):  # gray of colours, or colours of gray
        mean = weight.sum(1, keepdim=True) / len(bands)
        return mean.repeat(1, len(bands), *[1] * (weight.ndim - 2))
    result = weight.new_zeros(weight.shape[0], len(bands), *weight.shape[2:])
    for here, there in enumerate(bands):
        if there is not None:
            result[:, here] = weight[:, there]
    return result


def _with_classes(value: Tensor, own: Tensor | None, rows: list[tuple[int, int]]) -> Tensor:
    """A weight of the head with the rows, by (new, old) index, of classes that both have."""
    if own is None or own.shape[1:] != value.shape[1:]:
        return value
    result = own.clone()
    with torch.no_grad():
        for here, there in rows:
            result[here] = value[there]
    return result


def _class_notes(bundle: ModelBundle, names: Sequence[str]) -> list[str]:
    old = bundle.legend.names
    found = {
        "classes that are new": [name for name in names if name not in old],
        "classes that were dropped": [name for name in old if name not in names],
    }
    return [f"{what}: {', '.join(which)}" for what, which in found.items() if which]


def _band_notes(old: Sequence[str], new: Sequence[str], bands: Sequence[int | None]) -> list[str]:
    """Notes on bands that were renamed, added or dropped."""
    kept = [(ours, old[there]) for ours, there in zip(new, bands, strict=True) if there is not None]
    if not kept:
        return [f"{', '.join(new)} together take the place of {', '.join(old)}"]
    fresh = [ours for ours, there in zip(new, bands, strict=True) if there is None]
    gone = [name for band, name in enumerate(old) if band not in bands]
    other = [pair for pair in kept if pair[0].strip().casefold() != pair[1].strip().casefold()]
    notes = []
    if other:
        ours, theirs = (", ".join(names) for names in zip(*other, strict=True))
        notes.append(f"{ours} take the places of {theirs}, in order")
    if fresh:
        notes.append(f"bands that are new and weigh nothing yet: {', '.join(fresh)}")
    if gone:
        notes.append(f"bands that were dropped: {', '.join(gone)}")
    return notes


@dataclass(frozen=True)
class InitialState:
    """Network and bundle before the training."""

    network: nn.Module
    bundle: ModelBundle

    notes: tuple[str, ...]
    origin: ModelBundle | None = None
    """Notes on the weights of another model, and its bundle."""


def resolve(options: TrainOptions) -> TrainOptions:
    """Options with the bundle, encoder, its weights, width of the decoder and patience resolved.

    Raises:
        TrainingError: If the weights are unknown, or come from two places or from several models,
            or orthophotos without labels have no model to label them.
        InputError: If the names of these orthophotos name nothing.
        BundleError: If the bundle of `--init-from` is damaged.
    """
    weights = options.encoder_weights
    if weights == "auto":  # dpt takes transformers alone
        free = options.encoder is None and options.init_from is None and options.arch != "dpt"
        weights = default_weights() if free else "none"
    encoder = options.encoder or packaged_encoder(weights)
    width = options.decoder_channels
    if options.init_from is not None:
        if weights != "none":
            raise TrainingError("--init-from and --encoder-weights exclude each other")
        folder = _bundle_of(parse_name(options.init_from))
        origin = ModelBundle.load(folder)
        origin.require_torch("--init-from cannot start from it")
        encoder = encoder or origin.encoder
        width = width or decoder_channels_of(folder)
        options = replace(options, init_from=folder)
    elif options.unlabelled:
        raise TrainingError(
            "--unlabelled needs --init-from MODEL, which labels the orthophotos at first: train "
            "it without them"
        )
    patience = options.early_stopping
    if patience is None:
        patience = PATIENCE if options.max_time is None else 0
    encoder = encoder or DEFAULT_ENCODER
    return replace(
        options,
        encoder=encoder,
        encoder_weights=weights,
        decoder_channels=width or "full",
        unlabelled=tuple(find_rasters(options.unlabelled)),
        early_stopping=patience,
    )


def _bundle_of(model: Path) -> Path:
    """A bundle itself, or that of a run."""
    found = bundle_folders(model)
    if len(found) > 1:
        raise TrainingError(
            f"--init-from {model}: has {len(found)} models, of which one is needed, such as "
            f"{found[0]}"
        )
    return found[0]


def _check_origin(origin: ModelBundle, names: Sequence[str], options: TrainOptions) -> None:
    """Refuse a model of another network, or one that cannot label what has no labels."""
    arch, encoder = origin.arch, origin.encoder
    if (arch, encoder) != (options.arch, options.encoder):
        raise TrainingError(
            f"--init-from {options.init_from}: is a {arch} with {encoder}, not {options.arch} with "
            f"{options.encoder}; use --arch {arch} --encoder {encoder}"
        )
    unknown = [name for name in names if name not in origin.legend.names]
    if options.unlabelled and unknown:
        raise TrainingError(
            f"--unlabelled: {options.init_from}, which labels the orthophotos at first, does not "
            f"know {quoted_list(unknown)}; train it on their labels before"
        )


def initial_state(record: PatchSetRecord, options: TrainOptions) -> InitialState:
    """Build the network with its initial weights, and its bundle, by resolved options.

    Raises:
        TrainingError: If names, weights, or the size of the patches do not fit.
        BundleError: If the bundle of `--init-from` is damaged.
    """
    if not record.statistics:
        raise TrainingError("the patch set has no statistics: its training split has no pixel")
    encoder, names = str(options.encoder), record.legend.names
    origin = None if options.init_from is None else ModelBundle.load(options.init_from)
    if origin is not None:
        _check_origin(origin, names, options)
    network, wanted = build_network(
        options.arch,
        encoder,
        bands=record.bands,
        classes=len(names),
        encoder_weights=options.encoder_weights,
        decoder_channels=options.decoder_channels or "full",
    )
    _check_size(network, record, options)
    sizes = find_sizes(network, record.bands, record.size)
    if origin is None:
        normalisation = _normalisation(record, wanted)
        return InitialState(network, _new_bundle(record, options, normalisation, sizes), ())
    ours, theirs = decoder_channels(network), decoder_channels_of(Path(str(origin.folder)))
    if ours != theirs:
        raise TrainingError(
            f"--init-from {origin.folder}: has a decoder of {theirs} channels, not of {ours}; "
            f"leave --decoder-channels out"
        )
    notes = transfer_weights(network, origin, band_names=record.band_names, names=names)
    normalisation = _normalisation(record, None)
    if origin.dtype == record.dtype:
        normalisation = _merged_normalisation(origin, record, normalisation)
    else:
        notes += (f"{origin.folder}: the normalisation is that of the patches, of {record.dtype}",)
    return InitialState(network, _new_bundle(record, options, normalisation, sizes), notes, origin)


def _new_bundle(
    record: PatchSetRecord,
    options: TrainOptions,
    normalisation: Normalisation,
    sizes: tuple[int, ...],
) -> ModelBundle:
    return ModelBundle(
        arch=options.arch,
        encoder=str(options.encoder),
        legend=record.legend,
        bands=record.bands,
        band_names=record.band_names,
        dtype=record.dtype,
        value_range=(min(record.statistics["p2"]), max(record.statistics["p98"])),
        normalisation=normalisation,
        patch_size=record.size,
        gsd=record.gsd,
        sizes=sizes,
    )


def _normalisation(record: PatchSetRecord, wanted: Normalisation | None) -> Normalisation:
    """The normalisation of the encoder's weights for 8-bit images, else the patch set's."""
    if wanted is None or record.dtype != "uint8":
        return Normalisation.from_statistics(record.statistics)
    bands, top = range(record.bands), 255.0
    return Normalisation(
        mean=tuple(wanted.mean[band % 3] * top for band in bands),
        std=tuple(wanted.std[band % 3] * top for band in bands),
    )


def _merged_normalisation(
    origin: ModelBundle, record: PatchSetRecord, own: Normalisation
) -> Normalisation:
    """The normalisation of a bundle for its bands, of the patches for new ones."""
    theirs = origin.normalisation
    bands = list(enumerate(matched_bands(origin.band_names, record.band_names)))
    return Normalisation(
        mean=tuple(own.mean[n] if old is None else theirs.mean[old] for n, old in bands),
        std=tuple(own.std[n] if old is None else theirs.std[old] for n, old in bands),
    )


def _check_size(network: nn.Module, record: PatchSetRecord, options: TrainOptions) -> None:
    """Run the network once on an empty patch, or refuse its size."""
    size, divisor = record.size, size_divisor(network)
    what = f"the patches are {size} px, and {options.arch} with {options.encoder}"
    if size % divisor:
        near = sorted({max(size // divisor, 1) * divisor, (size // divisor + 1) * divisor})
        problem = f"needs a multiple of {divisor}"
    elif (reason := refusal(network, record.bands, size)) is not None:
        near = nearest_sizes(network, record.bands, size)
        problem = f"does not take them ({reason})"
    else:
        return
    sizes = " or ".join(map(str, near))
    advice = f"tile with --patch-size {sizes}" if near else "choose another --arch or --encoder"
    raise TrainingError(f"{what} {problem}: {advice}")
