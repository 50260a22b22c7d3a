"""``geoseg info``: what a file or folder is."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.commands import arguments as options
from geoseg.commands.console import columns, echo, print_json, styled, wrapped


@options.with_options
def info(
    path: Annotated[
        Path,
        typer.Argument(
            help="Orthophoto, map, scores, polygons, legend, patch set, model, run, evaluation."
        ),
    ],
    *,
    json: options.Json = False,
) -> None:
    """Describe a file or folder in a screenful."""
    from geoseg.report.info import inform
    from geoseg.training.options import TrainOptions

    about = inform(path, defaults=TrainOptions().to_record())
    if json:
        print_json(about.to_dict())
        return
    echo(f"{styled(str(about.path), 'bold')}: {about.kind}")
    lines = {name: line for name, line in about.lines.items() if line}
    width = max(map(len, lines), default=0)
    for name, line in lines.items():
        echo(wrapped(f"{name:<{width}}  {line}", indent=2, hanging=width + 2))
    for table in about.tables:
        echo("")
        echo(columns(table, indent=2))
    for hint in about.hints:
        echo(wrapped(f"{styled('!', 'yellow')} {hint}", indent=2))
