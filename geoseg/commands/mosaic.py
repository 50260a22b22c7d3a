"""``geoseg mosaic``: windows or scenes become one map."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from geoseg.commands import options
from geoseg.commands.console import Talk, echo, print_json

NOT_FOR_PARTS = ("method", "legend", "score_type", "resample")
"""Parameters that mean nothing where parts are joined."""


def mosaic(
    ctx: typer.Context,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="Windows of `predict --windows`, score rasters, or class maps of scenes: files, "
            "folders or quoted globs."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Class map to write (GeoTIFF).")],
    *,
    method: Annotated[
        Literal["blend", "max", "first", "last", "majority"] | None,
        typer.Option(help="[default: blend for scores, majority for class maps]"),
    ] = None,
    legend: Annotated[
        str | None,
        typer.Option("--legend", "-l", help="Classes, where the files do not name them."),
    ] = None,
    scores: options.Scores = False,
    score_type: options.ScoreType = "uint8",
    confidence: options.Confidence = None,
    parts: Annotated[
        bool,
        typer.Option("--parts", help="Join the parts that `predict --part` has written."),
    ] = False,
    resample: Annotated[
        bool, typer.Option("--resample", help="Resample scenes onto the first one's grid.")
    ] = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Blend windows, score rasters or class maps into one georeferenced map."""
    options.refuse_other_formats("--output", output)
    if parts:
        options.refuse_given(ctx, NOT_FOR_PARTS, "is not for --parts, which are joined as they are")
    from geoseg.commands.options import reserve
    from geoseg.labels.legend_files import load_legend
    from geoseg.prediction.map_writer import MapOutputs
    from geoseg.prediction.mosaic import mosaic
    from geoseg.prediction.parts import join_parts
    from geoseg.raster.guard import Output
    from geoseg.raster.paths import find_rasters

    outputs = MapOutputs(
        class_map=output,
        scores=options.beside(output, "scores") if scores else None,
        score_type=score_type,
        confidence=options.beside(output, "confidence") if confidence else None,
        confidence_kind=confidence or "margin",
        overwrite=overwrite,
    )
    paths = find_rasters(inputs)
    own = [Output(path) for path in outputs.files[::-1]]
    reserve(ctx, own, [paths, inputs, legend], overwrite=overwrite)
    if parts:
        report = join_parts(paths, outputs)
    else:
        report = mosaic(
            paths,
            outputs,
            method=method,
            legend=load_legend(legend) if legend else None,
            resample=resample,
            watch=Talk(quiet=quiet).watch("mosaic"),
        )
    if json:
        print_json(asdict(report) | {"path": str(report.path)})
    else:
        echo(f"{output}: {report.pixels} px, {report.valid_share:.1%} valid; {report.shares}")
