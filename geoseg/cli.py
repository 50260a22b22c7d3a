"""The typer app, and the one place where a `GeosegError` becomes an exit code."""

import signal
import sys
from typing import NoReturn

import typer

from geoseg import __version__
from geoseg.commands import (
    check,
    compare,
    evaluate,
    info,
    legend,
    mosaic,
    postprocess,
    predict,
    preview,
    quantize,
    report,
    sample_points,
    sweep,
    tile,
    train,
    view,
)
from geoseg.errors import GeosegError

app = typer.Typer(
    name="geoseg",
    help="Semantic segmentation of large orthophotos: tile, train, predict, mosaic, evaluate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("tile")(tile.tile)
app.command("check")(check.check)
app.command("train")(train.train)
app.command("compare")(compare.compare)
app.command("sweep")(sweep.sweep)
app.command("quantize")(quantize.quantize)
app.command("predict")(predict.predict)
app.command("mosaic")(mosaic.mosaic)
app.command("postprocess")(postprocess.postprocess)
app.command("evaluate")(evaluate.evaluate)
app.command("sample-points")(sample_points.sample_points)
app.command("legend")(legend.legend)
app.command("info")(info.info)
app.command("preview")(preview.preview)
app.command("report")(report.report)
app.command("view")(view.view)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"geoseg {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Semantic segmentation of large orthophotos: tile, train, predict, mosaic, evaluate."""


TERMINATED = 128 + signal.SIGTERM
"""Exit code, as shells give it to what was ended by this signal."""


def _terminated(*_: object) -> NoReturn:
    """End as Ctrl-C does: what is being written is removed on the way out."""
    sys.exit(TERMINATED)


def main() -> None:
    """Entry point. 0 done, 1 expected failure, 2 wrong usage, 130 interrupted, 143 terminated.

    typer itself sees to wrong usage and Ctrl-C. A traceback is a bug.
    """
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app()
    except GeosegError as error:
        typer.echo(f"geoseg: {error}", err=True)
        sys.exit(1)
