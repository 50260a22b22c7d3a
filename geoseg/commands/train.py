"""``geoseg train``: a patch set becomes a model bundle."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from geoseg.commands import options
from geoseg.commands.console import Talk, echo, in_bytes, in_time, print_json
from geoseg.commands.options import check, parse_count, parse_duration, parse_loggers, parse_rate
from geoseg.errors import TrainingError
from geoseg.raster.folders import TRAINING
from geoseg.raster.guard import Output

if TYPE_CHECKING:
    from geoseg.training.cross_validation import FoldsReport
    from geoseg.training.rehearsal import TrainPlan
    from geoseg.training.train import TrainReport


INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

FIGURES = {
    "val_miou": "validation mIoU",
    "val_loss": "validation loss",
    "train_loss": "training loss",
}
"""Columns of the history, as people call them."""


def train(
    patches: Annotated[Path, typer.Argument(help="Patch set of `geoseg tile`.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Run folder to write.", show_default=False),
    ] = None,
    *,
    preview: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG",
            help="Draw samples as the training sees them; without --output do no more.",
        ),
    ] = None,
    arch: Annotated[str, typer.Option(help="Architecture, smp's name.")] = "unet",
    encoder: Annotated[
        str | None,
        typer.Option(help="Encoder, smp's name [default: the packaged weights', else resnet18]."),
    ] = None,
    encoder_weights: Annotated[
        str,
        typer.Option(
            help="none, imagenet (hub), package:lite0|lite1|lite2, or a file; auto: package:lite0 "
            "where geoseg[pretrained] is installed and no --encoder is named, else none."
        ),
    ] = "auto",
    init_from: Annotated[
        Path | None,
        typer.Option(
            help="Bundle or run to begin with; classes and bands are found by name, others are new."
        ),
    ] = None,
    freeze_encoder: Annotated[
        int, typer.Option(min=0, metavar="N", help="Epochs in which the encoder does not learn.")
    ] = 0,
    encoder_lr: Annotated[
        float,
        typer.Option(min=1e-9, max=1e9, metavar="FACTOR", help="Of the encoder's learning rate."),
    ] = 1.0,
    loss: Annotated[
        str,
        typer.Option(
            help="ce, focal, dice, jaccard, lovasz, tversky, or a sum such as ce:0.5+dice:0.5."
        ),
    ] = "ce:0.5+dice:0.5",
    label_smoothing: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share of the truth that ce spreads.")
    ] = 0.0,
    class_weights: Annotated[
        str,
        typer.Option(
            help="Of ce and focal: auto (median frequency), inverse (all/own pixels), effective, "
            "none, or background=0,rock=20 (others 1; 0 leaves a class out)."
        ),
    ] = "none",
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Passes over the patches, at most [default: 20; any with --max-time]."
        ),
    ] = None,
    max_time: Annotated[
        Any,
        typer.Option(
            parser=parse_duration,
            metavar="10m",
            help="Train so long, validation included; the schedule is fitted to it.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        Any,
        typer.Option(
            parser=parse_count,
            metavar="N|auto",
            help="Patches per step; auto: what fits into memory.",
        ),
    ] = "10",
    lr: Annotated[
        Any,
        typer.Option(
            parser=parse_rate, metavar="RATE|auto", help="Highest learning rate; auto: tried out."
        ),
    ] = "0.002",
    optimizer: Annotated[
        Literal["adam", "adamw", "sgd", "asgd"], typer.Option(help="Optimiser.")
    ] = "adamw",
    weight_decay: Annotated[
        float | None, typer.Option(min=0, max=1e9, help="[default: 0.01 for adamw, else 0].")
    ] = None,
    schedule: Annotated[
        Literal["constant", "plateau", "cosine", "one-cycle", "poly"],
        typer.Option(help="Course of the learning rate."),
    ] = "cosine",
    warmup: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1e9,
            metavar="EPOCHS",
            help="Rise of the rate [default: 5 % of the training for cosine, 30 % for one-cycle].",
        ),
    ] = None,
    clip: Annotated[
        float | None,
        typer.Option(min=1e-9, max=1e9, metavar="NORM", help="Highest norm of the gradient."),
    ] = None,
    accumulate: Annotated[int, typer.Option(min=1, help="Batches that make a step.")] = 1,
    average: Annotated[
        Literal["none", "ema"],
        typer.Option(help="Keep a moving average of the weights (ema)."),
    ] = "none",
    augment: Annotated[
        str,
        typer.Option(
            metavar="NAME[:STRENGTH][,...]",
            help="Random changes: none, flips, d4 (turns as well), light, strong, or a list of "
            "these and of rotation (degrees), scale:0.8-1.25, shear (degrees), crop:0.5 (of the "
            "side), brightness, contrast, saturation, gamma, noise (shares of a band's range), "
            "blur (pixels), band-dropout, erasing (probabilities), mixup, cutmix (Beta).",
        ),
    ] = "light",
    oversample: Annotated[
        str | None,
        typer.Option(
            metavar="rare|CLASS=FACTOR[,...]",
            help="Take patches with rare classes, or with these, more often.",
        ),
    ] = None,
    samples_per_epoch: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Patches of an epoch [default: all, once each]."),
    ] = None,
    jitter: Annotated[
        bool | None,
        typer.Option(
            help="Windows anywhere instead of on the lattice [default: of sets that "
            "`tile --index-only` made; others cannot].",
        ),
    ] = None,
    early_stopping: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Epochs without a better one before stopping; 0: never [default: 10; 0 with "
            "--max-time].",
        ),
    ] = None,
    monitor: Annotated[
        Literal["loss", "miou"], typer.Option(help="Which validation figure makes the best model.")
    ] = "miou",
    seed: options.Seed = 0,
    device: options.Device = "auto",
    devices: Annotated[
        int, typer.Option(min=1, metavar="N", help="Processes that share every batch.")
    ] = 1,
    strategy: Annotated[
        Literal["auto", "ddp"], typer.Option(help="How several devices share the work.")
    ] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        typer.Option(help="Of the arithmetic; auto: the fastest of the hardware."),
    ] = "auto",
    compile_network: Annotated[
        bool, typer.Option("--compile", help="Compile the network first; pays in long trainings.")
    ] = False,
    folds: Annotated[
        int | None,
        typer.Option(min=2, metavar="K", help="Train K models, each without a part of the ground."),
    ] = None,
    validate_stitched: Annotated[
        bool,
        typer.Option("--validate-stitched", help="Validate on blended maps instead of windows."),
    ] = False,
    logger: Annotated[
        list[Any] | None,
        typer.Option(
            parser=parse_loggers,
            metavar="NAME[,NAME]",
            help="Tell csv, tensorboard, mlflow or wandb as well; may be repeated.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that read [default: half the processors, at most 4]."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after the last complete epoch, if there is one.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Make a few steps; say how many there are, their time and memory; write nothing.",
        ),
    ] = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a segmentation network on a patch set."""
    _refuse_contradictions(output, preview, resume=resume, overwrite=overwrite, dry_run=dry_run)
    if encoder_weights == "imagenet":
        from geoseg.model.weights import DEFAULT_ENCODER, check_hub

        check_hub(encoder or DEFAULT_ENCODER)
    from geoseg.prediction.stitched import stitched_confusion
    from geoseg.training.cross_validation import train_folds
    from geoseg.training.distributed import is_first
    from geoseg.training.options import TrainOptions
    from geoseg.training.pictures import draw_samples
    from geoseg.training.rehearsal import rehearse
    from geoseg.training.train import train

    _check_augment(augment)
    choices = TrainOptions(
        arch=arch,
        encoder=encoder,
        encoder_weights=encoder_weights,
        init_from=None if init_from is None else str(_origin(init_from)),
        freeze_encoder=freeze_encoder,
        encoder_lr=encoder_lr,
        loss=loss,
        label_smoothing=label_smoothing,
        class_weights=class_weights,
        epochs=epochs,
        max_time=max_time,
        batch_size=None if batch_size == "auto" else batch_size,
        lr=None if lr == "auto" else lr,
        optimizer=optimizer,
        weight_decay=weight_decay,
        schedule=schedule,
        warmup=warmup,
        clip=clip,
        accumulate=accumulate,
        average=average,
        augment=augment,
        oversample=oversample,
        samples_per_epoch=samples_per_epoch,
        jitter=jitter,
        early_stopping=early_stopping,
        monitor=monitor,
        seed=seed,
        device=device,
        devices=devices,
        strategy=strategy,
        validate_stitched=validate_stitched,
        precision=precision,
        compile=compile_network,
        loggers=tuple(name for names in logger or () for name in names),
        workers=workers,
    )
    talk = Talk(quiet=quiet, verbose=verbose)
    talk.detail(str(choices))
    goes_on = resume and _has_begun(output, talk)
    outputs = _outputs(output, preview, resume=goes_on)
    check(outputs, [patches, init_from, encoder_weights], overwrite=overwrite or resume)
    if dry_run:
        plan = rehearse(
            *(patches, output),
            options=choices,
            folds=folds,
            resume=goes_on,
            overwrite=overwrite,
        )
        _print_plan(plan, talk, json=json)
        return
    if preview is not None and is_first():
        draw_samples(patches, preview, options=choices, overwrite=overwrite or resume)
        _say_drawn(preview, talk, alone=output is None)
    if output is None:
        return
    common: dict[str, Any] = {
        "options": choices,
        "validate": stitched_confusion if validate_stitched else None,
        "resume": goes_on,
        "overwrite": overwrite,
        "quiet": quiet,
        "warn": talk.warn,
    }
    if folds:
        together = train_folds(patches, output, folds=folds, **common)
        reports = together.runs
    else:
        together = None
        reports = (train(patches, output, **common),)
    if not is_first():
        return  # the first of several processes speaks for all
    for note in (note for report in reports for note in report.notes):
        talk.say(note)
    _print(reports, together, json=json)
    if reports[-1].interrupted:
        talk.say("interrupted; the best model so far is kept, --resume goes on")
        raise typer.Exit(INTERRUPTED)


