"""Several references as one: each fills what earlier ones leave unlabelled."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError, GeosegError, NoPolygonError, VectorError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.pixel_classes import Meaning
from geoseg.labels.reference import (
    RasterReference,
    ReferenceOptions,
    VectorReference,
    open_reference,
)
from geoseg.raster.grid import Grid
from geoseg.raster.polygons import NumberedPolygons, on_grid
from geoseg.raster.window import Window


class References:
    """Rasters and polygons that each cover a part of an orthophoto.

    Ground without a polygon has the legend's background class only where no file labels it.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        legend: Legend,
        grid: Grid,
        options: ReferenceOptions | None = None,
        may_be_elsewhere: bool = False,
    ) -> None:
        """Open.

        Args:
            paths: References, in order of precedence.
            legend: Their classes.
            grid: Grid of the orthophoto.
            options: Options for reading them.
            may_be_elsewhere: Whether all polygons may lie outside the grid.

        Raises:
            EmptyError: If none overlaps the grid.
            NoPolygonError: If they are polygons, which may mean that there is no object.
            GeosegError: If one cannot be read.
        """
        self.paths = tuple(paths)
        self._grid = grid
        self._parts: list[RasterReference | VectorReference] = []
        options = options or ReferenceOptions()
        alone = len(paths) == 1
        absent: list[EmptyError] = []
        try:
            for path in paths:
                try:
                    part = open_reference(
                        path,
                        legend=legend,
                        grid=grid,
                        options=options,
                        background=alone,
                        may_be_elsewhere=may_be_elsewhere,
                    )
                except EmptyError as error:
                    if alone:
                        raise
                    absent.append(error)
                else:
                    self._parts.append(part)
        except GeosegError:
            self.close()
            raise
        if not self._parts:
            _refuse_absent(paths, absent)
        drawn = any(isinstance(part, VectorReference) for part in self._parts)
        filled = drawn and not alone and not options.only_polygons
        self._background = legend.background_index if filled else IGNORE
        self._labelled = self._parts[0].labelled

    @property
    def used(self) -> tuple[Path, ...]:
        """Files that overlap the grid."""
        return tuple(part.path for part in self._parts)

    @property
    def notes(self) -> list[str]:
        """Remarks for the user on what was read."""
        return [note for part in self._parts for note in part.notes]

    @property
    def meanings(self) -> list[Meaning]:
        """Codes of the classes in each used file."""
        return [part.meaning for part in self._parts]

    def read(self, window: Window, step: int = 1) -> NDArray[np.uint8]:
        """(height, width) class indices; 255 where no file has a label.

        Args:
            window: Window of the grid.
            step: Pixels of the grid per class index, along each axis.
        """
        if len(self.paths) == 1:
            return self._parts[0].read(window, step)
        shape = window.shrunk(step)
        labels = np.full((shape.height, shape.width), IGNORE, np.uint8)
        for part in self._touching(window):
            empty = labels == IGNORE
            if not empty.any():
                break
            labels = np.where(empty, part.read(window, step), labels)
        if self._background != IGNORE:
            empty = labels == IGNORE
            if self._labelled is not None:
                empty &= self._labelled.read(window, step)
            labels[empty] = self._background
        return labels

    def conflicts(self, window: Window) -> NDArray[np.bool_]:
        """(height, width) bool, True where two files label a pixel differently."""
        lowest = np.full((window.height, window.width), IGNORE, np.uint8)
        highest = np.zeros_like(lowest)
        touching = self._touching(window)
        if any(_meet(one, other, window) for one, other in combinations(touching, 2)):
            for part in touching:
                labels = part.read(window)
                known = labels != IGNORE
                np.minimum(lowest, labels, out=lowest)
                np.maximum(highest, labels, out=highest, where=known)
        return (lowest != IGNORE) & (lowest != highest)

    def polygons_of(self, index: int) -> NumberedPolygons:
        """Polygons of a class in all files, each an object.

        Raises:
            VectorError: If a file holds no polygons.
        """
        import geopandas as gpd

        drawn = []
        for part in self._parts:
            if not isinstance(part, VectorReference):
                raise VectorError(
                    f"{part.path}: a raster has no polygons that could be objects; connected "
                    f"pixels can be (--reference-objects components)"
                )
            drawn.append(np.asarray(on_grid(part.polygons_of(index), self._grid, part.path).values))
        return NumberedPolygons(gpd.GeoSeries(np.concatenate(drawn)), self._grid)

    def _touching(self, window: Window) -> list[RasterReference | VectorReference]:
        return [part for part in self._parts if part.extent.intersection(window)]

    def close(self) -> None:
        """Release files."""
        for part in self._parts:
            part.close()


def _refuse_absent(paths: Sequence[Path], absent: Sequence[EmptyError]) -> NoReturn:
    """Report that no reference overlaps a raster; with polygons there may be no object."""
    listed = ", ".join(map(str, paths[:5])) + (" ..." if len(paths) > 5 else "")  # noqa: PLR2004
    message = f"{listed}: none overlaps the raster they belong to"
    drawn = [error for error in absent if isinstance(error, NoPolygonError)]
    if len(drawn) < len(absent):
        raise EmptyError(message)
    is_plausible = any(error.is_plausible for error in drawn)
    raise NoPolygonError(message, paths=paths, is_plausible=is_plausible)


def _meet(
    one: RasterReference | VectorReference, other: RasterReference | VectorReference, window: Window
) -> bool:
    """Whether two files overlap in a window."""
    shared = one.extent.intersection(other.extent)
    return shared is not None and shared.intersection(window) is not None
