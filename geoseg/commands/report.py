"""What `geoseg report` and `geoseg view` share: what to show, and how to understand it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from geoseg.commands import options
from geoseg.commands.arguments import parser
from geoseg.commands.console import Talk, echo, in_bytes, print_json
from geoseg.commands.legends import LegendMapFile, OwnLegend, ReferenceLegend, legend_map_of
from geoseg.commands.options import labelled_areas
from geoseg.options import parse_bands

if TYPE_CHECKING:
    from geoseg.labels.render import BandChoice
    from geoseg.report.inputs import ShowOptions


SHOWABLE = (1, 3)
"""How many bands a picture shows."""

Inputs = Annotated[
    list[Path],
    typer.Argument(
        help="Class maps, orthophotos; folders of `evaluate`, of `train`, and of models."
    ),
]

Orthos = Annotated[
    list[Path] | None,
    typer.Option("--ortho", help="Orthophoto to show with the maps on it; repeat for more."),
]

References = Annotated[
    list[Path] | None,
    typer.Option("--reference", "-r", help="Reference of the maps: one for each, or one for all."),
]

NoReference = Annotated[
    bool,
    typer.Option("--no-reference", help="Leave out the references that evaluations tell of."),
]

Coding = Annotated[
    Literal["auto", "values", "colors", "map"],
    typer.Option(help="How a raster reference names classes."),
]

Aoi = Annotated[
    Path | None, typer.Option("--aoi", help="Polygons; references are not shown outside of them.")
]

ShownBands = Annotated[
    Any,
    typer.Option(
        "--bands",
        "-b",
        parser=parser(parse_bands),
        metavar="3,2,1",
        help="Bands of orthophotos to show as red, green, blue, from 1; one: in grey [default: by "
        "their names, else the first three].",
        show_default=False,
    ),
]

ShownNames = Annotated[
    str | None,
    typer.Option("--band-names", metavar="nir,red,green", help="The same, by the files' names."),
]


def band_choice(bands: tuple[int, ...] | None, names: str | None) -> "BandChoice":
    """Which bands of orthophotos are shown; other than one or three are wrong usage."""
    from geoseg.labels.render import BandChoice

    if bands and names:
        raise typer.BadParameter("is another way to say --bands", param_hint="--band-names")
    listed = tuple(name.strip() for name in names.split(",")) if names is not None else ()
    if len(bands or listed or (1,)) not in SHOWABLE or "" in listed:
        told = ",".join(map(str, bands)) if bands else names
        raise typer.BadParameter(
            f"{told!r}: name three bands, for red, green and blue, or one",
            param_hint="--bands" if bands else "--band-names",
        )
    return BandChoice(numbers=bands or (), names=listed)


@dataclass(frozen=True, kw_only=True)
class Words:
    """What the user says of maps and references."""

    legend: str | None
    """Of the maps."""

    legend_map: Path | None
    """Which of its classes and of the references' mean the same."""

    reference_legend: str | None
    """The references' classes, for that."""

    attribute: str | None
    """Column of polygons."""

    layer: str | None
    """Of polygons."""

    labelled_areas: str | None
    """Outside of which nothing is labelled."""

    coding: Literal["auto", "values", "colors", "map"]
    """How rasters name classes."""

    color_tolerance: float
    """How far their colours may be from those of classes."""

    aoi: Path | None
    """Where references are shown."""

    bands: "BandChoice"
    """Which bands of orthophotos are shown."""


def show_options(
    orthos: Sequence[Path] | None,
    references: Sequence[Path] | None,
    words: Words,
    *,
    without_reference: bool,
) -> "ShowOptions":
    """What is to be shown besides the inputs.

    Raises:
        GeosegError: If a legend or path is wrong.
    """
    from geoseg.labels.legend_files import load_legend
    from geoseg.labels.reference import ReferenceOptions
    from geoseg.raster.paths import find_rasters, find_references
    from geoseg.report.inputs import ShowOptions
    from geoseg.report.layers import Ground, Reading

    truth = find_references(references or [])
    areas = labelled_areas(words.labelled_areas)
    labelled = areas.pop("labelled_areas", None)
    reading = Reading(
        legend=load_legend(words.legend) if words.legend else None,
        legend_map=legend_map_of(
            words.legend_map,
            words.reference_legend,
            truth[0] if truth else None,
            coding=words.coding,
        ),
        reference=ReferenceOptions(
            attribute=words.attribute,
            layer=words.layer,
            coding=words.coding,
            color_tolerance=words.color_tolerance,
            **areas,
        ),
        grounds=tuple(Ground(path) for path in (words.aoi, labelled) if path),
    )
    return ShowOptions(
        orthos=tuple(find_rasters(orthos or [])),
        references=tuple(truth),
        without_reference=without_reference,
        reading=reading,
        bands=words.bands,
    )


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
    workers: options.Workers = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write maps, evaluations and trainings as one HTML page that needs no network."""
    from geoseg.commands.options import reserve
    from geoseg.raster.guard import Output
    from geoseg.report.report import ReportOptions, write_report

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
    named = [inputs, show.orthos, show.references, legend, legend_map, reference_legend, aoi]
    named += [labelled_areas]
    reserve(ctx, [Output(output)], named, overwrite=overwrite)
    done = write_report(
        inputs,
        output,
        show,
        ReportOptions(title=title, size=max_size, threads=workers or os.cpu_count() or 1),
        overwrite=overwrite,
        watch=talk.watch(output.name),
    )
    for note in done.notes:
        talk.warn(note)
    if json:
        print_json(done.to_dict())
        return
    shown = f"{done.maps} scene(s), {done.sections} section(s) of metrics"
    echo(f"{output}: {shown}, {in_bytes(done.bytes)}")