def _origin(path: Path) -> Path:
    """The bundle that a training begins with: itself, or that of a run."""
    from geoseg.model.bundle import bundle_folders

    found = bundle_folders(path)
    if len(found) > 1:
        raise typer.BadParameter(
            f"{path} has {len(found)} models, of which one is needed, such as {found[0]}",
            param_hint="--init-from",
        )
    return found[0]


def _refuse_contradictions(
    output: Path | None, preview: Path | None, *, resume: bool, overwrite: bool, dry_run: bool
) -> None:
    if resume and overwrite:
        raise typer.BadParameter("contradicts --overwrite", param_hint="--resume")
    if dry_run and preview is not None:
        raise typer.BadParameter("draws, and --dry-run writes nothing", param_hint="--preview")
    if output is None and preview is None and not dry_run:
        raise typer.BadParameter("name the run folder to write", param_hint="--output")


def _has_begun(run: Path | None, talk: Talk) -> bool:
    """Whether a run folder holds anything; a training may be killed before it does."""
    from geoseg.raster.atomic import is_vacant
    from geoseg.training.distributed import is_first

    if run is None or not is_vacant(run):
        return True
    if is_first():
        talk.say(f"{run}: there is nothing to resume; the training begins anew")
    return False


def _print_plan(plan: "TrainPlan", talk: Talk, *, json: bool) -> None:
    for note in plan.notes:
        talk.say(note)
    for warning in plan.warnings:
        talk.warn(warning)
    if json:
        print_json(asdict(plan))
        return
    shares = ", ".join(f"{name} {share:.1%}" for name, share in plan.classes.items())
    folds = f"{plan.trainings} trainings of " if plan.trainings > 1 else ""
    epochs = "epochs until the time is over" if plan.epochs is None else f"{plan.epochs} epochs"
    times = (
        f"{plan.seconds_per_step:.2g} s a step, {plan.seconds_per_validation:.2g} s a validation"
    )
    memory = f"{in_bytes(plan.memory)}, of {in_bytes(plan.free_memory)} that were free"
    lines = {
        "patches": f"{plan.training_patches:,} to train, {plan.validation_patches:,} to validate",
        "classes": f"{shares} of the labelled pixels to train on",
        "network": f"{plan.network}, {plan.parameters:,} parameters",
        "machine": f"{plan.device} in {plan.precision}",
        "steps": f"{folds}{epochs}, {plan.steps_per_epoch:,} each, batches of {plan.batch_size}",
        "time": f"{times}, at most {in_time(plan.seconds)} in all",
        "memory": memory,
    }
    for title, line in lines.items():
        echo(f"{title + ':':<9}{line}")


