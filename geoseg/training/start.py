"""A network begins with the weights of a bundle, for other classes or bands as well."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from geoseg.errors import TrainingError
from geoseg.model.bundle import ModelBundle, Normalisation
from geoseg.model.cache import WEIGHTS
from geoseg.model.network import build_network, find_sizes, refusal, size_divisor, some_sizes
from geoseg.model.weights import (
    DEFAULT_ENCODER,
    ImagenetNormalisation,
    packaged_encoder,
    usual_weights,
)
from geoseg.patches.record import PatchSetRecord
from geoseg.training.options import PATIENCE, TrainOptions

HEAD = "segmentation_head."

NAMELESS = re.compile(r"(band|channel|b)?[ _-]?\d*")
"""What files call bands whose names they do not know."""


def check_architecture(folder: Path, bundle: ModelBundle, arch: str, encoder: str) -> None:
    """See that a bundle has the network that is to be trained.

    Raises:
        TrainingError: If it has not.
    """
    if (bundle.arch, bundle.encoder) != (arch, encoder):
        raise TrainingError(
            f"--init-from {folder}: is a {bundle.arch} with {bundle.encoder}, no {arch} with "
            f"{encoder}; give --arch {bundle.arch} --encoder {bundle.encoder}"
        )


def matched_bands(old: Sequence[str], new: Sequence[str]) -> tuple[int | None, ...]:
    """Which band of a bundle each band of the patches is; None: one that it did not have.

    Names decide. Where one of two bands in the same place has no name of its own they are the
    same, and where no name is found all are taken in order. Gray has no band among colours, nor
    colours in gray.

    Args:
        old: Names of the bundle's bands.
        new: Names of the patches' bands.

    >>> matched_bands(["red", "green", "blue"], ["nir", "red", "green", "blue"])
    (None, 0, 1, 2)
    >>> matched_bands(["red", "green", "blue"], ["band 1", "band 2", "band 3", "band 4"])
    (0, 1, 2, None)
    """
    theirs, ours = _known(old), _known(new)
    found = [theirs.index(name) if name and name in theirs else None for name in ours]
    for band, name in enumerate(ours[: len(old)]):
        if found[band] is None and band not in found and not (name and theirs[band]):
            found[band] = band
    if any(each is not None for each in found):
        return tuple(found)
    if 1 in {len(old), len(new)} and len(old) != len(new):
        return (None,) * len(new)
    return tuple(band if band < len(old) else None for band in range(len(new)))


def _known(names: Sequence[str]) -> list[str]:
    """Names to find bands by; empty where a band has none of its own."""
    plain = [name.strip().casefold() for name in names]
    return ["" if NAMELESS.fullmatch(n) or plain.count(n) > 1 else n for n in plain]


def start_from(
    network: nn.Module, bundle: ModelBundle, *, band_names: Sequence[str], names: Sequence[str]
) -> tuple[str, ...]:
    """Put the weights of a bundle into a network of the same architecture.

    Classes and bands are found by name. New classes keep the weights that they have; new bands
    weigh nothing, so that the network scores as it did until it learns.

    Args:
        network: Takes them.
        bundle: Loaded from a folder.
        band_names: (bands,) of the network's input.
        names: (classes,) of the network's output.

    Returns:
        What was dropped, adapted or is new.

    Raises:
        TrainingError: If they do not fit.
    """
    if bundle.folder is None:
        raise ValueError("a bundle that was not loaded has no weights")
    state = safetensors.torch.load_file(bundle.folder / WEIGHTS)
    own = network.state_dict()
    rows = _rows(bundle.legend.names, names)
    bands = matched_bands(bundle.band_names, band_names)
    inputs = set() if bands == tuple(range(bundle.bands)) else _input_weights(bundle, len(bands))
    adapted = {}
    for key, value in state.items():
        if key.startswith(HEAD) and value.ndim and len(value) == len(bundle.legend):
            adapted[key] = _with_classes(value, own.get(key), rows)
        else:
            adapted[key] = _with_bands(value, bands) if key in inputs else value
    try:
        network.load_state_dict(adapted)
    except RuntimeError as error:
        raise TrainingError(
            f"--init-from {bundle.folder}: does not fit: {' '.join(str(error).split())[:300]}"
        ) from error
    notes = *_notes(bundle, names), *_band_notes(bundle.band_names, band_names, bands)
    return tuple(f"{bundle.folder}: {note}" for note in notes)


def _input_weights(bundle: ModelBundle, bands: int) -> set[str]:
    """Names of the weights that have an axis for the bands: those of another shape with others."""
    few, many = (
        build_network(
            *(bundle.arch, bundle.encoder),
            bands=count,
            classes=len(bundle.legend),
            encoder_weights="none",
        )[0].state_dict()
        for count in sorted({bands, bundle.bands, bundle.bands + 1})[:2]
    )
    return {key for key, value in few.items() if value.shape != many[key].shape}


def _with_bands(weight: Tensor, bands: Sequence[int | None]) -> Tensor:
    """A weight, (out, bands, ...), for other bands: those that it did not know weigh nothing."""
    if not any(each is not None for each in bands):  # gray of colours, or colours of gray
        return weight.sum(1, keepdim=True).repeat(1, len(bands), *[1] * (weight.ndim - 2)) / len(
            bands
        )
    result = weight.new_zeros(weight.shape[0], len(bands), *weight.shape[2:])
    for here, there in enumerate(bands):
        if there is not None:
            result[:, here] = weight[:, there]
    return result


def _rows(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Rows of classes that both have, here and there."""
    return [(here, old.index(name)) for here, name in enumerate(new) if name in old]


