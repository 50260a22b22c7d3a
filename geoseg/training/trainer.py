"""Lightning's trainer and its callbacks, as the options want them."""

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy

from geoseg.errors import GeosegError, TrainingError
from geoseg.model.torch_runtime import choose_precision, is_out_of_memory
from geoseg.training.callbacks import Record
from geoseg.training.options import TrainOptions
from geoseg.training.schedule import FreezeEncoder, Plateau, TimeLimit
from geoseg.training.task import SegmentationTask

PRECISION: dict[str, Any] = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""Lightning's names."""

INTERRUPTED = 1
"""The code with which Lightning exits after Ctrl-C."""

COMPILERS = ("torch._dynamo", "torch._inductor")
"""Modules of what `torch.compile` raises."""


def make_trainer(
    options: TrainOptions,
    device: torch.device,
    callbacks: list[Callback],
    *,
    loggers: Sequence[Logger] = (),
    **more: Any,
) -> lightning.Trainer:
    """A trainer that says nothing and keeps nothing of its own.

    Args:
        options: Of the training.
        device: Where it computes.
        callbacks: In their order.
        loggers: Who is told of every epoch.
        more: Arguments of Lightning's trainer.

    Raises:
        BundleError: If the device does not compute in the precision.
    """
    _silence_lightning()
    settings: dict[str, Any] = {
        "max_epochs": options.most_epochs,
        "accelerator": device.type,
        "devices": _devices(options, device),
        "strategy": _strategy(options),
        "use_distributed_sampler": False,
        "precision": PRECISION[choose_precision(options.precision, device)],
    }
    return lightning.Trainer(
        **settings | more,
        gradient_clip_val=options.clip,
        accumulate_grad_batches=options.accumulate,
        callbacks=callbacks,
        logger=list(loggers) or False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _devices(options: TrainOptions, device: torch.device) -> int | list[int]:
    if options.devices > 1 or device.index is None or device.type == "cpu":
        return options.devices
    return [device.index]


def _strategy(options: TrainOptions) -> Any:
    """Processes that average their gradients.

    Some networks have parameters that no score depends on, and a frozen encoder learns
    nothing: gradients that do not come are not waited for.
    """
    if options.devices == 1:
        return "auto"
    return DDPStrategy(find_unused_parameters=True)


def course_callbacks(
    task: SegmentationTask, record: Record, limit: TimeLimit | None, *, validates: bool
) -> list[Callback]:
    """What the options want to happen in the course of a training, in its order."""
    options = task.options
    callbacks: list[Callback] = [] if limit is None else [limit]
    if options.freeze_encoder:
        callbacks.append(FreezeEncoder(task.network, options.freeze_encoder))
    if options.schedule == "plateau":
        callbacks.append(Plateau(record.monitor if validates else "train_loss"))
    return callbacks


@contextmanager
def explaining(options: TrainOptions) -> Iterator[None]:
    """Say in one line what ends a training, where that can be known.

    Raises:
        TrainingError: If batches are too small for the network or too large for the memory, or
            the network cannot be compiled.
        KeyboardInterrupt: If the user stops it.
    """
    try:
        yield
    except SystemExit as end:
        if end.code != INTERRUPTED:
            raise
        raise KeyboardInterrupt from None
    except GeosegError as error:  # a reading process sends its whole traceback along
        line = str(error).strip().splitlines()[-1]
        raise type(error)(re.sub(r"^geoseg\.errors\.\w+: ", "", line)) from error
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise TrainingError(
            f"{options.arch} cannot be trained on one patch at a time: use a larger "
            f"--batch-size, and more than one training patch"
        ) from error
    except RuntimeError as error:
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


def _silence_lightning() -> None:
    """Its advice is for those who write training loops."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", module="torch")
