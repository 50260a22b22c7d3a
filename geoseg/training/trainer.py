"""Lightning's trainer, set up from the options, and its errors in one line."""

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
from geoseg.training.options import TrainOptions

PRECISION: dict[str, Any] = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""Precisions by Lightning's names."""

INTERRUPTED = 1
"""Exit code of Lightning after Ctrl-C."""

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
    """A trainer without output, checkpoints or logs of its own.

    Args:
        options: Training options.
        device: Device to compute on.
        callbacks: Callbacks, in their order.
        loggers: Lightning's loggers.
        more: Further arguments of Lightning's trainer.

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
    """Lightning's strategy: one process, or several that average their gradients.

    `find_unused_parameters`: some networks have parameters that no score depends on, and a frozen
    encoder has no gradients; DDP would wait for them.
    """
    if options.devices == 1:
        return "auto"
    return DDPStrategy(find_unused_parameters=True)


@contextmanager
def translate_errors(options: TrainOptions) -> Iterator[None]:
    """Turn known failures of a training into one line.

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
    except GeosegError as error:  # a worker puts its whole traceback into the message
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
    """Hide Lightning's advice to authors of training loops."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", module="torch")
