"""The tallies of pixels and of borders."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError
from geoseg.evaluation.block import Block, Tally
from geoseg.evaluation.block_counts import Kinds, ScoreTally, SquareTally
from geoseg.evaluation.boundary import BorderCounts, near_border
from geoseg.evaluation.comparison import Comparison, Measures, RegionSource
from geoseg.evaluation.score_map import ScoreMap
from geoseg.evaluation.spatial_blocks import Squares, SquareTable, Tallied
from geoseg.labels.confusion import ConfusionMatrix, count_pairs
from geoseg.labels.legend import IGNORE
from geoseg.labels.references import References
from geoseg.patches.training_ground import TrainedGround
from geoseg.raster.grid import Grid
from geoseg.raster.polygons import BurntPolygons, on_grid
from geoseg.raster.vector import is_vector, read_polygons
from geoseg.raster.window import Window
from geoseg.text import as_text, is_null


class ConflictTally:
    """Pixels that count and that two references label differently; the first one counts."""

    halo = 0

    def __init__(self, references: References) -> None:
        self._references = references
        self._pixels = 0

    def look(self, block: Block) -> int:
        """Pixels of the block."""
        conflicts = self._references.conflicts(block.window)
        return int(np.count_nonzero(conflicts & block.known))

    def add(self, looked: int) -> None:
        """Sum up."""
        self._pixels += looked

    def result(self) -> dict[str, Any]:
        """Fields of the comparison."""
        return {"conflicts": self._pixels}


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


def squares_of(measures: Measures, grid: Grid) -> Squares | None:
    """The squares of a map that are drawn again, if confidence intervals are wanted.

    Raises:
        InputError: If their side cannot be told in the map's pixels.
    """
    if measures.bootstrap is None:
        return None
    side = round(measures.bootstrap.block.in_pixels(grid))
    return Squares(side=side, height=grid.height, width=grid.width)


def tallies_of(
    measures: Measures,
    grid: Grid,
    classes: int,
    *,
    squares: Squares | None = None,
    scores: ScoreMap | None = None,
) -> list[Tally]:
    """All that is counted in the pass over a map.

    Args:
        measures: What is measured.
        grid: Of the map.
        classes: How many there are.
        squares: In each of which all is counted, if that is wanted.
        scores: Of the map, if they are to be judged.

    Raises:
        InputError: If a distance cannot be told in the map's pixels.
        VectorError: If regions cannot be read.
    """
    tallies: list[Tally] = [PixelTally(classes)]
    boundary, erode = (
        each.in_pixels(grid) if each else 0 for each in (measures.boundary, measures.erode)
    )
    if squares is not None:  # sums of what is counted by square are what else is counted here
        kinds = Kinds(classes=classes, boundary=boundary, erode=erode)
        tallies.append(SquareTally(squares, kinds))
    else:
        tallies += [BorderTally(classes, boundary)] if boundary else []
        tallies += [ErodedTally(classes, erode)] if erode else []
    if measures.by:
        tallies.append(RegionTally(Region.all_of(measures.by, grid), classes, squares))
    if scores:
        tallies.append(ScoreTally(scores, classes, squares))
    return tallies


class PixelTally:
    """Pairs of classes, and pixels that only the map or only the reference knows."""

    halo = 0

    def __init__(self, classes: int) -> None:
        self._pairs: NDArray[np.int64] = np.zeros((classes + 1, classes + 1), np.int64)
        self._mapped = 0

    def look(self, block: Block) -> tuple[NDArray[np.int64], int]:
        """(classes + 1, classes + 1) counts, as from `count_pairs`, and pixels with data."""
        mapped = int(np.count_nonzero(block.all_mapped[block.inner] != IGNORE))
        return count_pairs(block.reference, block.mapped, len(self._pairs) - 1), mapped

    def add(self, looked: tuple[NDArray[np.int64], int]) -> None:
        """Sum up."""
        self._pairs += looked[0]
        self._mapped += looked[1]

    def result(self) -> dict[str, Any]:
        """Fields of the comparison."""
        counted = Comparison.of_pairs(self._pairs)
        names = ("confusion", "without_map", "without_reference")
        return {name: getattr(counted, name) for name in names} | {"mapped": self._mapped}


class BorderTally:
    """Pixels along the borders of each class."""

    def __init__(self, classes: int, distance: float) -> None:
        self._classes = classes
        self._distance = distance
        self._counts = BorderCounts.zeros(classes)
        self.halo = ceil(distance + 1)  # a contour needs one pixel more to be seen

    def look(self, block: Block) -> BorderCounts:
        """Counts of the block."""
        counts: NDArray[np.bool_] = np.zeros(block.all_mapped.shape, np.bool_)
        counts[block.inner] = block.known
        return BorderCounts.count(
            block.all_reference,
            block.all_mapped,
            counts=counts,
            distance=self._distance,
            classes=self._classes,
        )

    def add(self, looked: BorderCounts) -> None:
        """Sum up."""
        self._counts += looked

    def result(self) -> dict[str, Any]:
        """Fields of the comparison."""
        return {"borders": self._counts}


class ErodedTally:
    """Pairs of classes where no border of the reference is near."""

    def __init__(self, classes: int, distance: float) -> None:
        self._distance = distance
        self._counts = ConfusionMatrix.zeros(classes)
        self.halo = ceil(distance)

    def look(self, block: Block) -> ConfusionMatrix:
        """Counts of the block."""
        near = near_border(block.all_reference, self._distance)[block.inner]
        return ConfusionMatrix.count(
            block.reference,
            block.mapped,
            valid=block.known & ~near,
            classes=len(self._counts.counts),
        )

    def add(self, looked: ConfusionMatrix) -> None:
        """Sum up."""
        self._counts += looked

    def result(self) -> dict[str, Any]:
        """Fields of the comparison."""
        return {"eroded": self._counts}


class TrainedTally:
    """Pairs of classes on ground that trained the model of a map."""

    halo = 0

    def __init__(self, ground: TrainedGround, classes: int) -> None:
        self._ground = ground
        self._counts = ConfusionMatrix.zeros(classes)

    def look(self, block: Block) -> ConfusionMatrix:
        """Counts of the block."""
        return ConfusionMatrix.count(
            block.reference,
            block.mapped,
            valid=block.known & self._ground.read(block.window),
            classes=len(self._counts.counts),
        )

    def add(self, looked: ConfusionMatrix) -> None:
        """Sum up."""
        self._counts += looked

    def result(self) -> dict[str, Any]:
        """Fields of the comparison."""
        return {"trained": self._counts}
