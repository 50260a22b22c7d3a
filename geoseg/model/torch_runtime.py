"""Torch as a runtime, and the devices and precisions it offers."""

import threading
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from geoseg.errors import BundleError
from geoseg.model.bundle import Activation, ModelBundle, Normalisation
from geoseg.model.network import (
    load_network,
    nearest_sizes,
    protect_narrow_convolutions,
    refusal,
    size_divisor,
)
from geoseg.model.segmenter import Precision
from geoseg.text import in_bytes


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
    """Resampled pixels from sums over pixels with data, and (n, 1, height, width) shares of data.

    A pixel without data takes the mean of its neighbours, since its scores mix with theirs when
    they are resampled back; without such neighbours it is 0, the mean of the band. All branches are
    `where`, so that the pipeline can be traced for OpenVINO and ONNX.
    """
    ones, zeros = torch.ones_like(weights), torch.zeros_like(weights)
    complete = weights > 1 - MIN_DATA_SHARE  # such pixels stay unchanged
    weights = torch.where(complete, ones, weights)
    weights = torch.where(weights < MIN_DATA_SHARE, zeros, weights)
    around = functional.avg_pool2d(weights, 3, stride=1, padding=1)
    nearby = functional.avg_pool2d(sums * (weights > 0), 3, stride=1, padding=1)
    filled = torch.where(around > 0, nearby / torch.where(around > 0, around, ones), zeros)
    means = sums / torch.where(weights > 0, weights, ones)
    return torch.where(weights > 0, means, filled)


def to_scores(logits: Tensor, size: int, temperature: float = 1.0) -> Tensor:
    """Scores of (n, classes, height, width) logits, at a size of windows in pixels.

    A temperature above 1 makes them less certain, and changes no order.
    """
    logits = logits.float() if temperature == 1 else logits.float() / temperature
    if tuple(map(int, logits.shape[-2:])) != (size, size):
        logits = functional.interpolate(logits, (size, size), mode="bilinear", align_corners=False)
    return logits.softmax(dim=1)


LEAST_SHARE = 1e-6
"""Below any score that matters: of outputs that are all 0 the scores are equal."""


def scores_of_outputs(outputs: Tensor, size: int, activation: Activation) -> Tensor:
    """Scores of the (n, channels, height, width) outputs of an ONNX network, as `to_scores`.

    Of a single channel it is the second of two classes that has these scores.
    """
    if activation == "softmax":
        return to_scores(outputs, size)
    shares = outputs.float()
    if activation == "sigmoid":
        shares = shares.sigmoid()
    if tuple(map(int, shares.shape[-2:])) != (size, size):
        shares = functional.interpolate(shares, (size, size), mode="bilinear", align_corners=False)
    if shares.shape[1] == 1:
        shares = torch.cat([1 - shares, shares], dim=1)
    shares = shares.clamp(LEAST_SHARE, 1)
    return shares / shares.sum(dim=1, keepdim=True)


class Pipeline(nn.Module):
    """Normalise, resample, network, resample back, temperature, softmax."""

    def __init__(self, entry: Preprocess, network: nn.Module, temperature: float = 1.0) -> None:
        super().__init__()
        self.entry = entry
        self.network = network
        self.temperature = temperature

    def forward(self, images: Tensor) -> Tensor:
        """(n, bands, size, size) in units of the file, NaN where there is no data."""
        logits = self.network(self.entry(images))
        return to_scores(logits, int(images.shape[-1]), self.temperature)


def load_pipeline(bundle: ModelBundle, network_size: int | None = None) -> Pipeline:
    """The pipeline of a bundle, ready to predict; see `TorchSegmenter` for the size.

    Raises:
        BundleError: If the network cannot be loaded, or does not take windows of that size.
    """
    if bundle.folder is None:
        raise ValueError("the bundle was not loaded from a folder")
    bundle.require_torch("choose --runtime openvino or onnxruntime")
    network = load_network(bundle.folder)
    if network_size is not None and not bundle.accepts_size(network_size):
        _check_size(network, bundle, network_size)
    entry = Preprocess(bundle.normalisation, network_size)
    return Pipeline(entry, network, bundle.temperature).eval()


def _check_size(network: nn.Module, bundle: ModelBundle, size: int) -> None:
    """Refuse, by BundleError, a size of windows that the network does not take."""
    divisor = size_divisor(network)
    if size % divisor:
        what = f"{bundle.arch} with {bundle.encoder}"
        raise BundleError(f"--patch-size {size}: {what} needs a multiple of {divisor}")
    if refusal(network, bundle.bands, size, weightless=True) is None:
        return
    if (reason := refusal(network, bundle.bands, size)) is not None:
        possible = bundle.sizes or nearest_sizes(network, bundle.bands, size)
        raise BundleError(f"{bundle.size_message(size, possible)} ({reason})")


CUDA_BATCH, CUDA_STREAMS = 8, 2
"""Windows per call, and threads, on a GPU: one's are computed while the other's are copied."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Types by precision."""

DEVICES = ("cpu", "cuda", "mps")
"""Types of devices that are supported; torch knows more."""


