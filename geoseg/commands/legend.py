"""Which legend a class map is read with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import echo
from geoseg.labels.reference import PolygonOptions

if TYPE_CHECKING:
    from geoseg.labels.legend import Legend
    from geoseg.labels.legend_map import LegendMap


@with_options
def legend(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REFERENCE|PRESET",
            help="Raster of values or colours, polygons, or a preset: isprs, isprs-1to6, voc, "
            "landcover-ai, binary:NAME.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="TOML file to write [default: stdout].")
    ] = None,
    *,
    options: PolygonOptions,
    overwrite: shared.Overwrite = False,
) -> None:
    """Write the legend of a preset, or of a reference's values, colours or attribute."""
    from geoseg.labels.legend_files import find_legend, to_toml
    from geoseg.raster.atomic import write_text
    from geoseg.raster.guard import Output

    if output is not None:
        shared.check([Output(output)], [reference], overwrite=overwrite)
    found = find_legend(reference, attribute=options.attribute, layer=options.layer)
    if output is None:
        echo(to_toml(*found), end="")
        return
    write_text(output, to_toml(*found))
    echo(f"{output}: {len(found.legend)} classes")
    for line in found.about:
        echo(f"  {line}")


OwnLegend = Annotated[
    str | None,
    typer.Option("--legend", "-l", help="TOML file or preset [default: as geoseg's own maps say]."),
]

LegendMapFile = Annotated[
    Path | None,
    typer.Option(
        "--legend-map",
        help="CSV or JSON with columns from (class of the map), to (class of the reference) "
        "and, if wanted, name: legends that differ are merged.",
    ),
]

ReferenceLegend = Annotated[
    str | None,
    typer.Option(
        "--reference-legend",
        help="TOML file or preset: the reference's classes, for --legend-map.",
    ),
]


def legend_of(name: str | None, *paths: Path) -> "Legend":
    """The legend that the user names, or else the one that class maps or polygons carry.

    Raises:
        LegendError: If there is neither, or they carry different classes.
    """
    from geoseg.labels.legend_files import load_legend
    from geoseg.labels.tags import carried_legend

    return load_legend(name) if name is not None else carried_legend(*paths)


def legend_map_of(
    legend_map: Path | None,
    reference_legend: str | None,
    reference: Path | None = None,
    *,
    coding: str = "auto",
) -> "LegendMap | None":
    """The legend map that the user names, if there is one.

    Args:
        legend_map: Table of the classes that mean the same.
        reference_legend: TOML file or preset.
        reference: One of the references; a map or polygons of geoseg's own say what their classes
            are.
        coding: How a raster reference names classes.

    Raises:
        LegendError: If the table or the legend cannot be read.
    """
    from geoseg.labels.legend_files import load_legend
    from geoseg.labels.legend_map import LegendMap, load_legend_map

    if legend_map is None:
        if reference_legend is not None:
            raise typer.BadParameter("is for --legend-map", param_hint="--reference-legend")
        return None
    if coding == "map":
        raise typer.BadParameter(
            "map is not for --legend-map, which says what the values of a class map mean",
            param_hint="--coding",
        )
    carried = None if reference is None else _carried(reference)
    theirs = load_legend(reference_legend) if reference_legend else carried
    return LegendMap(legend_map, tuple(load_legend_map(legend_map)), theirs)


def merged_legend(
    own: "Legend",
    legend_map: Path | None,
    reference_legend: str | None,
    reference: Path | None = None,
    *,
    coding: str = "auto",
) -> "Legend":
    """The classes that a map and its reference have in common by a legend map, if there is one.

    Raises:
        LegendError: If the table does not fit the legends.
    """
    found = legend_map_of(legend_map, reference_legend, reference, coding=coding)
    return found.merged(own) if found else own


def _carried(reference: Path) -> "Legend | None":
    """The legend of a map or polygons that geoseg wrote, by the values that they have there."""
    from geoseg.labels.legend import Legend
    from geoseg.labels.tags import read_tags

    record = read_tags(reference).get("legend")
    if record is None:
        return None
    keys = ("value", "name", "color")
    tables = [{key: table[key] for key in keys if key in table} for table in record["class"]]
    return Legend.from_dict({"class": tables})
