"""``geoseg compare``: trainings and evaluations in one table."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from geoseg.commands import arguments as options
from geoseg.commands.console import echo, width_of_terminal


@options.with_options
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders of `geoseg train`, folders of `geoseg evaluate -o` or `geoseg "
            "sweep`, folders of such, or quoted globs."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Table to write: .csv, .json or .md (Markdown)."),
    ] = None,
    *,
    per_class: Annotated[
        Literal["iou", "f1", "precision", "recall"],
        typer.Option(help="Which figure of each class; of trainings there are iou and f1."),
    ] = "iou",
    best_first: Annotated[
        bool, typer.Option("--best-first", help="Sort by mean IoU [default: as named].")
    ] = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Print options that differ, metrics of the best epoch, time and size of trainings."""
    from geoseg.commands.arguments import check
    from geoseg.raster.atomic import write_text
    from geoseg.raster.guard import Output
    from geoseg.report.runs import SUFFIXES, comparison, read_entries

    if output is not None:
        if output.suffix.lower() not in SUFFIXES:
            raise typer.BadParameter(
                f"{output}: a table is written as {', '.join(SUFFIXES)}",
                param_hint="--output",
            )
        check([Output(output)], [runs], overwrite=overwrite)
    table = comparison(read_entries(runs), per_class=per_class, best_first=best_first)
    if output is not None:
        write_text(output, table.in_format_of(output.suffix))
    echo(table.to_json().rstrip() if json else table.to_text(width_of_terminal()))
