"""Legend maps: two legends merged into their common classes."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from geoseg.errors import LegendError
from geoseg.labels.legend import Legend, LegendClass, Merge, Merged
from geoseg.labels.lookup import is_color, parse_color, to_hex
from geoseg.raster.records import parse_json
from geoseg.raster.storage import Color
from geoseg.text import as_text, short_list

Code = TypeVar("Code", int, str, Color)

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


def legend_from_dict(record: Mapping[str, Any]) -> Legend:
    """The legend of a record made by ``to_dict``, merged or not.

    Raises:
        LegendError: If a legend is wrong, or they do not fit together.
    """
    if "legend_map" not in record:
        return Legend.from_dict(record)
    rows = [Correspondence(*row) for row in record["legend_map"]]
    own, theirs = record["map"], record["reference"]
    return merge_legends(rows, Legend.from_dict(own), theirs and Legend.from_dict(theirs))


def merge_legends(
    rows: Sequence[Correspondence], own: Legend, reference: Legend | None = None
) -> Legend:
    """Merge the corresponding classes of a map and its reference.

    Rows that share a class or a name form one class. The source codes of the merged classes are
    those of the reference; maps are read with their own legend, whose indices `Merge` translates.

    Args:
        rows: Corresponding classes.
        own: Legend of the map.
        reference: Legend of the reference; without it, its classes are named by value, colour or
            attribute value, or as classes of ``own``.

    Raises:
        LegendError: If a class is unknown, is missing from the rows, or is merged and left out.
    """
    found = _named_classes(rows, own, reference)
    groups = _groups(found)
    kept = [group for group in groups if group[0].own and group[0].source]
    left = [group for group in groups if group not in kept]
    if not kept:
        raise LegendError("no class of the map corresponds to one of the reference")
    names = [_name(group) for group in kept]
    taken = {value for row in found if row.source for value in row.source.values}
    base = reference or own
    classes = [
        _merged(i, name, each, taken)
        for i, (name, each) in enumerate(zip(names, kept, strict=True))
    ]
    ignored: list[int | str] = list(base.ignore)
    for each in chain.from_iterable(_sources(group).values() for group in left):
        ignored += [*each.values, *map(to_hex, each.colors), *each.attributes]
    return Legend(
        name=own.name,
        classes=tuple(classes),
        background=next(
            (n for n, g in zip(names, kept, strict=True) if base.background in _sources(g)), None
        ),
        ignore=tuple(ignored),
        merge=Merge(
            rows=tuple(rows),
            map=own,
            reference=reference,
            table=tuple(
                Merged(name, tuple(_owns(group)), tuple(_sources(group)))
                for name, group in zip([*names, *[""] * len(left)], [*kept, *left], strict=True)
            ),
            by_value=reference is None and any(row.source.by_value for row in found if row.source),
        ),
    )


class _Source(NamedTuple):
    """Codes of a class of the reference, perhaps only a value, colour or attribute value."""

    name: str
    values: tuple[int, ...] = ()
    colors: tuple[Color, ...] = ()
    attributes: tuple[str, ...] = ()
    alternative: int | None = None
    by_value: bool = False


class _Row(NamedTuple):
    """A row of the legend map with the classes that it names."""

    name: str
    own: LegendClass | None
    source: _Source | None

    def touches(self, other: "_Row") -> bool:
        """Whether both rows are of one class."""
        pairs = ((self.own, other.own), (self.source, other.source))
        shared = any(one and two and one.name == two.name for one, two in pairs)
        return shared or bool(self.name and self.name == other.name)


def _named_classes(
    rows: Sequence[Correspondence], own: Legend, reference: Legend | None
) -> list[_Row]:
    """The classes that the rows name, which are all of the legends."""
    found = [
        _Row(
            row.name if row.map and row.reference else "",
            _find(row.map, own, "map") if row.map else None,
            _source(row.reference, own, reference) if row.reference else None,
        )
        for row in rows
    ]
    _refuse_missing("map", own, [row.own for row in found])
    if reference is not None:
        _refuse_missing("reference", reference, [row.source for row in found])
    return found


def _groups(rows: Iterable[_Row]) -> list[list[_Row]]:
    """Rows that share classes as one, in the order in which they come."""
    groups: list[list[_Row]] = []
    for row in rows:
        if not (row.own or row.source):
            raise LegendError("a row of the legend map is empty on both sides")
        tied = [group for group in groups if any(map(row.touches, group))]
        kept = bool(row.own), bool(row.source)
        if any((bool(group[0].own), bool(group[0].source)) != kept for group in tied):
            name = (row.own or row.source or row).name
            raise LegendError(f"class {name!r} is left out in one row and kept in another")
        joined = [*chain.from_iterable(tied), row]
        place = groups.index(tied[0]) if tied else len(groups)
        groups[place : place + 1] = [joined]
        groups = [group for group in groups if group not in tied[1:]]
    return groups


def _owns(group: Sequence[_Row]) -> dict[str, LegendClass]:
    return {row.own.name: row.own for row in group if row.own}


def _sources(group: Sequence[_Row]) -> dict[str, _Source]:
    return {row.source.name: row.source for row in group if row.source}


def _name(group: Sequence[_Row]) -> str:
    """The given name, or the names of one side."""
    given = list(dict.fromkeys(row.name for row in group if row.name))
    if len(given) > 1:
        raise LegendError(f"one class has several names in the legend map: {given}")
    own, theirs = _owns(group), _sources(group)
    return given[0] if given else " + ".join(own if len(own) == 1 < len(theirs) else theirs)


def _merged(index: int, name: str, group: Sequence[_Row], taken: set[int]) -> LegendClass:
    """The class of a group; values named by rows (`taken`) cannot be alternatives."""
    parts = _sources(group).values()
    others = {part.alternative for part in parts} - {None} - taken
    return LegendClass(
        value=index,
        name=name,
        color=next(iter(_owns(group).values())).color,
        values=_union(part.values for part in parts) or (UNUSED_VALUE - index,),
        colors=_union(part.colors for part in parts),
        attributes=_union(part.attributes for part in parts),
        alternative=next(iter(others), None),
    )


def _union(codes: Iterable[Iterable[Code]]) -> tuple[Code, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(codes)))


def _find(token: str, legend: Legend, side: str) -> LegendClass:
    """The class with that name, value, colour or attribute value."""
    for each in legend.classes:
        if token == each.name:
            return each
    for each in legend.classes:
        texts = {*each.source_attributes, *map(str, each.source_values), *map(to_hex, each.colors)}
        if token in ({str(each.value)} if side == "map" else texts):
            return each
    raise LegendError(
        f"{token!r} is not a class of the {side}; its classes are {short_list(legend.names)}"
    )


def _source(token: str, own: Legend, reference: Legend | None) -> _Source:
    """Codes of a class of the reference, which without its legend may be one of the map."""
    if reference is not None or token in own.names:
        each = _find(token, reference or own, "reference")
        codes = each.source_values, each.source_colors, each.source_attributes
        return _Source(each.name, *codes, each.alternative, bool(each.values))
    colors = (parse_color(token),) if is_color(token) else ()
    values = (int(token),) if token.removeprefix("-").isdecimal() else ()
    return _Source(token, values, colors, (token,), by_value=bool(values))


def _refuse_missing(
    side: str, legend: Legend, named: Iterable[LegendClass | _Source | None]
) -> None:
    covered = {each.name for each in named if each}
    if missing := [name for name in legend.names if name not in covered]:
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
    rows: tuple[Correspondence, ...]
    reference: Legend | None = None

    def merged(self, own: Legend) -> Legend:
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
