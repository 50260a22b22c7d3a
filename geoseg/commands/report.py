"""``geoseg report``: maps, evaluations and trainings as one HTML page."""

import os
from pathlib import Path
from typing import Annotated

import typer

from geoseg.commands import options
from geoseg.commands.legends import LegendMapFile, OwnLegend, ReferenceLegend
from geoseg.commands.show import (
    Aoi,
    Coding,
    Inputs,
    NoReference,
    Orthos,
    References,
    ShownBands,
    ShownNames,
    Words,
    band_choice,
    show_options,
)
from geoseg.commands.talk import Talk, echo, in_bytes, print_json


def report(
    ctx: typer.Context,
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")],
    *,
    ortho: Orthos = None,
    reference: References = None,
    no_reference: NoReference = False,
    legend: OwnLegend = None,
    legend_map: LegendMapFile = None,
    reference_legend: ReferenceLegend = None,
    attribute: options.Attribute = None,
    layer: options.Layer = None,
    labelled_areas: options.LabelledAreas = None,
    coding: Coding = "auto",
    color_tolerance: options.ColorTolerance = 0,
    aoi: Aoi = None,
    bands: ShownBands = None,
    band_names: ShownNames = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    max_size: Annotated[
        int, typer.Option(min=64, max=16384, help="Longest side of pictures, about, in pixels.")
    ] = 2048,
    tiles: Annotated[
        bool,
        typer.Option("--tiles", help="Full resolution, in a folder of tiles beside the page."),
    ] = False,
    workers: options.Workers = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write maps, evaluations and trainings as one HTML page that needs no network."""
    from geoseg.commands.outputs import Output, reserve
    from geoseg.io.folders import TILES
    from geoseg.reporting import ReportOptions, folder_of_tiles, write_report

    if output.suffix.lower() not in {".html", ".htm"}:
        raise typer.BadParameter("name a file that ends in .html", param_hint="--output")
    talk = Talk(quiet=quiet)
    words = Words(
        legend=legend,
        legend_map=legend_map,
        reference_legend=reference_legend,
        attribute=attribute,
        layer=layer,
        labelled_areas=labelled_areas,
        coding=coding,
        color_tolerance=color_tolerance,
        aoi=aoi,
        bands=band_choice(bands, band_names),
    )
    show = show_options(ortho, reference, words, without_reference=no_reference)
    outputs = [Output(output)]
    outputs += [Output(folder_of_tiles(output), TILES)] if tiles else []
    named = [inputs, show.orthos, show.references, legend, legend_map, reference_legend, aoi]
    named += [labelled_areas]
    reserve(ctx, outputs, named, overwrite=overwrite)
    done = write_report(
        inputs,
        output,
        show,
        ReportOptions(
            title=title, size=max_size, tiles=tiles, threads=workers or os.cpu_count() or 1
        ),
        overwrite=overwrite,
        watch=talk.watch(output.name),
    )
    for note in done.notes:
        talk.warn(note)
    if json:
        print_json(done.to_dict())
        return
    shown = f"{done.maps} scene(s), {done.sections} section(s) of figures"
    beside = f", tiles in {done.folder}" if done.folder else ""
    echo(f"{output}: {shown}, {in_bytes(done.bytes)}{beside}")
