"""The step: a patch set in, a run folder with a model bundle out."""

import os
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import lightning

from geoseg.errors import InputError, TrainingError
from geoseg.io.outputs import refuse_existing, staged, writing
from geoseg.io.patches import PatchSet
from geoseg.model.memory import keep_freed_memory
from geoseg.model.network import parameter_count, save_network
from geoseg.model.torch_runtime import choose_device
from geoseg.training.averaging import Averaging, MovingAverage, StochasticAverage
from geoseg.training.callbacks import Progress, Record
from geoseg.training.class_weights import class_weights
from geoseg.training.dataset import PatchDataset, make_loader
from geoseg.training.history import Row, draw_curves
from geoseg.training.losses import make_loss
from geoseg.training.new_bundle import begin, resolve
from geoseg.training.options import TrainOptions
from geoseg.training.pacing import TimeLimit
from geoseg.training.run_folder import (
    check_checkpoint,
    check_resumable,
    run_record,
    start_folder,
    versions,
)
from geoseg.training.schedules import check_course
from geoseg.training.task import SegmentationTask
from geoseg.training.trainer import course_callbacks, make_trainer

STATISTICS_BATCHES = 50
"""Batches that the batch statistics of averaged weights are measured with."""


@dataclass(frozen=True)
class TrainReport:
    """How a training went."""

    model: Path
    """The bundle of the best epoch."""

    best: Row
    """Figures of the best epoch."""

    epochs: int
    """Epochs that were completed."""

    interrupted: bool
    """Whether the user stopped it."""

    timed_out: bool = False
    """Whether its time was over."""

    notes: tuple[str, ...] = ()
    """What became of the weights of another model."""

    warnings: tuple[str, ...] = ()
    """What the user should know."""


