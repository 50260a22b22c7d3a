"""``geoseg view``: the page of `geoseg report`, served to this computer."""

from contextlib import suppress
from typing import Annotated

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import Console, echo
from geoseg.commands.legend import LegendMapFile, OwnLegend, ReferenceLegend
from geoseg.commands.report import Inputs, show_options
from geoseg.report.report import PageOptions


@with_options
def view(
    inputs: Inputs,
    *,
    legend: OwnLegend = None,
    legend_map: LegendMapFile = None,
    reference_legend: ReferenceLegend = None,
    options: PageOptions,
    asset: shared.Asset = None,
    reference_asset: shared.ReferenceAsset = None,
    host: Annotated[
        str, typer.Option(help="Address to serve; other than 127.0.0.1: others can look, too.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    quiet: shared.Quiet = False,
) -> None:
    """Look at files of any size in the browser; ends with Ctrl-C."""
    import webbrowser

    from geoseg.report.report import serving

    console = Console(quiet=quiet)
    assets = (asset, reference_asset)
    show = show_options(options, legend, legend_map, reference_legend, assets)
    with (
        serving(
            inputs, show, place=(host, port), threads=options.threads, warn=console.warn
        ) as server,
        suppress(KeyboardInterrupt),
    ):
        if not server.is_local:
            console.warn(f"{host}: everybody who reaches this computer can look at these files")
        echo(server.url)
        console.info("Ctrl-C ends it")
        if open_browser:
            webbrowser.open(server.url)
        server.serve_forever()