def choose_device(name: str) -> torch.device:
    """A device by name; ``auto`` takes CUDA or MPS if available.

    Raises:
        BundleError: If the device is not available or not supported.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in DEVICES:
            raise BundleError(f"--device {name}: choose auto, {', '.join(DEVICES)}")
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(f"--device {name}: is not available ({reason})") from error
    return device


def choose_precision(wanted: Literal["auto", Precision], device: torch.device) -> Precision:
    """The precision for a device; ``auto`` takes the fastest that its hardware has.

    Raises:
        BundleError: If the device does not compute in it.
    """
    if wanted == "int8":
        raise BundleError("--precision int8: torch has none; choose --runtime openvino")
    if wanted == "fp16" and device.type == "cpu":
        raise BundleError("--precision fp16: not on a CPU; choose fp32 or bf16")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return "bf16" if device.type == "cpu" and _has_fast_bf16() else "fp32"


BF16_CHECKS = {"AVX-512 BF16": "_is_avx512_bf16_supported", "AMX": "_is_amx_tile_supported"}
"""Instructions for bfloat16, and functions of torch.cpu that know whether a CPU has them."""


def _bf16_instructions() -> list[str]:
    return [
        name for name, check in BF16_CHECKS.items() if getattr(torch.cpu, check, lambda: False)()
    ]


def _has_fast_bf16() -> bool:
    """Whether this CPU has bfloat16 arithmetic; emulated, it is slower than float32."""
    return bool(_bf16_instructions())


def describe_devices() -> dict[str, str]:
    """Devices that torch computes on, and what they have."""
    cpu = [torch.backends.cpu.get_cpu_capability(), *_bf16_instructions()]
    found = {"cpu": f"{', '.join(cpu)}; {torch.get_num_threads()} threads"}
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        found[f"cuda:{number}"] = f"{about.name}, {in_bytes(about.total_memory)}"
    if torch.backends.mps.is_available():
        found["mps"] = "Metal"
    return found


class TorchSegmenter:
    """A bundle's network as a `Runtime`."""

    runtime: Literal["torch"] = "torch"

    def __init__(
        self,
        bundle: ModelBundle,
        *,
        device: str = "auto",
        precision: Literal["auto", Precision] = "auto",
        network_size: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        """Load the network; arguments and errors are those of `open_runtime`."""
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        on_cuda = self.device.type == "cuda"
        self.batch_size = batch_size or (CUDA_BATCH if on_cuda else 1)
        self.streams = CUDA_STREAMS if on_cuda else 1
        self.notes: list[str] = []
        self.versions: Mapping[str, str] = {"torch": torch.__version__}
        model: Any = load_pipeline(bundle, network_size).to(self.device)
        self._model = model.to(memory_format=torch.channels_last)
        protect_narrow_convolutions(self._model)
        self._max_batch: int | None = None
        self._thread = threading.local()

    @property
    def name(self) -> str:
        """Name for messages."""
        where = "" if self.device.type == "cpu" else f" on {self.device}"
        return f"torch {self.precision}{where}"

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Scores of a batch; halves it while the device has too little memory."""
        limit = self._max_batch or len(images)
        if len(images) <= limit:
            try:
                return self._score(images)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            limit = self._halve(images)
        parts = range(0, len(images), limit)
        return np.concatenate([self(images[start : start + limit]) for start in parts])

    def _halve(self, images: NDArray[np.float32]) -> int:
        """Halve the batch size from now on, and note it the first time."""
        if len(images) == 1:
            raise BundleError(
                f"a window of {images.shape[-1]} px does not fit into the memory of "
                f"{self.device}; use a smaller --patch-size"
            )
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self._max_batch is None:
            self.notes.append(
                f"{len(images)} windows per call do not fit into the memory of {self.device}: "
                f"continuing with fewer; a smaller --batch-size saves the attempts"
            )
        self._max_batch = len(images) // 2
        return self._max_batch

    @torch.inference_mode()
    def _score(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        batch = torch.from_numpy(images)
        if self.device.type == "cuda":
            return self._score_on_cuda(batch)
        return self._forward(batch.to(self.device)).cpu().contiguous().numpy()

    def _score_on_cuda(self, batch: Tensor) -> NDArray[np.float32]:
        """Score on the thread's own stream, so that copies and computation overlap."""
        if not hasattr(self._thread, "stream"):
            self._thread.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        with torch.cuda.device(self.device), torch.cuda.stream(self._thread.stream):
            scores = self._forward(batch.pin_memory().to(self.device, non_blocking=True))
            result = torch.empty(scores.shape, dtype=scores.dtype, pin_memory=True)
            result.copy_(scores, non_blocking=True)
            self._thread.stream.synchronize()
        return result.numpy()

    def _forward(self, batch: Tensor) -> Tensor:
        batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.autocast(
            self.device.type, DTYPES[self.precision], enabled=self.precision != "fp32"
        ):
            scores: Tensor = self._model(batch)
        return scores.contiguous()


MEMORY_SIGNS = (
    *("CUDA error: out of memory", "CUDA driver error: out of memory"),
    *("MPS backend out of memory", "DefaultCPUAllocator: "),
)
"""In messages of torch's RuntimeErrors on memory. "Cannot allocate memory" alone is the system's,
of shared memory or a process, for which a smaller batch is no remedy."""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device has too little memory; MPS and CPUs raise a plain RuntimeError.

    >>> is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB"))
    True
    >>> is_out_of_memory(RuntimeError("unable to mmap 64 bytes: Cannot allocate memory (12)"))
    False
    """
    is_plain = any(sign in str(error) for sign in MEMORY_SIGNS)
    return is_plain or isinstance(error, torch.OutOfMemoryError)