def train(
    patches: Path,
    run: Path,
    *,
    options: TrainOptions,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> TrainReport:
    """Train a network on a patch set.

    Args:
        patches: Folder of the patch set.
        run: Folder to write: the bundle, history, curves, options, checkpoint.
        options: How.
        resume: Go on after the last complete epoch of an earlier training in ``run``.
        overwrite: Replace an earlier training.
        quiet: No progress bar.

    Raises:
        TrainingError: If the options do not fit each other or the patches.
        PatchSetError: If the patch set is damaged.
        OutputExistsError: If ``run`` exists and is neither to be resumed nor replaced.
    """
    patch_set = PatchSet.open(patches)
    options = resolve(options)
    check_course(options)
    if resume:
        check_resumable(run, options, patch_set)
    else:
        refuse_existing(run, overwrite=overwrite)
    training = _Training(patch_set, run, options)
    if not resume:
        start_folder(
            run,
            run_record(patch_set, options, parameter_count(training.network)),
            overwrite=overwrite,
        )
    interrupted = training.fit(resume=resume, quiet=quiet)
    return training.report(interrupted=interrupted)


class _Training:
    """A network, its data and its records, ready to fit."""

    def __init__(self, patch_set: PatchSet, run: Path, options: TrainOptions) -> None:
        keep_freed_memory()
        lightning.seed_everything(options.seed, verbose=False)
        self.device = choose_device(options.device)
        self.patch_set = patch_set
        self.run = run
        self.options = options
        self.warnings: list[str] = []
        record = patch_set.record
        beginning = begin(record, options)
        self.network, self.bundle = beginning.network, beginning.bundle
        self.notes = list(beginning.notes)
        self.train_patches = patch_set.in_split("train")
        self.val_patches = patch_set.in_split("val")
        if not self.train_patches:
            raise TrainingError(f"{patch_set.folder}: no patch is in the training split")
        if not self.val_patches:
            self.warnings.append(
                "the patch set has no validation split; the model of the last epoch is kept"
            )
        if options.freeze_encoder and not options.init_from and options.encoder_weights == "none":
            self.warnings.append("the encoder is frozen with random weights")
        self.limit = None if options.max_time is None else TimeLimit(options.max_time)
        self.record = Record(
            run, record.legend.names, monitor=f"val_{options.monitor}", save_model=self._save_model
        )
        self.task = self._task()
        self.averaging = self._averaging(self.task)

    def fit(self, *, resume: bool, quiet: bool) -> bool:
        """Train; say whether the user stopped it."""
        middle = course_callbacks(
            self.task, self.record, self.limit, validates=bool(self.val_patches)
        )
        averaging = [] if self.averaging is None else [self.averaging]
        callbacks = [Progress(quiet=quiet), *middle, *averaging, self.record]
        trainer = make_trainer(self.options, self.device, callbacks)
        checkpoint = self.record.checkpoint
        found = resume and checkpoint.exists()
        if found:
            check_checkpoint(checkpoint)
        loaders = self._loaders()
        try:
            with writing(self.run):
                trainer.fit(
                    self.task,
                    *loaders,
                    ckpt_path=checkpoint if found else None,
                    weights_only=True,
                )
        except SystemExit:  # what Lightning makes of Ctrl-C
            return True
        except InputError as error:  # a reading process sends its whole traceback along
            raise type(error)(str(error).strip().splitlines()[-1]) from error
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise TrainingError(
                f"{self.options.arch} cannot be trained on one patch at a time: use a larger "
                f"--batch-size, and more than one training patch"
            ) from error
        return False

    def report(self, *, interrupted: bool) -> TrainReport:
        """Write what can be said at the end."""
        if self.record.best is None:
            raise TrainingError(
                f"{self.run}: stopped before the first epoch was complete; there is no model"
            )
        draw_curves(self.run / "curves.png", self.record.rows)
        return TrainReport(
            self.run / "model",
            self.record.best,
            len(self.record.rows),
            interrupted,
            timed_out=self.limit is not None and self.limit.reached,
            notes=tuple(self.notes),
            warnings=tuple(self.warnings),
        )

    def _task(self) -> SegmentationTask:
        record = self.patch_set.record
        options = self.options
        weights = class_weights(options.class_weights, record.legend.names, record.class_pixels)
        return SegmentationTask(
            self.network,
            make_loss(options.loss, weights, label_smoothing=options.label_smoothing),
            self.bundle.normalisation,
            classes=len(record.legend),
            options=options,
            counted=(weights > 0).tolist(),
            limit=self.limit,
        )

    def _loaders(self) -> tuple[Any, Any]:
        options = self.options
        workers = options.workers
        if workers is None:
            workers = min((os.cpu_count() or 1) // 2, 4)
        common = {"batch_size": options.batch_size, "workers": workers}
        train_set = PatchDataset(
            self.patch_set, self.train_patches, augment=options.augment, seed=options.seed
        )
        val_set = PatchDataset(self.patch_set, self.val_patches, augment="none", seed=0)
        return (
            make_loader(train_set, shuffle=True, **common),
            make_loader(val_set, shuffle=False, **common) if self.val_patches else None,
        )

    def _averaging(self, task: SegmentationTask) -> Averaging | None:
        if self.options.average == "none":
            return None
        if self.options.average == "ema":
            return MovingAverage()
        options = self.options
        patches = PatchDataset(
            self.patch_set, self.train_patches, augment=options.augment, seed=options.seed
        )
        loader = make_loader(patches, batch_size=options.batch_size, shuffle=True, workers=0)
        return StochasticAverage(task.progress, lambda: islice(loader, STATISTICS_BATCHES))

    def _save_model(self, row: Row) -> None:
        """Put the network as it is now into the bundle."""
        summary = {
            "patches": str(self.patch_set.folder),
            "training_patches": len(self.train_patches),
            "validation_patches": len(self.val_patches),
            "options": asdict(self.options),
            "best_epoch": row,
            "versions": versions(),
        }
        with staged(self.run / "model", overwrite=True) as folder:
            folder.mkdir()
            with self.averaging.applied(self.task) if self.averaging else nullcontext():
                save_network(self.network, folder)
            replace(self.bundle, training=summary).write_record(folder)
