"""Count pairs of classes over a map and its reference, in blocks."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from geoseg.core.confusion import ConfusionMatrix
from geoseg.core.legend import Legend
from geoseg.core.scores import IGNORE
from geoseg.core.window import Window, blocks
from geoseg.errors import EmptyError
from geoseg.io.matching import match_by_name, match_by_order
from geoseg.io.paths import unique_names
from geoseg.io.raster import RasterReader
from geoseg.io.reference import ReferenceOptions, open_reference
from geoseg.io.vector import Area

ROWS, COLUMNS = 512, 8192
"""The block that is compared at a time, in pixels."""


@dataclass(frozen=True)
class Pair:
    """A class map and the reference it is held against."""

    name: str
    """Short and unique."""

    class_map: Path
    """Raster of the legend's map values, or of colours."""

    reference: Path
    """Raster or polygons."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Counts of one pair, or of several together."""

    confusion: ConfusionMatrix
    """Of the pixels that both know."""

    without_map: int = 0
    """Pixels of the reference where the map has no data."""

    without_reference: int = 0
    """Pixels of the map that are unlabelled in the reference."""

    @classmethod
    def nothing(cls, classes: int) -> Self:
        """Nothing counted yet."""
        return cls(ConfusionMatrix.zeros(classes))

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.confusion + other.confusion,
            self.without_map + other.without_map,
            self.without_reference + other.without_reference,
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
    aoi: Path | None = None,
    ground: Any = None,
    watch: Watch = lambda blocks, _: blocks,
) -> Comparison:
    """Hold a class map against its reference, on the map's grid.

    Args:
        pair: The files.
        legend: Their classes.
        options: How the reference is read.
        aoi: Polygons; ground outside does not count.
        ground: GeoSeries; ground outside does not count.
        watch: Shows progress over the blocks.

    Raises:
        EmptyError: If no pixel is known to both.
        GeosegError: What is wrong with the files.
    """
    total = Comparison.nothing(len(legend))
    with RasterReader(pair.class_map, palette_index=True) as reader:
        grid = reader.grid
        areas = [Area.open(aoi, grid)] if aoi else []
        areas += [Area(ground, grid)] if ground is not None else []
        as_map = ReferenceOptions(coding="colors" if reader.bands >= 3 else "map")  # noqa: PLR2004
        mapped = open_reference(pair.class_map, legend=legend, grid=grid, options=as_map)
        truth = open_reference(pair.reference, legend=legend, grid=grid, options=options)
        with closing(mapped), closing(truth):
            todo = list(blocks(grid.height, grid.width, rows=ROWS, cols=COLUMNS))
            for block in watch(todo, len(todo)):
                predicted, reference = mapped.read(block), truth.read(block)
                for area in areas:
                    outside = ~area.read(block)
                    predicted[outside] = reference[outside] = IGNORE
                total += _count(predicted, reference, len(legend))
    if not total.confusion.total:
        raise EmptyError(
            f"{pair.class_map}: no pixel is known to both the map and {pair.reference}"
        )
    return total


def _count(predicted: Any, reference: Any, classes: int) -> Comparison:
    in_map, in_reference = predicted != IGNORE, reference != IGNORE
    both = in_map & in_reference
    return Comparison(
        ConfusionMatrix.count(reference, predicted, valid=both, classes=classes),
        without_map=int(np.count_nonzero(in_reference & ~in_map)),
        without_reference=int(np.count_nonzero(in_map & ~in_reference)),
    )
