"""Lightning's trainer and its callbacks, as the options want them."""

import logging
import warnings

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping

from geoseg.training.callbacks import Record
from geoseg.training.options import TrainOptions
from geoseg.training.pacing import FreezeEncoder, Plateau, TimeLimit
from geoseg.training.task import SegmentationTask


def make_trainer(
    options: TrainOptions, device: torch.device, callbacks: list[Callback]
) -> lightning.Trainer:
    """A trainer that says nothing and keeps nothing of its own."""
    _silence_lightning()
    return lightning.Trainer(
        max_epochs=options.most_epochs,
        accelerator=device.type,
        devices=1 if device.index is None or device.type == "cpu" else [device.index],
        precision="bf16-mixed" if device.type == "cuda" else "32-true",
        gradient_clip_val=options.clip,
        accumulate_grad_batches=options.accumulate,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def course_callbacks(
    task: SegmentationTask, record: Record, limit: TimeLimit | None, *, validates: bool
) -> list[Callback]:
    """What the options want to happen in the course of a training, in its order."""
    options = task.options
    callbacks: list[Callback] = [] if limit is None else [limit]
    if options.freeze_encoder:
        callbacks.append(FreezeEncoder(task.network, options.freeze_encoder))
    if options.schedule == "plateau":
        callbacks.append(Plateau(record.monitor))
    if options.early_stopping and validates:
        mode = "max" if options.monitor == "miou" else "min"
        callbacks.append(EarlyStopping(record.monitor, patience=options.early_stopping, mode=mode))
    return callbacks


def _silence_lightning() -> None:
    """Its advice is for those who write training loops."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", module="torch")
