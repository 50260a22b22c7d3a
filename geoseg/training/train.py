"""The step: a patch set in, a run folder with a model bundle out."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from geoseg.errors import TrainingError
from geoseg.model.network import load_network, parameter_count
from geoseg.patches.patch_set import PatchSet
from geoseg.raster.atomic import refuse_existing
from geoseg.raster.folders import MODEL, TRAINING, locked_once
from geoseg.training.callbacks import Record, check_loggers
from geoseg.training.distributed import check_launched, is_first
from geoseg.training.options import TrainOptions
from geoseg.training.pictures import draw_validation
from geoseg.training.run_folder import (
    Row,
    check_resumable,
    draw_curves,
    run_record,
    start_folder,
    update_record,
    with_found,
)
from geoseg.training.schedule import check_course
from geoseg.training.session import Training
from geoseg.training.start import resolve


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

    stopped_early: bool = False
    """Whether it ended as its last epochs were no better."""

    notes: tuple[str, ...] = ()
    """What became of the weights of another model."""

    warnings: tuple[str, ...] = ()
    """What the user should know."""


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
        run: Folder to write: the bundle, history, curves, pictures, options, checkpoint.
        options: How.
        resume: Go on after the last complete epoch of an earlier training in ``run``.
        overwrite: Replace an earlier training.
        quiet: No progress bar.
        warn: Is told what the user should know, before the training begins.

    Raises:
        TrainingError: If the options do not fit each other or the patches, or the training
            diverged; the best model before is kept.
        PatchSetError: If the patch set is damaged.
        OutputExistsError: If ``run`` exists and is neither to be resumed nor replaced, or another
            process is training in it.
        KeyboardInterrupt: If the user stops it before its first epoch is complete.
    """
    training, options = prepare(patches, run, options=options, resume=resume, overwrite=overwrite)
    patch_set = training.patch_set
    for warning in training.warnings if is_first() else ():
        warn(warning)
    with locked_once(run) if is_first() else nullcontext():
        if resume and is_first():
            update_record(run, options=asdict(options), ended=None)
        elif is_first():
            record = run_record(patch_set, options, parameter_count(training.network))
            start_folder(run, record, overwrite=overwrite)
        if found := training.settle():
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
) -> tuple[Training, TrainOptions]:
    """See that a training can begin, and put it together; nothing is written.

    Args:
        patches: The patch set, or its folder.
        run: Folder that will be written; None: that is not to be looked at.
        options: How.
        resume: Whether an earlier training is gone on with.
        overwrite: Whether an earlier training is replaced.

    Returns:
        The training, and the options as resolved, without what it had found for itself.

    Raises:
        TrainingError: If the options do not fit each other or the patches.
        PatchSetError: If the patch set is damaged.
        OutputExistsError: If ``run`` exists and is neither to be resumed nor replaced.
    """
    patch_set = patches if isinstance(patches, PatchSet) else PatchSet.open(patches)
    options = resolve(options)
    check_launched(options.devices)
    check_course(options)
    chosen = options
    if run is not None and resume:
        check_resumable(run, options, patch_set)
        refuse_existing(run / "model", overwrite=True, kind=MODEL)  # a better one replaces it
        chosen = with_found(run, options)
    elif run is not None and is_first():
        refuse_existing(run, overwrite=overwrite, kind=TRAINING)
    _check_possible(chosen)
    return Training(patch_set, run or Path(), chosen), options


def _end(training: Training) -> str:
    """What has ended a training that nobody interrupted."""
    if training.record.diverged:
        return "divergence"
    if training.limit is not None and training.limit.reached:
        return "time"
    return "patience" if training.patience.is_over else "epochs"


def _advice(record: Record) -> str:
    return ". Use a lower --lr, or --clip 1" if record.diverged else ""


def _check_possible(options: TrainOptions) -> None:
    """See, before anything is written, that a training can be as its options want it.

    Raises:
        TrainingError: If the processes cannot share a batch or find an option together, or the
            package of a logger is not installed.
    """
    if options.batch_size is not None:
        options.own_batch_size()
    if options.devices > 1 and None in (options.batch_size, options.lr):
        raise TrainingError(
            "--batch-size auto and --lr auto are found by one process: train without "
            "--devices first, and give here what its run.json says under `found`"
        )
    check_loggers(options.loggers)


def _report(training: Training, *, interrupted: bool) -> TrainReport:
    """Write what can be said at the end."""
    run, record = training.run, training.record
    if record.best is None and interrupted:
        raise KeyboardInterrupt
    ended = None if interrupted else _end(training)
    if record.best is None:
        if record.diverged and is_first():
            update_record(run, ended=ended)
        state = record.diverged or "stopped before the first epoch was complete"
        raise TrainingError(f"{run}: the training {state}; there is no model{_advice(record)}")
    if is_first():
        update_record(run, ended=ended)
        draw_curves(run / "curves.png", record.rows)
        training.network.load_state_dict(load_network(run / "model").state_dict())
        draw_validation(
            run / "validation.png", training.task, training.patch_set, training.val_patches
        )
    if record.diverged:
        raise TrainingError(
            f"{run}: the training {record.diverged}; the model of epoch {record.best['epoch']}, "
            f"the best before, is kept in {run / 'model'}{_advice(record)}"
        )
    return TrainReport(
        run / "model",
        record.best,
        len(record.rows),
        interrupted,
        timed_out=ended == "time",
        stopped_early=ended == "patience",
        notes=tuple(training.notes),
        warnings=tuple(training.warnings),
    )
