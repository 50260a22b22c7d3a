"""What a training begins with: a network, and the record of the bundle that it will fill."""

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from geoseg.errors import TrainingError
from geoseg.io.patch_record import PatchSetRecord
from geoseg.model.bundle import ModelBundle, Normalisation
from geoseg.model.hub import DEFAULT_ENCODER
from geoseg.model.network import build_network, size_divisor
from geoseg.model.sizes import find_sizes, refusal, some_sizes
from geoseg.model.weights import ImagenetNormalisation, packaged_encoder, usual_weights
from geoseg.training.options import PATIENCE, TrainOptions
from geoseg.training.transfer import check_architecture, matched_bands, start_from


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
