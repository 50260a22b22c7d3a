"""``geoseg sweep``: a grid of trainings, or a search."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoseg.commands import arguments as options
from geoseg.commands.arguments import Choices, with_options
from geoseg.commands.console import Console, echo, print_json, width_of_terminal
from geoseg.errors import BatchError, GeosegError
from geoseg.options import build
from geoseg.training.options import TrainOptions

if TYPE_CHECKING:
    from geoseg.patches.patch_set import PatchSet
    from geoseg.training.sweep import SweepReport


INTERRUPTED = 130

WRITTEN = ("sweep.json", "table.csv")
"""Files that lie in the folder of a sweep, besides its runs."""


@with_options
def sweep(
    patches: Annotated[Path, typer.Argument(help="Patch set of `geoseg tile`.")],
    grid: Annotated[
        Path,
        typer.Option(
            help="TOML file: options of all trainings, as of `train --config`, then [grid] "
            "lr = [1e-3, 1e-4], or [search] lr = {low = 1e-5, high = 1e-2, log = true} and "
            "trials = 20 (needs geoseg[sweep])."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder to write: a run folder for each training."),
    ],
    *,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Keep what is finished, go on with what was interrupted."),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume: try again what failed.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the trainings of the grid; do nothing.")
    ] = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train with every combination of a grid, or as a search chooses; then compare."""
    if retry_failed and not resume:
        raise typer.BadParameter("goes with --resume", param_hint="--retry-failed")
    from geoseg.patches.patch_set import PatchSet
    from geoseg.raster.guard import Output
    from geoseg.training.grid import check_metric, read_plan
    from geoseg.training.sweep import check_sweep, sweep

    plan = read_plan(grid, Choices(TrainOptions))
    options.check([Output(output / each) for each in WRITTEN], [patches, grid], overwrite=True)
    patch_set = PatchSet.open(patches)
    check_metric(plan, patch_set)
    if dry_run:
        earlier = {"resume": resume, "overwrite": overwrite}
        check_sweep(patches, output, plan, **earlier)
        _say_plan(plan)
        _refuse_impossible(plan, patch_set)
        return
    console = Console(quiet=quiet)
    report = sweep(
        patches,
        output,
        plan,
        train=_trainer(patches, console, quiet=quiet),
        resume=resume,
        retry_failed=retry_failed,
        overwrite=overwrite,
        tell=console.info,
    )
    _tell(report, output / WRITTEN[1], console, json=json)


def _tell(report: "SweepReport", table_file: Path, console: Console, *, json: bool) -> None:
    """Write and print the table of all trainings, and say how the sweep ended."""
    from geoseg.raster.atomic import write_text
    from geoseg.report.runs import comparison, read_entries

    for reason in report.failures.values():
        console.warn(reason)
    if report.runs:
        table = comparison(read_entries(report.runs), best_first=True)
        write_text(table_file, table.in_format_of(".csv"))
        echo(table.to_json().rstrip() if json else table.to_text(width_of_terminal()))
    elif json:
        print_json([])
    if report.skipped:
        console.info(f"{report.skipped} trainings were finished before")
    if report.interrupted:
        console.info("interrupted; --resume goes on")
        raise typer.Exit(INTERRUPTED)
    if report.failures:
        raise BatchError(
            f"{len(report.failures)} trainings failed: {', '.join(report.failures)}; "
            f"--resume --retry-failed tries them again"
        )


def _trainer(patches: Path, console: Console, *, quiet: bool) -> Callable[..., Any]:
    """Train as `geoseg train` does; what several trainings warn of is told once."""
    from geoseg.training.train import train as train_once

    warn = cache(console.warn)

    def train(run: Path, chosen: Mapping[str, Any], *, resume: bool) -> Any:
        options = _train_options(chosen)
        return train_once(patches, run, options=options, resume=resume, quiet=quiet, warn=warn)

    return train


def _train_options(chosen: Mapping[str, Any]) -> TrainOptions:
    """Options of a training, which may have been kept as JSON."""
    listed = {name: tuple(value) for name, value in chosen.items() if isinstance(value, list)}
    return build(TrainOptions, {**chosen, **listed})


def _refuse_impossible(plan: Any, patch_set: "PatchSet") -> None:
    """See that every training could begin."""
    from geoseg.training.train import prepare

    failures = {}
    for name, chosen in plan.examples().items():
        try:
            prepare(patch_set, None, options=_train_options(chosen))
        except GeosegError as error:
            failures[name] = str(error)
    if failures:
        told = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise BatchError(f"{len(failures)} trainings would fail: {told}")


def _say_plan(plan: Any) -> None:
    if plan.search:
        spaces = "; ".join(f"{name} in {space}" for name, space in plan.search.items())
        echo(f"{plan.trials} trainings, chosen to maximize {plan.maximize}: {spaces}")
    else:
        runs = plan.runs()
        echo("\n".join([*runs, f"{len(runs)} trainings"]))
