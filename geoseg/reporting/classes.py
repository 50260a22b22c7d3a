"""Class maps and references of any kind, as a page shows them."""

from collections.abc import Sequence
from contextlib import ExitStack
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geoseg.core.grid import Grid
from geoseg.core.legend import Legend
from geoseg.core.legend_map import MergedLegend
from geoseg.core.scores import IGNORE
from geoseg.core.window import Window
from geoseg.errors import EmptyError, NoPolygonError
from geoseg.io.pixel_classes import PixelClasses
from geoseg.io.reference import Reference, ReferenceOptions, open_reference
from geoseg.io.vector import Area, is_vector
from geoseg.reporting.layers import Layer, RasterClasses
from geoseg.reporting.on_grid import shrunk
from geoseg.reporting.reading import Ground, Reading


class PolygonClasses:
    """Reference polygons, burnt for each scale anew.

    Raises:
        EmptyError: If no polygon lies on the grid.
        LegendError: If an attribute value has no class.
        VectorError: If the file cannot be read.
    """

    kind: Literal["classes"] = "classes"

    def __init__(
        self,
        path: Path,
        legend: Legend,
        grid: Grid,
        options: ReferenceOptions,
        *,
        background: bool = True,
        may_be_elsewhere: bool = False,
    ) -> None:
        """Read.

        Args:
            path: The polygons.
            legend: Their classes.
            grid: To burn them on.
            options: How they name classes.
            background: Whether ground that none covers is of the legend's background class.
            may_be_elsewhere: Whether none need lie on the grid.

        Raises:
            NoPolygonError: If one need, and none does.
        """
        self.title = path.name
        self._path, self._legend, self._grid, self._options = path, legend, grid, options
        self._background, self._may_be_elsewhere = background, may_be_elsewhere
        self._burnt: dict[int, Reference] = {1: self._burn(1)}

    def read(self, window: Window, step: int) -> NDArray[np.uint8]:
        """(height, width) class indices."""
        if step not in self._burnt:
            self._burnt[step] = self._burn(step)
        return self._burnt[step].read(shrunk(window, step))

    def _burn(self, step: int) -> Reference:
        return open_reference(
            self._path,
            legend=self._legend,
            grid=coarser(self._grid, step),
            options=self._options,
            background=self._background,
            may_be_elsewhere=self._may_be_elsewhere,
        )

    def close(self) -> None:
        """Nothing is open."""


class ClassesTogether:
    """References of which each fills what those before it leave unlabelled."""

    kind: Literal["classes"] = "classes"

    def __init__(self, layers: Sequence[Layer], background: int) -> None:
        """Put together.

        Args:
            layers: The first ones count first.
            background: Index of ground that none labels; 255: it stays unlabelled.
        """
        self.title = ", ".join(layer.title for layer in layers)
        self._layers, self._background = layers, background

    def read(self, window: Window, step: int) -> NDArray[np.uint8]:
        """(height, width) class indices."""
        indices = self._layers[0].read(window, step)
        for layer in self._layers[1:]:
            if not (empty := indices == IGNORE).any():
                break
            indices = np.where(empty, layer.read(window, step), indices)
        return np.where(indices == IGNORE, np.uint8(self._background), indices)

    def close(self) -> None:
        """Release files."""
        for layer in self._layers:
            layer.close()