def _outputs(run: Path | None, preview: Path | None, *, resume: bool) -> list[Output]:
    """What the first of several processes writes; a run that is resumed is added to."""
    from geoseg.training.distributed import is_first

    if not is_first():
        return []
    runs = [] if run is None or resume else [Output(run, TRAINING)]
    return runs if preview is None else [*runs, Output(preview)]


def _check_augment(text: str) -> None:
    """See that the changes are known and possible."""
    from geoseg.training.augment import Augmentation

    try:
        Augmentation.parse(text)
    except TrainingError as error:
        raise typer.BadParameter(str(error), param_hint="--augment") from error


def _say_drawn(preview: Path, talk: Talk, *, alone: bool) -> None:
    if alone:
        echo(str(preview))
    else:
        talk.say(f"{preview}: samples as the training sees them")


def _print(reports: Sequence["TrainReport"], together: "FoldsReport | None", *, json: bool) -> None:
    if json:
        print_json(_as_json(reports[0]) if together is None else _folds_as_json(together))
        return
    for report in reports:
        echo(_line(report))
    if together is not None:
        echo(_mean_line(together))


def _line(report: "TrainReport") -> str:
    figures = [
        f"{label} {report.best[name]:.3f}" for name, label in FIGURES.items() if name in report.best
    ]
    end = " (the time was over)" if report.timed_out else ""
    if report.stopped_early:
        end = " (no better one came: stopped early)"
    return (
        f"{report.model}: best of {report.epochs} epochs is {report.best['epoch']}: "
        f"{', '.join(figures)}{end}"
    )


def _mean_line(report: "FoldsReport") -> str:
    figures = [
        f"{label} {report.mean[name]:.3f} ± {report.deviation.get(name, 0):.3f}"
        for name, label in FIGURES.items()
        if name in report.mean
    ]
    return f"mean of {len(report.runs)} folds: {', '.join(figures)}"


def _as_json(report: "TrainReport") -> dict[str, Any]:
    return asdict(report) | {"model": str(report.model)}


def _folds_as_json(report: "FoldsReport") -> dict[str, Any]:
    return {
        "runs": [_as_json(each) for each in report.runs],
        "mean": report.mean,
        "deviation": report.deviation,
    }
