"""Classes of polygons, points and lines, in references and maps of any program.

Polygons that ``geoseg vectorize`` or ``suggest`` wrote carry their legend: their class is the one
that it has for the value in column ``class``, under its name in whatever legend they are read with;
a value that it has not is the other legend's. Others have it in a column that the user names, or
are all of the legend's only class.

Ground without a polygon has the legend's background class, or is unlabelled if it has none. In
polygons of geoseg's own it has the background class only if all other classes of the legend were
written and it was not: otherwise it is ground without data, or of a class that was left out.

Points and lines of a reference become discs and bands; ground around points is unlabelled.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geoseg.errors import LegendError, UnknownCodeError, VectorError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import LeastConfidence
from geoseg.labels.pixel_classes import UNCOVERED, Meaning
from geoseg.labels.tags import POLYGONS, read_tags
from geoseg.raster.grid import Grid, Length
from geoseg.raster.polygons import on_grid
from geoseg.raster.vector import drawn_layers, read_polygons
from geoseg.text import as_text, is_null, quoted_list

VALUE, NAME = "class", "name"
"""Columns of geoseg's own polygons: value and name of the class."""

SCORE = "score"
"""Column of the mean score of each polygon."""

REGULARISED = "regularised"
"""Column by which a layer of polygons with right angles is known."""

REGION = "region"
"""Column of the region that a polygon is, or is a part of."""

LABELLING = "labelling"
"""Entry of the provenance of polygons that are drawn by hand into a layer of geoseg's."""

PUNCTUAL, LINEAR = (0, 4), (1, 2, 5)
"""GEOS geometry types of points and of lines."""

LEAST_RADIUS_PX = 0.5**0.5
"""Half the diagonal of a pixel: a point or line has at least the pixels that it passes."""


class ClassObjects(NamedTuple):
    """Polygons of a class, each an object."""

    shapes: Any
    """GeoSeries of n."""

    scores: NDArray[np.float64] | None
    """(n,) score of each, NaN where it has none; None without such a column."""


class _Own(NamedTuple):
    """What polygons of geoseg's own say of themselves."""

    legend: Legend
    written: tuple[str, ...]
    """Names of the classes that the layer holds."""

    is_drawn: bool = False
    """Whether someone has drawn them by hand."""

    def of(self, attributes: Sequence[object]) -> "_Own":
        """The same, of a layer of the classes that its polygons have."""
        found = {as_text(each) for each in attributes}
        classes = self.legend.classes
        held = (each.name for each in classes if {each.name, str(each.value)} & found)
        return self._replace(written=tuple(held))


