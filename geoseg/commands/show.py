"""What `geoseg report` and `geoseg view` share: what to show, and how to understand it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from geoseg.reporting import ShowOptions

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


def show_options(
    orthos: Sequence[Path] | None,
    references: Sequence[Path] | None,
    legend: str | None,
    attribute: str | None,
    layer: str | None,
    coding: Literal["auto", "values", "colors", "map"],
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

    return ShowOptions(
        orthos=tuple(find_rasters(orthos or [])),
        references=tuple(find_references(references or [])),
        without_reference=without_reference,
        legend=load_legend(legend) if legend else None,
        reference=ReferenceOptions(attribute=attribute, layer=layer, coding=coding),
    )
