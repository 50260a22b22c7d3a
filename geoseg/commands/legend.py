"""``geoseg legend``: a legend file from what a reference holds."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.commands import options
from geoseg.commands.talk import echo


def legend(
    reference: Annotated[Path, typer.Argument(help="Raster of values or colours, or polygons.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="TOML file to write [default: stdout].")
    ] = None,
    *,
    attribute: options.Attribute = None,
    layer: options.Layer = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Derive a legend from a reference's values, colours or attribute, to be edited."""
    from geoseg.io.legends import derive_legend, to_toml
    from geoseg.io.outputs import refuse_existing, write_text

    if output is not None:
        refuse_existing(output, overwrite=overwrite)
    found = derive_legend(reference, attribute=attribute, layer=layer)
    if output is None:
        echo(to_toml(found), end="")
    else:
        write_text(output, to_toml(found))
        echo(f"{output}: {len(found)} classes")
