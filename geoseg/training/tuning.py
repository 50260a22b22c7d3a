"""Values for `--lr auto` and `--batch-size auto`: range test, memory test."""

import contextlib
import gc
import io
import logging
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import psutil
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.tuner.tuning import Tuner
from numpy.typing import NDArray
from torch import Tensor

from geoseg.errors import GeosegError, TrainingError
from geoseg.labels.legend import IGNORE
from geoseg.model.torch_runtime import DTYPES, choose_precision, is_out_of_memory
from geoseg.raster.atomic import staged
from geoseg.training.distributed import preserve_modes
from geoseg.training.options import BATCH_SIZE, HIGHEST, LOWEST, UNLIMITED, TrainOptions
from geoseg.training.task import SegmentationTask

PRECISION: dict[str, Any] = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""Precisions by Lightning's names."""

INTERRUPTED = 1
"""Exit code of Lightning after Ctrl-C."""

OWN_ERROR = re.compile(r"^geoseg\.errors\.\w+: ")
"""With which the last line of a traceback begins."""

COMPILERS = ("torch._dynamo", "torch._inductor")
"""Modules of the exceptions of `torch.compile`."""


def make_trainer(
    options: TrainOptions,
    device: torch.device,
    callbacks: list[Callback],
    *,
    loggers: Sequence[Logger] = (),
    **more: Any,
) -> lightning.Trainer:
    """A trainer without output, checkpoints or logs of its own; more arguments go first.

    Raises:
        BundleError: If the device does not compute in the precision.
    """
    several = options.devices > 1
    one_gpu = not several and device.index is not None and device.type != "cpu"
    settings: dict[str, Any] = {
        "max_epochs": options.most_epochs,
        "accelerator": device.type,
        "devices": [device.index] if one_gpu else options.devices,
        # DDP would wait for the gradients of a frozen encoder, and of what no score depends on
        "strategy": DDPStrategy(find_unused_parameters=True) if several else "auto",
        "use_distributed_sampler": False,
        "precision": PRECISION[choose_precision(options.precision, device)],
        "gradient_clip_val": options.clip,
        "accumulate_grad_batches": options.accumulate,
        "callbacks": callbacks,
        "logger": list(loggers) or False,
        "num_sanity_val_steps": 0,
    }
    own = ("enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    with _without_advice():
        return lightning.Trainer(**settings | dict.fromkeys(own, False) | more)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Hide Lightning's and torch's advice to authors of training loops, inside the block."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [each.level for each in loggers]
    with warnings.catch_warnings():
        for module in ("lightning", "torch"):
            warnings.filterwarnings("ignore", module=module)
        for each in loggers:
            each.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for each, level in zip(loggers, levels, strict=True):
                each.setLevel(level)


@contextmanager
def translate_errors(options: TrainOptions) -> Iterator[None]:
    """Turn known failures of a training into one line, and hide its libraries' advice.

    Raises:
        TrainingError: If batches are too small for the network or too large for the memory, or
            the network cannot be compiled.
        KeyboardInterrupt: If the user stops it.
    """
    try:
        with _without_advice():
            yield
    except SystemExit as end:
        if end.code != INTERRUPTED:
            raise
        raise KeyboardInterrupt from None
    except GeosegError as error:  # a worker puts its whole traceback into the message
        raise type(error)(OWN_ERROR.sub("", _last_line(error))) from error
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise TrainingError(
            f"{options.arch} cannot be trained on one patch at a time: use a larger "
            f"--batch-size, and more than one training patch"
        ) from error
    except RuntimeError as error:
        if OWN_ERROR.match(_last_line(error)):
            # of a worker, whose exception takes more than a message, so that torch replaces it
            raise TrainingError(OWN_ERROR.sub("", _last_line(error))) from error
        if is_out_of_memory(error):
            raise TrainingError(
                f"the device has too little memory for --batch-size {options.batch_size}: use a "
                f"smaller one, and --accumulate for the rest of a step"
            ) from error
        if not (options.compile and type(error).__module__.startswith(COMPILERS)):
            raise
        raise TrainingError(
            f"--compile: {str(error).splitlines()[0]}: train without it, or install a compiler"
        ) from error


def _last_line(error: Exception) -> str:
    return str(error).strip().rpartition("\n")[2]


LR_TEST_STEPS = 100
"""Steps of the learning rate range test."""

LR_TEST_SMOOTHING = 0.98
"""Decay of Lightning's running mean of the loss."""


def find_lr(
    task: SegmentationTask,
    batches: Any,
    options: TrainOptions,
    device: torch.device,
    *,
    picture: Path,
) -> float:
    """A tenth of the rate with the lowest loss; the task is left unchanged.

    The picture, a PNG, is a plot of loss over rate.

    Raises:
        TrainingError: If the loss falls at no rate.

    Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks", in Lightning's
    implementation; the tenth is the rule of the fast.ai course.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        limits: dict[str, Any] = {"max_epochs": UNLIMITED, "limit_val_batches": 0}
        alone = replace(options, accumulate=1)
        trainer = make_trainer(alone, device, [], default_root_dir=folder, **limits)
        finder: Any = Tuner(trainer).lr_find(
            task,
            batches,
            min_lr=LOWEST,
            max_lr=HIGHEST,
            num_training=LR_TEST_STEPS,
            update_attr=False,
            attr_name="lr",
        )
    lightning.seed_everything(options.seed, verbose=False)
    losses = without_bias(np.array(finder.results["loss"], float))
    rates = np.array(finder.results["lr"], float)[: len(losses)]
    lowest = int(np.nanargmin(losses)) if np.isfinite(losses).any() else 0
    if not lowest:
        raise TrainingError("--lr auto: the loss falls at no rate; give one, such as --lr 0.001")
    found = float(f"{rates[lowest] / 10:.2g}")
    _draw(picture, rates, losses, found)
    return found


def without_bias(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """(steps,) running means with the right bias correction: Lightning's counts a step too many.

    >>> decay = LR_TEST_SMOOTHING
    >>> without_bias(np.array([(1 - decay) / (1 - decay**2)])).round(6).tolist()
    [1.0]
    """
    steps = np.arange(1, len(losses) + 1)
    return losses * (1 - LR_TEST_SMOOTHING ** (steps + 1)) / (1 - LR_TEST_SMOOTHING**steps)


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


MAX_BATCH_SIZE = 64
"""Patches per step of one device; larger batches bring no speed and fewer steps."""

MIN_STEPS_PER_EPOCH = 8
"""Lower bound on the steps of an epoch, for batches larger than `BATCH_SIZE`."""

FREE_MEMORY_SHARE = 0.6
"""Share of the computer's free memory that a training on the CPU may take."""


def find_batch_size(
    task: SegmentationTask, *, bands: int, size: int, device: torch.device, patches: int
) -> int:
    """Patches per step of one device that fit into its memory; the weights stay unchanged.

    A GPU tries steps, each with twice as many patches of a size in pixels, until one does not fit.
    A CPU gains nothing from large batches: it gets `BATCH_SIZE`, or less where memory is short. An
    epoch of so many patches has `MIN_STEPS_PER_EPOCH` steps at least.

    Raises:
        TrainingError: If not even one patch fits.
    """
    task.to(device)
    try:
        if device.type == "cpu":
            return _size_by_growth(task, bands, size)
        most = min(MAX_BATCH_SIZE, max(patches // MIN_STEPS_PER_EPOCH, BATCH_SIZE))
        return _size_by_trial(task, bands, size, device, most)
    finally:
        task.zero_grad(set_to_none=True)
        task.to("cpu")
        _clear(device)


def _size_by_growth(task: SegmentationTask, bands: int, size: int) -> int:
    """From the memory of a step per patch, by the growth of the process."""
    process = psutil.Process()
    cpu = torch.device("cpu")
    _step(task, 2, bands, size, cpu)
    before = process.memory_info().rss
    _step(task, 4, bands, size, cpu)
    each = max((process.memory_info().rss - before) / 2, 1)
    fitting = FREE_MEMORY_SHARE * psutil.virtual_memory().available / each
    return int(min(max(fitting, 1), BATCH_SIZE))


def _size_by_trial(
    task: SegmentationTask, bands: int, size: int, device: torch.device, most: int
) -> int:
    """Half of what fits, for safety, at most `most`; `MAX_BATCH_SIZE` needs no halving."""
    fitting, count = 0, 1
    while count <= MAX_BATCH_SIZE and fitting < 2 * most:
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
    return min(most, fitting if fitting == MAX_BATCH_SIZE else max(fitting // 2, 1))


def _step(task: SegmentationTask, count: int, bands: int, size: int, device: torch.device) -> None:
    """A training step without its update, on random patches."""
    precision = choose_precision(task.options.precision, device)
    images: Tensor = torch.rand(count, bands, size, size, device=device)
    target = torch.zeros(count, size, size, dtype=torch.int64, device=device)
    target[:, 0] = IGNORE
    autocast = torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")
    with preserve_modes(task), autocast:
        task.eval()  # keeps the batch statistics, and takes a single patch
        task.loss(task(images), target).backward()  # type: ignore[no-untyped-call]
    task.zero_grad(set_to_none=True)


def _clear(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
