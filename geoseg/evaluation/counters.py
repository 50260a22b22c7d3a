"""Counters of pixels, borders, regions and scores."""

from collections.abc import Mapping
from dataclasses import fields
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError
from geoseg.evaluation.comparison import (
    Block,
    EvaluationCounts,
    RegionSource,
    fields_of_pairs,
)
from geoseg.labels.boundary import BorderCounts, border_labels, near_border
from geoseg.labels.confusion import ConfusionMatrix, count_pairs
from geoseg.labels.legend import IGNORE
from geoseg.labels.reference import References
from geoseg.raster.grid import Grid
from geoseg.raster.polygons import BurntPolygons, on_grid
from geoseg.raster.vector import read_polygons
from geoseg.text import as_text, is_null

if TYPE_CHECKING:
    from geoseg.evaluation.calibration import ScoreCounts, ScoreMap
    from geoseg.patches.training_ground import TrainedGround

Counts = NDArray[np.int64]

NAMELESS = "(no name)"
"""Region of the polygons without a name."""


class SumCounter:
    """Base of counters whose counts add up with ``+`` and fill one field."""

    halo = 0
    field = ""

    def __init__(self, zero: Any) -> None:
        self.total = zero

    def add(self, counted: Any) -> None:
        """Add a result of `count`."""
        self.total = self.total + counted

    def compute(self) -> dict[str, Any]:
        """Fields of `EvaluationCounts`."""
        return {self.field: self.total}


class PixelCounter(SumCounter):
    """Pairs of classes, and pixels known only to the map or only to the reference."""

    field = "confusion"

    def __init__(self, classes: int) -> None:
        super().__init__(np.zeros((classes + 1) ** 2 + 1, np.int64))
        self._classes = classes

    def count(self, block: Block) -> Counts:
        """(pairs + 1,) counts of `count_pairs`, then pixels of the map with data."""
        mapped = np.count_nonzero(block.all_mapped[block.inner] != IGNORE)
        return np.append(count_pairs(block.reference, block.mapped, self._classes), mapped)

    def compute(self) -> dict[str, Any]:
        """Fields of `EvaluationCounts`."""
        pairs = self.total[:-1].reshape(self._classes + 1, self._classes + 1)
        return {**fields_of_pairs(pairs), "mapped": int(self.total[-1])}


class MaskedCounter(SumCounter):
    """Base of counters of pairs of classes in some of the pixels."""

    def __init__(self, classes: int) -> None:
        super().__init__(ConfusionMatrix.zeros(classes))
        self._classes = classes
        self.kinds = classes**2

    def mask(self, block: Block) -> NDArray[np.bool_]:
        """(height, width) bool, True for pixels of the block that count if both know them."""
        raise NotImplementedError

    def count(self, block: Block) -> ConfusionMatrix:
        """Pairs of classes where the mask is True."""
        valid = block.known & self.mask(block)
        return ConfusionMatrix.count(
            block.reference, block.mapped, valid=valid, classes=self._classes
        )

    def codes(self, block: Block) -> NDArray[np.int32]:
        """Numbers of the pairs of classes where the mask is True."""
        pairs = block.reference.astype(np.int32) * self._classes + block.mapped
        return np.where(block.known & self.mask(block), pairs, np.int32(self.kinds))[None]

    def of_row(self, row: Counts) -> ConfusionMatrix:
        """The pairs of classes as a matrix."""
        return ConfusionMatrix(row.reshape(self._classes, self._classes))


class PairCounter(MaskedCounter):
    """Pairs of classes of all pixels that count."""

    field = "confusion"

    def mask(self, block: Block) -> NDArray[np.bool_]:
        """All pixels."""
        return block.known


class ErodedCounter(MaskedCounter):
    """Pairs of classes away from borders of the reference."""

    field = "eroded"

    def __init__(self, classes: int, distance: float) -> None:
        super().__init__(classes)
        self._distance = distance
        self.halo = ceil(distance)

    def mask(self, block: Block) -> NDArray[np.bool_]:
        """Pixels without a border of the reference within the distance."""
        return ~near_border(block.all_reference, self._distance)[block.inner]


class TrainedCounter(MaskedCounter):
    """Pairs of classes on ground that trained the model of a map."""

    field = "trained"

    def __init__(self, classes: int, ground: "TrainedGround") -> None:
        super().__init__(classes)
        self._ground = ground

    def mask(self, block: Block) -> NDArray[np.bool_]:
        """Pixels that trained the model."""
        return self._ground.read(block.window)