def _with_classes(value: Tensor, own: Tensor | None, rows: list[tuple[int, int]]) -> Tensor:
    if own is None or own.shape[1:] != value.shape[1:]:
        return value
    result = own.clone()
    with torch.no_grad():
        for here, there in rows:
            result[here] = value[there]
    return result


def _notes(bundle: ModelBundle, names: Sequence[str]) -> list[str]:
    old = bundle.legend.names
    found = {
        "classes that are new": [name for name in names if name not in old],
        "classes that were dropped": [name for name in old if name not in names],
    }
    return [f"{what}: {', '.join(which)}" for what, which in found.items() if which]


def _band_notes(old: Sequence[str], new: Sequence[str], bands: Sequence[int | None]) -> list[str]:
    """What became of the bands, where it is not plain."""
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
class Beginning:
    """A network before its training."""

    network: nn.Module
    """With the weights that it begins with."""

    bundle: ModelBundle
    """What will be said of it; yet without figures."""

    notes: tuple[str, ...]
    """What became of the weights of another model."""

    origin: ModelBundle | None = None
    """That model, if there is one."""


def resolve(options: TrainOptions) -> TrainOptions:
    """Options with the encoder, the weights and the patience that they mean.

    Raises:
        TrainingError: If there are no such weights, or weights from two places.
        BundleError: If the bundle to begin with is not whole.
    """
    weights = options.encoder_weights
    if weights == "auto":  # dpt takes transformers alone
        free = options.encoder is None and options.init_from is None and options.arch != "dpt"
        weights = usual_weights() if free else "none"
    encoder = options.encoder or packaged_encoder(weights)
    if options.init_from is not None:
        if weights != "none":
            raise TrainingError("--init-from and --encoder-weights: give one of them")
        encoder = encoder or ModelBundle.load(Path(options.init_from)).encoder
    patience = options.early_stopping
    if patience is None:
        fitted = options.max_time is not None
        patience = 0 if fitted else PATIENCE
    return replace(
        options,
        encoder=encoder or DEFAULT_ENCODER,
        encoder_weights=weights,
        early_stopping=patience,
    )


def begin(record: PatchSetRecord, options: TrainOptions) -> Beginning:
    """Build the network, with weights from elsewhere if the options say so.

    Args:
        record: Of the patch set.
        options: As resolved.

    Raises:
        TrainingError: If names, weights, or the size of the patches do not fit.
        BundleError: If the bundle to begin with is not whole.
    """
    if not record.statistics:
        raise TrainingError("the patch set has no statistics: its training split has no pixel")
    encoder, names = str(options.encoder), record.legend.names
    origin = None if options.init_from is None else ModelBundle.load(Path(options.init_from))
    if origin is not None:
        check_architecture(Path(str(options.init_from)), origin, options.arch, encoder)
    network, wanted = build_network(
        options.arch,
        encoder,
        bands=record.bands,
        classes=len(names),
        encoder_weights=options.encoder_weights,
    )
    _check_size(network, record, options)
    sizes = find_sizes(network, record.bands, record.size)
    if origin is None:
        normalisation = _normalisation(record, wanted)
        return Beginning(network, _new_bundle(record, options, normalisation, sizes), ())
    notes = start_from(network, origin, band_names=record.band_names, names=names)
    normalisation = _normalisation(record, None)
    if origin.dtype == record.dtype:
        normalisation = _of_known_bands(origin, record, normalisation)
    else:
        notes += (f"{origin.folder}: the normalisation is that of the patches, of {record.dtype}",)
    return Beginning(network, _new_bundle(record, options, normalisation, sizes), notes, origin)


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


def _normalisation(record: PatchSetRecord, wanted: ImagenetNormalisation | None) -> Normalisation:
    """What the encoder's weights want for 8-bit pictures, else the patch set's own."""
    if wanted is None or record.dtype != "uint8":
        return Normalisation.from_statistics(record.statistics)
    bands, top = range(record.bands), 255.0
    return Normalisation(
        mean=tuple(wanted.mean[band % 3] * top for band in bands),
        std=tuple(wanted.std[band % 3] * top for band in bands),
    )


def _of_known_bands(
    origin: ModelBundle, record: PatchSetRecord, own: Normalisation
) -> Normalisation:
    """The normalisation of a bundle for the bands that it knows, the patches' for the others."""
    theirs = origin.normalisation
    bands = list(enumerate(matched_bands(origin.band_names, record.band_names)))
    return Normalisation(
        mean=tuple(own.mean[n] if old is None else theirs.mean[old] for n, old in bands),
        std=tuple(own.std[n] if old is None else theirs.std[old] for n, old in bands),
    )


def _check_size(network: nn.Module, record: PatchSetRecord, options: TrainOptions) -> None:
    """Try the network once on a patch, before anything is written.

    Raises:
        TrainingError: If it does not take patches of that size.
    """
    size, divisor = record.size, size_divisor(network)
    what = f"the patches are {size} px, and {options.arch} with {options.encoder}"
    if size % divisor:
        near = sorted({max(size // divisor, 1) * divisor, (size // divisor + 1) * divisor})
        raise TrainingError(f"{what} needs a multiple of {divisor}: {_tile(near)}")
    if (reason := refusal(network, record.bands, size)) is not None:
        near = some_sizes(network, record.bands, size)
        advice = _tile(near) if near else "choose another --arch or --encoder"
        raise TrainingError(f"{what} does not take them ({reason}): {advice}")


def _tile(sizes: list[int]) -> str:
    return f"tile with --patch-size {' or '.join(map(str, sizes))}"
