"""How many patches fit into memory at a time."""

import contextlib
import gc
import io
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import psutil
import torch
from lightning.pytorch.tuner.tuning import Tuner
from numpy.typing import NDArray
from torch import Tensor

from geoseg.errors import TrainingError
from geoseg.labels.legend import IGNORE
from geoseg.model.torch_runtime import DTYPES, choose_precision, is_out_of_memory
from geoseg.raster.atomic import staged
from geoseg.training.distributed import modes_kept
from geoseg.training.options import BATCH_SIZE, HIGHEST, LOWEST, UNLIMITED, TrainOptions
from geoseg.training.task import SegmentationTask
from geoseg.training.trainer import make_trainer

STEPS = 100
"""Of the test."""

BETA = 0.98
"""What Lightning's running mean of the loss keeps of itself in a step."""


def find_lr(
    task: SegmentationTask,
    batches: Any,
    options: TrainOptions,
    device: torch.device,
    *,
    picture: Path,
) -> float:
    """A tenth of the rate at which the loss was lowest; the task is afterwards as it was.

    Args:
        task: Whose network is tried.
        batches: Of training.
        options: Of the training.
        device: Where it computes.
        picture: PNG file to draw the loss over the rate in.

    Raises:
        TrainingError: If the loss falls at no rate.

    Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks", the test as
    Lightning does it; the tenth is the rule of the fast.ai course.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        trainer = make_trainer(
            replace(options, accumulate=1),
            device,
            [],
            max_epochs=UNLIMITED,
            default_root_dir=folder,
            limit_val_batches=0,
        )
        finder: Any = _finder(trainer, task, batches)
    lightning.seed_everything(options.seed, verbose=False)
    losses = unbiased(np.array(finder.results["loss"], float))
    rates = np.array(finder.results["lr"], float)[: len(losses)]
    lowest = int(np.nanargmin(losses)) if np.isfinite(losses).any() else 0
    if not lowest:
        raise TrainingError("--lr auto: the loss falls at no rate; give one, such as --lr 0.001")
    found = float(f"{rates[lowest] / 10:.2g}")
    _draw(picture, rates, losses, found)
    return found


def unbiased(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running means as they should be: Lightning divides by the weight of one step too many.

    Args:
        losses: (steps,) as Lightning's range test gives them, the first only half its loss.

    >>> unbiased(np.array([(1 - BETA) / (1 - BETA**2)])).round(6).tolist()
    [1.0]
    """
    steps = np.arange(1, len(losses) + 1)
    return losses * (1 - BETA ** (steps + 1)) / (1 - BETA**steps)


def _draw(path: Path, rates: NDArray[np.float64], losses: NDArray[np.float64], rate: float) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(rates, losses)
    axes.axvline(rate, color="black", linestyle=":", label=f"{rate:g}")
    axes.set_ylim(top=float(losses[np.isfinite(losses)][0]) * 1.5)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("smoothed training loss")
    axes.legend()
    with staged(path, overwrite=True) as partial:
        figure.savefig(partial, dpi=110, metadata={"Software": None})


def _finder(trainer: lightning.Trainer, task: SegmentationTask, batches: Any) -> Any:
    return Tuner(trainer).lr_find(
        task,
        batches,
        min_lr=LOWEST,
        max_lr=HIGHEST,
        num_training=STEPS,
        update_attr=False,
        attr_name="lr",
    )


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


def _clear(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
