"""What is held against what, what is measured, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.evaluation.block import COLUMNS, ROWS
from geoseg.evaluation.block_counts import ScoreSquares, SquareCounts
from geoseg.evaluation.bootstrap import Bootstrap
from geoseg.evaluation.boundary import BorderCounts
from geoseg.evaluation.calibration import ScoreCounts
from geoseg.evaluation.matching import ObjectCounts
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.pixel_classes import Meaning
from geoseg.labels.reference import open_class_map
from geoseg.postprocess.components import CONNECTIVITY, Connectivity
from geoseg.raster.polygons import Area
from geoseg.raster.reader import RasterReader
from geoseg.raster.units import Distance
from geoseg.raster.window import Window, blocks


@dataclass(frozen=True)
class Pair:
    """A class map and the reference it is held against."""

    name: str
    """Short and unique."""

    class_map: Path
    """Raster of the legend's map values, or of colours."""

    reference: Path
    """Raster or polygons."""

    further: tuple[Path, ...] = ()
    """References that fill, one after the other, what those before leave unlabelled."""

    scores: Path | None = None
    """Scores of the class map, if they are to be judged."""

    may_be_elsewhere: bool = field(default=False, compare=False)
    """Whether no polygon of the references need lie on the map."""

    @property
    def references(self) -> tuple[Path, ...]:
        """All of them, the first ones count first."""
        return (self.reference, *self.further)


@dataclass(frozen=True)
class RegionSource:
    """Where regions come from."""

    path: Path
    """Polygons of any CRS; they may overlap."""

    column: str | None = None
    """Their names; None: each polygon has its number."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What is measured besides the figures of pixels."""

    boundary: Distance | None = None
    """Within which borders of map and reference are the same; None: they are not compared."""

    erode: Distance | None = None
    """From borders of the reference, within which pixels do not count in the eroded figures."""

    objects: tuple[int, ...] = ()
    """Indices of classes whose objects are matched."""

    polygons: bool = False
    """Whether the reference's objects are its polygons rather than connected pixels."""

    connectivity: Connectivity = CONNECTIVITY
    """Whether pixels of an object may touch only at a corner (8) or not (4)."""

    by: RegionSource | None = None
    """Regions whose figures are wanted, too."""

    bootstrap: Bootstrap | None = None
    """How confidence intervals are found; None: they are not."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Counts of one pair, or of several together.

    What was not asked for is None. Comparisons add up field by field, so that a new kind of
    counts needs a field here and a `Tally` that fills it.
    """

    confusion: ConfusionMatrix
    """Of the pixels that both know."""

    without_map: int = 0
    """Pixels of the reference where the map has no data."""

    without_reference: int = 0
    """Pixels of the map that are unlabelled in the reference."""

    mapped: int = 0
    """Pixels of the map with data, also on ground that does not count."""

    trained: ConfusionMatrix | None = None
    """Of the pixels on ground that trained the model; None: that is not known of any map."""

    unknown_ground: int = 0
    """Maps of which it is not known, or not all of it."""

    borders: BorderCounts | None = None
    """Along the borders."""

    eroded: ConfusionMatrix | None = None
    """Of the pixels that are not near a border of the reference."""

    objects: Mapping[int, ObjectCounts] | None = None
    """Of the classes whose objects are matched, by index."""

    scores: ScoreCounts | None = None
    """Of pixels by their scores."""

    conflicts: int | None = None
    """Pixels that several references label differently; the first one counts."""

    squares: SquareCounts | None = None
    """Of the squares of ground that are drawn again for confidence intervals."""

    score_squares: ScoreSquares | None = None
    """Of these, by the scores of their pixels."""

    regions: Mapping[str, "Comparison"] | None = None
    """Of each region, by name."""

    outside_regions: "Comparison | None" = None
    """Of the ground outside all regions."""

    notes: tuple[str, ...] = ()
    """What the user should know of how the files were read."""

    meanings: tuple[Meaning, ...] = ()
    """How the references that were read name classes."""

    @classmethod
    def of_pairs(cls, pairs: NDArray[np.int64]) -> Self:
        """From (classes + 1, classes + 1) counts, as from `count_pairs`."""
        return cls(
            ConfusionMatrix(pairs[:-1, :-1].copy()),
            without_map=int(pairs[:-1, -1].sum()),
            without_reference=int(pairs[-1, :-1].sum()),
        )

    @classmethod
    def nothing(cls, classes: int) -> Self:
        """Nothing counted yet."""
        return cls(ConfusionMatrix.zeros(classes))

    def __add__(self, other: Self) -> Self:
        names = [field.name for field in fields(self)]
        return type(self)(
            **{name: _sum(getattr(self, name), getattr(other, name)) for name in names}
        )


def _sum(one: Any, other: Any) -> Any:
    """The sum of what is counted, by key if it has keys; what is None was not counted."""
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, Mapping):
        return {key: _sum(one.get(key), other.get(key)) for key in {**one, **other}}
    return one + other


class ClassMap:
    """A class map open for reading in windows.

    Raises:
        GeosegError: What is wrong with the files.
    """

    def __init__(
        self, path: Path, legend: Legend, *, aoi: Path | None = None, ground: Any = None
    ) -> None:
        """Open.

        Args:
            path: Raster of the legend's map values, or of colours.
            legend: Its classes.
            aoi: Polygons; ground outside does not count.
            ground: GeoSeries; ground outside does not count.
        """
        self.path = path
        with RasterReader(path, palette_index=True) as reader:
            self.grid = reader.grid
        self._areas = [Area.open(aoi, self.grid)] if aoi else []
        self._areas += [Area(ground, self.grid)] if ground is not None else []
        self._map = open_class_map(path, legend=legend, grid=self.grid)

    @property
    def notes(self) -> list[str]:
        """What the user should know, of what was read."""
        return self._map.notes

    def blocks(self) -> list[Window]:
        """Windows that cover the map without overlap."""
        return list(blocks(self.grid.height, self.grid.width, rows=ROWS, cols=COLUMNS))

    def read(self, window: Window) -> NDArray[np.uint8]:
        """(height, width) class indices, also of ground that does not count; 255 without data."""
        return self._map.read(window)

    def read_counted(self, window: Window) -> NDArray[np.uint8]:
        """(height, width) class indices; 255 without data or where the ground does not count."""
        indices = self._map.read(window)
        if (outside := self.outside(window)) is not None:
            indices[outside] = IGNORE
        return indices

    def outside(self, window: Window) -> NDArray[np.bool_] | None:
        """(height, width) bool, True where the ground does not count; None: it all counts."""
        if not self._areas:
            return None
        return ~np.logical_and.reduce([area.read(window) for area in self._areas])

    def close(self) -> None:
        """Release files."""
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
