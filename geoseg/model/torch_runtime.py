"""Run a network with torch, on whatever device there is."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from geoseg.errors import BundleError
from geoseg.model.bundle import ModelBundle, Normalisation
from geoseg.model.memory import keep_freed_memory
from geoseg.model.network import load_network, size_divisor


def choose_device(name: str) -> torch.device:
    """A device by name; ``auto`` takes CUDA or MPS where there is one.

    Raises:
        BundleError: If there is no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(f"--device {name}: not to be had here ({reason})") from error
    return device


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
        return torch.nan_to_num((images - self.mean) / self.std, nan=0.0)


class TorchSegmenter:
    """A bundle's network as a `Segmenter`."""

    def __init__(
        self, bundle: ModelBundle, *, device: str = "auto", network_size: int | None = None
    ) -> None:
        """Load the network.

        Args:
            bundle: A loaded bundle.
            device: Where to run.
            network_size: Side to which windows are resampled for the network, in pixels;
                scores come back at the windows' own size. None: as they are.

        Raises:
            BundleError: If the network cannot be loaded, or not take windows of that size.
        """
        if bundle.folder is None:
            raise ValueError("the bundle was not loaded from a folder")
        keep_freed_memory()
        self.device = choose_device(device)
        network = load_network(bundle.folder)
        divisor = size_divisor(network)
        if network_size is not None and network_size % divisor:
            raise BundleError(
                f"--patch-size {network_size}: {bundle.arch} with {bundle.encoder} needs a "
                f"multiple of {divisor}"
            )
        model = nn.Sequential(Normalise(bundle.normalisation), network).eval().to(self.device)
        self._model = model.to(memory_format=torch.channels_last)
        self._network_size = network_size

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Scores of a batch; the batch is halved when the device has too little memory."""
        try:
            return self._score(images)
        except torch.OutOfMemoryError:
            if len(images) == 1:
                raise BundleError(
                    f"a window of {images.shape[-1]} px does not fit into the memory of "
                    f"{self.device}; use a smaller --patch-size"
                ) from None
        torch.cuda.empty_cache()
        half = len(images) // 2
        return np.concatenate([self(images[:half]), self(images[half:])])

    @torch.inference_mode()
    def _score(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        batch = torch.from_numpy(images).to(self.device, memory_format=torch.channels_last)
        size = batch.shape[-2:]
        mixed = self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            logits = self._forward(batch)
        logits = logits.float()
        if logits.shape[-2:] != size:
            logits = functional.interpolate(logits, size, mode="bilinear", align_corners=False)
        scores: NDArray[np.float32] = logits.softmax(dim=1).cpu().contiguous().numpy()
        return scores

    def _forward(self, batch: Tensor) -> Tensor:
        if self._network_size is None or self._network_size == batch.shape[-1]:
            whole: Tensor = self._model(batch)
            return whole
        normalise, network = self._model
        size = (self._network_size, self._network_size)
        resampled = functional.interpolate(
            normalise(batch), size, mode="bilinear", align_corners=False, antialias=True
        )
        logits: Tensor = network(resampled)
        return logits
