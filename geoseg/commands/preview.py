"""``geoseg preview``: rasters side by side in a picture."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.commands import options


def preview(
    rasters: Annotated[list[Path], typer.Argument(help="Orthophotos, reference or class maps.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG file to write.")],
    *,
    size: Annotated[
        int, typer.Option(min=64, max=4096, help="Longest side of each picture, in pixels.")
    ] = 800,
    overwrite: options.Overwrite = False,
) -> None:
    """Draw rasters side by side as PNG, class maps in their colours."""
    from geoseg.io.paths import find_rasters
    from geoseg.reporting import draw_preview

    draw_preview(find_rasters(rasters), output, side=size, overwrite=overwrite)
    typer.echo(str(output))
