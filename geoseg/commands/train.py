"""``geoseg train``: a patch set becomes a model bundle."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import check, with_options
from geoseg.commands.console import Console, echo, in_time, print_json
from geoseg.patches.patch_set import refuse_other_folder
from geoseg.raster.folders import TRAINING
from geoseg.raster.guard import Output
from geoseg.raster.lists import find_rasters
from geoseg.text import in_bytes
from geoseg.training.options import DATA, RECORDS, TrainOptions

if TYPE_CHECKING:
    from geoseg.patches.patch_set import PatchSet
    from geoseg.training.cross_validation import FoldsReport
    from geoseg.training.dry_run import TrainPlan
    from geoseg.training.train import TrainReport


INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

METRICS = {
    "val_miou": "validation mIoU",
    "val_loss": "validation loss",
    "train_loss": "training loss",
}
"""Columns of the history, as people call them."""


@with_options
def train(
    patches: Annotated[
        list[Path],
        typer.Argument(help="Patch set of `geoseg tile`; several are trained on together."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Run folder to write.", show_default=False),
    ] = None,
    *,
    options: TrainOptions,
    preview: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG",
            help="Draw samples as the training sees them; without --output do no more.",
            rich_help_panel=RECORDS,
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="K",
            help="Train K models, each without a part of the ground.",
            rich_help_panel=DATA,
        ),
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
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
) -> None:
    """Train a segmentation network on a patch set."""
    _refuse_contradictions(output, preview, resume=resume, overwrite=overwrite, dry_run=dry_run)
    _refuse_other_folders(patches, folds)
    _check_weights(options)
    from geoseg.patches.joined import JoinedPatchSet
    from geoseg.training.cross_validation import train_folds
    from geoseg.training.distributed import is_first
    from geoseg.training.run_folder import draw_samples
    from geoseg.training.train import train

    console = Console(quiet=quiet, verbose=verbose)
    console.debug(str(options))
    goes_on = resume and _has_begun(output, console)
    if is_first():  # of several processes; a run that is resumed is added to
        written = [] if output is None or goes_on else [Output(output, TRAINING)]
        written += [] if preview is None else [Output(preview)]
        orthos = find_rasters(options.unlabelled)
        named = [*patches, options.init_from, options.encoder_weights, *orthos]
        check(written, named, overwrite=overwrite or resume)
    patch_set = JoinedPatchSet.open_all(patches)
    how: dict[str, Any] = {"options": options, "resume": goes_on, "overwrite": overwrite}
    if dry_run:
        _print_plan(_plan(patch_set, output, folds, **how), console, json=json)
        return
    if preview is not None and is_first():
        draw_samples(patch_set, preview, options=options, overwrite=overwrite or resume)
        if output is None:
            echo(str(preview))
        else:
            console.info(f"{preview}: samples as the training sees them")
    if output is None:
        return
    how |= {"quiet": quiet, "warn": console.warn}
    together = train_folds(patches[0], output, folds=folds, **how) if folds else None
    reports = together.runs if together else [train(patch_set, output, **how)]
    if not is_first():
        return  # the first of several processes speaks for all
    for note in (note for report in reports for note in report.notes):
        console.info(note)
    _print(reports, together, json=json)
    if reports[-1].interrupted:
        console.info("interrupted; the best model so far is kept, --resume goes on")
        raise typer.Exit(INTERRUPTED)


def _check_weights(options: TrainOptions) -> None:
    """See that pretrained weights can be had, before torch takes seconds to come."""
    if options.encoder_weights == "imagenet":
        from geoseg.model.weights import DEFAULT_ENCODER, check_hub

        check_hub(options.encoder or DEFAULT_ENCODER)


def _refuse_other_folders(patches: Sequence[Path], folds: int | None) -> None:
    for each in patches:
        refuse_other_folder(each)
    if folds and len(patches) > 1:
        raise typer.BadParameter("divides one patch set", param_hint="--folds")


def _refuse_contradictions(
    output: Path | None, preview: Path | None, *, resume: bool, overwrite: bool, dry_run: bool
) -> None:
    if resume and overwrite:
        raise typer.BadParameter("contradicts --overwrite", param_hint="--resume")
    if dry_run and preview is not None:
        raise typer.BadParameter("draws, and --dry-run writes nothing", param_hint="--preview")
    if output is None and preview is None and not dry_run:
        raise typer.BadParameter("name the run folder to write", param_hint="--output")


def _has_begun(run: Path | None, console: Console) -> bool:
    """Whether a run folder holds anything; a training may be killed before it does."""
    from geoseg.raster.atomic import is_vacant
    from geoseg.training.distributed import is_first

    if run is None or not is_vacant(run):
        return True
    if is_first():
        console.info(f"{run}: there is nothing to resume; the training begins anew")
    return False


def _plan(patches: "PatchSet", run: Path | None, folds: int | None, **start: Any) -> "TrainPlan":
    """Estimate of a training, or of one per fold."""
    from geoseg.training.cross_validation import check_folds
    from geoseg.training.dry_run import estimate_training

    if not folds:
        return estimate_training(patches, run, **start)
    first, *_ = check_folds(patches.folder, run, folds=folds, **start)
    return estimate_training(first, None, options=start["options"], trainings=folds)


def _print_plan(plan: "TrainPlan", console: Console, *, json: bool) -> None:
    for note in plan.notes:
        console.info(note)
    for warning in plan.warnings:
        console.warn(warning)
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
    bare = plan.unlabelled_windows
    more = f", {bare:,} windows without labels" if bare else ""
    patches = f"{plan.training_patches:,} to train, {plan.validation_patches:,} to validate{more}"
    lines = {
        "patches": patches,
        "classes": f"{shares} of the labelled pixels to train on",
        "network": f"{plan.network}, {plan.parameters:,} parameters",
        "machine": f"{plan.device} in {plan.precision}",
        "steps": f"{folds}{epochs}, {plan.steps_per_epoch:,} each, batches of {plan.batch_size}",
        "time": f"{times}, at most {in_time(plan.seconds)} in all",
        "memory": memory,
    }
    for title, line in lines.items():
        echo(f"{title + ':':<9}{line}")


def _print(reports: Sequence["TrainReport"], together: "FoldsReport | None", *, json: bool) -> None:
    if json:
        runs = [asdict(report) | {"model": str(report.model)} for report in reports]
        if together is None:
            print_json(runs[0])
        else:
            print_json({"runs": runs, "mean": together.mean, "deviation": together.deviation})
        return
    for report in reports:
        best = report.best
        metrics = [f"{label} {best[name]:.3f}" for name, label in METRICS.items() if name in best]
        end = " (the time was over)" if report.timed_out else ""
        if report.stopped_early:
            end = " (no better one came: stopped early)"
        of = f"{report.model}: best of {report.epochs} epochs is {best['epoch']}"
        echo(f"{of}: {', '.join(metrics)}{end}")
    if together is not None:
        mean, deviation = together.mean, together.deviation
        metrics = [
            f"{label} {mean[name]:.3f} ± {deviation.get(name, 0):.3f}"
            for name, label in METRICS.items()
            if name in mean
        ]
        echo(f"mean of {len(reports)} folds: {', '.join(metrics)}")
