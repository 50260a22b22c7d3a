"""What a network and the steps around it do to a window, as torch modules."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from geoseg.errors import BundleError
from geoseg.labels.lookup import misplaced_bands
from geoseg.model.bundle import ModelBundle, Normalisation
from geoseg.model.network import load_network, refusal, size_divisor, some_sizes
from geoseg.patches.patch_set import PatchSet
from geoseg.text import in_short

RuntimeName = Literal["torch", "openvino", "onnxruntime"]
"""What runs networks."""

Precision = Literal["fp32", "bf16", "fp16", "int8"]
"""Of the arithmetic inside the network; scores are float32 always."""


class Segmenter(Protocol):
    """Anything that scores windows: a network, a test double, a rule."""

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """(n, bands, size, size) images in, (n, classes, size, size) scores out.

        Images are in the units of the file, NaN where there is no data. Scores are 0..1
        and sum to 1 over the classes; they are C-contiguous and the caller's own.
        """
        ...


class Runtime(Segmenter, Protocol):
    """A bundle's network, running.

    What it gives for a window depends neither on the other windows of the batch nor on
    the thread that asks: it is the same to the byte in every batch of the same length.
    """

    @property
    def name(self) -> str:
        """For people, as in ``openvino int8``."""
        ...

    @property
    def runtime(self) -> RuntimeName:
        """What runs the network."""
        ...

    @property
    def precision(self) -> Precision:
        """Of the arithmetic inside the network."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Of the packages that the scores depend on."""
        ...

    @property
    def batch_size(self) -> int:
        """Windows per call that suit it."""
        ...

    @property
    def streams(self) -> int:
        """How many threads may call it at the same time and gain by it."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know; it may grow while the runtime works."""
        ...


IR = "model.xml"
"""A network as OpenVINO reads it; its weights are in ``model.bin`` beside it."""

ONNX = "model.onnx"
"""A network as ONNX Runtime reads it, weights and all."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a converted network takes."""

    window_size: int
    """Side of the windows that are handed in, in pixels."""

    network_size: int | None = None
    """Side to which they are resampled for the network; None: as they are."""

    batch_size: int = 1
    """Windows at a time."""

    @property
    def taken_size(self) -> int:
        """Side of the windows as the network itself sees them, in pixels."""
        return self.network_size or self.window_size

    def images(self, bundle: ModelBundle) -> tuple[int, int, int, int]:
        """The shape of a batch of images."""
        return (self.batch_size, bundle.bands, self.window_size, self.window_size)


def whole_batches(
    images: NDArray[np.float32], size: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Batches of one length, in order; the last is filled up with zeros.

    Args:
        images: (n, bands, height, width).
        size: Length of a batch.

    Yields:
        Which of the images, and a C-contiguous (size, bands, height, width) batch.

    >>> [(part, batch.ravel().tolist()) for part, batch in whole_batches(np.ones((3, 1, 1, 1)), 2)]
    [(slice(0, 2, None), [1.0, 1.0]), (slice(2, 3, None), [1.0, 0.0])]
    """
    for start in range(0, len(images), size):
        part = np.ascontiguousarray(images[start : start + size], np.float32)
        if (lacking := size - len(part)) > 0:
            yield slice(start, len(images)), np.pad(part, ((0, lacking), (0, 0), (0, 0), (0, 0)))
        else:
            yield slice(start, start + size), part


JUDGED_BY = 16
"""Patches by which the range of values of a patch set is judged."""


def check_patches(patch_set: PatchSet, bundle: ModelBundle) -> None:
    """See that patches are what a model was made for.

    Raises:
        BundleError: If bands or their order, GSD or the range of values are others.
    """
    record, where = patch_set.record, patch_set.folder
    bundle.check_bands(record.bands, where, "tile again with --bands")
    if misplaced := misplaced_bands(record.band_names, bundle.band_names):
        raise BundleError(
            f"{where}: its bands are {in_short(record.band_names)}, the model takes "
            f"{in_short(bundle.band_names)}: {in_short(misplaced)} in other places; tile again "
            f"with --bands"
        )
    bundle.check_gsd(record.gsd, where, "resample the orthophotos (gdalwarp -tr), and tile again")
    if record.dtype != bundle.dtype:
        few = [patch_set.read(patch).image for patch in patch_set.patches[:JUDGED_BY]]
        values = np.concatenate([image[np.isfinite(image)] for image in few])
        bundle.check_values(values.astype(record.dtype), where)


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
