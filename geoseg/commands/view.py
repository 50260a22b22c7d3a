"""``geoseg view``: the page of `geoseg report`, served to this computer."""

import os
from contextlib import suppress
from typing import Annotated

import typer

from geoseg.commands import options
from geoseg.commands.console import Talk, echo
from geoseg.commands.legends import LegendMapFile, OwnLegend, ReferenceLegend
from geoseg.commands.report import (
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


def view(
    inputs: Inputs,
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
    host: Annotated[
        str, typer.Option(help="Address to serve; other than 127.0.0.1: others can look, too.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    workers: options.Workers = None,
    quiet: options.Quiet = False,
) -> None:
    """Look at files of any size in the browser; ends with Ctrl-C."""
    import webbrowser

    from geoseg.report.serve import serving

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
    threads = workers or os.cpu_count() or 1
    with (
        serving(inputs, show, place=(host, port), threads=threads, warn=talk.warn) as server,
        suppress(KeyboardInterrupt),
    ):
        if not server.is_local:
            talk.warn(f"{host}: everybody who reaches this computer can look at these files")
        echo(server.url)
        talk.say("Ctrl-C ends it")
        if open_browser:
            webbrowser.open(server.url)
        server.serve_forever()
