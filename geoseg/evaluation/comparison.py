"""Inputs, options and counts of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.evaluation.boundary import BorderCounts
from geoseg.evaluation.calibration import ScoreCounts
from geoseg.evaluation.matching import ObjectCounts
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.pixel_classes import Meaning
from geoseg.labels.reference import open_class_map
from geoseg.postprocess.components import CONNECTIVITY, Connectivity
from geoseg.raster.grid import Grid
from geoseg.raster.polygons import AreaOfInterest
from geoseg.raster.reader import RasterReader
from geoseg.raster.units import Length
from geoseg.raster.window import Window, blocks

Labels = NDArray[np.uint8]

BLOCK_ROWS, BLOCK_COLUMNS = 512, 4096
"""Size of the block that is read at a time, in pixels."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Block:
    """Part of a map and of its reference, with the halo that counters ask for."""

    window: Window
    """Pixels that count, on the map's grid; blocks do not overlap."""

    read: Window
    """Pixels that were read: `window` and the halo, cut at the map's edge."""

    all_reference: Labels
    """Class indices of the reference in `read`, `IGNORE` where unlabelled."""

    all_mapped: Labels
    """Class indices of the map in `read`, `IGNORE` without data."""

    outside: NDArray[np.bool_] | None = None
    """True for pixels of `window` outside the area that counts; None: all of it counts."""

    @property
    def inner(self) -> tuple[slice, slice]:
        """Position of `window` in the arrays that were read."""
        return self.window.relative_to(self.read).slices

    @cached_property
    def reference(self) -> Labels:
        """Class indices in `window`, `IGNORE` where unlabelled or outside the area that counts."""
        return self._counted(self.all_reference)

    @cached_property
    def mapped(self) -> Labels:
        """Class indices in `window`, `IGNORE` without data or outside the area that counts."""
        return self._counted(self.all_mapped)

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """True for pixels of `window` with a class in both."""
        return (self.reference != IGNORE) & (self.mapped != IGNORE)

    def _counted(self, labels: Labels) -> Labels:
        inside = labels[self.inner]
        if self.outside is None:
            return inside
        return np.where(self.outside, np.uint8(IGNORE), inside)

    def part(self, window: Window, halo: int) -> Self:
        """A smaller block inside this one, without copying pixels.

        Args:
            window: Inside this block's window.
            halo: Pixels around it; at most the halo of this block.
        """
        read = window.grown(halo).intersection(self.read) or window
        place = read.relative_to(self.read).slices
        own = window.relative_to(self.window).slices
        return type(self)(
            window=window,
            read=read,
            all_reference=self.all_reference[place],
            all_mapped=self.all_mapped[place],
            outside=None if self.outside is None else self.outside[own],
        )


class Counter(Protocol):
    """Counts something in all blocks of a map.

    ``count`` does the work. Threads call it for several blocks at a time, so it changes no state.
    ``add`` then gets its results, block by block in reading order.
    """

    @property
    def halo(self) -> int:
        """Pixels around a block that ``count`` needs."""
        ...

    def count(self, block: Block) -> Any:
        """Counts of a block."""
        ...

    def add(self, counted: Any) -> None:
        """Add a result of `count`."""
        ...

    def compute(self) -> dict[str, Any]:
        """Fields of `EvaluationCounts`, by name."""
        ...


class RowCounter(Counter, Protocol):
    """Counter whose counts are also a row of integers: it has confidence intervals.

    Rows of spatial blocks add up, so that the bootstrap can draw blocks and sum their rows.
    """

    @property
    def field(self) -> str:
        """The field of `EvaluationCounts` that a row stands for."""
        ...

    def row(self, counted: Any) -> NDArray[np.int64]:
        """A result of `count` as (kinds,) integers."""
        ...

    def of_row(self, row: NDArray[np.int64]) -> Any:
        """The value of `field` for a sum of rows."""
        ...


@dataclass(frozen=True)
class Pair:
    """A class map and its references."""

    name: str
    """Short, unique name."""

    class_map: Path
    """Raster of the legend's map values, or of colours."""

    reference: Path
    """Raster or polygons."""

    further: tuple[Path, ...] = ()
    """Further references; each fills what those before it leave unlabelled."""

    scores: Path | None = None
    """Scores of the class map; None: they are not evaluated."""

    may_be_elsewhere: bool = field(default=False, compare=False)
    """Whether a map without a polygon of its references is accepted."""

    @property
    def references(self) -> tuple[Path, ...]:
        """All references, the first ones count first."""
        return (self.reference, *self.further)


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Options of confidence intervals."""

    level: float = 0.95
    """Share of the draws that an interval holds."""

    block: Length = Length(256, "px")  # noqa: RUF009 frozen
    """Side of the spatial blocks; errors closer together than this may depend on each other."""

    resamples: int = 1000
    """Number of draws; each draws as many blocks as there are."""

    seed: int = 0
    """Seed of the draws."""


@dataclass(frozen=True)
class RegionSource:
    """File of regions."""

    path: Path
    """Polygons of any CRS; they may overlap."""

    column: str | None = None
    """Column of their names; None: each polygon has its number."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Options: what is measured besides the metrics of pixels."""

    boundary: Length | None = None
    """Tolerance of boundary metrics; None: borders are not compared."""

    erode: Length | None = None
    """Width along borders of the reference that the eroded metrics leave out."""

    objects: tuple[int, ...] = ()
    """Indices of classes whose objects are matched."""

    polygons: bool = False
    """Whether the reference's objects are its polygons rather than connected pixels."""

    connectivity: Connectivity = CONNECTIVITY
    """Whether pixels of an object may touch only at a corner (8) or not (4)."""

    by: RegionSource | None = None
    """Regions that have metrics of their own."""

    bootstrap: Bootstrap | None = None
    """Options of confidence intervals; None: there are none."""


