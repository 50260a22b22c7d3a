"""What `geoseg report` and `geoseg view` share: what to show, and how to understand it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import Console, echo, print_json
from geoseg.commands.legend import LegendMapFile, OwnLegend, ReferenceLegend, legend_map_of
from geoseg.labels.style import BandOptions
from geoseg.report.report import PageOptions, ReportOptions
from geoseg.text import in_bytes

if TYPE_CHECKING:
    from geoseg.report.inputs import ShowOptions


Inputs = Annotated[
    list[Path],
    typer.Argument(
        help="Class maps, orthophotos; folders of `evaluate`, of `train`, and of models."
    ),
]


def checked(bands: BandOptions) -> BandOptions:
    """The same, if bands are named in one way only."""
    if bands.bands and bands.band_names:
        raise typer.BadParameter("is another way to say --bands", param_hint="--band-names")
    return bands


def show_options(
    options: PageOptions,
    legend: str | None,
    legend_map: Path | None,
    reference_legend: str | None,
    assets: tuple[str | None, str | None],
) -> "ShowOptions":
    """What is to be shown besides the inputs.

    Args:
        options: As the user has them.
        legend: The classes.
        legend_map: File of what classes of maps and references mean the same.
        reference_legend: The classes of references.
        assets: Assets of STAC items that are rasters, and references.

    Raises:
        GeosegError: If a legend or path is wrong.
    """
    from geoseg.labels.legend_files import load_legend
    from geoseg.labels.tags import CLASS_MAP
    from geoseg.raster.lists import find_rasters, find_references
    from geoseg.report.inputs import ShowOptions
    from geoseg.report.layers import Ground, Reading

    asset, reference_asset = assets
    truth = find_references(options.references, reference_asset or asset, kinds=(CLASS_MAP,))
    reference = options.reference
    carrier = truth[0] if truth else None
    reading = Reading(
        legend=load_legend(legend) if legend else None,
        legend_map=legend_map_of(legend_map, reference_legend, carrier, coding=reference.coding),
        reference=replace(reference, labelled_areas=None),
        grounds=tuple(Ground(path) for path in (options.aoi, reference.labelled_areas) if path),
    )
    return ShowOptions(
        orthos=tuple(find_rasters(options.orthos, asset)),
        references=tuple(truth),
        without_reference=options.without_reference,
        reading=reading,
        bands=checked(options.bands),
        asset=asset,
    )


@with_options
def report(
    ctx: typer.Context,
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")],
    *,
    legend: OwnLegend = None,
    legend_map: LegendMapFile = None,
    reference_legend: ReferenceLegend = None,
    options: PageOptions,
    page: ReportOptions,
    asset: shared.Asset = None,
    reference_asset: shared.ReferenceAsset = None,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Write maps, evaluations and trainings as one HTML page that needs no network."""
    from geoseg.raster.guard import Output
    from geoseg.report.report import write_report

    if output.suffix.lower() not in {".html", ".htm"}:
        raise typer.BadParameter("name a file that ends in .html", param_hint="--output")
    console = Console(quiet=quiet)
    assets = (asset, reference_asset)
    show = show_options(options, legend, legend_map, reference_legend, assets)
    areas = (options.aoi, options.reference.labelled_areas)
    named = [inputs, show.orthos, show.references, legend, legend_map, reference_legend, *areas]
    shared.reserve(ctx, [Output(output)], named, overwrite=overwrite)
    done = write_report(
        inputs,
        output,
        show,
        replace(page, threads=options.threads),
        overwrite=overwrite,
        watch=console.progress(output.name),
    )
    for note in done.notes:
        console.warn(note)
    if json:
        print_json(done.to_dict())
        return
    shown = f"{done.maps} scene(s), {done.sections} section(s) of metrics"
    echo(f"{output}: {shown}, {in_bytes(done.bytes)}")
