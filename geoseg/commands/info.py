"""``geoseg info``: what a file or folder is."""

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from geoseg.commands import options
from geoseg.commands.console import columns, echo, print_json, styled, wrapped


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
    """Say what a file or folder is, in a screenful."""
    from geoseg.report.info import inform

    about = inform(path, defaults=_defaults_of_train())
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
        echo(columns([table.head, *table.rows], indent=2))
    for hint in about.hints:
        echo(wrapped(f"{styled('!', 'yellow')} {hint}", indent=2))


def _defaults_of_train() -> dict[str, Any]:
    """What `geoseg train` takes where nothing is said; asked of its command, without torch."""
    from geoseg.commands.train import train

    return {
        name: _default(parameter)
        for name, parameter in inspect.signature(train).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }


def _default(parameter: inspect.Parameter) -> Any:
    """What an option is when nobody names it; some defaults are written as a user would."""
    for option in getattr(parameter.annotation, "__metadata__", ()):
        if getattr(option, "parser", None) and isinstance(parameter.default, str):
            return option.parser(parameter.default)
    return parameter.default
