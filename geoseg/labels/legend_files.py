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

Row = tuple[int, str, str]

ISPRS: list[Row] = [
    (0, "impervious surface", "#ffffff"),
    (1, "building", "#0000ff"),
    (2, "low vegetation", "#00ffff"),
    (3, "tree", "#00ff00"),
    (4, "car", "#ffff00"),
    (5, "clutter", "#ff0000"),
]
"""ISPRS 2D semantic labelling, Vaihingen and Potsdam."""

LANDCOVER_AI: list[Row] = [
    (0, "other", "#c8c8c8"),
    (1, "building", "#d7301f"),
    (2, "woodland", "#1b7837"),
    (3, "water", "#2c7fb8"),
    (4, "road", "#7f7f7f"),
]
"""LandCover.ai, values of version 1; the colours are ours."""

VOC: list[Row] = [
    (0, "background", "#000000"),
    (1, "aeroplane", "#800000"),
    (2, "bicycle", "#008000"),
    (3, "bird", "#808000"),
    (4, "boat", "#000080"),
    (5, "bottle", "#800080"),
    (6, "bus", "#008080"),
    (7, "car", "#808080"),
    (8, "cat", "#400000"),
    (9, "chair", "#c00000"),
    (10, "cow", "#408000"),
    (11, "dining table", "#c08000"),
    (12, "dog", "#400080"),
    (13, "horse", "#c00080"),
    (14, "motorbike", "#408080"),
    (15, "person", "#c08080"),
    (16, "potted plant", "#004000"),
    (17, "sheep", "#804000"),
    (18, "sofa", "#00c000"),
    (19, "train", "#80c000"),
    (20, "tv monitor", "#004080"),
]
"""PASCAL VOC 2012."""

ISPRS_1TO6: list[Row] = [(value + 1, name, color) for value, name, color in ISPRS]


class Preset(NamedTuple):
    """A named legend with notes."""

    rows: list[Row]
    """Value, name and colour of each class."""

    ignore: tuple[int | str, ...]
    """Source codes that mean unlabelled."""

    about: str
    """Notes for users, in lines."""


PRESETS: dict[str, Preset] = {
    "isprs": Preset(
        ISPRS,
        ("#000000",),
        "ISPRS 2D semantic labelling (Vaihingen, Potsdam): the colours, or values 0 to 5.\n"
        "Black is the border of the eroded references. Of values 1 to 6 with 0 = border: "
        "isprs-1to6.",
    ),
    "isprs-1to6": Preset(
        ISPRS_1TO6,
        (0, "#000000"),
        "ISPRS 2D semantic labelling (Vaihingen, Potsdam): the colours, or values 1 to 6.\n"
        "0 and black are the border of the eroded references. Of values 0 to 5: isprs.",
    ),
    "landcover-ai": Preset(LANDCOVER_AI, (), "LandCover.ai, values of version 1."),
    "voc": Preset(VOC, (255, "#e0e0c0"), "PASCAL VOC 2012; 255 and #e0e0c0 are contours."),
}
"""Presets by name."""

BINARY_ABOUT = (
    "One class and all else: 0 is other, 1 the class, and so is 255 in a raster without 1.\n"
    "Of 255 = unlabelled: take the alternative out, and write ignore = [255] above the classes.\n"
    "In a picture white is the class and black other. Of polygons, each is of the class."
)


def preset(name: str) -> Legend | None:
    """The legend of a preset, or None if there is none of that name.

    Raises:
        LegendError: If ``binary:`` names no class.
    """
    if name.startswith(BINARY):
        return _binary(name.removeprefix(BINARY).strip())
    if name not in PRESETS:
        return None
    rows, ignore, _ = PRESETS[name]
    return Legend.from_dict({"name": name, "ignore": list(ignore), "class": _tables(rows)})


def about_preset(name: str) -> str:
    """Notes on a preset."""
    return BINARY_ABOUT if name.startswith(BINARY) else PRESETS[name].about


