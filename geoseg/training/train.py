"""The training step: a patch set in, a run folder with a model bundle out."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning
from torch import nn

from geoseg.errors import BundleError, GeosegError, TrainingError
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.model.bundle import ModelBundle
from geoseg.model.mlm import write_bundle_item
from geoseg.model.network import load_network, parameter_count, save_network
from geoseg.model.segmenter import Segmenter
from geoseg.model.torch_runtime import choose_device, choose_precision
from geoseg.patches.joined import without_seen
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import ClassShares, warn_of_few_labels
from geoseg.patches.training_ground import TrainingGround
from geoseg.prediction.patches import stitched_confusion
from geoseg.raster.atomic import refuse_existing, staged, writing
from geoseg.raster.folders import MODEL, TRAINING, locked_once
from geoseg.raster.threads import core_count
from geoseg.training.calibration import Calibration, calibrate
from geoseg.training.callbacks import (
    EarlyStopping,
    MovingAverage,
    Progress,
    Record,
    check_loggers,
    make_loggers,
)
from geoseg.training.data import PatchDataset, TrainingSamples, make_loader
from geoseg.training.distributed import (
    check_launched,
    is_first,
    rank,
    share_machine,
    with_sync_batchnorm,
)
from geoseg.training.losses import class_weights, make_loss
from geoseg.training.options import LOWEST, TrainOptions
from geoseg.training.run_folder import (
    RESTART_ADVICE,
    Row,
    check_checkpoint,
    check_resumable,
    check_unlabelled,
    draw_curves,
    draw_validation,
    named_folders,
    run_record,
    start_folder,
    update_record,
    versions,
    with_resolved_auto,
)
from geoseg.training.start import initial_state, resolve
from geoseg.training.task import SegmentationTask, TimeLimit, check_warmup, schedule_callbacks
from geoseg.training.tuning import find_batch_size, find_lr, make_trainer, translate_errors


@dataclass(frozen=True)
class TrainReport:
    """Result of a training."""

    model: Path
    best: Row
    """Bundle and metrics of the best epoch."""

    epochs: int
    """Completed epochs."""

    interrupted: bool
    timed_out: bool = False
    stopped_early: bool = False
    """Whether the user, `max_time` or early stopping ended it."""

    calibration: Calibration | None = None
    """Of the scores; None without validation patches."""

    notes: tuple[str, ...] = ()
    """What happened to the weights of another model, and to the scores."""

    warnings: tuple[str, ...] = ()
    """What the user should know."""

    def _repr_html_(self) -> str:
        """Metrics of the best epoch, and pictures of validation, for notebooks."""
        from geoseg.labels.style import card, figure_picture, iou_rows

        names = ("train_loss", "val_loss", "val_miou")
        told = ", ".join(f"{name} {self.best[name]:.3f}" for name in names if name in self.best)
        return card(
            str(self.model),
            [f"best of {self.epochs} epochs is {self.best['epoch']}: {told}"],
            rows=iou_rows(self.best),
            legend=ModelBundle.load(self.model).legend if self.model.is_dir() else None,
            picture=figure_picture(self.model.parent / "validation.png"),
        )


def train(
    patches: Path | PatchSet,
    run: Path,
    *,
    options: TrainOptions,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    warn: Callable[[str], None] = lambda _: None,
) -> TrainReport:
    """Train a network on a patch set.

    Args:
        patches: The patch set, or its folder.
        run: Folder to write: bundle, history, curves, pictures, options, checkpoint.
        options: How it is trained.
        resume: Continue after the last complete epoch of an earlier training in ``run``.
        overwrite: Replace an earlier training.
        quiet: Show no progress bar.
        warn: Receives each warning before the training begins.

    Raises:
        TrainingError: If the options do not fit each other or the patches, or the training
            diverged; the best model before that is kept.
        PatchSetError: If the patch set is damaged.
        OutputExistsError: If ``run`` exists and is neither resumed nor replaced, or another
            process is training in it.
        KeyboardInterrupt: If the user stops it before its first epoch is complete.
    """
    training, options = prepare(patches, run, options=options, resume=resume, overwrite=overwrite)
    patch_set = training.patch_set
    for warning in training.warnings if is_first() else ():
        warn(warning)
    with locked_once(run) if is_first() else nullcontext():
        if resume and is_first():
            update_record(run, options=options.to_record(), ended=None)
        elif is_first():
            record = run_record(patch_set, options, parameter_count(training.network))
            record["unlabelled"] = training.samples.contents
            start_folder(run, record, overwrite=overwrite)
        if found := training.resolve_auto():
            update_record(run, found=found)
        interrupted = training.fit(resume=resume, quiet=quiet)
        return _report(training, interrupted=interrupted)


def prepare(
    patches: Path | PatchSet,
    run: Path | None,
    *,
    options: TrainOptions,
    resume: bool = False,
    overwrite: bool = False,
) -> tuple["Training", TrainOptions]:
    """Check that a training can begin, as `train` does, and set it up; nothing is written.

    Without a run folder, none is checked.

    Returns:
        The training, and the resolved options, without batch size and rate of an earlier run.
    """
    patch_set = patches if isinstance(patches, PatchSet) else PatchSet.open(patches)
    options = resolve(options)
    if options.init_from is not None:
        ground = ModelBundle.load(options.init_from).training_ground
        patch_set = without_seen(patch_set, ground, options.init_from) if ground else patch_set
    check_launched(options.devices)
    check_warmup(options)
    chosen = options
    if run is not None and resume:
        check_resumable(run, options, patch_set)
        refuse_existing(run / "model", overwrite=True, kind=MODEL)  # a better one replaces it
        chosen = with_resolved_auto(run, options)
    elif run is not None and is_first():
        refuse_existing(run, overwrite=overwrite, kind=TRAINING)
    if chosen.batch_size is not None:
        chosen.own_batch_size()
    if chosen.devices > 1 and None in (chosen.batch_size, chosen.lr):
        raise TrainingError(
            "--batch-size auto and --lr auto are found by one process: train without "
            "--devices first, and give here what its run.json says under `found`"
        )
    check_loggers(chosen.loggers)
    training = Training(patch_set, run or Path(), chosen)
    if run is not None and resume:
        check_unlabelled(run, training.samples.contents)
    return training, options


class Training:
    """Network, data and callbacks of a training, ready to fit; nothing is written yet."""

    def __init__(self, patch_set: PatchSet, run: Path, options: TrainOptions) -> None:
        lightning.seed_everything(options.seed, verbose=False)
        self.device = choose_device(options.device)
        choose_precision(options.precision, self.device)
        share_machine(options.devices, self.device)
        self.patch_set = patch_set
        self.run = run
        self.options = options
        self._build_network()
        sets = len(patch_set.parts)
        if options.weights is not None and len(options.weights) != sets:
            raise TrainingError(
                f"--weights has {len(options.weights)} shares, and there are {sets} patch sets"
            )
        self.train_patches = patch_set.in_split("train")
        self.val_patches = patch_set.in_split("val")
        if not self.train_patches:
            raise TrainingError(f"{patch_set.folder}: no patch is in the training split")
        record = patch_set.record
        weights = class_weights(options.class_weights, record.legend.names, record.class_pixels)
        counted = (weights > 0).tolist()
        self.samples = TrainingSamples(patch_set, options)
        self.warnings = [*self._check_data(counted), *self.samples.warnings]
        self.limit = None if options.max_time is None else TimeLimit(options.max_time)
        self.record = Record(
            run,
            record.legend.names,
            monitor=f"val_{options.monitor}",
            save_model=self._save_model,
            is_finite=self._is_finite,
        )
        patience = options.early_stopping if self.val_patches else 0
        self.early_stopping = EarlyStopping(self.record, patience or 0)
        self.averaging: MovingAverage | None = None
        self.task = SegmentationTask(
            self.network,
            make_loss(options.loss, weights, label_smoothing=options.label_smoothing),
            self.bundle.normalisation,
            classes=len(record.legend),
            options=options,
            counted=counted,
            limit=self.limit,
            count=self._stitched_confusion if options.validate_stitched else None,
        )

    def _build_network(self) -> None:
        """The network with its initial weights, and the bundle and ground that go with it."""
        options, record = self.options, self.patch_set.record
        state = initial_state(record, options)
        self.network, self.bundle, self.notes = state.network, state.bundle, list(state.notes)
        try:
            self.bundle.check_record()
        except BundleError as error:
            raise TrainingError(
                f"{self.patch_set.folder}: {error}; make the patches again"
            ) from error
        if options.devices > 1 and self.device.type == "cuda":
            self.network = with_sync_batchnorm(self.network)
        self.ground = TrainingGround.of(record, self.patch_set.patches)
        if state.origin is not None:
            self.ground = self.ground.joined(state.origin.training_ground)

    def _check_data(self, counted: list[bool]) -> list[str]:
        """Warnings about splits, rare or unlabelled classes with a weight, and a frozen encoder."""
        options, legend = self.options, self.patch_set.record.legend
        warnings = [*self.patch_set.notes]
        if not self.val_patches:
            warnings.append(
                "the patch set has no validation split; the model of the last epoch is kept"
            )
        names = [name for name, counts in zip(legend.names, counted, strict=True) if counts]
        shares = ClassShares.of(self.patch_set.patches, legend)
        warnings += [*shares.warnings(names), *warn_of_few_labels(shares.labelled)]
        if options.freeze_encoder and not options.init_from and options.encoder_weights == "none":
            warnings.append("the encoder is frozen with random weights")
        return warnings

    def resolve_auto(self) -> dict[str, Any]:
        """Find the batch size and the learning rate that are set to ``auto``.

        Returns:
            Options by name, to be kept for `--resume`, and ``lr_seconds``.
        """
        found = self.resolve_batch_size()
        if self.options.lr is None:
            found["lr"], found["lr_seconds"] = self._find_lr()
            self._set(lr=found["lr"])
        return found

    def resolve_batch_size(self) -> dict[str, Any]:
        """Find the batch size that fits into memory, if it is set to ``auto``."""
        if self.options.batch_size is not None:
            return {}
        size = find_batch_size(
            self.task,
            bands=self.patch_set.record.bands,
            size=self.patch_set.record.size,
            device=self.device,
            patches=self.options.samples_per_epoch or len(self.train_patches),
        )
        self._set(batch_size=size)
        return {"batch_size": size}

    def _set(self, **found: Any) -> None:
        self.options = self.task.options = replace(self.options, **found)
        self.task.lr = self.options.lr or LOWEST

    def _find_lr(self) -> tuple[float, float]:
        """The learning rate, and the seconds it took to find; they count as training time."""
        started = time.monotonic()
        picture = self.run / "lr_finder.png"
        with translate_errors(self.options):
            batches, _ = self.loaders()
            lr = find_lr(self.task, batches, self.options, self.device, picture=picture)
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
        """Train; return whether the user stopped it."""
        self.averaging = MovingAverage() if self.options.average == "ema" else None
        monitored = self.val_patches and self.options.monitor != "last"
        monitor = self.record.monitor if monitored else None
        callbacks = [
            Progress(self.run.name, self.limit, quiet=quiet),
            *schedule_callbacks(self.options, self.network, self.limit, monitor=monitor),
            *([] if self.averaging is None else [self.averaging]),
            *(self.record, self.early_stopping),
        ]
        loggers = make_loggers(self.options, self.run) if is_first() else []
        checkpoint = self.record.checkpoint
        found = resume and checkpoint.exists()
        # a validation of the model that it begins with, which epochs have to beat
        before = -1 if self.options.unlabelled and not found else 0
        how: dict[str, Any] = {"loggers": loggers, "num_sanity_val_steps": before}
        trainer = make_trainer(self.options, self.device, callbacks, **how)
        done = check_checkpoint(checkpoint, self.task) if found else 0
        loaders = self.loaders(first_epoch=done)
        if self.options.compile:
            self.network.compile()
        try:
            with translate_errors(self.options), writing(self.run):
                ckpt_path = checkpoint if found else None
                trainer.fit(self.task, *loaders, ckpt_path=ckpt_path, weights_only=True)
        except KeyboardInterrupt:
            return True
        except (GeosegError, MemoryError):
            raise
        except Exception as error:
            if not found or self.record.is_running:
                raise
            # Lightning does not check the parts of a checkpoint: any exception is possible
            raise TrainingError(
                f"{checkpoint}: is not the checkpoint of this training; {RESTART_ADVICE}"
            ) from error
        return False

    def loaders(self, *, first_epoch: int = 0) -> tuple[Any, Any]:
        """Training batches, from an epoch on, and validation batches if there are any."""
        options = self.options
        workers = options.workers
        if workers is None:
            workers = min(core_count() // 2, 4)
        common: dict[str, Any] = {"batch_size": options.own_batch_size(), "workers": workers}
        training = self.samples.loader(first_epoch=first_epoch, **common)
        if not self.val_patches:
            return training, None
        val_set = PatchDataset(self.patch_set, self.val_patches, augment="none", seed=0)
        common["shard"] = rank(), options.devices
        return training, make_loader(val_set, shuffle=False, **common)

    def _is_finite(self) -> bool:
        """Whether all weights and batch statistics are finite, and their averages too."""
        finite = _all_finite(self.network)
        if self.averaging is not None:
            with self.averaging.applied(self.task):
                finite = finite and _all_finite(self.network)
        return finite

    def _stitched_confusion(self, segmenter: Segmenter) -> ConfusionMatrix:
        return stitched_confusion(segmenter, self.bundle, self.patch_set)

    def _save_model(self, row: Row) -> None:
        """Write the network as it is now into the bundle."""
        statistics = self.patch_set.record.statistics
        summary = {
            "patches": named_folders(self.patch_set),
            "training_patches": len(self.train_patches),
            "validation_patches": len(self.val_patches),
            "unlabelled_windows": self.samples.unlabelled_windows,
            "statistics": {name: statistics[name] for name in ("mean", "std")},
            "options": self.options.to_record(),
            "best_epoch": row,
            "versions": versions(),
        }
        with staged(self.run / "model", overwrite=True, kind=MODEL) as folder:
            folder.mkdir()
            with self.averaging.applied(self.task) if self.averaging else nullcontext():
                save_network(self.network, folder)
            self.ground.write(folder)
            bundle = replace(self.bundle, training=summary, folder=folder)
            bundle.write_record(folder)
            write_bundle_item(bundle)

    def calibrate(self) -> Calibration | None:
        """Calibrate the scores of the model that is kept, which the network has; note it there."""
        task, folder = self.task.to(self.device), self.run / "model"
        found = calibrate(task, self.patch_set, self.val_patches, seed=self.options.seed)
        if found is not None:
            bundle = ModelBundle.load(folder)
            summary = dict(bundle.training) | {"calibration": asdict(found)}
            own: dict[str, Any] = {"temperature": found.temperature, "thresholds": found.thresholds}
            bundle = replace(bundle, **own, training=summary)
            bundle.write_record(folder)
            write_bundle_item(bundle)
            update_record(self.run, calibration=asdict(found))
        return found

    @property
    def end(self) -> str:
        """What ended a training that the user did not interrupt."""
        if self.record.diverged:
            return "divergence"
        if self.limit is not None and self.limit.reached:
            return "time"
        return "patience" if self.early_stopping.is_over else "epochs"


def _all_finite(network: nn.Module) -> bool:
    return all(bool(value.isfinite().all()) for value in network.state_dict().values())


def _report(training: Training, *, interrupted: bool) -> TrainReport:
    """Write curves, pictures and the end of the run record."""
    run, record = training.run, training.record
    if record.best is None and interrupted:
        raise KeyboardInterrupt
    ended = None if interrupted else training.end
    advice = ". Use a lower --lr, or --clip 1" if record.diverged else ""
    if record.best is None:
        if record.diverged and is_first():
            update_record(run, ended=ended)
        state = record.diverged or "stopped before the first epoch was complete"
        raise TrainingError(f"{run}: the training {state}; there is no model{advice}")
    calibration = None
    if is_first():
        update_record(run, ended=ended)
        draw_curves(run / "curves.png", record.rows)
        training.network.load_state_dict(load_network(run / "model").state_dict())
        calibration = training.calibrate()
        picture, val_patches = run / "validation.png", training.val_patches
        draw_validation(picture, training.task, training.patch_set, val_patches)
    if record.diverged:
        raise TrainingError(
            f"{run}: the training {record.diverged}; the model of epoch {record.best['epoch']}, "
            f"the best before, is kept in {run / 'model'}{advice}"
        )
    return TrainReport(
        run / "model",
        record.best,
        record.epochs,
        interrupted,
        timed_out=ended == "time",
        stopped_early=ended == "patience",
        calibration=calibration,
        notes=(*training.notes, *record.notes, *([calibration.sentence] if calibration else [])),
        warnings=tuple(training.warnings),
    )
