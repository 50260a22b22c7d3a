"""A network begins with the weights of a bundle, for other classes or bands as well."""

from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from geoseg.errors import TrainingError
from geoseg.model.bundle import WEIGHTS, ModelBundle
from geoseg.model.weights import with_bands

HEAD = "segmentation_head."


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


def start_from(
    network: nn.Module, bundle: ModelBundle, *, bands: int, names: Sequence[str]
) -> tuple[str, ...]:
    """Put the weights of a bundle into a network of the same architecture.

    Classes are found by name; new ones keep the weights that they have.

    Args:
        network: Takes them.
        bundle: Loaded from a folder.
        bands: Of the network's input.
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
    adapted = {}
    for key, value in state.items():
        if key.startswith(HEAD) and value.ndim and len(value) == len(bundle.legend):
            adapted[key] = _with_classes(value, own.get(key), rows)
        else:
            adapted[key] = with_bands(value, own.get(key), bands)
    try:
        network.load_state_dict(adapted)
    except RuntimeError as error:
        raise TrainingError(
            f"--init-from {bundle.folder}: does not fit: {' '.join(str(error).split())[:300]}"
        ) from error
    return _notes(bundle, bands, names)


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


def _notes(bundle: ModelBundle, bands: int, names: Sequence[str]) -> tuple[str, ...]:
    old = bundle.legend.names
    found = {
        "classes that are new": [name for name in names if name not in old],
        "classes that were dropped": [name for name in old if name not in names],
    }
    notes = [f"{what}: {', '.join(which)}" for what, which in found.items() if which]
    if bands != bundle.bands:
        notes.append(f"the first convolution was adapted from {bundle.bands} to {bands} bands")
    return tuple(f"{bundle.folder}: {note}" for note in notes)
