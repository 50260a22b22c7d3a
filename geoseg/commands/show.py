"""What `geoseg report` and `geoseg view` share: what to show, and how to understand it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from geoseg.commands.legends import legend_map_of
from geoseg.commands.options import labelled_areas
from geoseg.commands.parsing import parse_bands

if TYPE_CHECKING:
    from geoseg.reporting import ShowOptions
    from geoseg.reporting.stretch import BandChoice

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
        parser=parse_bands,
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
    from geoseg.reporting.stretch import BandChoice

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
    from geoseg.io.legends import load_legend
    from geoseg.io.paths import find_rasters, find_references
    from geoseg.io.reference import ReferenceOptions
    from geoseg.reporting import ShowOptions
    from geoseg.reporting.reading import Ground, Reading

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
