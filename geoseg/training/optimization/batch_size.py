"""How many patches fit into memory at a time."""

import gc

import psutil
import torch
from torch import Tensor

from geoseg.core.scores import IGNORE
from geoseg.errors import TrainingError
from geoseg.model.torch_runtime import DTYPES, choose_precision
from geoseg.training.optimization.modes import modes_kept
from geoseg.training.options import BATCH_SIZE
from geoseg.training.task import SegmentationTask

MOST = 64
"""Patches per step of one device: more make steps few and no faster."""

LEAST_STEPS = 8
"""Of an epoch: larger batches than that leaves are taken only up to `BATCH_SIZE`."""

SHARE = 0.6
"""Of the free memory of a computer that a training may fill."""


def fitting_batch_size(
    task: SegmentationTask, *, bands: int, size: int, device: torch.device, patches: int
) -> int:
    """Patches per step of one device that fit into its memory.

    On a GPU steps are tried, each with twice as many patches, until one does not fit. A CPU
    gains nothing from large batches: it gets `BATCH_SIZE`, or less where memory is short.

    Args:
        task: Whose network is tried; its weights stay as they are.
        bands: Of a patch.
        size: Side of a patch, in pixels.
        device: Where it computes.
        patches: Of an epoch: `LEAST_STEPS` steps are made of them.

    Raises:
        TrainingError: If not even one patch fits.
    """
    task.to(device)
    try:
        if device.type == "cpu":
            return _by_measure(task, bands, size)
        most = min(MOST, max(patches // LEAST_STEPS, BATCH_SIZE))
        return _by_trial(task, bands, size, device, most)
    finally:
        task.zero_grad(set_to_none=True)
        task.to("cpu")
        _clear(device)


def _by_measure(task: SegmentationTask, bands: int, size: int) -> int:
    """What a step takes per patch, by the growth of the process."""
    process = psutil.Process()
    cpu = torch.device("cpu")
    _step(task, 2, bands, size, cpu)
    before = process.memory_info().rss
    _step(task, 4, bands, size, cpu)
    each = max((process.memory_info().rss - before) / 2, 1)
    return int(min(max(SHARE * psutil.virtual_memory().available / each, 1), BATCH_SIZE))


def _by_trial(
    task: SegmentationTask, bands: int, size: int, device: torch.device, most: int
) -> int:
    """Half of what fits, for safety, but no more than `most`; `MOST` is safe enough itself."""
    fitting, count = 0, 1
    while count <= MOST and fitting < 2 * most:
        try:
            _step(task, count, bands, size, device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            break
        fitting, count = count, 2 * count
        _clear(device)
    if not fitting:
        raise TrainingError(
            f"--batch-size auto: not one patch of {size} px fits into the memory of {device}; "
            f"tile with a smaller --patch-size or take a smaller --encoder"
        )
    return min(most, fitting if fitting == MOST else max(fitting // 2, 1))


def _step(task: SegmentationTask, count: int, bands: int, size: int, device: torch.device) -> None:
    """A step of training without its update, on patches of nothing in particular."""
    precision = choose_precision(task.options.precision, device)
    images: Tensor = torch.rand(count, bands, size, size, device=device)
    target = torch.zeros(count, size, size, dtype=torch.int64, device=device)
    target[:, 0] = IGNORE
    autocast = torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")
    with modes_kept(task), autocast:
        task.eval()  # batch statistics stay as they are, and one patch is enough
        task.loss(task(images), target).backward()  # type: ignore[no-untyped-call]
    task.zero_grad(set_to_none=True)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device has too little memory; MPS and CPUs have no exception of their own for it.

    >>> is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB"))
    True
    """
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error)
    return "backend out of memory" in text or "DefaultCPUAllocator" in text


def _clear(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
