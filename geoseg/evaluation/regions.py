"""Figures of each region of a map: of districts, parcels, sheets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.core.confusion import count_pairs
from geoseg.core.grid import Grid
from geoseg.core.legend import as_text
from geoseg.core.window import Window
from geoseg.evaluation.block import Block
from geoseg.evaluation.comparison import Comparison, RegionSource
from geoseg.io.numbered import on_grid
from geoseg.io.vector import BurntPolygons, is_vector, read_polygons


@dataclass(frozen=True, eq=False)
class Region:
    """The polygons of one name, on the grid of a map."""

    name: str
    """What the column says."""

    polygons: BurntPolygons
    """Burnt as 1."""

    window: Window
    """Where on the map they are."""

    @classmethod
    def all_of(cls, source: RegionSource, grid: Grid) -> list[Self]:
        """The regions that touch a map, by name; polygons of one name are one region.

        Without a column each polygon is a region, named by its number from 1.

        Raises:
            VectorError: If they cannot be read, or there is no such column.
        """
        geometries, values = read_polygons(source.path, attribute=source.column)
        geometries = on_grid(geometries, grid)
        numbered = source.column is None
        names = np.array(
            [str(n) if numbered else as_text(v) for n, v in enumerate(values, 1)], object
        )
        found = []
        for name in dict.fromkeys(names.tolist()):
            own = geometries[names == name]
            burnt = BurntPolygons(own, np.ones(len(own), np.uint8), grid, background=0)
            if burnt.touches_grid:
                found.append(cls(name, burnt, burnt.window))
        return found

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """(height, width) bool, True inside."""
        return self.polygons.read(window) == 1


class RegionTally:
    """Pairs of classes in each region, and outside of all; a pixel counts in all it lies in."""

    halo = 0

    def __init__(self, regions: Sequence[Region], classes: int) -> None:
        self._regions = regions
        self._classes = classes
        self._pairs = np.zeros((len(regions) + 1, classes + 1, classes + 1), np.int64)

    def look(self, block: Block) -> dict[int, NDArray[np.int64]]:
        """Counts of the regions in the block, by number; those outside of all by -1."""
        free: NDArray[np.bool_] = np.ones(block.reference.shape, np.bool_)
        found = {}
        for number, region in enumerate(self._regions):
            if (part := region.window.intersection(block.window)) is None:
                continue
            inside = region.mask(part)
            here = part.relative_to(block.window).slices
            found[number] = self._count(block, here, inside)
            free[here] &= ~inside
        return {**found, -1: self._count(block, (slice(None), slice(None)), free)}

    def _count(
        self, block: Block, here: tuple[slice, slice], inside: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        return count_pairs(block.reference[here][inside], block.mapped[here][inside], self._classes)

    def add(self, looked: dict[int, NDArray[np.int64]]) -> None:
        """Sum up."""
        for number, pairs in looked.items():
            self._pairs[number] += pairs

    def result(self) -> dict[str, Any]:
        """Fields of the comparison."""
        *inside, outside = map(Comparison.of_pairs, self._pairs)
        names = [region.name for region in self._regions]
        return {"regions": dict(zip(names, inside, strict=True)), "outside_regions": outside}


def parse_source(text: str) -> RegionSource:
    """A file and, after a colon, its column.

    Args:
        text: ``FILE`` or ``FILE:COLUMN``; the file may have a drive letter.

    >>> parse_source("C:/maps/towns.gpkg:name").column
    'name'
    >>> parse_source("C:/maps/towns.gpkg").column is None
    True
    """
    head, _, column = text.rpartition(":")
    if is_vector(Path(head)):
        return RegionSource(Path(head), column)
    return RegionSource(Path(text), None)
