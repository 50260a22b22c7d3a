"""Figures of each region of a map: of districts, parcels, sheets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.core.confusion import count_pairs
from geoseg.core.grid import Grid
from geoseg.core.legend import as_text, is_null
from geoseg.core.squares import Squares, SquareTable, Tallied
from geoseg.core.window import Window
from geoseg.errors import EmptyError
from geoseg.evaluation.block import Block
from geoseg.evaluation.comparison import Comparison, RegionSource
from geoseg.io.numbered import on_grid
from geoseg.io.vector import BurntPolygons, is_vector, read_polygons

NAMELESS = "(no name)"
"""Region of the polygons without a name."""


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
        geometries, values = read_polygons(
            source.path, attribute=source.column, advice="regions are a file of one layer"
        )
        if not len(geometries):
            raise EmptyError(f"{source.path}: the layer is empty: it holds no polygon")
        geometries = on_grid(geometries, grid, source.path)
        numbered = source.column is None
        names = np.array(
            [
                str(n) if numbered else NAMELESS if is_null(v) else as_text(v)
                for n, v in enumerate(values, 1)
            ],
            object,
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

    def __init__(
        self, regions: Sequence[Region], classes: int, squares: Squares | None = None
    ) -> None:
        """Prepare.

        Args:
            regions: On the map.
            classes: How many there are.
            squares: Into which the map is divided, if they are to be counted one by one, too.
        """
        self._regions = regions
        self._classes = classes
        self._pairs = np.zeros((len(regions) + 1, classes + 1, classes + 1), np.int64)
        self._squares = squares
        if squares is not None:
            self._table = SquareTable(squares, len(self._pairs) * classes**2)

    def look(self, block: Block) -> list[tuple[int, NDArray[np.int64], Tallied | None]]:
        """Counts of the regions in the block, by number; those outside of all have the last."""
        free: NDArray[np.bool_] = np.ones(block.reference.shape, np.bool_)
        found = []
        for number, region in enumerate(self._regions):
            if (part := region.window.intersection(block.window)) is None:
                continue
            inside = region.mask(part)
            found.append(self._count(block, part, inside, number))
            free[part.relative_to(block.window).slices] &= ~inside
        return [*found, self._count(block, block.window, free, len(self._regions))]

    def _count(
        self, block: Block, part: Window, inside: NDArray[np.bool_], number: int
    ) -> tuple[int, NDArray[np.int64], Tallied | None]:
        here = part.relative_to(block.window).slices
        reference, mapped = block.reference[here], block.mapped[here]
        pairs = count_pairs(reference[inside], mapped[inside], self._classes)
        if self._squares is None:
            return number, pairs, None
        kinds = (number * self._classes + reference.astype(np.int64)) * self._classes + mapped
        how_many = len(self._pairs) * self._classes**2
        counts = inside & block.known[here]
        return number, pairs, self._squares.tally(kinds, part, counts=counts, how_many=how_many)

    def add(self, looked: list[tuple[int, NDArray[np.int64], Tallied | None]]) -> None:
        """Sum up."""
        for number, pairs, tallied in looked:
            self._pairs[number] += pairs
            if tallied is not None:
                self._table.add(tallied)

    def result(self) -> dict[str, Any]:
        """Fields of the comparison, and ``region_squares`` for its squares."""
        *inside, outside = map(Comparison.of_pairs, self._pairs)
        names = [region.name for region in self._regions]
        found: dict[str, Any] = {
            "regions": dict(zip(names, inside, strict=True)),
            "outside_regions": outside,
        }
        if self._squares is not None:
            table, pairs = self._table.counts.tocsc(), self._classes**2
            found["region_squares"] = {
                name: table[:, start : start + pairs].tocsr()
                for name, start in zip([*names, None], range(0, table.shape[1], pairs), strict=True)
            }
        return found


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
