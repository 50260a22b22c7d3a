"""A training put together from its options: network, data, records, ready to fit."""

import os
import time
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning
from torch import nn

from geoseg.errors import BundleError, GeosegError, TrainingError
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.model.network import save_network
from geoseg.model.segmenter import Segmenter
from geoseg.model.torch_runtime import choose_device, choose_precision
from geoseg.patches.class_shares import ClassShares, warn_of_few_labels
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.training_ground import TrainingGround
from geoseg.prediction.stitched import stitched_confusion
from geoseg.raster.atomic import staged, writing
from geoseg.raster.folders import MODEL
from geoseg.training.callbacks import MovingAverage, Patience, Progress, Record, make_loggers
from geoseg.training.data import PatchDataset, TrainingSamples, make_loader
from geoseg.training.distributed import (
    is_first,
    rank,
    share_machine,
    sharing_on_gpus,
)
from geoseg.training.losses import class_weights, make_loss
from geoseg.training.options import LOWEST, TrainOptions
from geoseg.training.run_folder import ANEW, Row, check_checkpoint, versions
from geoseg.training.schedule import TimeLimit
from geoseg.training.start import begin
from geoseg.training.task import SegmentationTask
from geoseg.training.trainer import course_callbacks, explaining, make_trainer
from geoseg.training.tuning import find_lr, fitting_batch_size


def class_warnings(patch_set: PatchSet, options: TrainOptions) -> list[str]:
    """What is to be said of the classes of a patch set, before it is trained on.

    Raises:
        TrainingError: If the weights of classes are wrong.
    """
    record = patch_set.record
    names = record.legend.names
    weights = class_weights(options.class_weights, names, record.class_pixels).tolist()
    counted = [name for name, weight in zip(names, weights, strict=True) if weight]
    shares = ClassShares.of(patch_set.patches, record.legend)
    return [*shares.warnings(counted), *warn_of_few_labels(shares.labelled)]