def _binary(name: str) -> Legend:
    if not name or name == "other":
        raise LegendError("name the class, as in `binary:building`")
    other, own = _tables([(0, "other", "#d9d9d9"), (1, name, "#d7301f")])
    own["alternative"] = IGNORE
    return Legend.from_dict({"name": name, "background": "other", "class": [other, own]})


def _tables(rows: list[Row]) -> list[dict[str, Any]]:
    return [{"value": value, "name": name, "color": color} for value, name, color in rows]


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
    """The classes."""

    about: tuple[str, ...]
    """Notes, in lines."""


def find_legend(name: str, *, attribute: str | None = None, layer: str | None = None) -> Derived:
    """The legend of a preset or a class map of geoseg, or one derived from a reference.

    Args:
        name: Name of the preset, or path of the raster or polygons.
        attribute: Column of the polygons.
        layer: Layer of the polygons.

    Raises:
        LegendError: If the reference has too many values to be classes, or none.
    """
    if found := preset(name):
        return Derived(found, tuple(about_preset(name).splitlines()))
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
    if is_vector(reference):
        tables, about = _tables_of_attribute(reference, attribute, layer)
    elif carried := read_tags(reference).get("legend"):
        return Derived(Legend.from_dict(carried), (f"The legend that {reference.name} carries.",))
    else:
        tables, about = _tables_of_raster(reference)
    try:
        legend = Legend.from_dict({"name": reference.stem, "class": tables})
    except LegendError as error:
        raise LegendError(f"{reference}: {error}") from error
    return Derived(legend, tuple(about))


def to_toml(legend: Legend, about: Sequence[str] = ()) -> str:
    """Write a legend as TOML for `load_legend`.

    Args:
        legend: The classes.
        about: Comments above them.
    """
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
    column = read_polygons(path, layer=layer, attribute=attribute).attributes
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
        lossy, hidden = (
            lossy_compression(dataset),
            {IGNORE} if has_transparent_255(dataset) else set(),
        )
    with RasterReader(path, palette_index=True) as reader:
        in_colors = reader.bands >= 3  # noqa: PLR2004 red, green, blue
        codes = _colors(reader) if in_colors else _values(reader)
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
    """A class for each number; those that class maps cannot hold get another value.

    Args:
        numbers: Sorted numbers.
        key: Key that names the number if the value differs.
        code: Converts the number for that key.
    """
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
    """Note on the value 255, if it occurs."""
    if IGNORE not in numbers:
        return []
    line = (
        f"{IGNORE} is a class here. If it means unlabelled: take the class out, and write "
        f"ignore = [{IGNORE}] above the others."
    )
    return [line]


def _refuse_many(path: Path, count: int, lossy: str | None = None) -> None:
    if count > MAX_DERIVED_CLASSES:
        why = f"; the file is {lossy}, which changes them: use lossless labels" if lossy else ""
        raise LegendError(
            f"{path}: more than {MAX_DERIVED_CLASSES} different values cannot be classes{why}"
        )


def _colors(reader: RasterReader) -> set[int]:
    found: set[int] = set()
    for window in blocks(reader.grid.height, reader.grid.width, rows=512, cols=4096):
        image, valid = reader.read(window)
        try:
            found |= set(np.unique(rgb_codes(image[:3, valid])).tolist())
        except LegendError as error:
            raise LegendError(f"{reader.path}: {error}") from error
        if len(found) > MAX_DERIVED_CLASSES:
            break
    return found


def _values(reader: RasterReader) -> set[int]:
    found: set[float] = set()
    for window in blocks(reader.grid.height, reader.grid.width, rows=512, cols=4096):
        image, valid = reader.read(window)
        found |= set(np.unique(image[0][valid]).tolist())
        if broken := [value for value in found if value != int(value)]:
            raise LegendError(
                f"{reader.path}: holds {broken[0]:g}, and classes are whole numbers: is it a "
                f"raster of scores or heights?"
            )
        if len(found) > MAX_DERIVED_CLASSES:
            break
    return set(map(int, found))
