"""Legend maps: two legends merged into their common classes."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import LegendError
from geoseg.labels.legend import IGNORE, Legend, LegendClass
from geoseg.labels.lookup import is_color, look_up, parse_color, to_hex
from geoseg.raster.records import parse_json
from geoseg.raster.storage import Color
from geoseg.text import as_text, short_list

UNUSED_VALUE = -(2**40)
"""Values from here downwards occur in no raster; for classes without raster values."""


class Correspondence(NamedTuple):
    """A row of a legend map: a class of the map and the same in the reference."""

    map: str
    """Name or value; empty: the class of the reference is left out, as unlabelled."""

    reference: str
    """Name, value, colour or attribute value; empty: the class of the map is left out."""

    name: str = ""
    """Name of the merged class; empty: that of the reference, or else of the map."""


class Merged(NamedTuple):
    """A merged class and its parts."""

    name: str
    """Name of the class; empty if it is left out."""

    map: tuple[str, ...]
    """Names of its classes in the map."""

    reference: tuple[str, ...]
    """Names of its classes in the reference."""


class MergeInputs(NamedTuple):
    """Arguments of `merge_legends`."""

    rows: tuple[Correspondence, ...]
    """Rows of the legend map."""

    map: Legend
    """Legend of the map."""

    reference: Legend | None
    """Legend of the reference, if known."""


def map_side(legend: Legend) -> Legend:
    """The legend by which class maps of other programs are read."""
    return legend.map_side if isinstance(legend, MergedLegend) else legend.of_maps()


@dataclass(frozen=True, kw_only=True)
class MergedLegend(Legend):
    """Common classes of a map and its reference.

    Its source codes are those of the reference, its class maps those of the map.
    """

    map_side: Legend
    """The same classes with the values and colours of the map as source codes."""

    bands: tuple[tuple[str, int], ...]
    """Classes of the map with the index of their merged class, or `IGNORE`."""

    table: tuple[Merged, ...]
    """Merged classes and their parts."""

    named_by_value: bool
    """Whether the classes of the reference are named by value, whatever its palette shows."""

    made_of: MergeInputs
    """Arguments from which it was merged."""

    def to_dict(self) -> dict[str, Any]:
        """Record for `legend_from_dict`."""
        rows, own, theirs = self.made_of
        return {
            "legend_map": [list(row) for row in rows],
            "map": own.to_dict(),
            "reference": None if theirs is None else theirs.to_dict(),
        }

    def encode_map(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Class indices of a map of geoseg.

        Raises:
            UnknownCodeError: If a value has no class and is not 255.
        """
        return look_up(values, {IGNORE: IGNORE} | self.map_side.values)

    def fits_palette(self, palette: Mapping[int, Color]) -> bool:
        """Whether the indices of a palette image can be the reference's values."""
        return self.named_by_value or super().fits_palette(palette)


def legend_from_dict(record: Mapping[str, Any]) -> Legend:
    """The legend of a record made by ``to_dict``, merged or not.

    Raises:
        LegendError: If a legend is wrong, or they do not fit together.
    """
    if "legend_map" not in record:
        return Legend.from_dict(record)
    rows = [Correspondence(*row) for row in record["legend_map"]]
    theirs = record["reference"]
    return merge_legends(
        rows,
        Legend.from_dict(record["map"]),
        None if theirs is None else Legend.from_dict(theirs),
    )


def bands_of(legend: Legend) -> tuple[tuple[str, int], ...]:
    """Classes of a map's score bands, each with its index."""
    if isinstance(legend, MergedLegend):
        return legend.bands
    return tuple((name, index) for index, name in enumerate(legend.names))


