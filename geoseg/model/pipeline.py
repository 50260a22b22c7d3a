"""The pipeline from pixels to scores as torch modules: normalise, resample, network, softmax."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from geoseg.errors import BundleError
from geoseg.model.bundle import ModelBundle, Normalisation
from geoseg.model.network import load_network, nearest_sizes, refusal, size_divisor


class Normalise(nn.Module):
    """``(value - mean) / std`` per band; 0, the mean, where the value is NaN."""

    mean: Tensor
    std: Tensor

    def __init__(self, normalisation: Normalisation) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(normalisation.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(normalisation.std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(n, bands, height, width) in units of the file."""
        normalised = (images - self.mean) / self.std
        return torch.where(torch.isnan(normalised), torch.zeros_like(normalised), normalised)


MIN_DATA_SHARE = 1e-4
"""Share of data from which a resampled pixel has a value. At a factor of 8, a single source pixel
contributes at least 1/256."""


class Preprocess(nn.Module):
    """From pixels to the network's input: normalise and resample."""

    def __init__(self, normalisation: Normalisation, network_size: int | None) -> None:
        super().__init__()
        self.normalise = Normalise(normalisation)
        self.size = network_size

    def forward(self, images: Tensor) -> Tensor:
        """(n, bands, size, size) in units of the file."""
        normalised: Tensor = self.normalise(images)
        if self.size is None or self.size == int(images.shape[-1]):
            return normalised
        known = (~torch.isnan(images[:, :1])).to(normalised.dtype)
        return _fill_holes(_resample(normalised * known, self.size), _resample(known, self.size))


def _resample(images: Tensor, size: int) -> Tensor:
    return functional.interpolate(
        images, (size, size), mode="bilinear", align_corners=False, antialias=True
    )


def _fill_holes(sums: Tensor, weights: Tensor) -> Tensor:
    """Resampled pixels from their sums over pixels with data.

    A pixel without data takes the mean of its neighbours, since its scores mix with theirs when
    they are resampled back; without such neighbours it is 0, the mean of the band. All branches are
    `where`, so that the pipeline can be traced for OpenVINO and ONNX.

    Args:
        sums: (n, bands, height, width) normalised, 0 where there was no data.
        weights: (n, 1, height, width) share of data.
    """
    ones, zeros = torch.ones_like(weights), torch.zeros_like(weights)
    weights = torch.where(
        weights > 1 - MIN_DATA_SHARE, ones, weights
    )  # complete pixels stay unchanged
    weights = torch.where(weights < MIN_DATA_SHARE, zeros, weights)
    around = functional.avg_pool2d(weights, 3, stride=1, padding=1)
    nearby = functional.avg_pool2d(sums * (weights > 0), 3, stride=1, padding=1)
    filled = torch.where(around > 0, nearby / torch.where(around > 0, around, ones), zeros)
    means = sums / torch.where(weights > 0, weights, ones)
    return torch.where(weights > 0, means, filled)


def to_scores(logits: Tensor, size: int) -> Tensor:
    """Scores at the size of the windows.

    Args:
        logits: (n, classes, height, width).
        size: Side of the windows, in pixels.
    """
    logits = logits.float()
    if tuple(map(int, logits.shape[-2:])) != (size, size):
        logits = functional.interpolate(logits, (size, size), mode="bilinear", align_corners=False)
    return logits.softmax(dim=1)


class Pipeline(nn.Module):
    """Normalise, resample, network, resample back, softmax."""

    def __init__(self, entry: Preprocess, network: nn.Module) -> None:
        super().__init__()
        self.entry = entry
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(n, bands, size, size) in units of the file, NaN where there is no data."""
        return to_scores(self.network(self.entry(images)), int(images.shape[-1]))


def load_pipeline(bundle: ModelBundle, network_size: int | None = None) -> Pipeline:
    """The pipeline of a bundle, ready to predict.

    Args:
        bundle: A loaded bundle.
        network_size: Side to which windows are resampled for the network; None: as they are.

    Raises:
        BundleError: If the network cannot be loaded, or does not take windows of that size.
    """
    if bundle.folder is None:
        raise ValueError("the bundle was not loaded from a folder")
    network = load_network(bundle.folder)
    if network_size is not None and not bundle.accepts_size(network_size):
        _check_size(network, bundle, network_size)
    pipeline = Pipeline(Preprocess(bundle.normalisation, network_size), network)
    return pipeline.eval()


def _check_size(network: nn.Module, bundle: ModelBundle, size: int) -> None:
    """Try a size of windows that the bundle does not list.

    Raises:
        BundleError: If it does not.
    """
    divisor = size_divisor(network)
    if size % divisor:
        raise BundleError(
            f"--patch-size {size}: {bundle.arch} with {bundle.encoder} needs a "
            f"multiple of {divisor}"
        )
    if refusal(network, bundle.bands, size, weightless=True) is None:
        return
    if (reason := refusal(network, bundle.bands, size)) is not None:
        possible = bundle.sizes or nearest_sizes(network, bundle.bands, size)
        raise BundleError(f"{bundle.size_message(size, possible)} ({reason})")
