"""The tallies of pixels and of borders."""

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.core.borders import BorderCounts, near_border
from geoseg.core.confusion import ConfusionMatrix, count_pairs
from geoseg.core.grid import Grid
from geoseg.core.scores import IGNORE
from geoseg.core.squares import Squares
from geoseg.evaluation.block import Block, Tally
from geoseg.evaluation.comparison import Comparison, Measures
from geoseg.evaluation.regions import Region, RegionTally
from geoseg.evaluation.score_squares import ScoreTally
from geoseg.evaluation.squares import Kinds, SquareTally
from geoseg.io.score_map import ScoreMap
from geoseg.io.training_ground import TrainedGround


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
