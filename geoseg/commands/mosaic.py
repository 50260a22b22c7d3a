"""``geoseg mosaic``: windows or scenes become one map."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import Console, echo, print_json
from geoseg.prediction.map_writer import LayerOptions
from geoseg.prediction.mosaic import MosaicOptions
from geoseg.raster.staging import StageOptions

NOT_FOR_PARTS = ("method", "legend", "score_type", "resample", "thresholds")
"""Parameters that mean nothing where parts are joined."""


@with_options
def mosaic(
    ctx: typer.Context,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="Windows of `predict --windows`, score rasters, or class maps of scenes: files, "
            "URLs, folders, quoted globs or @lists."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Class map to write (GeoTIFF).")],
    *,
    options: MosaicOptions,
    legend: Annotated[
        str | None,
        typer.Option(
            "--legend",
            "-l",
            help="TOML file or preset: classes, their order and values in the map [default: as the "
            "files say].",
        ),
    ] = None,
    layers: LayerOptions,
    parts: Annotated[
        bool,
        typer.Option("--parts", help="Join the parts that `predict --part` has written."),
    ] = False,
    asset: shared.Asset = None,
    copies: StageOptions,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Blend windows, score rasters or class maps into one georeferenced map."""
    ctx.with_resource(copies.begin())
    shared.refuse_other_formats("--output", output)
    if parts:
        shared.refuse_given(ctx, NOT_FOR_PARTS, "is not for --parts, which are joined as they are")
    from geoseg.labels.legend_files import load_legend
    from geoseg.labels.tags import CLASS_MAP, SCORES
    from geoseg.prediction.mosaic import join_parts, mosaic
    from geoseg.raster.guard import Output
    from geoseg.raster.lists import find_rasters

    outputs = layers.outputs(output, overwrite=overwrite)
    console = Console(quiet=quiet)
    kinds = () if parts else (CLASS_MAP, SCORES)
    paths = find_rasters(inputs, asset, kinds=kinds, tell=console.info)
    own = [Output(path) for path in outputs.files[::-1]]
    shared.reserve(ctx, own, [paths, inputs, legend], overwrite=overwrite)
    if parts:
        report = join_parts(paths, outputs)
    else:
        report = mosaic(
            paths,
            outputs,
            options,
            legend=load_legend(legend) if legend else None,
            watch=console.progress("mosaic"),
        )
    if json:
        print_json(asdict(report) | {"path": str(report.path)})
    else:
        echo(f"{output}: {report.pixels} px, {report.valid_share:.1%} valid; {report.shares}")
