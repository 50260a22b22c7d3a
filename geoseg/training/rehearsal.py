"""What a training takes, from a few real steps of it; nothing is written."""

import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any

import lightning
import psutil
import torch
from lightning.pytorch.callbacks import Callback

from geoseg.model.network import parameter_count
from geoseg.model.torch_runtime import choose_precision
from geoseg.training.cross_validation import check_folds
from geoseg.training.options import UNLIMITED, TrainOptions
from geoseg.training.run_folder import check_checkpoint
from geoseg.training.session import Training
from geoseg.training.train import prepare
from geoseg.training.trainer import explaining, make_trainer
from geoseg.training.tuning import STEPS

MOST_BATCHES, MOST_VALIDATED = 9, 2
"""Batches of an epoch that are trained with and validated on, at most. The first is not measured:
reading processes start in it."""

LEAST_BATCHES = 3
"""Batches that are trained with, in several epochs where one has fewer."""

MOST_SECONDS = 20.0
"""After which no further batch is begun."""


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """What a training takes."""

    training_patches: int
    """Patches to train on; with folds, of the first training."""

    validation_patches: int
    """Patches to validate on; with folds, of the first training."""

    classes: Mapping[str, float]
    """Share of each class in the labelled pixels of the training patches, 0..1, by name."""

    network: str
    """Architecture and encoder, smp's names."""

    parameters: int
    """Numbers that the training changes."""

    device: str
    """Where it computes."""

    precision: str
    """Of its arithmetic."""

    batch_size: int
    """Patches per batch, on all devices together."""

    trainings: int
    """How many there are: one, or one per fold."""

    epochs: int | None
    """Epochs to come of each training, at most; None: as many as the time allows."""

    steps_per_epoch: int
    """Steps of the optimiser in an epoch."""

    seconds_per_step: float
    """Measured, without the first step."""

    seconds_per_validation: float
    """Measured on a few batches; blended maps take longer."""

    seconds: float
    """All trainings together, at most."""

    memory: int
    """Bytes that the training and its reading processes had; on a GPU, of its memory."""

    free_memory: int
    """Bytes that were free before."""

    notes: tuple[str, ...]
    """What becomes of the weights of another model."""

    warnings: tuple[str, ...]
    """What the user should know."""


def rehearse(
    patches: Path,
    run: Path | None,
    *,
    options: TrainOptions,
    folds: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> TrainPlan:
    """Make a few steps of a training, and say what all of it takes.

    Several processes are rehearsed as one of them. A rate that is to be found is not looked for.

    Args:
        patches: Folder of the patch set.
        run: Folder that would be written, if that is known.
        options: Of the training.
        folds: How many trainings there are to be, if several.
        resume: Whether an earlier training is gone on with.
        overwrite: Whether an earlier training is replaced.

    Raises:
        TrainingError: If the options do not fit each other or the patches.
        PatchSetError: If the patch set is damaged.
        OutputExistsError: If ``run`` exists and is neither to be resumed nor replaced.
    """
    if folds is None:
        training = prepare(patches, run, options=options, resume=resume, overwrite=overwrite)[0]
    else:
        part = check_folds(
            patches, run, options=options, folds=folds, resume=resume, overwrite=overwrite
        )[0]
        training = prepare(part, None, options=options)[0]
    checkpoint = training.record.checkpoint
    goes_on = resume and folds is None and checkpoint.is_file()
    done = check_checkpoint(checkpoint, training.task) if goes_on else 0
    return _plan(training, done=done, trainings=folds or 1)


def _plan(training: Training, *, done: int, trainings: int) -> TrainPlan:
    free = _free_memory(training.device)
    training.find_batch_size()
    options, record = training.options, training.patch_set.record
    watch = _Watch(training.device)
    batches, validated = _watched(training, watch)
    steps = ceil(batches / options.accumulate)
    step = watch.training * batches / steps
    validation = watch.validation * validated
    epochs = None if options.most_epochs == UNLIMITED else max(options.most_epochs - done, 0)
    looking = STEPS * step if options.lr is None else 0.0
    seconds = looking + (epochs or 0) * (steps * step + validation)
    if options.max_time is not None:
        seconds = options.max_time if epochs is None else min(seconds, options.max_time)
    labelled = max(sum(record.class_pixels), 1)
    return TrainPlan(
        training_patches=len(training.train_patches),
        validation_patches=len(training.val_patches),
        classes={
            name: pixels / labelled
            for name, pixels in zip(record.legend.names, record.class_pixels, strict=True)
        },
        network=f"{options.arch} with {options.encoder}",
        parameters=parameter_count(training.network),
        device=str(training.device),
        precision=choose_precision(options.precision, training.device),
        batch_size=int(options.batch_size or 1),
        trainings=trainings,
        epochs=epochs,
        steps_per_epoch=steps,
        seconds_per_step=step,
        seconds_per_validation=validation,
        seconds=trainings * seconds,
        memory=watch.memory,
        free_memory=free,
        notes=tuple(training.notes),
        warnings=tuple(training.warnings),
    )


def _watched(training: Training, watch: "_Watch") -> tuple[int, int]:
    """Train and validate a little; how many batches there are in an epoch and in its validation."""
    options = training.options
    one = replace(options, devices=1, batch_size=options.own_batch_size())
    if options.devices > 1:
        training = Training(training.patch_set, training.run, one)
    loaders = training.loaders()
    with tempfile.TemporaryDirectory() as folder, explaining(options):
        trainer = make_trainer(
            one,
            training.device,
            [watch],
            max_epochs=ceil(LEAST_BATCHES / len(loaders[0])),
            default_root_dir=folder,
            limit_train_batches=MOST_BATCHES,
            limit_val_batches=MOST_VALIDATED,
        )
        trainer.fit(training.task, *loaders)
    counts = [0 if loader is None else len(loader) for loader in loaders]
    return counts[0], counts[1]


class _Watch(Callback):
    """Times batches, reading included, and sees what memory they take."""

    def __init__(self, device: torch.device) -> None:
        self.memory = 0
        self._device = device
        self._batches: list[float] = []
        self._validations: list[float] = []
        self._began = self._mark = time.monotonic()

    @property
    def training(self) -> float:
        """Seconds per batch; the first counts only if there is no other."""
        return fmean(self._batches[1:] or self._batches)

    @property
    def validation(self) -> float:
        """Seconds per batch; the last one is the least disturbed by the start of processes."""
        return self._validations[-1] if self._validations else 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clock."""
        self._mark = self._now()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Take the time."""
        began, self._mark = self._mark, self._now()
        self._batches.append(self._mark - began)
        self.memory = max(self.memory, _memory_taken(self._device))
        if self._mark - self._began > MOST_SECONDS:
            trainer.should_stop = True

    def on_validation_batch_start(self, *_: Any) -> None:
        """Start the clock."""
        self._validations.append(self._now())

    def on_validation_batch_end(self, *_: Any) -> None:
        """Take the time."""
        self._validations[-1] = self._now() - self._validations[-1]

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.monotonic()


def _memory_taken(device: torch.device) -> int:
    """Bytes of this process and those that read for it, or of the GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    own = psutil.Process()
    taken = own.memory_info().rss
    for child in own.children(recursive=True):
        with suppress(psutil.Error):
            taken += child.memory_full_info().uss  # what it shares with this one counts once
    return int(taken)


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