class PolygonClasses:
    """Class indices of the polygons of one layer.

    Raises:
        VectorError: If they cannot be read, or do not say of which class they are.
        LegendError: If an attribute value has no class.
    """

    def __init__(
        self,
        path: Path,
        legend: Legend,
        *,
        attribute: str | None = None,
        layer: str | None = None,
        least: LeastConfidence | None = None,
        is_map: bool = False,
        corrects: bool = False,
    ) -> None:
        """Read the polygons.

        Args:
            path: The file.
            legend: Their classes.
            attribute: Column of the class; not needed for geoseg's own.
            layer: The layer, if there are several.
            least: Confidence from which on they are labels.
            is_map: Whether they are a map rather than a reference.
            corrects: Whether they lie over a reference, of which column and confidence are named:
                of geoseg's own they are not asked, and without the latter they are certain.
        """
        self.path, self.legend = path, legend
        self._is_map = is_map
        self._own = _own(path, layer) if corrects or attribute in (None, VALUE, NAME) else None
        if corrects and self._own:
            attribute = None
        self._layers = drawn_layers(path) if self._own and layer is None else []
        by_value = self._own is not None and attribute in (None, VALUE)
        self.column = attribute or (VALUE if by_value else None)
        self._layer_option = "" if corrects else "--map-layer" if is_map else "--layer"
        advice = "leave one besides that of the boxes" if corrects else ""
        polygons = read_polygons(
            path,
            layer=layer or (self._layers[0] if self._layers else None),
            attribute=self.column,
            also=(SCORE, NAME, REGION, REGULARISED, *([least.column] if least else [])),
            advice=advice or f"name one with {self._layer_option}",
            strokes=not is_map,
        )
        self.geometries = polygons.geometries
        self._strokes: list[str] = []
        self._attributes = polygons.attributes
        self._scores = polygons.more.get(SCORE)
        self._regions = polygons.more.get(REGION) if self._own else None
        if self._own and REGULARISED in polygons.more:
            self._own = self._own.of(polygons.attributes)
        self.nulls = sum(map(is_null, polygons.attributes)) if self.column else 0
        self.indices = self._encode(by_value=by_value)
        self._renamed = self._count_renamed(polygons.more.get(NAME)) if by_value else 0
        self._doubted = ""
        if least is not None and not (corrects and least.column not in polygons.more):
            self._doubt(least, polygons.more.get(least.column))
        self.uncovered = self._index_of_gaps()
        """Index of ground without a polygon."""

    @classmethod
    def of_map(
        cls, path: Path, legend: Legend, *, attribute: str | None = None, layer: str | None = None
    ) -> Self:
        """Classes of a map of polygons, of geoseg or of another program.

        Args:
            path: The file.
            legend: Its classes, or those that it has in common with its reference.
            attribute: Column of the class; not needed for geoseg's own.
            layer: The layer, if there are several.

        Raises:
            VectorError: If they cannot be read, or do not say of which class they are.
            LegendError: If an attribute value has no class.
        """
        own = legend.of_map
        classes = cls(path, own.of_maps(), attribute=attribute, layer=layer, is_map=True)
        if legend.merge is not None:
            recode = np.full(IGNORE + 1, IGNORE, np.uint8)
            recode[: len(own)] = legend.indices_of_map
            classes.indices = recode[classes.indices]
            classes.uncovered = int(recode[classes.uncovered])
            classes.legend = legend
        return classes

    def widen(self, grid: Grid, *, radius: Length | None, width: Length | None) -> bool:
        """Make discs of points and bands of lines.

        Args:
            grid: Grid of the raster that they label.
            radius: Of a disc; None: points are refused.
            width: Of a band, from edge to edge; None: lines are refused.

        Returns:
            Whether there are points, around which nothing is known.

        Raises:
            VectorError: If there are points without a radius, or lines without a width.
            InputError: If a length is in metres, and the raster has no CRS.
        """
        kinds = shapely.get_type_id(self.geometries.values)
        found = {
            "points": (np.isin(kinds, PUNCTUAL), "radius", radius, 1.0),
            "lines": (np.isin(kinds, LINEAR), "width", width, 0.5),
        }
        for name, (chosen, what, length, share) in found.items():
            places = np.flatnonzero(chosen)
            if not len(places):
                continue
            if length is None:
                raise VectorError(
                    f"{self.path}: {len(places)} of {len(kinds)} rows are {name}, the first of "
                    f"them feature {self.geometries.index[places[0]] + 1}; say how much ground "
                    f"they label with --{name[:-1]}-{what}, such as --{name[:-1]}-{what} 1m"
                )
            shapes = on_grid(self.geometries, grid, self.path).copy()
            shapes.iloc[places] = _around(shapes.values[places], grid, length, share)
            self.geometries = shapes
            self._strokes.append(f"{name} of {what} {length}")
        return bool(found["points"][0].any())

    @property
    def is_own(self) -> bool:
        """Whether geoseg wrote them."""
        return self._own is not None

    def objects_of(self, index: int) -> ClassObjects:
        """Polygons of a class; those of geoseg's own that are parts of one region are united.

        Raises:
            VectorError: If a column of scores holds no numbers.
        """
        chosen = np.flatnonzero(self.indices == index)
        shapes, scores = self.geometries.iloc[chosen], self._numbers(self._scores, chosen)
        if self._regions is None:
            return ClassObjects(shapes, scores)
        parts: dict[str, list[int]] = {}
        for place, each in enumerate(chosen.tolist()):
            region = self._regions[each]
            key = f"drawn by hand: {each}" if is_null(region) else as_text(region)
            parts.setdefault(key, []).append(place)
        if len(parts) == len(chosen):
            return ClassObjects(shapes, scores)
        first = [places[0] for places in parts.values()]
        united = shapes.iloc[first].copy()
        for number, places in enumerate(parts.values()):
            if len(places) > 1:
                united.iloc[number] = shapely.union_all(shapes.iloc[places].values)
        return ClassObjects(united, None if scores is None else scores[first])

    def _doubt(self, least: LeastConfidence, column: Sequence[object] | None) -> None:
        """Take their labels from polygons of less confidence, or of none."""
        every = np.arange(len(self.indices))
        numbers = self._numbers(column, every, least.column) if len(every) else np.zeros(0)
        if numbers is None:
            raise VectorError(f"{self.path}: has no column {least.column!r} (--min-confidence)")
        doubted = ~(numbers >= least.value)
        self.indices[doubted] = IGNORE
        if doubted.any():
            share = f"{doubted.sum()} of {len(every)} polygons"
            self._doubted = (
                f"{share} have less than {least}: the ground that they cover is unlabelled"
            )

    def _numbers(
        self, column: Sequence[object] | None, chosen: NDArray[np.int64], name: str = SCORE
    ) -> NDArray[np.float64] | None:
        """(n,) scores, or other numbers, of some polygons."""
        if column is None:
            return None
        few = [column[each] for each in chosen]
        try:
            return np.array([np.nan if is_null(each) else float(as_text(each)) for each in few])
        except ValueError as error:
            raise VectorError(f"{self.path}: column {name!r} holds no numbers: {error}") from error

    @property
    def meaning(self) -> Meaning:
        """Codes of the classes."""
        legend, column = self.legend, self.column
        classes: dict[str, tuple[str, ...]] = dict.fromkeys(legend.names, ())
        texts: dict[str, int] = {}
        if column is None:
            classes[legend.names[self._only_class()]] = ("every polygon",)
        else:
            pairs = zip(self._attributes, self.indices.tolist(), strict=True)
            texts = {as_text(value): index for value, index in pairs if not is_null(value)}
        for text, index in texts.items():
            if index != IGNORE:
                classes[legend.names[index]] += (text,)
        gaps: tuple[str, ...] = (UNCOVERED,)
        if self.uncovered != IGNORE:
            classes[legend.names[self.uncovered]] += gaps
            gaps = ()
        nulls = ("null",) if self.nulls else ()
        ignored = (text for text, index in texts.items() if index == IGNORE)
        source = f"column {column!r}" if column else "polygons"
        if self._strokes:
            source += f" ({', '.join(self._strokes)})"
        return Meaning(source, classes, (*nulls, *ignored, *gaps))

    @property
    def notes(self) -> list[str]:
        """Remarks for the user on what was read."""
        notes = []
        if self.nulls:
            what = (
                f"column {self.column!r} is null or empty for {self.nulls} of {len(self.indices)} "
                f"polygons"
            )
            notes.append(f"{self.path}: {what}: the ground that they cover is unlabelled")
        if self._doubted:
            notes.append(f"{self.path}: {self._doubted}")
        if self._renamed:
            notes.append(
                f"{self.path}: {self._renamed} of {len(self.indices)} polygons have another class "
                f"in column {VALUE!r}, which counts, than in {NAME!r}"
            )
        if self._own is not None and self._own.is_drawn:
            return notes
        if len(self._layers) > 1:
            first, *others = self._layers
            rest = f"; {self._layer_option} reads" if self._layer_option else ", not"
            notes.append(f"{self.path}: layer {first!r} is read{rest} {others}")
        if self.uncovered == IGNORE:
            fate = "ground without a polygon is unknown, and does not count"
        else:
            fate = f"ground without a polygon is {self.legend.names[self.uncovered]!r}"
            fate += ", also where the map had no data" if self._own else ""
        if self._own is not None and len(self._own.written) < len(self._own.legend):
            names = quoted_list(self._own.written)
            notes.append(f"{self.path}: holds polygons of {names} alone: {fate}")
        elif self._own is None and self._is_map:
            notes.append(f"{self.path}: {fate}")
        return notes

    @property
    def _has_own_classes(self) -> bool:
        """Whether the legend is that which the polygons carry."""
        if self._own is None or self.legend.merge is not None:
            return False
        return self._own.legend.names_by_value == self.legend.names_by_value

    def _encode(self, *, by_value: bool) -> NDArray[np.uint8]:
        """(n,) class index of each polygon; `IGNORE` for those without a class."""
        count, column = len(self.geometries), self.column
        if column is None:
            return np.full(count, self._only_class(), np.uint8)
        if count and self.nulls == count:
            raise LegendError(
                f"{self.path}: column {column!r} is empty: null for all {count} polygons"
            )
        try:
            if not by_value:
                return self.legend.encode_attributes(self._attributes)
            if self._has_own_classes:
                return self.legend.encode_map(self._values)
            named = self._named
            return self.legend.encode_attributes(
                [None if v == IGNORE else named.get(v, v) for v in self._values.tolist()]
            )
        except UnknownCodeError as error:
            what = f"{self.path}: column {column!r}: {error.kind}"
            raise UnknownCodeError(what, error.counts) from error

    @property
    def _named(self) -> dict[int, str]:
        """Names of the legend that the polygons carry, by value."""
        return self._own.legend.names_by_value if self._own else {}

    def _count_renamed(self, names: Sequence[object] | None) -> int:
        """How many polygons have the name of another class than their value says."""
        if names is None:
            return 0
        pairs = [
            (value, as_text(name))
            for value, name in zip(self._values.tolist(), names, strict=True)
            if value != IGNORE and not is_null(name)
        ]
        return sum(self._named.get(value) != name for value, name in pairs)

    @cached_property
    def _values(self) -> NDArray[np.int64]:
        """(n,) value of the class of each polygon; `IGNORE` for null."""
        try:
            values = [IGNORE if is_null(each) else int(as_text(each)) for each in self._attributes]
        except ValueError as error:
            what = f"column {self.column!r} holds no values of classes: {error}"
            raise VectorError(f"{self.path}: {what}") from error
        return np.array(values, np.int64)

    def _only_class(self) -> int:
        """The only class besides the background, for polygons without an attribute."""
        others = [name for name in self.legend.names if name != self.legend.background]
        if len(others) == 1:
            return self.legend.names.index(others[0])
        told = f"name the column that holds them with {'--map-' if self._is_map else '--'}attribute"
        if not self._is_map:
            told += (
                "; if all are of one class, tile with --legend binary:NAME, and evaluate with "
                "--legend-map and --reference-legend binary:NAME"
            )
        raise VectorError(
            f"{self.path}: the legend has several classes, and the polygons do not say of which "
            f"they are: {told}"
        )

    def _index_of_gaps(self) -> int:
        """Index of ground without a polygon."""
        if self._own is None:
            return self.legend.background_index
        merge = self.legend.merge
        told = (merge.reference or merge.map) if merge else self.legend
        left_out = {*self._own.legend.names} - {*self._own.written}
        is_complete = left_out & {*told.names} <= {told.background}
        is_other = told.background is not None and told.background not in self._own.written
        return self.legend.background_index if is_complete and is_other else IGNORE


