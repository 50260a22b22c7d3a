"""Legends: classes with index, value, name, colour and source codes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import LegendError, UnknownCodeError
from geoseg.labels.lookup import (
    UNKNOWN,
    counted,
    default_color,
    is_color,
    look_up,
    nearest,
    pack_rgb,
    parse_color,
    rgb_codes,
    to_hex,
)
from geoseg.raster.storage import Color
from geoseg.text import as_text, is_null

IGNORE = 255
"""Index of pixels without a class: unlabelled in masks, nodata in class maps."""

MAX_VALUE = 2**53
"""Bound of the absolute value of raster values, below which 64-bit floats are exact."""

MAX_CLASSES = 254
"""Largest number of classes; indices 254 and 255 are taken."""


@dataclass(frozen=True, kw_only=True)
class LegendClass:
    """One class of a map."""

    value: int
    """Value in class maps, 0..254."""

    name: str
    color: Color
    """Red, green, blue, 0..255."""

    values: tuple[int, ...] = ()
    """Values that mean this class in a reference raster; empty: `value`."""

    colors: tuple[Color, ...] = ()
    """Colours that mean this class in a reference image; empty: `color`."""

    attributes: tuple[str, ...] = ()
    """Attribute values of polygons that mean this class; empty: the name and the values."""

    alternative: int | None = None
    """Value that means this class in reference rasters without any of `values`."""

    def __post_init__(self) -> None:
        if not 0 <= self.value < IGNORE:
            raise LegendError(
                f"class {self.name!r} has value {self.value}: a class map holds 0..254, 255 is "
                f"nodata. Give `value` a small number and name the source's in `values`"
            )

    @property
    def source_values(self) -> tuple[int, ...]:
        """Values that mean this class in a reference raster."""
        return self.values or (self.value,)

    @property
    def known_values(self) -> tuple[int, ...]:
        """`source_values` and the alternative."""
        return self.source_values + (() if self.alternative is None else (self.alternative,))

    @property
    def source_colors(self) -> tuple[Color, ...]:
        """Colours that mean this class in a reference image."""
        return self.colors or (self.color,)

    @property
    def source_attributes(self) -> tuple[str, ...]:
        """Attribute values of polygons that mean this class."""
        return self.attributes or (self.name, *map(str, self.source_values))


@dataclass(frozen=True, kw_only=True)
class Legend:
    """Classes in index order, and source codes without a class."""

    classes: tuple[LegendClass, ...]
    name: str = ""
    background: str | None = None
    """Name of the class of ground without a polygon; None: it is unlabelled."""

    ignore: tuple[int | str, ...] = ()
    """Source codes that mean unlabelled: values, ``"#rrggbb"`` colours, attribute values."""

    merge: "Merge | None" = None
    """Legends of which a legend map has made it; the source codes are those of the reference."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.classes) <= MAX_CLASSES:
            raise LegendError(f"a legend has 1 to {MAX_CLASSES} classes, got {len(self.classes)}")
        _refuse_duplicates("value", (c.value for c in self.classes))
        _refuse_duplicates("name", self.names)
        _refuse_duplicates("colour", (to_hex(c.color) for c in self.classes))
        _refuse_duplicates("source value", (v for c in self.classes for v in c.known_values))
        _refuse_duplicates("colour", (to_hex(v) for c in self.classes for v in c.source_colors))
        _refuse_duplicates("attribute", (v for c in self.classes for v in c.attributes))
        if self.background is not None and self.background not in self.names:
            raise LegendError(
                f"background = {self.background!r} is not a class of the legend: {self.names}"
            )

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> list[str]:
        """Class names in index order."""
        return [each.name for each in self.classes]

    @property
    def names_by_value(self) -> dict[int, str]:
        """Class names by value in class maps."""
        return {each.value: each.name for each in self.classes}

    @property
    def of_map(self) -> "Legend":
        """Legend of class maps: itself, unless it is merged with that of a reference."""
        return self.merge.map if self.merge else self

    @property
    def indices_of_map(self) -> NDArray[np.uint8]:
        """(classes of a map,) the index of each; `IGNORE` for one that is left out."""
        if self.merge is None:
            return np.arange(len(self), dtype=np.uint8)
        merged = {
            name: i for i, each in enumerate(self.merge.table) if each.name for name in each.map
        }
        return np.array([merged.get(name, IGNORE) for name in self.merge.map.names], np.uint8)

    @property
    def background_index(self) -> int:
        """Index of ground without a polygon."""
        return IGNORE if self.background is None else self.names.index(self.background)

    @cached_property
    def ignored_values(self) -> tuple[int, ...]:
        """Values that mean unlabelled."""
        return tuple(i for i in self.ignore if isinstance(i, int))

    @cached_property
    def values(self) -> dict[int, int]:
        """Class index of each source value."""
        pairs = {v: i for i, c in enumerate(self.classes) for v in c.known_values}
        return dict.fromkeys(self.ignored_values, IGNORE) | pairs

    def encode_values(self, values: NDArray[Any], *, tolerance: float = 0) -> NDArray[np.uint8]:
        """Class indices of a reference raster's values; 255 is a value like others.

        Args:
            values: Any shape; integers, perhaps of a float type.
            tolerance: Largest difference from a known value that is accepted.

        Returns:
            The same shape; `IGNORE` where the value is to be ignored.

        Raises:
            UnknownCodeError: If a value has no class and is not to be ignored.
        """
        if not tolerance:
            return look_up(values, self.values)
        known, reach = self._apart(), int(tolerance)
        near = range(-reach, reach + 1)
        return look_up(values, {v + step: i for v, i in known.items() for step in near} | known)

    def spacing(self) -> float:
        """Smallest difference of two values of different meaning; infinite if all mean the same."""
        known = sorted(self._apart().items())
        steps = [high - low for (low, one), (high, other) in pairwise(known) if one != other]
        return min(steps, default=float("inf"))

    def _apart(self) -> dict[int, int]:
        """Class index of each value, with alternatives in place of the values they stand for."""
        firm = {
            v: i
            for i, c in enumerate(self.classes)
            for v in (c.source_values if c.alternative is None else (c.alternative,))
        }
        return dict.fromkeys(self.ignored_values, IGNORE) | firm

    def of_maps(self) -> Self:
        """The legend for class maps of another program, whose only source code is `value`."""
        firsts = {each.value for each in self.classes}
        others = [None if c.alternative in firsts else c.alternative for c in self.classes]
        classes = tuple(
            replace(each, values=(), alternative=other)
            for each, other in zip(self.classes, others, strict=True)
        )
        own = {value for each in classes for value in each.known_values}
        ignore = tuple(each for each in self.ignore if each not in own)
        return replace(self, classes=classes, ignore=ignore)

    def encode_map(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Class indices of a class map that geoseg wrote; `decode_map` is its inverse.

        Raises:
            LegendError: If a value has no class and is not 255.
        """
        return look_up(values, {IGNORE: IGNORE} | {c.value: i for i, c in enumerate(self.classes)})

    def decode_map(self, indices: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Values for a class map from class indices; `IGNORE` stays."""
        table = np.full(256, IGNORE, np.uint8)
        table[: len(self)] = [each.value for each in self.classes]
        return table[indices]

    def encode_colors(self, image: NDArray[np.uint8], *, tolerance: float = 0) -> NDArray[np.uint8]:
        """Class indices of a reference image.

        Args:
            image: (3, height, width) red, green, blue.
            tolerance: Largest Euclidean distance in RGB at which an unknown colour means the
                nearest known one.

        Returns:
            (height, width); `IGNORE` where the colour is to be ignored.

        Raises:
            UnknownCodeError: If a colour has no class and is not to be ignored.
        """
        codes = rgb_codes(image)
        indices = self._color_table[codes]
        if (unknown := indices == UNKNOWN).any():
            found, place, counts = np.unique(
                codes[unknown], return_inverse=True, return_counts=True
            )
            channels = np.stack([found >> 16, found >> 8, found], axis=1).astype(np.uint8)
            known = np.array(list(self.known_colors), np.uint8)
            means = np.array([*self.known_colors.values(), UNKNOWN], np.uint8)
            best = means[nearest(channels, known, tolerance)]
            if (far := best == UNKNOWN).any():
                listed = [f"#{code:06x}" for code in found[far]]
                raise UnknownCodeError("colours", counted(listed, counts[far]))
            indices[unknown] = best[place]
        return indices

    @cached_property
    def known_colors(self) -> dict[Color, int]:
        """Class index of each colour of a source.

        If a class has an alternative, white and black stand for 255 and 0.
        """
        pairs = {color: i for i, c in enumerate(self.classes) for color in c.source_colors}
        ignored = [parse_color(each) for each in self.ignore if is_color(each)]
        pairs |= {color: IGNORE for color in ignored if color not in pairs}
        if any(each.alternative is not None for each in self.classes):
            ends = {v: i for v, i in self.values.items() if v in (0, 255)}
            pairs |= {(v, v, v): i for v, i in ends.items() if (v, v, v) not in pairs}
        return pairs

    @cached_property
    def _color_table(self) -> NDArray[np.uint8]:
        """(2**24,) class index by colour."""
        table = np.full(1 << 24, UNKNOWN, np.uint8)
        for color, index in self.known_colors.items():
            table[pack_rgb(color)] = index
        return table

    def encode_attributes(self, attributes: Sequence[object]) -> NDArray[np.uint8]:
        """Class indices of polygons by attribute (numbers or strings); nulls are unlabelled.

        Raises:
            UnknownCodeError: If a value has no class and is not to be ignored.
        """
        classes = list(enumerate(self.classes))
        ignored = {as_text(value): IGNORE for value in self.ignore}
        ignored |= {as_text(value): IGNORE for value in attributes if is_null(value)}
        implied = {value: i for i, each in classes for value in each.source_attributes}
        names = {each.name: i for i, each in classes if not each.attributes}
        named = {value: i for i, each in classes for value in each.attributes}
        pairs = ignored | implied | names | named
        texts = [as_text(value) for value in attributes]
        if unknown := [text for text in texts if text not in pairs]:
            found, counts = np.unique(unknown, return_counts=True)
            listed = [repr(str(each)) for each in found]
            raise UnknownCodeError("attribute values", counted(listed, counts))
        return np.array([pairs[text] for text in texts], np.uint8)

    def fits_palette(self, palette: Mapping[int, Color]) -> bool:
        """Whether the indices of a palette image can be the legend's values.

        They can unless the palette has a class's colour at another index.
        """
        if self.merge and self.merge.by_value:
            return True
        colors = set(palette.values())
        for each in self.classes:
            at_values = {palette.get(value) for value in each.source_values}
            if at_values != set(each.source_colors) and colors & set(each.source_colors):
                return False
        return True

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Parse a legend from TOML or a record.

        Raises:
            LegendError: If a key is unknown, missing or of the wrong type.
        """
        if not isinstance(record, Mapping):
            raise LegendError(f"a legend is a table with [[class]] tables, got {record!r:.60}")
        _refuse_unknown_keys(record, {"name", "background", "ignore", "class"}, "the legend")
        tables = record.get("class")
        if not isinstance(tables, list) or not tables:
            raise LegendError("a legend needs at least one [[class]] table with value and name")
        classes = tuple(_read_class(table, number) for number, table in enumerate(tables))
        return cls(
            classes=classes,
            name=str(record.get("name", "")),
            background=record.get("background"),
            ignore=_read_ignored(record, classes),
        )

    def to_dict(self) -> dict[str, Any]:
        """Record without defaults; `from_dict` reads it, or `legend_from_dict` of a merged one."""
        if self.merge is not None:
            return self.merge.to_dict()
        tables = [
            {
                "value": each.value,
                "name": each.name,
                "color": to_hex(each.color),
                "values": list(each.values),
                "colors": [to_hex(color) for color in each.colors],
                "attributes": list(each.attributes),
                "alternative": each.alternative,
            }
            for each in self.classes
        ]
        record = {
            "name": self.name,
            "background": self.background,
            "ignore": list(self.ignore),
            "class": [_without_empty(table) for table in tables],
        }
        return _without_empty(record)


class Merged(NamedTuple):
    """A merged class and its parts."""

    name: str
    """Name of the class; empty if it is left out."""

    map: tuple[str, ...]
    reference: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Legends of which a legend map has made one."""

    rows: tuple[tuple[str, str, str], ...]
    map: Legend
    reference: Legend | None
    table: tuple[Merged, ...]
    """Merged classes in index order, then those that are left out."""

    by_value: bool
    """Whether the rows name classes of the reference by value, whatever its palette shows."""

    def to_dict(self) -> dict[str, Any]:
        """Record for `legend_from_dict`."""
        return {
            "legend_map": [list(row) for row in self.rows],
            "map": self.map.to_dict(),
            "reference": self.reference and self.reference.to_dict(),
        }


def _read_class(table: Mapping[str, Any], number: int) -> LegendClass:
    where = f"[[class]] number {number + 1}"
    if not isinstance(table, Mapping):
        raise LegendError(f"{where}: is a table with value and name, got {table!r:.60}")
    known = {"value", "name", "color", "values", "colors", "attributes", "alternative"}
    _refuse_unknown_keys(table, known, where)
    value = table.get("value", number)
    if not isinstance(value, int) or isinstance(value, bool):
        raise LegendError(f"{where}: value is a whole number, got {value!r}")
    if not isinstance(name := table.get("name"), str) or not name.strip():
        raise LegendError(f"{where}: name is missing")
    if len(name.splitlines()) > 1:
        raise LegendError(f"{where}: name {name!r} has more than one line")
    other = table.get("alternative")
    if other is not None and (not isinstance(other, int) or isinstance(other, bool)):
        raise LegendError(f"{where}: alternative is a whole number, got {other!r}")
    try:
        return LegendClass(
            value=value,
            name=name,
            color=parse_color(table.get("color", default_color(number))),
            values=tuple(_codes(table, "values")),
            colors=tuple(map(parse_color, _codes(table, "colors"))),
            attributes=tuple(map(as_text, _codes(table, "attributes"))),
            alternative=other,
        )
    except (TypeError, ValueError) as error:
        raise LegendError(f"{where}: {error}") from error


def _read_ignored(
    record: Mapping[str, Any], classes: Sequence[LegendClass]
) -> tuple[int | str, ...]:
    """The `ignore` list, none of whose codes means a class."""
    found = _codes(record, "ignore")
    for one in classes:
        colors = {to_hex(color) for color in one.source_colors}
        both = [i for i in found if i in one.known_values or str(i).lower() in colors]
        if both:
            raise LegendError(f"{both[0]!r} means class {one.name!r} and is in `ignore` as well")
    return tuple(found)


def _codes(table: Mapping[str, Any], key: str) -> list[Any]:
    """The source codes of a list: whole numbers below `MAX_VALUE` and, but for `values`, texts."""
    if not isinstance(listed := table.get(key, []), list | tuple):
        raise LegendError(f"{key} is a list, as in {key} = [{listed!r}]")
    found = []
    for value in listed:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        is_whole = is_number and value == value // 1 and abs(value) < MAX_VALUE
        is_allowed = isinstance(value, str) if key != "values" else False
        if not (is_whole or is_allowed or (is_number and key == "attributes")):
            texts = "" if is_number or key == "values" else " and texts"
            raise LegendError(f"{key} lists whole numbers{texts}, got {value!r:.60}")
        found.append(int(value) if is_whole and key != "attributes" else value)
    return found


def _refuse_unknown_keys(table: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(table) - known):
        raise LegendError(f"{where} has unknown keys {unknown}; known are {sorted(known)}")


def _refuse_duplicates(kind: str, items: Iterable[object]) -> None:
    seen: set[object] = set()
    for item in items:
        if item in seen:
            raise LegendError(f"{kind} {item} belongs to two classes of the legend")
        seen.add(item)


def _without_empty(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if value not in ("", None, [])}
