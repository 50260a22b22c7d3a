"""What a network and the steps around it do to a window, as torch modules."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from geoseg.errors import BundleError
from geoseg.model.bundle import ModelBundle, Normalisation
from geoseg.model.network import load_network, refusal, size_divisor, some_sizes


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


LEAST_WEIGHT = 1e-4
"""Share of data in a resampled pixel from which it counts; that of a pixel's own is 1/256 at least
where windows are resampled by a factor of 8."""


class Entry(nn.Module):
    """From pixels to what the network takes."""

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
        return _over_holes(_resampled(normalised * known, self.size), _resampled(known, self.size))


def _resampled(images: Tensor, size: int) -> Tensor:
    return functional.interpolate(
        images, (size, size), mode="bilinear", align_corners=False, antialias=True
    )


def _over_holes(sums: Tensor, weights: Tensor) -> Tensor:
    """Means of the pixels with data, from their weighted sums.

    A pixel without any takes the mean of its neighbours, for scores are mixed with theirs when they
    are resampled back; one without neighbours is 0, the mean of the band.

    Args:
        sums: (n, bands, height, width) normalised, 0 where there was no data.
        weights: (n, 1, height, width) share of data.
    """
    ones, zeros = torch.ones_like(weights), torch.zeros_like(weights)
    weights = torch.where(weights > 1 - LEAST_WEIGHT, ones, weights)  # whole ones stay as they are
    weights = torch.where(weights < LEAST_WEIGHT, zeros, weights)
    around = functional.avg_pool2d(weights, 3, stride=1, padding=1)
    nearby = functional.avg_pool2d(sums * (weights > 0), 3, stride=1, padding=1)
    filled = torch.where(around > 0, nearby / torch.where(around > 0, around, ones), zeros)
    means = sums / torch.where(weights > 0, weights, ones)
    return torch.where(weights > 0, means, filled)


def to_scores(logits: Tensor, size: int) -> Tensor:
    """From logits to scores of the windows' own size.

    Args:
        logits: (n, classes, height, width).
        size: Side of the windows, in pixels.
    """
    logits = logits.float()
    if tuple(map(int, logits.shape[-2:])) != (size, size):
        logits = functional.interpolate(logits, (size, size), mode="bilinear", align_corners=False)
    return logits.softmax(dim=1)


class Pipeline(nn.Module):
    """From pixels to scores: normalise, resample, network, resample back, softmax."""

    def __init__(self, entry: Entry, network: nn.Module) -> None:
        super().__init__()
        self.entry = entry
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(n, bands, size, size) in units of the file, NaN where there is no data."""
        return to_scores(self.network(self.entry(images)), int(images.shape[-1]))


def load_pipeline(bundle: ModelBundle, network_size: int | None = None) -> Pipeline:
    """The network of a bundle and the steps around it, ready to predict.

    Args:
        bundle: A loaded bundle.
        network_size: Side to which windows are resampled for the network; None: as they are.

    Raises:
        BundleError: If the network cannot be loaded, or not take windows of that size.
    """
    if bundle.folder is None:
        raise ValueError("the bundle was not loaded from a folder")
    network = load_network(bundle.folder)
    if network_size is not None and not bundle.surely_takes(network_size):
        _check_size(network, bundle, network_size)
    pipeline = Pipeline(Entry(bundle.normalisation, network_size), network)
    return pipeline.eval()


def _check_size(network: nn.Module, bundle: ModelBundle, size: int) -> None:
    """Try a size of which the bundle does not know whether the network takes it.

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
        possible = bundle.sizes or some_sizes(network, bundle.bands, size)
        raise BundleError(f"{bundle.wrong_size(size, possible)} ({reason})")
