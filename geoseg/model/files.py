"""The files of a bundle beside its record, looked at without torch."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from geoseg.errors import BundleError
from geoseg.model.fields import Fields, read_object

CONFIG = "config.json"
WEIGHTS = "model.safetensors"

MAX_BANDS = 10_000
"""Hyperspectral sensors have some hundreds."""

NUMPY_FLOATS = ("F16", "F32", "F64")
"""Types of safetensors that numpy reads as well."""

HEAD = re.compile(r"segmentation_head\.(?:.*\.)?(\d+)\.weight")
"""The weights of the last layers of smp's networks."""

Shapes = dict[str, tuple[int, ...]]
"""Of tensors, by name."""


def check_config(folder: Path, *, classes: int, bands: int) -> None:
    """See that ``config.json`` describes a network for these classes and bands.

    Raises:
        BundleError: If it is damaged, or describes another.
    """
    try:
        config = Fields(read_object(folder / CONFIG))
        config.text("_model_class")
        found = {
            what: config.whole(key, 1, 2**31)
            for what, key in (("classes", "classes"), ("bands", "in_channels"))
            if config.has(key)
        }
    except (ValueError, TypeError) as error:
        raise BundleError(f"{folder}: {CONFIG} is damaged: {error}") from error
    for what, expected in (("classes", classes), ("bands", bands)):
        if found.get(what, expected) != expected:
            raise BundleError(
                f"{folder}: the network has {found[what]} {what}, geoseg.json describes "
                f"{expected}: one of its files is of another model"
            )


def check_weights(folder: Path, *, classes: int) -> None:
    """See that the weights are whole and finite, and end in as many classes.

    Raises:
        BundleError: If they are not.
    """
    shapes = read_shapes(folder)
    heads = {int(found[1]): key for key in shapes if (found := HEAD.fullmatch(key))}
    head = shapes[heads[max(heads)]] if heads else ()
    if len(head) == 4 and head[0] != classes:  # noqa: PLR2004 a convolution
        raise BundleError(
            f"{folder}: the network has {head[0]} classes, the legend of geoseg.json {classes}: "
            f"one of its files is of another model"
        )
    if (name := _not_finite(folder / WEIGHTS)) is not None:
        raise BundleError(
            f"{folder}: {name} in {WEIGHTS} has values that are not finite (NaN or infinite): "
            f"the training diverged; train again, with a lower --lr or --clip 1"
        )


def read_shapes(folder: Path) -> Shapes:
    """The shapes of all weights, from the head of their file.

    Raises:
        BundleError: If it is damaged.
    """
    return _with_weights(folder / WEIGHTS, _shapes)


def _not_finite(path: Path) -> str | None:
    """The first tensor with a value that is not finite."""
    return _with_weights(path, _first_not_finite)


def _with_weights(path: Path, ask: Any) -> Any:
    try:
        with safe_open(path, framework="np") as file:
            return ask(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(f"{path.parent}: {path.name} is damaged: {error}") from error


def _shapes(file: Any) -> Shapes:
    return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118


def _first_not_finite(file: Any) -> str | None:
    for key in file.keys():  # noqa: SIM118 it is no dictionary
        if file.get_slice(key).get_dtype() in NUMPY_FLOATS:
            values = file.get_tensor(key)
            if not np.isfinite(values).all():
                return str(key)
    return None