def _around(shapes: Any, grid: Grid, length: Length, share: float) -> Any:
    """(n,) ground around points or lines, as far as a share of a length, in the grid's CRS.

    As elsewhere metres are pixels of the mean ground sampling distance, the same in rows and
    columns.
    """
    reach = max(share * length.in_pixels(grid, least=0), LEAST_RADIUS_PX)
    wide = shapely.buffer(_moved(shapes, ~grid.transform), reach)
    return _moved(wide, grid.transform)


def _moved(shapes: Any, transform: Affine) -> Any:
    """(n,) geometries under an affine transform."""
    return shapely.transform(shapes, lambda x, y: transform @ (x, y), interleaved=False)


def _own(path: Path, layer: str | None) -> _Own | None:
    """What the polygons say if geoseg wrote them; None for others."""
    tags = read_tags(path, layer)
    if tags.get("kind") != POLYGONS or "legend" not in tags:
        return None
    legend = Legend.from_dict(tags["legend"])
    made = tags.get("provenance", {})
    done = made.get("vectorizing", made.get(LABELLING))
    written = done.get("classes") if isinstance(done, dict) else None
    named = written if isinstance(written, list) else []
    names = tuple(name for name in legend.names if not named or name in named)
    return _Own(legend, names, is_drawn=LABELLING in made)
