"""``geoseg train``: a patch set becomes a model bundle."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import check, with_options
from geoseg.commands.console import Talk, echo, in_bytes, in_time, print_json
from geoseg.raster.folders import TRAINING
from geoseg.raster.guard import Output
from geoseg.training.options import DATA, RECORDS, TrainOptions

if TYPE_CHECKING:
    from geoseg.training.cross_validation import FoldsReport
    from geoseg.training.dry_run import TrainPlan
    from geoseg.training.train import TrainReport


INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

FIGURES = {
    "val_miou": "validation mIoU",
    "val_loss": "validation loss",
    "train_loss": "training loss",
}
"""Columns of the history, as people call them."""


@with_options
def train(
    patches: Annotated[Path, typer.Argument(help="Patch set of `geoseg tile`.")],
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
    if options.encoder_weights == "imagenet":
        from geoseg.model.weights import DEFAULT_ENCODER, check_hub

        check_hub(options.encoder or DEFAULT_ENCODER)
    from geoseg.training.distributed import is_first
    from geoseg.training.pictures import draw_samples

    if options.init_from is not None:
        options = replace(options, init_from=str(_origin(Path(options.init_from))))
    talk = Talk(quiet=quiet, verbose=verbose)
    talk.detail(str(options))
    goes_on = resume and _has_begun(output, talk)
    outputs = _outputs(output, preview, resume=goes_on)
    named = [patches, options.init_from, options.encoder_weights]
    check(outputs, named, overwrite=overwrite or resume)
    if dry_run:
        start: dict[str, Any] = {"options": options, "resume": goes_on, "overwrite": overwrite}
        _print_plan(_plan(patches, output, folds, **start), talk, json=json)
        return
    if preview is not None and is_first():
        draw_samples(patches, preview, options=options, overwrite=overwrite or resume)
        _say_drawn(preview, talk, alone=output is None)
    if output is None:
        return
    together, reports = _trained(
        *(patches, output, options, folds, talk), resume=goes_on, overwrite=overwrite
    )
    if not is_first():
        return  # the first of several processes speaks for all
    for note in (note for report in reports for note in report.notes):
        talk.say(note)
    _print(reports, together, json=json)
    if reports[-1].interrupted:
        talk.say("interrupted; the best model so far is kept, --resume goes on")
        raise typer.Exit(INTERRUPTED)


def _trained(
    patches: Path,
    run: Path,
    options: TrainOptions,
    folds: int | None,
    talk: Talk,
    *,
    resume: bool,
    overwrite: bool,
) -> "tuple[FoldsReport | None, Sequence[TrainReport]]":
    """Train once, or a network for every fold: what came of the folds together, and of each."""
    from geoseg.training.cross_validation import train_folds
    from geoseg.training.train import train

    how: dict[str, Any] = {"options": options, "resume": resume, "overwrite": overwrite}
    told: dict[str, Any] = {"quiet": talk.quiet, "warn": talk.warn}
    if not folds:
        return None, (train(patches, run, **how, **told),)
    together = train_folds(patches, run, folds=folds, **how, **told)
    return together, together.runs


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


def _plan(patches: Path, run: Path | None, folds: int | None, **start: Any) -> "TrainPlan":
    """Estimate of a training, or of one per fold."""
    from geoseg.training.cross_validation import check_folds
    from geoseg.training.dry_run import estimate_training

    if not folds:
        return estimate_training(patches, run, **start)
    first, *_ = check_folds(patches, run, folds=folds, **start)
    return estimate_training(first, None, options=start["options"], trainings=folds)


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