class Training:
    """A network, its data and its records, ready to fit."""

    def __init__(self, patch_set: PatchSet, run: Path, options: TrainOptions) -> None:
        """Put together what trains; nothing is written yet.

        Args:
            patch_set: What to train on.
            run: Folder that will be written.
            options: As resolved.

        Raises:
            TrainingError: If the options do not fit each other or the patches.
        """
        lightning.seed_everything(options.seed, verbose=False)
        self.device = choose_device(options.device)
        choose_precision(options.precision, self.device)
        share_machine(options.devices, self.device)
        self.patch_set = patch_set
        self.run = run
        self.options = options
        self.warnings: list[str] = []
        record = patch_set.record
        beginning = begin(record, options)
        self.network, self.bundle = beginning.network, beginning.bundle
        try:
            self.bundle.check_record()
        except BundleError as error:
            raise TrainingError(f"{patch_set.folder}: {error}; make the patches again") from error
        if options.devices > 1 and self.device.type == "cuda":
            self.network = sharing_on_gpus(self.network)
        self.notes = list(beginning.notes)
        ground = TrainingGround.of(record, patch_set.patches)
        self.ground = (
            ground if beginning.origin is None else ground.joined(beginning.origin.training_ground)
        )
        self.train_patches = patch_set.in_split("train")
        self.val_patches = patch_set.in_split("val")
        if not self.train_patches:
            raise TrainingError(f"{patch_set.folder}: no patch is in the training split")
        if not self.val_patches:
            self.warnings.append(
                "the patch set has no validation split; the model of the last epoch is kept"
            )
        self.warnings += class_warnings(patch_set, options)
        if options.freeze_encoder and not options.init_from and options.encoder_weights == "none":
            self.warnings.append("the encoder is frozen with random weights")
        self.samples = TrainingSamples(patch_set, self.train_patches, options)
        self.limit = None if options.max_time is None else TimeLimit(options.max_time)
        self.record = Record(
            run,
            record.legend.names,
            monitor=f"val_{options.monitor}",
            save_model=self._save_model,
            is_finite=self._is_finite,
        )
        validates = bool(self.val_patches)
        self.patience = Patience(self.record, int(options.early_stopping or 0) * validates)
        self.task = self._task()
        self.averaging: MovingAverage | None = None

    def settle(self) -> dict[str, Any]:
        """Find what the options leave to be found.

        Returns:
            Options by name, to be known when it is resumed, and ``lr_seconds``.

        Raises:
            TrainingError: If nothing fits, or no time is left.
        """
        found = self.find_batch_size()
        if self.options.lr is None:
            found["lr"], found["lr_seconds"] = self._find_lr()
            self._take(lr=found["lr"])
        return found

    def find_batch_size(self) -> dict[str, Any]:
        """Find what fits into memory, if the options leave it to be found.

        Raises:
            TrainingError: If nothing fits.
        """
        if self.options.batch_size is not None:
            return {}
        size = fitting_batch_size(
            self.task,
            bands=self.patch_set.record.bands,
            size=self.patch_set.record.size,
            device=self.device,
            patches=self.options.samples_per_epoch or len(self.train_patches),
        )
        self._take(batch_size=size)
        return {"batch_size": size}

    def _take(self, **found: Any) -> None:
        self.options = self.task.options = replace(self.options, **found)
        self.task.lr = self.options.lr or LOWEST

    def _find_lr(self) -> tuple[float, float]:
        """The rate, and the seconds that it took, which count as training."""
        started = time.monotonic()
        with explaining(self.options):
            lr = find_lr(
                self.task,
                self.loaders()[0],
                self.options,
                self.device,
                picture=self.run / "lr_finder.png",
            )
        seconds = round(time.monotonic() - started, 1)
        if self.limit is not None:
            self.limit.spent += seconds
            if self.limit.share >= 1:
                raise TrainingError(
                    f"--lr auto took {seconds} s and leaves nothing of --max-time: give more time, "
                    f"or a rate such as --lr {lr:g}, which it found"
                )
        return lr, seconds

    def fit(self, *, resume: bool, quiet: bool) -> bool:
        """Train; say whether the user stopped it."""
        self.averaging = MovingAverage() if self.options.average == "ema" else None
        validates = bool(self.val_patches)
        middle = course_callbacks(self.task, self.record, self.limit, validates=validates)
        averaging = [] if self.averaging is None else [self.averaging]
        callbacks = [Progress(self.run.name, quiet=quiet), *middle, *averaging]
        callbacks += [self.record, self.patience]
        loggers = make_loggers(self.options, self.run) if is_first() else []
        trainer = make_trainer(self.options, self.device, callbacks, loggers=loggers)
        checkpoint = self.record.checkpoint
        found = resume and checkpoint.exists()
        done = check_checkpoint(checkpoint, self.task) if found else 0
        loaders = self.loaders(first_epoch=done)
        if self.options.compile:
            self.network.compile()
        try:
            with explaining(self.options), writing(self.run):
                trainer.fit(
                    self.task,
                    *loaders,
                    ckpt_path=checkpoint if found else None,
                    weights_only=True,
                )
        except KeyboardInterrupt:
            return True
        except (GeosegError, MemoryError):
            raise
        except Exception as error:
            if not found or self.record.is_running:
                raise
            # Lightning takes the parts of a checkpoint on trust: each has errors of its own
            raise TrainingError(
                f"{checkpoint}: is not the checkpoint of this training; {ANEW}"
            ) from error
        return False

    def _task(self) -> SegmentationTask:
        record = self.patch_set.record
        options = self.options
        stitched = options.validate_stitched
        weights = class_weights(options.class_weights, record.legend.names, record.class_pixels)
        return SegmentationTask(
            self.network,
            make_loss(options.loss, weights, label_smoothing=options.label_smoothing),
            self.bundle.normalisation,
            classes=len(record.legend),
            options=options,
            counted=(weights > 0).tolist(),
            limit=self.limit,
            count=self._count_stitched if stitched else None,
        )

    def _count_stitched(self, segmenter: Segmenter) -> ConfusionMatrix:
        """The confusion on blended maps of the validation ground."""
        return stitched_confusion(segmenter, self.bundle, self.patch_set)

    def loaders(self, *, first_epoch: int = 0) -> tuple[Any, Any]:
        """Batches of training, from an epoch on, and of validation if there is any."""
        options = self.options
        workers = options.workers
        if workers is None:
            workers = min((os.cpu_count() or 1) // 2, 4)
        common: dict[str, Any] = {"batch_size": options.own_batch_size(), "workers": workers}
        val_set = PatchDataset(self.patch_set, self.val_patches, augment="none", seed=0)
        return (
            self.samples.loader(first_epoch=first_epoch, **common),
            make_loader(val_set, shuffle=False, turn=(rank(), options.devices), **common)
            if self.val_patches
            else None,
        )

    def _is_finite(self) -> bool:
        """Whether weights and batch statistics are numbers, their averages as well."""
        finite = _all_finite(self.network)
        if self.averaging is not None:
            with self.averaging.applied(self.task):
                finite = finite and _all_finite(self.network)
        return finite

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
        with staged(self.run / "model", overwrite=True, kind=MODEL) as folder:
            folder.mkdir()
            with self.averaging.applied(self.task) if self.averaging else nullcontext():
                save_network(self.network, folder)
            self.ground.write(folder)
            replace(self.bundle, training=summary).write_record(folder)


def _all_finite(network: nn.Module) -> bool:
    return all(bool(value.isfinite().all()) for value in network.state_dict().values())
