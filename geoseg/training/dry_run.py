"""`--dry-run`: time and memory of a training, from a few of its steps; nothing is written."""

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
from geoseg.patches.patch_set import PatchSet
from geoseg.training.options import UNLIMITED, TrainOptions
from geoseg.training.run_folder import check_checkpoint
from geoseg.training.train import Training, prepare
from geoseg.training.tuning import LR_TEST_STEPS, make_trainer, translate_errors

MAX_TRAIN_BATCHES, MAX_VALIDATION_BATCHES = 9, 2
"""Upper bounds on the batches of an epoch. The first training batch is not measured: workers
start in it."""

MIN_TRAIN_BATCHES, MAX_SECONDS = 3, 20.0
"""Lower bound on training batches, over several epochs if one has fewer, and time limit for the
measurement, with which a running batch is completed."""


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """Estimate of a training."""

    training_patches: int
    validation_patches: int
    unlabelled_windows: int
    """Patches to train and to validate on, of the first training where there are folds, and windows
    without labels."""

    classes: Mapping[str, float]
    """Share of each class in the labelled pixels of the training patches, 0..1, by name."""

    network: str
    parameters: int
    """Architecture and encoder, smp's names, and number of trainable parameters."""

    device: str
    precision: str
    batch_size: int
    """Patches per batch, on all devices together."""

    trainings: int
    """Number of trainings: one, or one per fold."""

    epochs: int | None
    """Remaining epochs of each training, at most; None: as many as the time allows."""

    steps_per_epoch: int
    seconds_per_step: float
    """Measured time of a step of the optimiser, without the first."""

    seconds_per_validation: float
    """Time of a validation, measured on a few batches; blended maps take longer."""

    seconds: float
    """Time of all trainings together, at most."""

    memory: int
    free_memory: int
    """Peak memory of the training and its workers, or of the GPU, and what was free, in bytes."""

    notes: tuple[str, ...]
    """What happens to the weights of another model."""

    warnings: tuple[str, ...]


def estimate_training(
    patches: Path | PatchSet,
    run: Path | None,
    *,
    options: TrainOptions,
    resume: bool = False,
    overwrite: bool = False,
    trainings: int = 1,
) -> TrainPlan:
    """Run a few steps of a training, and estimate the whole; arguments and errors are `prepare`'s.

    Several processes are measured as one of them. ``--lr auto`` is not searched. Of several
    trainings, one per fold, the first is measured.
    """
    training, _ = prepare(patches, run, options=options, resume=resume, overwrite=overwrite)
    checkpoint = training.record.checkpoint
    found = resume and checkpoint.is_file()
    done = check_checkpoint(checkpoint, training.task) if found else 0
    free = _free_memory(training.device)
    training.resolve_batch_size()
    options, record = training.options, training.patch_set.record
    profiler = _Profiler(training.device)
    batches, validated = _profile(training, profiler)
    steps = ceil(batches / options.accumulate)
    step = profiler.training * batches / steps
    validation = profiler.validation * validated
    epochs = None if options.most_epochs == UNLIMITED else max(options.most_epochs - done, 0)
    seconds = (LR_TEST_STEPS * step if options.lr is None else 0.0) + (epochs or 0) * (
        steps * step + validation
    )
    if options.max_time is not None:
        seconds = options.max_time if epochs is None else min(seconds, options.max_time)
    labelled = max(sum(record.class_pixels), 1)
    shares = [pixels / labelled for pixels in record.class_pixels]
    return TrainPlan(
        training_patches=len(training.train_patches),
        validation_patches=len(training.val_patches),
        unlabelled_windows=training.samples.unlabelled_windows,
        classes=dict(zip(record.legend.names, shares, strict=True)),
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
        memory=profiler.memory,
        free_memory=free,
        notes=tuple(training.notes),
        warnings=tuple(training.warnings),
    )


def _profile(training: Training, profiler: "_Profiler") -> tuple[int, int]:
    """Train and validate on a few batches; the number of batches in an epoch, and to validate."""
    options = training.options
    one = replace(options, devices=1, batch_size=options.own_batch_size())
    if options.devices > 1:
        training = Training(training.patch_set, training.run, one)
    loaders = training.loaders()
    with tempfile.TemporaryDirectory() as folder, translate_errors(options):
        trainer = make_trainer(
            one,
            training.device,
            [profiler],
            max_epochs=ceil(MIN_TRAIN_BATCHES / len(loaders[0])),
            default_root_dir=folder,
            limit_train_batches=MAX_TRAIN_BATCHES,
            limit_val_batches=MAX_VALIDATION_BATCHES,
        )
        trainer.fit(training.task, *loaders)
    counts = [0 if loader is None else len(loader) for loader in loaders]
    return counts[0], counts[1]


class _Profiler(Callback):
    """Measures time, reading included, and memory of batches."""

    def __init__(self, device: torch.device) -> None:
        self.memory = 0
        self._device = device
        self._batches: list[float] = []
        self._validations: list[float] = []
        self._started = self._mark = time.monotonic()

    @property
    def training(self) -> float:
        """Seconds per batch, without the first if there are others."""
        return fmean(self._batches[1:] or self._batches)

    @property
    def validation(self) -> float:
        """Seconds per batch; of the last one, which the start of workers disturbs least."""
        return self._validations[-1] if self._validations else 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        self._mark = self._now()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        began, self._mark = self._mark, self._now()
        self._batches.append(self._mark - began)
        self.memory = max(self.memory, _used_memory(self._device))
        if self._mark - self._started > MAX_SECONDS:
            trainer.should_stop = True

    def on_validation_batch_start(self, *_: Any) -> None:
        self._validations.append(self._now())

    def on_validation_batch_end(self, *_: Any) -> None:
        self._validations[-1] = self._now() - self._validations[-1]

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.monotonic()


def _used_memory(device: torch.device) -> int:
    """Memory of this process and its workers, or of the GPU, in bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    own = psutil.Process()
    taken = own.memory_info().rss
    for child in own.children(recursive=True):
        with suppress(psutil.Error):
            taken += child.memory_full_info().uss  # without pages shared with this process
    return int(taken)


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
