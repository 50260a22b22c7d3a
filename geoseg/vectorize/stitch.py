"""Regions of a map out of the regions of its cells."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.labels.legend import IGNORE
from geoseg.postprocess.components import joined
from geoseg.raster.window import Window
from geoseg.vectorize.cells import Cell, Counts, Floats
from geoseg.vectorize.trace import Coverage


class Features(NamedTuple):
    """Polygons and what is known of them; lists of the same length."""

    polygons: NDArray[Any]
    """shapely polygons, in corners of the map's pixels."""

    regions: Counts
    """First pixel of the region in reading order: features of one region have the same."""

    classes: NDArray[np.uint8]
    """Class indices."""

    pixels: Counts
    areas: Floats
    at_edge: NDArray[np.bool_]
    means: Floats
    """(rasters, features) mean score, mean confidence; NaN without one."""

    regularised: NDArray[np.bool_]
    """Whether the polygon was given right angles."""

    def taken(self, places: Any) -> Self:
        """Some of the features.

        Args:
            places: Indices, or a slice.
        """
        parts: Any = (each[..., places] for each in self)
        return type(self)(*parts)


NO_FEATURES = Features(
    np.empty(0, object),
    np.empty(0, np.int64),
    np.empty(0, np.uint8),
    np.empty(0, np.int64),
    np.empty(0),
    np.empty(0, np.bool_),
    np.empty((0, 0)),
    np.empty(0, np.bool_),
)


class _Side(NamedTuple):
    """Pixels along a side of a cell."""

    classes: NDArray[np.uint8]
    members: Counts
    goes_on: NDArray[np.bool_]
    """Whether its object goes on beyond the side."""


class _Totals(NamedTuple):
    """What is known of regions, as in `Cell`."""

    first: Counts
    classes: NDArray[np.uint8]
    pixels: Counts
    areas: Floats
    at_edge: NDArray[np.bool_]
    sums: Floats
    scored: Counts


_TOTALS = _Totals._fields


class Regions:
    """All regions of a map: those that touch frames of cells are put together.

    Memory grows with the number of these; all others are whole within their cell.
    """

    def __init__(
        self,
        windows: Sequence[Window],
        places: Sequence[Path],
        max_vertices: int,
        *,
        split: int | None = None,
    ) -> None:
        """Go through all cells once.

        Args:
            windows: The cells, in reading order.
            places: Their files.
            max_vertices: Points up to which a region becomes one polygon.
            split: Index of a class whose objects are told apart where they touch.

        Raises:
            InputError: If a file is damaged.
        """
        self._windows, self._places = windows, places
        self._frames: list[NDArray[np.int32]] = []
        self._classes: list[NDArray[np.uint8]] = []
        self._starts = [0]
        self._held: dict[int, list[Any]] = defaultdict(list)
        self.counts = np.zeros(IGNORE + 1, np.int64)
        self.pixels = np.zeros(IGNORE + 1, np.int64)
        self.areas = np.zeros(IGNORE + 1)
        gathered: defaultdict[str, list[NDArray[Any]]] = defaultdict(list)
        pairs = [np.empty((2, 0), np.int64)]
        above: dict[int, _Side] = {}
        beside: Any = None
        for window, place in zip(windows, places, strict=True):
            cell = Cell.load(place)
            frame = cell.frame
            member = np.zeros(len(cell.pixels), np.int64)
            member[frame] = np.arange(self._starts[-1], self._starts[-1] + len(frame))
            sides = (cell.top, cell.bottom, cell.left, cell.right)
            top, bottom, left, right = (
                _Side(cell.classes[side], member[side], goes_on)
                for side, goes_on in zip(sides, cell.goes_on_by_side, strict=True)
            )
            pairs += [_touching(beside, left, split)] if window.col_off else []
            pairs += [_touching(above[window.col_off], top, split)] if window.row_off else []
            above[window.col_off], beside = bottom, right
            for name in (*_TOTALS, "points"):
                gathered[name].append(getattr(cell, name)[..., frame])
            gathered["cell"].append(np.full(len(frame), len(self._frames)))
            inner = np.ones(len(cell.pixels), np.bool_)
            inner[frame] = False
            self._count(cell.classes[inner], cell.pixels[inner], cell.areas[inner])
            self._frames.append(frame)
            self._classes.append(np.unique(cell.classes))
            self._starts.append(self._starts[-1] + len(frame))
        one, other = np.concatenate(pairs, axis=1)
        count, self._region = joined(one, other, self._starts[-1])
        members = {name: np.concatenate(parts, axis=-1) for name, parts in gathered.items()}
        self._total(members, count)
        several = np.bincount(self._region, minlength=count) > 1
        points = np.bincount(self._region, weights=members["points"], minlength=count)
        self._divided = (points > max_vertices) & several

    def _count(self, classes: NDArray[np.uint8], pixels: Counts, areas: Floats) -> None:
        """Add regions to the totals of their classes."""
        size = IGNORE + 1
        self.counts += np.bincount(classes, minlength=size)
        np.add.at(self.pixels, classes, pixels)
        self.areas += np.bincount(classes, weights=areas, minlength=size)

    def _total(self, members: dict[str, NDArray[Any]], count: int) -> None:
        """Add up what is known of the members of each region."""
        region = self._region

        def summed(values: NDArray[Any]) -> NDArray[Any]:
            total = np.zeros((*values.shape[:-1], count), values.dtype)
            np.add.at(total.T, region, values.T)
            return total

        first = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(first, region, members["first"])
        classes = np.zeros(count, np.uint8)
        classes[region] = members["classes"]
        at_edge = np.zeros(count, np.bool_)
        at_edge[region[members["at_edge"]]] = True
        sums = (summed(members[name]) for name in ("pixels", "areas", "sums", "scored"))
        pixels, areas, scores, scored = sums
        self._totals = _Totals(first, classes, pixels, areas, at_edge, scores, scored)
        self._count(classes, pixels, areas)
        self._last = np.zeros(count, np.int64)
        np.maximum.at(self._last, region, members["cell"])

    def divided(self, wanted: NDArray[np.bool_]) -> int:
        """Regions that stay divided.

        Args:
            wanted: (256,) by class index.
        """
        return int(np.count_nonzero(self._divided & wanted[self._totals.classes]))

    @property
    def cells(self) -> int:
        """How many cells the map has."""
        return len(self._places)

    @property
    def divided_regions(self) -> Counts:
        """Numbers of the regions that stay divided."""
        return self._totals.first[self._divided]

    def complete(self, wanted: NDArray[np.bool_]) -> Counts:
        """(cells,) number of the cell with which the regions of each are complete, unless divided.

        Args:
            wanted: (256,) by class index; others do not count.
        """
        found = np.arange(len(self._places))
        counts = wanted[self._totals.classes] & ~self._divided
        last = np.where(counts, self._last, 0)[self._region]
        np.maximum.at(found, np.repeat(found, np.diff(self._starts)), last)
        return found

    def features(self, number: int, wanted: NDArray[np.bool_]) -> Features:
        """What is complete with a cell; cells are asked for in reading order.

        Args:
            number: Of the cell.
            wanted: (256,) by class index.
        """
        if not wanted[self._classes[number]].any():
            return NO_FEATURES
        cell = Cell.load(self._places[number])
        frame = self._frames[number]
        region = self._region[self._starts[number] : self._starts[number + 1]]
        shown = wanted[cell.classes[frame]]
        frame, region = frame[shown], region[shown]
        inner = wanted[cell.classes]
        inner[self._frames[number]] = False
        whole = np.flatnonzero(inner)
        coverage = self._placed(cell.coverage, number)
        polygons = coverage.polygons(np.concatenate([whole, frame]))
        pieces = polygons[len(whole) :]
        divided = self._divided[region]
        for each, piece in zip(region[~divided], pieces[~divided], strict=True):
            self._held[int(each)].append(piece)
        ended = np.unique(region[~divided & (self._last[region] == number)])
        united = np.empty(len(ended), object)
        for place, each in enumerate(ended):
            united[place] = _united(self._held.pop(int(each)))
        found = join_features(
            _features(polygons[: len(whole)], _totals(cell, whole)),
            _features(united, _totals(self._totals, ended)),
            _features(pieces[divided], _totals(self._totals, region[divided])),
        )
        order = np.argsort(found.regions, kind="stable")
        return found.taken(order)

    def _placed(self, coverage: Coverage, number: int) -> Coverage:
        """Outlines of a cell, in corners of the map's pixels."""
        window, arcs = self._windows[number], coverage.arcs
        corner = np.array([window.col_off, window.row_off], np.float64)
        return replace(coverage, arcs=replace(arcs, xy=arcs.xy + corner))


