"""Inputs, options and counts of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import LegendError
from geoseg.evaluation.class_map import MapOptions
from geoseg.labels.boundary import BorderCounts
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.pixel_classes import Meaning
from geoseg.labels.reference import ReferenceOptions
from geoseg.options import Connectivity, connectivity_option, option, seed_option
from geoseg.raster.grid import Grid, Length
from geoseg.raster.paths import parse_name
from geoseg.raster.vector import is_vector
from geoseg.raster.window import Window
from geoseg.text import short_list

if TYPE_CHECKING:
    from geoseg.evaluation.calibration import ScoreCounts
    from geoseg.evaluation.matching import ObjectCounts

Labels = NDArray[np.uint8]


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


class Counter(Protocol):
    """Counts something in all blocks of a map.

    ``count`` does the work. Threads call it for several blocks at a time, so it changes no state.
    ``add`` then gets its results, block by block in reading order.
    """

    halo: int
    """Pixels around a block that ``count`` needs."""

    def count(self, block: Block) -> Any:
        """Counts of a block."""

    def add(self, counted: Any) -> None:
        """Add a result of `count`."""

    def compute(self) -> dict[str, Any]:
        """Fields of `EvaluationCounts`, by name."""


class RowCounter(Counter, Protocol):
    """Counter of pixels by kind, such as pairs of classes: it has confidence intervals.

    The kinds of pixels are counted for each spatial block, as a row of integers, so that the
    bootstrap can draw blocks and sum their rows.
    """

    field: str
    """The field of `EvaluationCounts` that a row stands for."""

    kinds: int
    """How many kinds there are."""

    def codes(self, block: Block) -> NDArray[np.int32]:
        """(layers, height, width) the kind of each pixel; `kinds` for one that does not count."""

    def of_row(self, row: NDArray[np.int64]) -> Any:
        """The value of `field` for (kinds,) counts."""


@dataclass(frozen=True)
class Pair:
    """A class map and its references."""

    name: str
    """Short, unique name."""

    class_map: Path
    """Raster of the legend's map values, or of colours; or polygons."""

    reference: Path
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


METRICS, INTERVALS = "Metrics", "Confidence intervals"
"""Groups of the options."""


@dataclass(frozen=True)
class RegionSource:
    """File of regions."""

    path: Path
    """Polygons of any CRS; they may overlap."""

    column: str | None = None
    """Column of their names; None: each polygon has its number."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """A file and, after a colon, its column; the file may have a drive letter.

        >>> RegionSource.parse("C:/maps/towns.gpkg:name").column
        'name'
        >>> RegionSource.parse("C:/maps/towns.gpkg").column is None
        True
        """
        head, _, column = text.rpartition(":")
        file = parse_name(head)
        return cls(file, column) if is_vector(file) else cls(parse_name(text))


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What is measured besides the metrics of pixels: the only place of its defaults."""

    boundary: Length | None = option(
        None,
        group=METRICS,
        metavar="2px|1.5m",
        parse=Length.parse,
        help="Boundary IoU and F1: how far apart borders may be.",
    )
    erode: Length | None = option(
        None,
        group=METRICS,
        metavar="3px|1m",
        parse=Length.parse,
        help="Metrics also without pixels this near to a border of the reference.",
    )
    objects: tuple[str, ...] = option(
        (),
        group=METRICS,
        metavar="CLASS",
        help="Match this class's objects too; may be repeated.",
    )
    reference_objects: Literal["components", "polygons"] | None = option(
        None,
        group=METRICS,
        shown="polygons if the map is of polygons too, else components",
        help="What an object of the reference is: connected pixels, or a polygon of its file, so "
        "that those that touch stay apart.",
    )
    connectivity: Connectivity = connectivity_option(METRICS)
    by: RegionSource | None = option(
        None,
        group=METRICS,
        metavar="FILE[:COLUMN]",
        parse=RegionSource.parse,
        help="Polygons of regions, and the column of their names: metrics of each region.",
    )
    intervals: float | None = option(
        None,
        min=50,
        max=99.9,
        group=INTERVALS,
        metavar="PERCENT",
        help="Bounds of every share at this level, such as 95, by drawing blocks of ground; "
        "counts and worst windows have none, --sample its own standard errors.",
    )
    block: Length | None = option(
        None,
        group=INTERVALS,
        metavar="256px|50m",
        parse=Length.parse,
        shown="256px",
        help="Side of the blocks of --intervals; what lies nearer together may be right or wrong "
        "together.",
    )
    bootstrap: int = option(
        1000,
        min=100,
        max=100_000,
        group=INTERVALS,
        help="How often blocks are drawn for --intervals.",
    )
    seed: int = seed_option(INTERVALS)

    @property
    def spatial_block(self) -> Length:
        """Side of the spatial blocks."""
        return self.block or Length(256, "px")

    @property
    def level(self) -> float:
        """Share of the draws that an interval holds."""
        return (self.intervals or 0) / 100

    def object_classes(self, legend: Legend) -> tuple[int, ...]:
        """Indices of the classes whose objects are matched.

        Raises:
            LegendError: If one is not in the legend.
        """
        if unknown := [name for name in self.objects if name not in legend.names]:
            raise LegendError(
                f"no class {unknown[0]!r} in the legend; its classes are {short_list(legend.names)}"
            )
        return tuple(dict.fromkeys(map(legend.names.index, self.objects)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
    """How maps and references are read."""

    options: ReferenceOptions = ReferenceOptions()  # noqa: RUF009 frozen
    """How references name classes."""

    map: MapOptions = MapOptions()  # noqa: RUF009 frozen
    """How maps of polygons do, and on which pixels they are compared."""

    aoi: Path | None = None
    """Polygons of the area that counts."""

    ground: Any = None
    """GeoSeries of the area that counts; None: all of it."""


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
    eroded: ConfusionMatrix | None = None
    """Pixels that are not near a border of the reference."""

    objects: "Mapping[int, ObjectCounts] | None" = None
    scores: "ScoreCounts | None" = None
    label_conflicts: int | None = None
    """Pixels that several references label differently; the first one counts."""

    by_block: Mapping[str, Any] | None = None
    """Counts by spatial block, for confidence intervals: `BlockRows` or `BlockObjects` by field."""

    regions: Mapping[str, "EvaluationCounts"] | None = None
    outside_regions: "EvaluationCounts | None" = None
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


WINDOW_SIDE = 256
"""Side of error windows, in pixels."""


@dataclass(frozen=True, eq=False)
class ErrorWindow:
    """A square of a map's grid in which it has many errors, and the counts of its pixels."""

    pair: Pair
    grid: Grid
    window: Window
    confusion: ConfusionMatrix

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
