"""``geoseg train``: a patch set becomes a model bundle."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from geoseg.commands import options
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
    loss: Annotated[Literal["ce", "dice", "ce+dice"], typer.Option(help="Loss.")] = "ce",
    class_weights: Annotated[
        Literal["auto", "inverse", "none"],
        typer.Option(help="Of cross-entropy: median frequency, all/own pixels, or 1."),
    ] = "auto",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the patches, at most.")] = 20,
    batch_size: Annotated[int, typer.Option(min=1, help="Patches per step.")] = 10,
    lr: Annotated[float, typer.Option(min=1e-9, help="Highest learning rate.")] = 1e-3,
    optimizer: Annotated[Literal["adam", "adamw", "sgd"], typer.Option(help="Optimiser.")] = "adam",
    schedule: Annotated[
        Literal["constant", "cosine"], typer.Option(help="Course of the learning rate.")
    ] = "cosine",
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
        loss=loss,
        class_weights=class_weights,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        optimizer=optimizer,
        schedule=schedule,
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
            f"{', '.join(figures)}"
        )
    if report.interrupted:
        talk.say("interrupted; the best model so far is kept, --resume goes on")
        raise typer.Exit(INTERRUPTED)
