"""Which legend a class map is read with."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoseg.errors import LegendError

if TYPE_CHECKING:
    from geoseg.core.legend import Legend

OwnLegend = Annotated[
    str | None,
    typer.Option("--legend", "-l", help="TOML file or preset [default: as geoseg's own maps say]."),
]


def legend_of(name: str | None, class_map: Path) -> "Legend":
    """The legend that the user names, or else the one that the class map carries.

    Raises:
        LegendError: If there is neither.
    """
    from geoseg.core.legend import Legend
    from geoseg.io.legends import load_legend
    from geoseg.io.window_scores import read_tags

    if name is not None:
        return load_legend(name)
    record = read_tags(class_map).get("legend")
    if record is None:
        raise LegendError(f"{class_map}: says nothing of its classes; give --legend")
    return Legend.from_dict(record)


def merged_legend(
    own: "Legend",
    reference: Path,
    legend_map: Path | None,
    reference_legend: str | None,
    *,
    coding: str = "auto",
) -> "Legend":
    """The classes that a map and its reference have in common by a legend map, if there is one.

    Args:
        own: The legend of the map.
        reference: One of the references; a class map of geoseg's own says what its classes are.
        legend_map: Table of the classes that mean the same.
        reference_legend: TOML file or preset.
        coding: How a raster reference names classes.

    Raises:
        LegendError: If the table does not fit the legends.
    """
    from geoseg.core.legend_map import merge_legends
    from geoseg.io.legend_map import load_legend_map
    from geoseg.io.legends import load_legend

    if legend_map is None:
        if reference_legend is not None:
            raise typer.BadParameter("is for --legend-map", param_hint="--reference-legend")
        return own
    if coding == "map":
        raise typer.BadParameter(
            "map is not for --legend-map, which says what the values of a class map mean",
            param_hint="--coding",
        )
    theirs = load_legend(reference_legend) if reference_legend else _carried(reference)
    rows = load_legend_map(legend_map)
    try:
        return merge_legends(rows, own, theirs)
    except LegendError as error:
        raise LegendError(f"{legend_map}: {error}") from error


def _carried(reference: Path) -> "Legend | None":
    """The legend of a class map that geoseg wrote, by the values that it has in the file."""
    from geoseg.core.legend import Legend
    from geoseg.io.vector import is_vector
    from geoseg.io.window_scores import read_tags

    record = None if is_vector(reference) else read_tags(reference).get("legend")
    if record is None:
        return None
    keys = ("value", "name", "color")
    tables = [{key: table[key] for key in keys if key in table} for table in record["class"]]
    return Legend.from_dict({"class": tables})


def class_indices(names: Sequence[str], legend: "Legend") -> tuple[int, ...]:
    """Indices of the classes that the user names.

    Raises:
        LegendError: If one is not in the legend.
    """
    for name in names:
        if name not in legend.names:
            raise LegendError(f"no class {name!r} in the legend; its classes are {legend.names}")
    return tuple(dict.fromkeys(legend.names.index(name) for name in names))
