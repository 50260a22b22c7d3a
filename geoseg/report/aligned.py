"""A raster file read on another's grid, at any scale."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np

from geoseg.errors import EmptyError, GridMismatchError, LegendError
from geoseg.labels.legend import Legend
from geoseg.labels.legend_files import read_tags
from geoseg.labels.legend_map import LegendMap, MergedLegend
from geoseg.labels.reference import ReferenceOptions
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Split
from geoseg.raster.grid import Grid, cover
from geoseg.raster.reader import Layer, Pixels, ReadOptions
from geoseg.raster.vector import read_polygons
from geoseg.raster.window import Window


class OnGrid:
    """A raster file read on a grid: as it is where the pixels fall on each other.

    Else it is resampled (nearest). A file without georeference lies on the grid if it is of
    the same size.

    Raises:
        EmptyError: If the two share no ground.
        GridMismatchError: If one of the two has no CRS and they do not line up.
        RasterError: If the file cannot be read.
    """

    def __init__(
        self,
        path: Path,
        grid: Grid,
        options: ReadOptions | None = None,
        *,
        palette_index: bool = False,
    ) -> None:
        options = options or ReadOptions()
        self._file = Layer(path, options, palette_index=palette_index)
        self._place = grid.window
        own = self._file.grid
        if not own.is_georeferenced or not grid.is_georeferenced:
            if (own.height, own.width) != (grid.height, grid.width):
                self._refuse(
                    path, f"{own.width} x {own.height} px, not {grid.width} x {grid.height}"
                )
            return
        if own.crs and grid.crs and not share_ground(own, grid):
            self._file.close()
            raise EmptyError(f"{path}: shares no ground with what it is to be shown with")
        try:
            self._place = own.window_of(grid)
        except GridMismatchError as error:
            if own.crs is None or grid.crs is None:
                self._refuse(path, str(error))
            self._file.close()
            options = replace(options, on=grid)
            self._file = Layer(path, options, palette_index=palette_index)

    def _refuse(self, path: Path, reason: str) -> NoReturn:
        self._file.close()
        raise GridMismatchError(
            f"{path}: cannot be shown with the others: {reason}; georeference it"
        )

    @property
    def bands(self) -> int:
        """How many bands a read gives."""
        return self._file.bands

    def read(self, window: Window, step: int) -> Pixels:
        """One pixel for each square of ``step`` pixels; not valid beyond the file's edge.

        Overviews are used if the file has them.

        Raises:
            RasterError: If the file cannot be read there.
        """
        own = self._file.grid
        frame = shrunk(window, step)
        wanted = window.moved(self._place.row_off, self._place.col_off)
        inside = wanted.clip(own.height, own.width)
        if inside == wanted:
            return self._file.read(wanted, (frame.height, frame.width))
        image = np.zeros((self._file.bands, frame.height, frame.width), self._file.dtype)
        valid = np.zeros((frame.height, frame.width), np.bool_)
        if inside is not None:
            part = shrunk(inside.relative_to(wanted), step)
            pixels = self._file.read(inside, (part.height, part.width))
            image[:, *part.slices] = pixels.image
            valid[part.slices] = pixels.valid
        return Pixels(image, valid)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def share_ground(one: Grid, other: Grid) -> bool:
    """Whether two rasters overlap; without georeference, whether they are of the same size."""
    if not one.is_georeferenced or not other.is_georeferenced:
        return (one.height, one.width) == (other.height, other.width)
    try:
        place = other.window_of(cover(one, other))
    except GridMismatchError:
        return False
    return place.clip(other.height, other.width) is not None


def shrunk(window: Window, step: int) -> Window:
    """A window counted in squares of ``step`` pixels; those that it cuts belong to it.

    >>> shrunk(Window(row_off=8, col_off=0, height=9, width=4), 4)
    Window(row_off=2, col_off=0, height=3, width=1)
    """
    row_off, col_off = window.row_off // step, window.col_off // step
    return Window(
        row_off=row_off,
        col_off=col_off,
        height=-(-window.row_stop // step) - row_off,
        width=-(-window.col_stop // step) - col_off,
    )


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