class BorderCounter(SumCounter):
    """Pixels along the borders of each class."""

    field = "borders"

    def __init__(self, classes: int, distance: float) -> None:
        super().__init__(BorderCounts.zeros(classes))
        self._classes = classes
        self.kinds = len(fields(BorderCounts)) * classes
        self._distance = distance
        self.halo = ceil(distance + 1)  # a contour needs one pixel more

    def count(self, block: Block) -> BorderCounts:
        """Pixels along borders; the halo shows where these are."""
        return BorderCounts.of_labels(self._labels(block), self._classes)

    def codes(self, block: Block) -> NDArray[np.int32]:
        """Numbers of field and class."""
        labels = self._labels(block)[:, *block.inner]
        numbers = labels + np.arange(len(labels), dtype=np.int32)[:, None, None] * self._classes
        return np.where(labels == IGNORE, np.int32(self.kinds), numbers)

    def _labels(self, block: Block) -> NDArray[np.uint8]:
        counts: NDArray[np.bool_] = np.zeros(block.all_mapped.shape, np.bool_)
        counts[block.inner] = block.known
        images = block.all_reference, block.all_mapped
        return border_labels(*images, counts=counts, distance=self._distance)

    def of_row(self, row: Counts) -> BorderCounts:
        """Its fields from a row."""
        return BorderCounts(*row.reshape(-1, self._classes))


class ScoreCounter(SumCounter):
    """Pixels by their scores."""

    field = "scores"

    def __init__(self, scores: "ScoreMap") -> None:
        super().__init__(scores.zeros)
        self._scores = scores

    def count(self, block: Block) -> "ScoreCounts":
        """Pixels of the block."""
        return self._scores.count(block.window, block.reference, block.mapped)


class LabelConflictCounter(SumCounter):
    """Pixels that count and that two references label differently."""

    field = "label_conflicts"

    def __init__(self, references: References) -> None:
        super().__init__(0)
        self._references = references

    def count(self, block: Block) -> int:
        """Pixels of the block."""
        return int(np.count_nonzero(self._references.conflicts(block.window) & block.known))


def open_regions(source: RegionSource, grid: Grid) -> dict[str, BurntPolygons]:
    """The regions that touch a map, by name; polygons of one name are one region.

    Without a column each polygon is a region, named by its number from 1.

    Raises:
        VectorError: If they cannot be read, or there is no such column.
    """
    geometries, values, _ = read_polygons(
        source.path, attribute=source.column, advice="regions are a file of one layer"
    )
    if not len(geometries):
        raise EmptyError(f"{source.path}: the layer is empty: it holds no polygon")
    geometries = on_grid(geometries, grid, source.path)
    names = [NAMELESS if is_null(value) else as_text(value) for value in values]
    if source.column is None:
        names = [str(number) for number in range(1, len(geometries) + 1)]
    found = {}
    for name in dict.fromkeys(names):
        own = geometries[np.array(names, object) == name]
        burnt = BurntPolygons(own, np.ones(len(own), np.uint8), grid, background=0)
        if burnt.touches_grid:
            found[name] = burnt
    return found


class RegionCounter(SumCounter):
    """Pairs of classes in each region, and outside all; a pixel counts in all it lies in."""

    def __init__(self, classes: int, regions: Mapping[str, BurntPolygons]) -> None:
        super().__init__(np.zeros((len(regions) + 1, classes + 1, classes + 1), np.int64))
        self._classes = classes
        self._regions = regions

    def count(self, block: Block) -> dict[int, Counts]:
        """Pairs by number of the region; the last number is the ground outside all."""
        outside: NDArray[np.bool_] = np.ones(block.reference.shape, np.bool_)
        found = {}
        for number, region in enumerate(self._regions.values()):
            if (part := region.window.intersection(block.window)) is None:
                continue
            inside, here = region.read(part) == 1, part.relative_to(block.window).slices
            pixels = block.reference[here][inside], block.mapped[here][inside]
            found[number] = count_pairs(*pixels, self._classes)
            outside[here] &= ~inside
        pixels = block.reference[outside], block.mapped[outside]
        return found | {len(self._regions): count_pairs(*pixels, self._classes)}

    def add(self, counted: dict[int, Counts]) -> None:
        """Add a result of `count`."""
        for number, pairs in counted.items():
            self.total[number] += pairs

    def compute(self) -> dict[str, Any]:
        """Fields of `EvaluationCounts`."""
        *inside, outside = (EvaluationCounts(**fields_of_pairs(each)) for each in self.total)
        regions = dict(zip(self._regions, inside, strict=True))
        return {"regions": regions, "outside_regions": outside}
