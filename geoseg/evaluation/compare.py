"""Count pairs of classes over a map and its reference, in blocks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from geoseg.core.borders import BorderCounts, near_border
from geoseg.core.confusion import ConfusionMatrix
from geoseg.core.distance import Distance
from geoseg.core.grid import Grid
from geoseg.core.legend import Legend
from geoseg.core.objects import ObjectCounts
from geoseg.core.scores import IGNORE
from geoseg.core.window import Window
from geoseg.errors import EmptyError
from geoseg.evaluation.class_map import ClassMap
from geoseg.evaluation.objects import match_objects
from geoseg.io.matching import match_by_name, match_by_order
from geoseg.io.paths import unique_names
from geoseg.io.reference import Reference, ReferenceOptions, open_reference

Sum = TypeVar("Sum", ConfusionMatrix, BorderCounts)


@dataclass(frozen=True)
class Pair:
    """A class map and the reference it is held against."""

    name: str
    """Short and unique."""

    class_map: Path
    """Raster of the legend's map values, or of colours."""

    reference: Path
    """Raster or polygons."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What is measured besides the figures of pixels."""

    boundary: Distance | None = None
    """Within which borders of map and reference are the same; None: they are not compared."""

    erode: Distance | None = None
    """From borders of the reference, within which pixels do not count in the eroded figures."""

    objects: tuple[int, ...] = ()
    """Indices of classes whose objects are matched."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Counts of one pair, or of several together."""

    confusion: ConfusionMatrix
    """Of the pixels that both know."""

    without_map: int = 0
    """Pixels of the reference where the map has no data."""

    without_reference: int = 0
    """Pixels of the map that are unlabelled in the reference."""

    borders: BorderCounts | None = None
    """Along the borders, if asked for."""

    eroded: ConfusionMatrix | None = None
    """Of the pixels that are not near a border of the reference, if asked for."""

    objects: Mapping[int, ObjectCounts] = field(default_factory=dict)
    """Of the classes whose objects are matched, by index."""

    @classmethod
    def nothing(cls, classes: int) -> Self:
        """Nothing counted yet."""
        return cls(ConfusionMatrix.zeros(classes))

    def __add__(self, other: Self) -> Self:
        nothing = ObjectCounts()
        return type(self)(
            self.confusion + other.confusion,
            self.without_map + other.without_map,
            self.without_reference + other.without_reference,
            _sum(self.borders, other.borders),
            _sum(self.eroded, other.eroded),
            {
                index: self.objects.get(index, nothing) + other.objects.get(index, nothing)
                for index in {**self.objects, **other.objects}
            },
        )


Watch = Callable[[Iterable[Window], int], Iterable[Window]]
"""Shows progress: gives the blocks on and knows how many there are."""


def pair_maps(
    maps: Sequence[Path], references: Sequence[Path], *, by: Literal["order", "name"]
) -> list[Pair]:
    """Class maps with their references.

    Raises:
        InputError: If they do not match.
    """
    match = match_by_name if by == "name" else match_by_order
    joined = zip(unique_names(maps), maps, match(maps, references), strict=True)
    return [Pair(*each) for each in joined]


def compare(
    pair: Pair,
    legend: Legend,
    *,
    options: ReferenceOptions | None = None,
    measures: Measures | None = None,
    aoi: Path | None = None,
    ground: Any = None,
    watch: Watch = lambda blocks, _: blocks,
) -> Comparison:
    """Hold a class map against its reference, on the map's grid.

    Args:
        pair: The files.
        legend: Their classes.
        options: How the reference is read.
        measures: What is measured besides the figures of pixels.
        aoi: Polygons; ground outside does not count.
        ground: GeoSeries; ground outside does not count.
        watch: Shows progress over the blocks.

    Raises:
        EmptyError: If no pixel is known to both.
        GeosegError: What is wrong with the files.
    """
    total, measures = Comparison.nothing(len(legend)), measures or Measures()
    with ClassMap(pair.class_map, legend, aoi=aoi, ground=ground) as mapped:
        reach = _Reach.of(measures, mapped.grid)
        truth = open_reference(pair.reference, legend=legend, grid=mapped.grid, options=options)
        with closing(truth):
            todo = mapped.blocks()
            for block in watch(todo, len(todo)):
                total += _count(mapped, truth, block, reach, len(legend))
            objects = match_objects(mapped, truth, measures.objects)
    if not total.confusion.total:
        raise EmptyError(
            f"{pair.class_map}: no pixel is known to both the map and {pair.reference}"
        )
    return replace(total, objects=objects)


@dataclass(frozen=True)
class _Reach:
    """How far along borders is looked on a map, in pixels; 0 where nothing is wanted."""

    boundary: float
    erode: float

    @classmethod
    def of(cls, options: Measures, grid: Grid) -> Self:
        wanted = (options.boundary, options.erode)
        return cls(*(each.in_pixels(grid) if each else 0 for each in wanted))

    @property
    def halo(self) -> int:
        """Around a block; a contour needs one pixel more to be seen."""
        return ceil(max(self.boundary + 1 if self.boundary else 0, self.erode))


def _count(
    mapped: ClassMap, truth: Reference, block: Window, reach: _Reach, classes: int
) -> Comparison:
    wide = block.grown(reach.halo).clip(mapped.grid.height, mapped.grid.width) or block
    all_predicted, all_reference = mapped.read(wide), truth.read(wide)
    inner = block.relative_to(wide).slices
    predicted, reference = all_predicted[inner], all_reference[inner]
    outside = mapped.outside(block)
    if outside is not None:
        predicted, reference = (
            np.where(outside, np.uint8(IGNORE), each) for each in (predicted, reference)
        )
    in_map, in_reference = predicted != IGNORE, reference != IGNORE
    both = in_map & in_reference
    eroded = borders = None
    if reach.erode:
        kept = both & ~near_border(all_reference, reach.erode)[inner]
        eroded = ConfusionMatrix.count(reference, predicted, valid=kept, classes=classes)
    if reach.boundary:
        counts: NDArray[np.bool_] = np.zeros(all_predicted.shape, np.bool_)
        counts[inner] = both
        borders = BorderCounts.count(
            all_reference, all_predicted, counts=counts, distance=reach.boundary, classes=classes
        )
    return Comparison(
        ConfusionMatrix.count(reference, predicted, valid=both, classes=classes),
        without_map=int(np.count_nonzero(in_reference & ~in_map)),
        without_reference=int(np.count_nonzero(in_map & ~in_reference)),
        borders=borders,
        eroded=eroded,
    )


def _sum(one: Sum | None, other: Sum | None) -> Sum | None:
    """The sum of what is counted; what is None was not."""
    if one is None or other is None:
        return other if one is None else one
    return one + other
