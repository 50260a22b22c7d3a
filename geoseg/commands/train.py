"""``geoseg train``: a patch set becomes a model bundle."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from geoseg.commands import options
from geoseg.commands.parsing import parse_duration
from geoseg.commands.talk import Talk, print_json

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def train(
    patches: Annotated[Path, typer.Argument(help="Patch set of `geoseg tile`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to write.")],
    *,
    arch: Annotated[str, typer.Option(help="Architecture, smp's name.")] = "unet",
    encoder: Annotated[
        str | None,
        typer.Option(help="Encoder, smp's name [default: resnet18, or the packaged weights']."),
    ] = None,
    encoder_weights: Annotated[
        str, typer.Option(help="none, imagenet (hub), package:lite0|lite1|lite2, or a file.")
    ] = "none",
    init_from: Annotated[
        Path | None,
        typer.Option(help="Bundle to begin with; other classes and bands are adapted."),
    ] = None,
    freeze_encoder: Annotated[
        int, typer.Option(min=0, metavar="N", help="Epochs in which the encoder does not learn.")
    ] = 0,
    encoder_lr: Annotated[
        float, typer.Option(min=1e-9, metavar="FACTOR", help="Of the encoder's learning rate.")
    ] = 1.0,
    loss: Annotated[
        str,
        typer.Option(
            help="ce, focal, dice, jaccard, lovasz, tversky, or a sum such as ce:0.5+dice:0.5."
        ),
    ] = "ce",
    label_smoothing: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share of the truth that ce spreads.")
    ] = 0.0,
    class_weights: Annotated[
        str,
        typer.Option(
            help="Of ce and focal: auto (median frequency), inverse (all/own pixels), effective, "
            "none, or background=0,rock=20 (others 1; 0 leaves a class out)."
        ),
    ] = "auto",
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
    batch_size: Annotated[int, typer.Option(min=1, help="Patches per step.")] = 10,
    lr: Annotated[float, typer.Option(min=1e-9, help="Highest learning rate.")] = 1e-3,
    optimizer: Annotated[
        Literal["adam", "adamw", "sgd", "asgd"], typer.Option(help="Optimiser.")
    ] = "adam",
    weight_decay: Annotated[
        float | None, typer.Option(min=0, help="[default: 0.01 for adamw, else 0].")
    ] = None,
    schedule: Annotated[
        Literal["constant", "plateau", "cosine", "one-cycle", "poly"],
        typer.Option(help="Course of the learning rate."),
    ] = "cosine",
    warmup: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="EPOCHS",
            help="Rise of the rate [default: 5 % of the training for cosine, 30 % for one-cycle].",
        ),
    ] = None,
    clip: Annotated[
        float | None, typer.Option(min=1e-9, metavar="NORM", help="Highest norm of the gradient.")
    ] = None,
    accumulate: Annotated[int, typer.Option(min=1, help="Batches that make a step.")] = 1,
    average: Annotated[
        Literal["none", "ema", "swa"],
        typer.Option(help="Keep a moving average of the weights, or the mean of the last epochs'."),
    ] = "none",
    augment: Annotated[
        Literal["none", "flips", "d4"], typer.Option(help="Mirror images, or turns as well.")
    ] = "d4",
    early_stopping: Annotated[
        int, typer.Option(min=0, help="Epochs without a better one before stopping; 0: never.")
    ] = 10,
    monitor: Annotated[
        Literal["loss", "miou"], typer.Option(help="Which validation figure makes the best model.")
    ] = "loss",
    seed: options.Seed = 0,
    device: options.Device = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that read [default: half the processors, at most 4]."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after the last complete epoch.")
    ] = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a segmentation network on a patch set."""
    from geoseg import training

    choices = training.TrainOptions(
        arch=arch,
        encoder=encoder,
        encoder_weights=encoder_weights,
        init_from=None if init_from is None else str(init_from),
        freeze_encoder=freeze_encoder,
        encoder_lr=encoder_lr,
        loss=loss,
        label_smoothing=label_smoothing,
        class_weights=class_weights,
        epochs=epochs,
        max_time=max_time,
        batch_size=batch_size,
        lr=lr,
        optimizer=optimizer,
        weight_decay=weight_decay,
        schedule=schedule,
        warmup=warmup,
        clip=clip,
        accumulate=accumulate,
        average=average,
        augment=augment,
        early_stopping=early_stopping,
        monitor=monitor,
        seed=seed,
        device=device,
        workers=workers,
    )
    talk = Talk(quiet=quiet, verbose=verbose)
    talk.detail(str(choices))
    report = training.train(
        patches, output, options=choices, resume=resume, overwrite=overwrite, quiet=quiet
    )
    for note in report.notes:
        talk.say(note)
    for warning in report.warnings:
        talk.warn(warning)
    if json:
        print_json(asdict(report) | {"model": str(report.model)})
    else:
        figures = [
            f"{label} {report.best[name]:.3f}"
            for name, label in (
                ("val_miou", "validation mIoU"),
                ("val_loss", "validation loss"),
                ("train_loss", "training loss"),
            )
            if name in report.best
        ]
        typer.echo(
            f"{report.model}: best of {report.epochs} epochs is {report.best['epoch']}: "
            f"{', '.join(figures)}{' (the time was over)' if report.timed_out else ''}"
        )
    if report.interrupted:
        talk.say("interrupted; the best model so far is kept, --resume goes on")
        raise typer.Exit(INTERRUPTED)
