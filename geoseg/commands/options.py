"""Options that several commands share: their names, helps and checks."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from geoseg.errors import OutputConflictError
from geoseg.raster.folders import locked_once
from geoseg.raster.guard import Output, check_outputs
from geoseg.raster.paths import TIFF_SUFFIXES

LegendName = Annotated[
    str,
    typer.Option(
        "--legend",
        "-l",
        help="TOML file, or a preset (geoseg legend PRESET prints it): isprs (values 0-5), "
        "isprs-1to6 (1-6, 0 = border), voc, landcover-ai, binary:NAME.",
        show_default=False,
    ),
]

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done and what it takes; do nothing.")
]

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no messages.")]

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="More messages.")]


def refuse_given(ctx: typer.Context, names: Iterable[str], why: str) -> None:
    """Options that would be ignored are wrong usage, if the user has given them.

    Args:
        ctx: The command's.
        names: Of its parameters.
        why: Follows the option in the message, as in ``is not for patch sets``.
    """
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name != "DEFAULT":
            raise typer.BadParameter(why, ctx=ctx, param_hint=f"'{parameter.opts[0]}'")


def refuse_other_formats(option: str, *paths: Path | None) -> None:
    """Maps are GeoTIFFs; another ending is wrong usage."""
    for path in paths:
        if path is not None and path.suffix.lower() not in TIFF_SUFFIXES:
            raise typer.BadParameter(
                f"{path}: rasters are written as GeoTIFF; end the name in .tif", param_hint=option
            )


def refuse_wide_stride(stride: int | None, size: int | None) -> None:
    """A stride beyond the patch would leave gaps; that is wrong usage."""
    if stride and size and stride > size:
        raise typer.BadParameter(
            f"{stride} is more than the patch size {size} and would leave gaps",
            param_hint="--stride",
        )


Named = Path | str | None | Sequence[Path]
"""What the user names in an argument or option: files, folders, a preset, or nothing."""


def check(outputs: Iterable[Output], inputs: Iterable[Named], *, overwrite: bool) -> None:
    """See, before any work, that outputs may be written.

    Args:
        outputs: All that the command writes, side files too.
        inputs: All that it reads.
        overwrite: Whether existing outputs may be replaced.

    Raises:
        BadParameter: If an output is, holds or lies in an input or another output.
        OutputExistsError: If one exists and may not be replaced, or is being written.
    """
    try:
        check_outputs(outputs, _paths(inputs), overwrite=overwrite)
    except OutputConflictError as error:
        raise typer.BadParameter(str(error)) from error


def reserve(
    ctx: typer.Context, outputs: Iterable[Output], inputs: Iterable[Named], *, overwrite: bool
) -> None:
    """As `check`; no other process writes the outputs until the command ends.

    Args:
        ctx: The command's.
        outputs: As in `check`.
        inputs: As in `check`.
        overwrite: As in `check`.

    Raises:
        BadParameter: If an output is, holds or lies in an input or another output.
        OutputExistsError: If one exists and may not be replaced, or is being written.
    """
    outputs = list(outputs)
    check(outputs, inputs, overwrite=overwrite)
    for output in outputs:
        new = [each for each in output.path.absolute().parents if not each.exists()]
        ctx.call_on_close(partial(_remove_empty, new))
        ctx.with_resource(locked_once(output.path))


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders that were made for an output, if it has not come to be."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _paths(named: Iterable[Named]) -> Iterator[Path]:
    for each in named:
        if isinstance(each, Path):
            yield each
        elif isinstance(each, str):
            yield Path(each)
        elif each is not None:
            yield from each
