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


def class_indices(names: Sequence[str], legend: "Legend") -> tuple[int, ...]:
    """Indices of the classes that the user names.

    Raises:
        LegendError: If one is not in the legend.
    """
    for name in names:
        if name not in legend.names:
            raise LegendError(f"no class {name!r} in the legend; its classes are {legend.names}")
    return tuple(dict.fromkeys(legend.names.index(name) for name in names))
