"""Which sizes of windows a network takes: found by trying."""

from typing import Any, cast

import torch
from torch import nn
from torch.func import functional_call

from geoseg.model.bundle import LARGEST, MULTIPLE
from geoseg.model.network import FAILURES

FAR = 31 * MULTIPLE
"""A large side that few numbers divide: a network that takes it takes every multiple of 32."""

_FOUND: dict[tuple[type[nn.Module], str, int, int], tuple[int, ...]] = {}
"""Sizes of networks of this process, by class, choices, bands and patch size."""


def refusal(network: nn.Module, bands: int, size: int, *, weightless: bool = False) -> str | None:
    """Why a network does not take windows of a size; None: it does.

    Args:
        network: Its modes and weights stay as they are.
        bands: Of the input.
        size: Side of a window, in pixels.
        weightless: Look at shapes alone, which takes no memory and hardly time. Positions that are
            looked up in a table of fixed length are not seen.
    """
    device = torch.device("meta" if weightless else next(network.parameters()).device)
    window = torch.zeros(1, bands, size, size, device=device)
    state = {key: value.to(device) for key, value in _tensors(network)} if weightless else {}
    was_training = network.training
    try:
        with torch.inference_mode():
            logits = functional_call(network.eval(), state, (window,))
    except (*FAILURES, NotImplementedError) as error:
        return " ".join(str(error).split())[:200] or type(error).__name__
    finally:
        network.train(was_training)
    if logits.ndim != 4 or max(logits.shape[2:]) > 2 * size:  # noqa: PLR2004 (n, classes, rows, columns)
        return f"its scores are of {tuple(logits.shape)}"
    return None


def find_sizes(network: nn.Module, bands: int, patch_size: int) -> tuple[int, ...]:
    """The sides of windows that a network takes, as `ModelBundle.sizes` has them.

    Nearly all networks take any, which is seen by two or three trials; of the others every multiple
    of 32 is tried. What was found of an architecture is known as long as the process lives: the
    trainings of folds and searches ask again and again.

    Args:
        network: It takes windows of the patch size.
        bands: Of its input.
        patch_size: Side of the training patches, in pixels.

    Returns:
        In pixels, ascending; empty: every multiple of 32 from the patch size on.
    """
    config = getattr(network, "config", None)  # smp's, of all that decides shapes
    if config is None:
        return _find_sizes(network, bands, patch_size)
    known = (type(network), repr(config), bands, patch_size)
    if known not in _FOUND:
        _FOUND[known] = _find_sizes(network, bands, patch_size)
    return _FOUND[known]


def _find_sizes(network: nn.Module, bands: int, patch_size: int) -> tuple[int, ...]:
    following = (patch_size // MULTIPLE + 1) * MULTIPLE
    follows = refusal(network, bands, following) is None
    if follows and (
        refusal(network, bands, FAR, weightless=True) is None
        or refusal(network, bands, patch_size, weightless=True) is not None  # it may never run so
    ):
        return ()
    sides = range(following, LARGEST + 1, MULTIPLE)
    fitting = [side for side in sides if refusal(network, bands, side, weightless=True) is None]
    if following in fitting and not follows:
        fitting = [side for side in fitting if refusal(network, bands, side) is None]
    return (patch_size, *fitting)


def some_sizes(network: nn.Module, bands: int, near: int) -> list[int]:
    """The multiples of 32 next to a size, above and below, of which a network takes windows."""
    sides = range(MULTIPLE, LARGEST + 1, MULTIPLE)
    fitting = [side for side in sides if refusal(network, bands, side, weightless=True) is None]
    below = [side for side in fitting if side < near][-1:]
    return [*below, *[side for side in fitting if side > near][:1]]


def _tensors(network: nn.Module) -> list[tuple[str, Any]]:
    return [*network.named_parameters(), *cast("Any", network.named_buffers())]