def merge_legends(
    rows: Sequence[Correspondence], own: Legend, reference: Legend | None = None
) -> MergedLegend:
    """Merge the corresponding classes of a map and its reference.

    Rows that share a class or a name form one class.

    Args:
        rows: Corresponding classes.
        own: Legend of the map.
        reference: Legend of the reference; without it, its classes are named by value, colour or
            attribute value, or as classes of ``own``.

    Raises:
        LegendError: If a class is unknown, is missing from the rows, or is merged and left out.
    """
    ours = [_find(row.map, own, "map") if row.map else None for row in rows]
    theirs = [_source(row.reference, own, reference) if row.reference else None for row in rows]
    _refuse_missing("map", own.names, {each.name for each in ours if each})
    if reference is not None:
        _refuse_missing("reference", reference.names, {each.name for each in theirs if each})
    groups = _groups(rows, ours, theirs)
    kept = [group for group in groups if group.ours and group.theirs]
    if not kept:
        raise LegendError("no class of the map corresponds to one of the reference")
    left = [group for group in groups if not (group.ours and group.theirs)]
    merged_into = {each.name: index for index, group in enumerate(kept) for each in group.ours}
    background = (reference or own).background
    names = [group.name for group in kept]
    firsts = {side: _values_of(groups, side) for side in ("ours", "theirs")}

    def classes(side: str) -> tuple[LegendClass, ...]:
        return tuple(group.merged(i, side, firsts[side]) for i, group in enumerate(kept))

    return MergedLegend(
        name=own.name,
        classes=classes("theirs"),
        background=next((g.name for g in kept if background in [c.name for c in g.theirs]), None),
        ignore=(*(reference or own).ignore, *_ignored(left, "theirs")),
        map_side=Legend(
            classes=classes("ours"),
            ignore=(*own.ignored_values, *_ignored(left, "ours")),
        ),
        bands=tuple((name, merged_into.get(name, IGNORE)) for name in own.names),
        table=tuple(
            Merged(name, *(tuple(c.name for c in side) for side in (group.ours, group.theirs)))
            for name, group in zip([*names, *[""] * len(left)], [*kept, *left], strict=True)
        ),
        named_by_value=reference is None and any(each.values for each in theirs if each),
        made_of=MergeInputs(tuple(rows), own, reference),
    )


@dataclass
class _Group:
    """Classes connected by rows."""

    ours: list[LegendClass] = field(default_factory=list)
    theirs: list[LegendClass] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, name: str, one: LegendClass | None, other: LegendClass | None) -> Self:
        names = [name] if name and one and other else []
        return cls([one] if one else [], [other] if other else [], names)

    def touches(self, other: Self) -> bool:
        pairs = ((self.ours, other.ours), (self.theirs, other.theirs))
        shared = any({c.name for c in mine} & {c.name for c in yours} for mine, yours in pairs)
        return shared or bool(set(self.names) & set(other.names))

    def absorb(self, other: Self) -> None:
        for mine, yours in ((self.ours, other.ours), (self.theirs, other.theirs)):
            mine += [each for each in yours if each.name not in [c.name for c in mine]]
        self.names += [name for name in other.names if name not in self.names]

    @property
    def name(self) -> str:
        if len(self.names) > 1:
            raise LegendError(f"one class has several names in the legend map: {self.names}")
        if self.names:
            return self.names[0]
        short = self.ours if len(self.ours) == 1 < len(self.theirs) else self.theirs
        return " + ".join(each.name for each in short)

    def merged(self, index: int, side: str, taken: set[int]) -> LegendClass:
        """The class with the source codes of one side.

        Args:
            index: Index of the class.
            side: ``ours`` or ``theirs``.
            taken: Values named by rows, which cannot be alternatives.
        """
        parts: list[LegendClass] = getattr(self, side)
        values = tuple(dict.fromkeys(value for c in parts for value in c.source_values))
        return LegendClass(
            value=index,
            name=self.name,
            color=self.ours[0].color,
            values=values or (UNUSED_VALUE - index,),
            colors=tuple(dict.fromkeys(color for c in parts for color in c.source_colors)),
            attributes=tuple(dict.fromkeys(text for c in parts for text in c.source_attributes)),
            alternative=next(iter({c.alternative for c in parts} - {None} - taken), None),
        )


def _values_of(groups: Iterable[_Group], side: str) -> set[int]:
    """Values that the classes of one side have first of all."""
    classes: list[LegendClass] = [each for group in groups for each in getattr(group, side)]
    return {value for each in classes for value in each.source_values}


def _groups(
    rows: Sequence[Correspondence],
    ours: Sequence[LegendClass | None],
    theirs: Sequence[LegendClass | None],
) -> list[_Group]:
    """Rows that share classes as one, in the order in which they come."""
    groups: list[_Group] = []
    for row, one, other in zip(rows, ours, theirs, strict=True):
        group = _Group.of(row.name, one, other)
        if not (one or other):
            raise LegendError("a row of the legend map is empty on both sides")
        tied = [each for each in groups if each.touches(group)]
        if any(bool(each.ours) != bool(one) or bool(each.theirs) != bool(other) for each in tied):
            token = row.map or row.reference
            raise LegendError(f"class {token!r} is left out in one row and kept in another")
        home = tied[0] if tied else group
        for each in [*tied[1:], group] if tied else []:
            home.absorb(each)
        groups = [each for each in groups if each not in tied[1:]] + ([] if tied else [group])
    return groups


