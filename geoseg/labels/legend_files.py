"""Legends from TOML files, presets, class maps and references."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from geoseg.errors import EmptyError, InputError, LegendError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import rgb_codes, to_hex
from geoseg.labels.tags import read_tags
from geoseg.raster.reader import RasterReader
from geoseg.raster.records import read_toml
from geoseg.raster.storage import has_transparent_255, lossy_compression, opened, reading
from geoseg.raster.vector import is_vector, read_layer, read_polygons
from geoseg.raster.window import blocks
from geoseg.text import as_text, is_null

BINARY = "binary:"
"""Prefix of ``binary:building``: 0 is other; 1 (or else 255) and every polygon are building."""

PRESETS: dict[str, Any] = read_toml(Path(__file__).with_name("presets.toml"))
"""Presets by name: tables of a legend, and notes for users, in lines."""

BINARY_ABOUT = [
    "One class and all else: 0 is other, 1 the class, and so is 255 in a raster without 1.",
    "Of 255 = unlabelled: take the alternative out, and write ignore = [255] above the classes.",
    "In a picture white is the class and black other. Of polygons, each is of the class.",
]


def preset(name: str) -> Legend | None:
    """The legend of a preset, or None if there is none of that name.

    Raises:
        LegendError: If ``binary:`` names no class.
    """
    if name.startswith(BINARY):
        name = name.removeprefix(BINARY).strip()
        if not name or name == "other":
            raise LegendError("name the class, as in `binary:building`")
        other = {"value": 0, "name": "other", "color": "#d9d9d9"}
        own = {"value": 1, "name": name, "color": "#d7301f", "alternative": IGNORE}
        return Legend.from_dict({"name": name, "background": "other", "class": [other, own]})
    if name not in PRESETS:
        return None
    record = {key: value for key, value in PRESETS[name].items() if key != "about"}
    return Legend.from_dict({"name": name, **record})


MAX_DERIVED_CLASSES = 100
"""Largest number of distinct values that can be classes."""


def load_legend(name: str) -> Legend:
    """The legend of a TOML file or a preset.

    Raises:
        LegendError: If there is neither, or the file is wrong.
    """
    if found := preset(name):
        return found
    path = Path(name)
    if not path.is_file():
        raise LegendError(_unknown(name))
    try:
        content = read_toml(path)
    except InputError as error:
        raise LegendError(str(error)) from error
    try:
        return Legend.from_dict(content)
    except (ValueError, RecursionError) as error:  # numbers and tables beyond all measure
        raise LegendError(f"{path}: not a legend: {error}") from error
    except LegendError as error:
        raise LegendError(f"{path}: {error}") from error


def _unknown(name: str) -> str:
    """Message on a name that is neither a file nor a preset."""
    what = "is a folder" if Path(name).is_dir() else "no such file"
    return f"{name}: {what}, and no preset ({', '.join(PRESETS)}, binary:NAME)"


class Derived(NamedTuple):
    """A legend to be edited, with notes."""

    legend: Legend
    about: tuple[str, ...]


def find_legend(name: str, *, attribute: str | None = None, layer: str | None = None) -> Derived:
    """The legend of a preset or a class map of geoseg, or one derived from a reference.

    Raises:
        LegendError: If the reference has too many values to be classes, or none.
    """
    if found := preset(name):
        about = BINARY_ABOUT if name.startswith(BINARY) else PRESETS[name]["about"]
        return Derived(found, tuple(about))
    path = Path(name)
    if not path.exists() and not path.suffix:
        raise LegendError(_unknown(name))
    return derive_legend(path, attribute=attribute, layer=layer)


def derive_legend(
    reference: Path, *, attribute: str | None = None, layer: str | None = None
) -> Derived:
    """A legend from the values, colours or attribute values of a reference.

    Raises:
        LegendError: If there are too many to be classes, or none.
        EmptyError: If there are no polygons.
        RasterError: If a raster cannot be read.
        VectorError: If polygons cannot be read.
    """
    carried = None if attribute else read_tags(reference, layer).get("legend")
    if carried:
        return Derived(Legend.from_dict(carried), (f"The legend that {reference.name} carries.",))
    if is_vector(reference):
        tables, about = _tables_of_attribute(reference, attribute, layer)
    else:
        tables, about = _tables_of_raster(reference)
    try:
        legend = Legend.from_dict({"name": reference.stem, "class": tables})
    except LegendError as error:
        raise LegendError(f"{reference}: {error}") from error
    return Derived(legend, tuple(about))


def to_toml(legend: Legend, about: Sequence[str] = ()) -> str:
    """Write a legend as TOML for `load_legend`."""
    record = legend.to_dict()
    tables = record.pop("class")
    lines = [f"# {line}" for line in about]
    lines += [_assignment(key, value) for key, value in record.items()]
    for table in tables:
        lines += ["", "[[class]]", *(_assignment(key, value) for key, value in table.items())]
    return "\n".join(lines).lstrip("\n") + "\n"


def _assignment(key: str, value: Any) -> str:
    return f"{key} = {json.dumps(value, ensure_ascii=False)}"  # for these types also TOML


def _tables_of_attribute(
    path: Path, attribute: str | None, layer: str | None
) -> tuple[list[Any], list[str]]:
    if attribute is None:
        frame = read_layer(path, layer)
        columns = [str(name) for name in frame.columns if name != frame.geometry.name]
        raise LegendError(
            f"{path}: name the column that holds the class with --attribute; its columns are "
            f"{columns}"
        )
    column = read_polygons(path, layer=layer, attribute=attribute, strokes=True).attributes
    if not column:
        raise EmptyError(f"{path}: the layer is empty: it holds no polygon")
    texts = {as_text(value) for value in column if not is_null(value)}
    nulls = sum(map(is_null, column))
    if not texts:
        raise LegendError(f"{path}: column {attribute!r} is empty: null for all {nulls} polygons")
    _refuse_many(path, len(texts))
    about = [f"{attribute!r} is null or empty for {nulls} polygon(s): unlabelled."] if nulls else []
    if all(re.fullmatch(r"0|-?[1-9][0-9]{0,9}", text) for text in texts):
        numbers = sorted(map(int, texts))
        tables = _tables_of_numbers(numbers, "attributes", as_text)
        return tables, about + _note_on_255(numbers)
    return [{"value": value, "name": name} for value, name in enumerate(sorted(texts))], about


def _tables_of_raster(path: Path) -> tuple[list[Any], list[str]]:
    with opened(path) as dataset, reading(path):
        lossy = lossy_compression(dataset)
        hidden = {IGNORE} if has_transparent_255(dataset) else set()
    with RasterReader(path, palette_index=True) as reader:
        in_colors = reader.bands >= 3  # noqa: PLR2004 red, green, blue
        codes = _codes(reader, in_colors=in_colors)
        palette, nodata = reader.palette or {}, reader.nodata
    found = sorted(codes - hidden)
    _refuse_many(path, len(found), lossy)
    if not found:
        raise LegendError(f"{path}: no pixel has data")
    about = [] if nodata is None else [f"The file's nodata, {nodata:g}, is unlabelled."]
    if lossy:
        about.append(
            f"The file is {lossy}, which changes {'colours' if in_colors else 'values'}: keep the "
            f"true ones, and read the file with --color-tolerance."
        )
    if in_colors:
        tables = [
            {"value": number, "name": f"class {number}", "color": f"#{color:06x}"}
            for number, color in enumerate(found)
        ]
        return tables, about
    tables = _tables_of_numbers(found, "values", int)
    taken: set[str] = set()
    for value, table in zip(found, tables, strict=True):
        color = to_hex(palette[value]) if value in palette else None
        if color is not None and color not in taken:
            table["color"] = color
            taken.add(color)
    return tables, about + _note_on_255(found)


def _tables_of_numbers(
    numbers: Sequence[int], key: str, code: Callable[[int], int | str]
) -> list[dict[str, Any]]:
    """A class for each number; one that class maps cannot hold is named by ``key``."""
    own = {number for number in numbers if 0 <= number < IGNORE}
    after = range(max(own, default=-1) + 1, IGNORE)
    free = iter([value for value in (*after, *range(IGNORE)) if value not in own])
    tables: list[dict[str, Any]] = []
    for number in numbers:
        table: dict[str, Any] = {"value": number, "name": f"class {number}"}
        if number not in own:
            table |= {"value": next(free), key: [code(number)]}
        tables.append(table)
    return tables


def _note_on_255(numbers: Sequence[int]) -> list[str]:
    advice = (
        "If it means unlabelled: take the class out, and write ignore = [255] above the others."
    )
    return [f"255 is a class here. {advice}"] if IGNORE in numbers else []


def _refuse_many(path: Path, count: int, lossy: str | None = None) -> None:
    if count > MAX_DERIVED_CLASSES:
        why = f"; the file is {lossy}, which changes them: use lossless labels" if lossy else ""
        raise LegendError(
            f"{path}: more than {MAX_DERIVED_CLASSES} different values cannot be classes{why}"
        )


def _codes(reader: RasterReader, *, in_colors: bool) -> set[int]:
    """The values that occur, or the colours as 24-bit numbers."""
    found: set[float] = set()
    for window in blocks(reader.grid.height, reader.grid.width, rows=512, cols=4096):
        image, valid = reader.read(window)
        try:
            own = rgb_codes(image[:3, valid]) if in_colors else image[0][valid]
        except LegendError as error:
            raise LegendError(f"{reader.path}: {error}") from error
        found |= set(np.unique(own).tolist())
        if broken := [value for value in found if value != int(value)]:
            raise LegendError(
                f"{reader.path}: holds {broken[0]:g}, and classes are whole numbers: is it a "
                f"raster of scores or heights?"
            )
        if len(found) > MAX_DERIVED_CLASSES:
            break
    return set(map(int, found))
