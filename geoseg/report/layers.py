"""Class maps and references of any kind, as a page shows them."""

from collections.abc import Sequence
from contextlib import ExitStack
from math import ceil
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError, NoPolygonError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.legend_files import read_tags
from geoseg.labels.legend_map import MergedLegend
from geoseg.labels.pixel_classes import PixelClasses
from geoseg.labels.reference import Reference, ReferenceOptions, open_reference
from geoseg.labels.render import BandChoice, averaged, painter_of, with_alpha
from geoseg.raster.grid import Grid
from geoseg.raster.polygons import Area
from geoseg.raster.reader import RasterReader
from geoseg.raster.vector import is_vector
from geoseg.raster.window import Window, blocks
from geoseg.report.aligned import Ground, OnGrid, Reading, shrunk

FINER = (4, 2, 1)
"""A pixel of a shrunk picture is the mean of so many along a side, where that comes out even."""

AT_A_TIME = 4096
"""Side of the squares that are read at a time where every pixel is to be seen, in pixels."""


class PageLayer(Protocol):
    """A raster, or polygons, as a page shows them."""

    @property
    def kind(self) -> Literal["picture", "classes"]:
        """Whether a read gives colours or class indices."""
        ...

    @property
    def title(self) -> str:
        """What the page calls it."""
        ...

    def read(self, window: Window, step: int) -> NDArray[np.uint8]:
        """Pixels of a window of the frame's grid, one for each square of ``step`` pixels.

        Returns:
            (height, width, 4) red, green, blue, alpha; or (height, width) class indices, 255
            where there is none.
        """
        ...

    def close(self) -> None:
        """Release files."""


class PictureLayer:
    """An orthophoto or any other raster in the colours of `painter_of`.

    Raises:
        GridMismatchError: If it has no georeference and is not of the grid's size.
        RasterError: If the file cannot be read.
    """

    kind: Literal["picture"] = "picture"

    def __init__(
        self, path: Path, grid: Grid, *, title: str, bands: BandChoice | None = None
    ) -> None:
        self.title = title
        options = (bands or BandChoice()).options_for(path)
        with RasterReader(path, options) as reader:
            self._paint = painter_of(reader, read_tags(path))
        self._file = OnGrid(path, grid, options)

    def read(self, window: Window, step: int) -> NDArray[np.uint8]:
        """(height, width, 4) red, green, blue, alpha."""
        finer = next(side for side in FINER if step % side == 0)
        image, valid = self._file.read(window, step // finer)
        return averaged(with_alpha(self._paint(image), valid), finer)

    def close(self) -> None:
        """Release files."""
        self._file.close()


class RasterClasses:
    """A class map or a reference raster.

    Raises:
        GridMismatchError: If it has no georeference and is not of the grid's size.
        RasterError: If the file cannot be read.
    """

    kind: Literal["classes"] = "classes"

    def __init__(
        self,
        classes: PixelClasses,
        grid: Grid,
        *,
        exact: bool = False,
    ) -> None:
        """Open.

        Args:
            classes: What the raster's pixels mean.
            grid: To read it on.
            exact: Take the pixel in the middle of each square, rather than what overviews
                hold: slower, and two maps then differ only where their pixels do.
        """
        self.title = classes.path.name
        self._classes, self._exact = classes, exact
        self._file = OnGrid(classes.path, grid, palette_index=classes.by_index)

    def read(self, window: Window, step: int) -> NDArray[np.uint8]:
        """(height, width) class indices.

        Raises:
            LegendError: If a value or colour has no class in the legend.
        """
        if not self._exact or step == 1:
            return self._indices(window, step)
        frame = shrunk(window, step)
        indices = np.full((frame.height, frame.width), IGNORE, np.uint8)
        side = max(AT_A_TIME // step, 1)
        for part in blocks(frame.height, frame.width, rows=side, cols=side):
            rows, cols = (
                np.minimum(np.arange(each.start, each.stop) * step + step // 2, length - 1)
                for each, length in zip(part.slices, (window.height, window.width), strict=True)
            )
            place = Window(
                row_off=window.row_off + int(rows[0]),
                col_off=window.col_off + int(cols[0]),
                height=int(rows[-1] - rows[0]) + 1,
                width=int(cols[-1] - cols[0]) + 1,
            )
            read = self._indices(place, 1)
            indices[part.slices] = read[np.ix_(rows - rows[0], cols - cols[0])]
        return indices

    def _indices(self, window: Window, step: int) -> NDArray[np.uint8]:
        return self._classes.encode(*self._file.read(window, step))

    def close(self) -> None:
        """Release files."""
        self._file.close()


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

    def __init__(self, layers: Sequence[PageLayer], background: int) -> None:
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

    def __init__(self, layer: PageLayer, grid: Grid, grounds: Sequence[Ground]) -> None:
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
) -> PageLayer:
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
) -> PageLayer:
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
        layers: list[PageLayer] = []
        for path in paths:
            try:
                layer: PageLayer = (
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
    layers: Sequence[PageLayer], legend: Legend, paths: Sequence[Path], *, filled: bool
) -> PageLayer:
    """Several references as one; ground that no polygon covers counts where no file labels it."""
    if not layers:
        raise EmptyError(f"{paths[0]} and {len(paths) - 1} more: none overlaps the map")
    drawn = any(isinstance(each, PolygonClasses) for each in layers)
    return ClassesTogether(layers, legend.background_index if drawn and filled else IGNORE)


def coarser(grid: Grid, step: int) -> Grid:
    """A grid whose pixels are squares of so many pixels along a side; the last ones reach out."""
    height, width = ceil(grid.height / step), ceil(grid.width / step)
    return Grid(grid.crs, grid.transform @ grid.transform.scale(step), height, width)