@dataclass(frozen=True, eq=False)
class EvaluationCounts:
    """Counts of one pair, or of several together.

    A field that was not asked for is None. Counts add up field by field; a new kind of counts is
    a field here and a `Counter` that fills it.
    """

    confusion: ConfusionMatrix
    """Pixels with a class in both."""

    without_map: int = 0
    """Pixels of the reference where the map has no data."""

    without_reference: int = 0
    """Pixels of the map that are unlabelled in the reference."""

    mapped: int = 0
    """Pixels of the map with data, also outside the area that counts."""

    trained: ConfusionMatrix | None = None
    """Pixels on ground that trained the model; None: unknown for all maps."""

    unknown_ground: int = 0
    """Maps whose training ground is not known, or not completely."""

    borders: BorderCounts | None = None
    """Pixels along borders."""

    eroded: ConfusionMatrix | None = None
    """Pixels that are not near a border of the reference."""

    objects: Mapping[int, ObjectCounts] | None = None
    """Matched objects, by class index."""

    scores: ScoreCounts | None = None
    """Pixels by their scores."""

    label_conflicts: int | None = None
    """Pixels that several references label differently; the first one counts."""

    by_block: Mapping[str, Any] | None = None
    """Counts by spatial block, for confidence intervals: `BlockRows` or `BlockObjects` by field."""

    regions: Mapping[str, "EvaluationCounts"] | None = None
    """Counts of each region, by name."""

    outside_regions: "EvaluationCounts | None" = None
    """Counts outside all regions."""

    notes: tuple[str, ...] = ()
    """Remarks for the user on how the files were read."""

    meanings: tuple[Meaning, ...] = ()
    """How the references that were read name classes."""

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
    """The sum of counts, by key if they are mappings; None was not counted."""
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, Mapping):
        return {key: _sum(one.get(key), other.get(key)) for key in {**one, **other}}
    return one + other


@dataclass(frozen=True, eq=False)
class ErrorWindow:
    """A square in which a map has many errors."""

    pair: Pair
    """The map and its reference."""

    grid: Grid
    """The map's grid."""

    window: Window
    """Pixels of the map."""

    confusion: ConfusionMatrix
    """Counts of these pixels."""

    @property
    def errors(self) -> int:
        """Pixels of the wrong class."""
        return self.confusion.total - int(self.confusion.counts.trace())


def fields_of_pairs(pairs: NDArray[np.int64]) -> dict[str, Any]:
    """Fields of `EvaluationCounts` from (classes + 1, classes + 1) counts, as of `count_pairs`."""
    return {
        "confusion": ConfusionMatrix(pairs[:-1, :-1].copy()),
        "without_map": int(pairs[:-1, -1].sum()),
        "without_reference": int(pairs[-1, :-1].sum()),
    }


class ClassMap:
    """A class map open for reading in windows.

    Raises:
        GeosegError: If a file cannot be read or does not fit the legend.
    """

    def __init__(
        self, path: Path, legend: Legend, *, aoi: Path | None = None, ground: Any = None
    ) -> None:
        """Open.

        Args:
            path: Raster of the legend's map values, or of colours.
            legend: Its classes.
            aoi: Polygons of the area that counts.
            ground: GeoSeries of the area that counts.
        """
        self.path = path
        with RasterReader(path, palette_index=True) as reader:
            self.grid = reader.grid
        self._areas = [AreaOfInterest.open(aoi, self.grid)] if aoi else []
        self._areas += [AreaOfInterest(ground, self.grid)] if ground is not None else []
        self._map = open_class_map(path, legend=legend, grid=self.grid)

    @property
    def notes(self) -> list[str]:
        """Remarks for the user on what was read."""
        return self._map.notes

    def blocks(self) -> list[Window]:
        """Windows that cover the map without overlap."""
        return list(blocks(self.grid.height, self.grid.width, rows=BLOCK_ROWS, cols=BLOCK_COLUMNS))

    def read(self, window: Window) -> NDArray[np.uint8]:
        """(height, width) class indices, also outside the area that counts; 255 without data."""
        return self._map.read(window)

    def read_counted(self, window: Window) -> NDArray[np.uint8]:
        """(height, width) class indices; 255 without data or outside the area that counts."""
        indices = self._map.read(window)
        if (outside := self.outside(window)) is not None:
            indices[outside] = IGNORE
        return indices

    def outside(self, window: Window) -> NDArray[np.bool_] | None:
        """(height, width) bool, True outside the area that counts; None: all of it counts."""
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