def _find(token: str, legend: Legend, side: str) -> LegendClass:
    """The class with that name, value, colour or attribute value."""
    for each in legend.classes:
        if token == each.name:
            return _in_files(each) if side == "map" else each
    for each in legend.classes:
        known = {str(each.value)} if side == "map" else _texts(each)
        if token in known:
            return _in_files(each) if side == "map" else each
    raise LegendError(
        f"{token!r} is not a class of the {side}; its classes are {short_list(legend.names)}"
    )


def _in_files(each: LegendClass) -> LegendClass:
    """The class as in class maps."""
    return replace(each, values=(each.value,), attributes=())


def _texts(each: LegendClass) -> set[str]:
    return {*each.source_attributes, *map(str, each.source_values), *map(to_hex, each.colors)}


def _source(token: str, own: Legend, reference: Legend | None) -> LegendClass:
    """A class of the reference, perhaps only a value, colour or attribute value."""
    if reference is not None:
        return _find(token, reference, "reference")
    if token in own.names:
        return own.classes[own.names.index(token)]
    colors: tuple[Color, ...] = (parse_color(token),) if is_color(token) else ()
    values = (int(token),) if token.removeprefix("-").isdecimal() else ()
    return _Bare(value=0, name=token, color=(0, 0, 0), values=values, colors=colors)


class _Bare(LegendClass):
    """A class known by a single value, colour or attribute value."""

    @property
    def source_values(self) -> tuple[int, ...]:
        return self.values

    @property
    def source_colors(self) -> tuple[Color, ...]:
        return self.colors

    @property
    def source_attributes(self) -> tuple[str, ...]:
        return (self.name,)


def _ignored(groups: Iterable[_Group], side: str) -> list[int | str]:
    """Source codes of the classes that are left out."""
    classes: list[LegendClass] = [each for group in groups for each in getattr(group, side)]
    ignored: list[int | str] = []
    for each in classes:
        ignored += each.source_values
        ignored += map(to_hex, each.source_colors)
        ignored += each.source_attributes
    return ignored


def _refuse_missing(side: str, names: Sequence[str], covered: set[str]) -> None:
    if missing := [name for name in names if name not in covered]:
        raise LegendError(
            f"classes of the {side} that the legend map does not name: {missing}; give each a "
            f"row, with the other side empty if it is to be left out"
        )


KEYS = ("from", "to", "name")
"""Columns: class of the map, class of the reference and, optionally, their common name."""


@dataclass(frozen=True)
class LegendMap:
    """A table of corresponding classes of a map and a reference."""

    path: Path
    """File of the table."""

    rows: tuple[Correspondence, ...]
    """Rows of the table."""

    reference: Legend | None = None
    """Legend of the reference, if known."""

    def merged(self, own: Legend) -> MergedLegend:
        """Merge a map's legend with that of the reference.

        Raises:
            LegendError: If the table does not fit the legends.
        """
        try:
            return merge_legends(self.rows, own, self.reference)
        except LegendError as error:
            raise LegendError(f"{self.path}: {error}") from error


def load_legend_map(path: Path) -> list[Correspondence]:
    """Read rows from CSV, or from a JSON list of objects.

    Raises:
        LegendError: If the file is missing or holds anything else.
    """
    if not path.is_file():
        raise LegendError(f"{path}: no such file")
    try:
        text = path.read_text(encoding="utf-8-sig")
        records = parse_json(text) if path.suffix.lower() == ".json" else _table(text)
        rows = _rows(records)
    except (ValueError, csv.Error) as error:  # UnicodeDecodeError and JSONDecodeError are such
        raise LegendError(f"{path}: not a table in CSV or JSON: {error}") from error
    except OSError as error:
        raise LegendError(f"{path}: cannot be read: {error.strerror}") from error
    except LegendError as error:
        raise LegendError(f"{path}: {error}") from error
    if not rows:
        raise LegendError(f"{path}: holds no rows")
    return rows


def _table(text: str) -> Iterable[Any]:
    """Records of a CSV file separated by comma, semicolon or tab."""
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    return csv.DictReader(text.splitlines(), delimiter=separator, skipinitialspace=True)


def _rows(records: Any) -> list[Correspondence]:
    if isinstance(records, int | float | str | dict | None):
        raise LegendError("not a list of objects with from and to")
    rows = []
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict) or not {"from", "to"} <= set(record):
            raise LegendError(f"row {number} has no columns from and to")
        if unknown := [key for key in record if key not in KEYS]:
            raise LegendError(f"row {number} has columns {unknown}; known are {list(KEYS)}")
        texts = ["" if record.get(key) is None else as_text(record[key]) for key in KEYS]
        if any(texts):
            rows.append(Correspondence(*texts))
    return rows