def _totals(known: Any, regions: NDArray[np.integer]) -> _Totals:
    """What a cell, or the map, knows of some regions."""
    return _Totals(*(getattr(known, name)[..., regions] for name in _TOTALS))


def _features(polygons: NDArray[Any], totals: _Totals) -> Features:
    with np.errstate(invalid="ignore"):
        means = totals.sums / totals.scored
    return Features(
        polygons,
        totals.first,
        totals.classes,
        totals.pixels,
        totals.areas,
        totals.at_edge,
        means,
        np.zeros(len(polygons), np.bool_),
    )


def join_features(*features: Features) -> Features:
    """All features of several tables."""
    some = [each for each in features if len(each.polygons)] or [NO_FEATURES]
    parts: Any = (np.concatenate(each, axis=-1) for each in zip(*some, strict=True))
    return Features(*parts)


def _touching(one: _Side, other: _Side, split: int | None) -> NDArray[np.int64]:
    """(2, pairs) regions of one class that share a side of a pixel across a line of the lattice.

    Of a class whose objects are told apart, only those that both cells see as one, along more than
    half of what the smaller one shares with the class: what ends elsewhere, seen from the other
    side, touches a neighbour for a few pixels.
    """
    same = one.classes == other.classes
    members = np.stack([one.members[same], other.members[same]])
    pairs, first, where = np.unique(members, axis=1, return_index=True, return_inverse=True)
    if split is None:
        return pairs
    seen = np.bincount(where, weights=(one.goes_on & other.goes_on)[same], minlength=len(first))
    shared = np.minimum(_counts(members[0]), _counts(members[1]))[first]
    return pairs[:, (2 * seen > shared) | (one.classes[same][first] != split)]


def _counts(values: Counts) -> Counts:
    """(n,) how often each of the values is there."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(counts[where])


def _united(pieces: list[Any]) -> Any:
    """One polygon of pieces that share parts of their outlines, point for point."""
    if len(pieces) == 1:
        return pieces[0]
    return shapely.coverage_union_all(pieces)
