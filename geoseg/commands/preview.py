"""``geoseg preview``: rasters side by side in a picture."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import echo
from geoseg.commands.report import checked
from geoseg.labels.style import BandOptions
from geoseg.report.preview import PreviewOptions


@with_options
def preview(
    rasters: Annotated[list[Path], typer.Argument(help="Orthophotos, reference or class maps.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG file to write.")],
    *,
    legend: Annotated[
        str | None,
        typer.Option(
            "--legend",
            "-l",
            help="Classes of masks that bring none [default: those of a map beside them, else each "
            "value in a colour of its own].",
            show_default=False,
        ),
    ] = None,
    options: PreviewOptions,
    bands: BandOptions,
    asset: shared.Asset = None,
    overwrite: shared.Overwrite = False,
) -> None:
    """Draw rasters side by side as PNG, class maps and masks in their colours."""
    from geoseg.labels.legend_files import load_legend
    from geoseg.raster.guard import Output
    from geoseg.raster.lists import find_rasters
    from geoseg.report.preview import draw_preview

    if output.suffix.lower() != ".png":
        raise typer.BadParameter(
            f"{output}: pictures are written as PNG; end the name in .png", param_hint="--output"
        )
    paths = find_rasters(rasters, asset)
    shared.check([Output(output)], [paths, legend], overwrite=overwrite)
    draw_preview(
        paths,
        output,
        side=options.size,
        overwrite=overwrite,
        bands=checked(bands),
        legend=load_legend(legend) if legend else None,
    )
    echo(str(output))
