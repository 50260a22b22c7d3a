"""The step: a patch set in, a run folder with a model bundle out."""

import logging
import os
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import nn

from geoseg.errors import InputError, TrainingError
from geoseg.io.outputs import refuse_existing, staged, writing
from geoseg.io.patch_record import PatchSetRecord
from geoseg.io.patches import PatchSet
from geoseg.model.bundle import ModelBundle, Normalisation
from geoseg.model.memory import keep_freed_memory
from geoseg.model.network import (
    build_network,
    parameter_count,
    save_network,
    size_divisor,
)
from geoseg.model.torch_runtime import choose_device
from geoseg.model.weights import ImagenetNormalisation, packaged_encoder
from geoseg.training.callbacks import Progress, Record
from geoseg.training.dataset import PatchDataset, make_loader
from geoseg.training.history import Row, draw_curves
from geoseg.training.losses import class_weights, make_loss
from geoseg.training.options import TrainOptions
from geoseg.training.run_folder import (
    check_checkpoint,
    check_resumable,
    run_record,
    start_folder,
    versions,
)
from geoseg.training.task import SegmentationTask

DEFAULT_ENCODER = "resnet18"


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
    options = replace(options, encoder=_encoder(options))
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
        self.network, wanted = build_network(
            options.arch,
            str(options.encoder),
            bands=record.bands,
            classes=len(record.legend),
            encoder_weights=options.encoder_weights,
        )
        _check_size(self.network, record.size, options)
        self.bundle = _new_bundle(record, options, wanted)
        self.train_patches = patch_set.in_split("train")
        self.val_patches = patch_set.in_split("val")
        if not self.train_patches:
            raise TrainingError(f"{patch_set.folder}: no patch is in the training split")
        if not self.val_patches:
            self.warnings.append(
                "the patch set has no validation split; the model of the last epoch is kept"
            )
        self.record = Record(
            run, record.legend.names, monitor=f"val_{options.monitor}", save_model=self._save_model
        )

    def fit(self, *, resume: bool, quiet: bool) -> bool:
        """Train; say whether the user stopped it."""
        _silence_lightning()
        trainer = self._trainer(quiet=quiet)
        checkpoint = self.record.checkpoint
        found = resume and checkpoint.exists()
        if found:
            check_checkpoint(checkpoint)
        loaders = self._loaders()
        try:
            with writing(self.run):
                trainer.fit(
                    self._task(),
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
        epochs = len(self.record.rows)
        return TrainReport(
            self.run / "model", self.record.best, epochs, interrupted, tuple(self.warnings)
        )

    def _task(self) -> SegmentationTask:
        record = self.patch_set.record
        weights = class_weights(self.options.class_weights, record.class_pixels)
        return SegmentationTask(
            self.network,
            make_loss(self.options.loss, weights),
            self.bundle.normalisation,
            classes=len(record.legend),
            options=self.options,
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

    def _trainer(self, *, quiet: bool) -> lightning.Trainer:
        options, device = self.options, self.device
        callbacks: list[Callback] = [Progress(quiet=quiet)]
        if options.early_stopping and self.val_patches:
            mode = "max" if options.monitor == "miou" else "min"
            callbacks.append(
                EarlyStopping(self.record.monitor, patience=options.early_stopping, mode=mode)
            )
        return lightning.Trainer(
            max_epochs=options.epochs,
            accelerator=device.type,
            devices=1 if device.index is None or device.type == "cpu" else [device.index],
            precision="bf16-mixed" if device.type == "cuda" else "32-true",
            callbacks=[*callbacks, self.record],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )

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
            save_network(self.network, folder)
            replace(self.bundle, training=summary).write_record(folder)


def _new_bundle(
    record: PatchSetRecord, options: TrainOptions, wanted: ImagenetNormalisation | None
) -> ModelBundle:
    statistics = record.statistics
    if not statistics:
        raise TrainingError("the patch set has no statistics: its training split has no pixel")
    return ModelBundle(
        arch=options.arch,
        encoder=str(options.encoder),
        legend=record.legend,
        bands=record.bands,
        band_names=record.band_names,
        dtype=record.dtype,
        value_range=(min(statistics["p2"]), max(statistics["p98"])),
        normalisation=_normalisation(record, wanted),
        patch_size=record.size,
        gsd=record.gsd,
    )


def _normalisation(record: PatchSetRecord, wanted: ImagenetNormalisation | None) -> Normalisation:
    """What the encoder's weights want for 8-bit pictures, else the patch set's own."""
    if wanted is None or record.dtype != "uint8":
        return Normalisation.from_statistics(record.statistics)
    bands, top = range(record.bands), 255.0
    return Normalisation(
        mean=tuple(wanted.mean[band % 3] * top for band in bands),
        std=tuple(wanted.std[band % 3] * top for band in bands),
    )


def _encoder(options: TrainOptions) -> str:
    return options.encoder or packaged_encoder(options.encoder_weights) or DEFAULT_ENCODER


def _check_size(network: nn.Module, size: int, options: TrainOptions) -> None:
    divisor = size_divisor(network)
    if size % divisor:
        near = sorted({max(size // divisor, 1) * divisor, (size // divisor + 1) * divisor})
        raise TrainingError(
            f"the patches are {size} px, and {options.arch} with {options.encoder} needs a "
            f"multiple of {divisor}: tile with --patch-size {' or '.join(map(str, near))}"
        )


def _silence_lightning() -> None:
    """Its advice is for those who write training loops."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", module="torch")