class ClassesWithin:
    """Classes on ground that counts; outside there is none. Burnt for each scale anew.

    Raises:
        EmptyError: If none of the ground lies on the grid.
        GeosegError: If the ground cannot be read.
    """

    kind: Literal["classes"] = "classes"

    def __init__(self, layer: Layer, grid: Grid, grounds: Sequence[Ground]) -> None:
        self.title = layer.title
        self._layer, self._grid = layer, grid
        self._outlines = [each.outlines() for each in grounds]
        try:
            self._areas = {1: self._burn(1)}
        except EmptyError as error:
            told = ", ".join(str(each.path) for each in grounds)
            raise EmptyError(f"{told}: {error}") from error

    def read(self, window: Window, step: int) -> NDArray[np.uint8]:
        """(height, width) class indices; 255 outside."""
        if step not in self._areas:
            self._areas[step] = self._burn(step)
        part = shrunk(window, step)
        inside = np.logical_and.reduce([area.read(part) for area in self._areas[step]])
        return np.where(inside, self._layer.read(window, step), np.uint8(IGNORE))

    def _burn(self, step: int) -> list[Area]:
        return [Area(each, coarser(self._grid, step)) for each in self._outlines]

    def close(self) -> None:
        """Release files."""
        self._layer.close()


def open_map(
    path: Path, legend: Legend, grid: Grid, reading: Reading, *, exact: bool = False
) -> Layer:
    """A class map.

    Args:
        path: The raster.
        legend: Its classes, or those that it has in common with its reference.
        grid: To read it on.
        reading: How it is to be understood.
        exact: As in `RasterClasses`.

    Raises:
        GeosegError: What is wrong with the file.
    """
    by_map_values = reading.by_map_values or isinstance(legend, MergedLegend)
    classes = PixelClasses.of_map if by_map_values else PixelClasses
    return RasterClasses(classes(path, legend), grid, exact=exact)


def open_references(
    paths: Sequence[Path], legend: Legend, grid: Grid, reading: Reading, *, exact: bool = False
) -> Layer:
    """References of any kind as one layer.

    Args:
        paths: The first ones count first.
        legend: Their classes.
        grid: To read them on.
        reading: How they are to be understood.
        exact: As in `RasterClasses`.

    Raises:
        EmptyError: If none of them shares ground with the grid.
        GeosegError: What is wrong with a file.
    """
    options, alone = reading.reference, len(paths) == 1
    with ExitStack() as stack:
        layers: list[Layer] = []
        for path in paths:
            try:
                layer: Layer = (
                    _polygons(path, legend, grid, reading, alone=alone)
                    if is_vector(path)
                    else RasterClasses(
                        PixelClasses(
                            path, legend, options.coding, tolerance=options.color_tolerance
                        ),
                        grid,
                        exact=exact,
                    )
                )
            except EmptyError:
                if alone:
                    raise
            else:
                stack.callback(layer.close)
                layers.append(layer)
        together = (
            layers[0]
            if alone
            else _together(layers, legend, paths, filled=not options.only_polygons)
        )
        shown = ClassesWithin(together, grid, reading.grounds) if reading.grounds else together
        stack.pop_all()
    return shown


def _polygons(
    path: Path, legend: Legend, grid: Grid, reading: Reading, *, alone: bool
) -> PolygonClasses:
    """Polygons of which none need lie on the grid, if that may be right or was evaluated so."""
    try:
        return PolygonClasses(path, legend, grid, reading.reference, background=alone)
    except NoPolygonError as error:
        if not (alone and (error.is_plausible or reading.by_map_values)):
            raise
    return PolygonClasses(
        path, legend, grid, reading.reference, background=True, may_be_elsewhere=True
    )


def _together(
    layers: Sequence[Layer], legend: Legend, paths: Sequence[Path], *, filled: bool
) -> Layer:
    """Several references as one; ground that no polygon covers counts where no file labels it."""
    if not layers:
        raise EmptyError(f"{paths[0]} and {len(paths) - 1} more: none overlaps the map")
    drawn = any(isinstance(each, PolygonClasses) for each in layers)
    return ClassesTogether(layers, legend.background_index if drawn and filled else IGNORE)


def coarser(grid: Grid, step: int) -> Grid:
    """A grid whose pixels are squares of so many pixels along a side; the last ones reach out."""
    height, width = ceil(grid.height / step), ceil(grid.width / step)
    return Grid(grid.crs, grid.transform @ grid.transform.scale(step), height, width)
