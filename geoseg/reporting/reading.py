"""How the maps and references of a page are to be understood."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from geoseg.core.legend import Legend
from geoseg.core.legend_map import MergedLegend
from geoseg.errors import LegendError
from geoseg.io.legend_map import LegendMap
from geoseg.io.patch_record import Split
from geoseg.io.patches import PatchSet
from geoseg.io.reference import ReferenceOptions
from geoseg.io.vector import read_polygons
from geoseg.io.window_scores import read_tags


class Ground(NamedTuple):
    """Ground that counts."""

    path: Path
    """Polygons, or the folder of a patch set."""

    split: Split | None = None
    """Of the patch set."""

    def outlines(self) -> Any:
        """Its polygons, a GeoSeries.

        Raises:
            GeosegError: If they cannot be read.
        """
        if self.split is not None:
            return PatchSet.open(self.path).footprints(self.split)
        return read_polygons(self.path, advice="an area is a file of one layer").geometries


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a map and its reference are to be understood."""

    legend: Legend | None = None
    """Of maps that bring none, or instead of theirs."""

    legend_map: LegendMap | None = None
    """Which of its classes and of the reference's mean the same, where the legends differ."""

    reference: ReferenceOptions = field(default_factory=ReferenceOptions)
    """How references name classes."""

    grounds: tuple[Ground, ...] = ()
    """References are shown within all of these."""

    by_map_values: bool = False
    """Whether a raster of one band that is no map of geoseg's has the values of its maps."""

    def or_else(self, other: Self) -> Self:
        """This one, and where it says nothing, another."""
        own, theirs = self.reference, other.reference
        return replace(
            other,
            legend=self.legend or other.legend,
            legend_map=self.legend_map or other.legend_map,
            reference=replace(
                theirs,
                attribute=own.attribute or theirs.attribute,
                layer=own.layer or theirs.layer,
                coding=theirs.coding if own.coding == "auto" else own.coding,
                only_polygons=own.only_polygons or theirs.only_polygons,
                color_tolerance=own.color_tolerance or theirs.color_tolerance,
            ),
            grounds=self.grounds or other.grounds,
        )

    def legend_of(self, class_map: Path, *, compared: bool) -> Legend:
        """The classes of a map.

        Args:
            class_map: The map.
            compared: Whether it has a reference: then the classes that both have in common.

        Raises:
            LegendError: If nothing says what they are, or the legend map does not fit.
        """
        legend = self.legend
        if legend is None:
            if (record := read_tags(class_map).get("legend")) is None:
                raise LegendError(f"{class_map}: the map brings no legend; name one with --legend")
            legend = Legend.from_dict(record)
        if self.legend_map is None or not compared:
            return legend
        return self.legend_map.merged(
            legend.made_of.map if isinstance(legend, MergedLegend) else legend
        )
