"""``geoseg legend``: a legend file from a preset, or from what a reference holds."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.commands import options as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import echo
from geoseg.labels.reference import PolygonOptions


@with_options
def legend(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REFERENCE|PRESET",
            help="Raster of values or colours, polygons, or a preset: isprs, isprs-1to6, voc, "
            "landcover-ai, binary:NAME.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="TOML file to write [default: stdout].")
    ] = None,
    *,
    options: PolygonOptions,
    overwrite: shared.Overwrite = False,
) -> None:
    """Write the legend of a preset, or of a reference's values, colours or attribute, to edit."""
    from geoseg.labels.legend_files import find_legend, to_toml
    from geoseg.raster.atomic import write_text
    from geoseg.raster.guard import Output

    if output is not None:
        shared.check([Output(output)], [reference], overwrite=overwrite)
    found = find_legend(reference, attribute=options.attribute, layer=options.layer)
    if output is None:
        echo(to_toml(*found), end="")
        return
    write_text(output, to_toml(*found))
    echo(f"{output}: {len(found.legend)} classes")
    for line in found.about:
        echo(f"  {line}")
