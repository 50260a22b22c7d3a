"""Legends in TOML files, from presets, and from what a reference itself says."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.core.colors import to_hex
from geoseg.core.legend import Legend, as_text
from geoseg.core.presets import PRESETS, preset
from geoseg.core.scores import IGNORE
from geoseg.core.window import blocks
from geoseg.errors import LegendError
from geoseg.io.raster import RasterReader
from geoseg.io.vector import is_vector, read_polygons

MOST_DERIVED = 100
"""More different values than this are no classes."""


def load_legend(name: str) -> Legend:
    """The legend of a TOML file or a preset.

    Raises:
        LegendError: If there is neither, or the file is wrong.
    """
    if found := preset(name):
        return found
    path = Path(name)
    if not path.is_file():
        raise LegendError(
            f"{name}: no such file, and no preset ({', '.join(PRESETS)}, binary:NAME)"
        )
    try:
        return Legend.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LegendError(f"{path}: not a TOML file: {error}") from error
    except LegendError as error:
        raise LegendError(f"{path}: {error}") from error


def derive_legend(
    reference: Path, *, attribute: str | None = None, layer: str | None = None
) -> Legend:
    """A legend from the values, colours or attribute values that a reference holds.

    The value 255 is taken for unlabelled.

    Raises:
        LegendError: If these are too many to be classes.
    """
    if is_vector(reference):
        tables = _tables_of_attribute(reference, attribute, layer)
    else:
        tables = _tables_of_raster(reference)
    if len(tables) > MOST_DERIVED:
        raise LegendError(f"{reference}: {len(tables)} different values are no classes")
    classes = [table for table in tables if table["value"] != IGNORE]
    ignored = [IGNORE] if len(classes) < len(tables) else []
    return Legend.from_dict({"name": reference.stem, "ignore": ignored, "class": classes})


def to_toml(legend: Legend) -> str:
    """The TOML file that `load_legend` reads."""
    record = legend.to_dict()
    tables = record.pop("class")
    head = [_assignment(key, value) for key, value in record.items()]
    lines = [*head]
    for table in tables:
        lines += ["", "[[class]]", *(_assignment(key, value) for key, value in table.items())]
    return "\n".join(lines).lstrip("\n") + "\n"


def _assignment(key: str, value: Any) -> str:
    return f"{key} = {json.dumps(value, ensure_ascii=False)}"  # for these types also TOML


def _tables_of_attribute(path: Path, attribute: str | None, layer: str | None) -> list[Any]:
    if attribute is None:
        raise LegendError(f"{path}: name the column that holds the class with --attribute")
    column = read_polygons(path, layer=layer, attribute=attribute).attributes
    names = sorted({as_text(value) for value in column})
    if all(name.isdecimal() and int(name) <= IGNORE for name in names):
        numbers = sorted(map(int, names))
        return [{"value": value, "name": f"class {value}"} for value in numbers]
    return [{"value": value, "name": name} for value, name in enumerate(names)]


def _tables_of_raster(path: Path) -> list[Any]:
    with RasterReader(path, palette_index=True) as reader:
        if reader.bands >= 3:  # noqa: PLR2004 red, green, blue
            return _tables_of_colors(reader)
        values = _distinct(reader, reader.nodata)
        palette = reader.palette or {}
    fit = all(0 <= value <= IGNORE for value in values)
    taken: set[str] = set()
    tables: list[Any] = []
    for number, value in enumerate(values):
        table = {"value": value if fit else number, "name": f"class {value}"}
        table |= {} if fit else {"values": [value]}
        color = to_hex(palette[value]) if value in palette else None
        if color is not None and color not in taken:
            table["color"] = color
            taken.add(color)
        tables.append(table)
    return tables


def _tables_of_colors(reader: RasterReader) -> list[Any]:
    colors: set[int] = set()
    for window in blocks(reader.grid.height, reader.grid.width, rows=512, cols=4096):
        image, valid = reader.read(window)
        red, green, blue = image[:3, valid].astype(np.uint32)
        colors |= set(np.unique((red << 16) | (green << 8) | blue).tolist())
    return [
        {"value": number, "name": f"class {number}", "color": f"#{color:06x}"}
        for number, color in enumerate(sorted(colors))
    ]


def _distinct(reader: RasterReader, nodata: float | None) -> list[int]:
    found: set[int] = set()
    for window in blocks(reader.grid.height, reader.grid.width, rows=512, cols=4096):
        image, valid = reader.read(window)
        found |= {int(value) for value in np.unique(image[0][valid]) if value != nodata}
        if len(found) > MOST_DERIVED:
            break
    return sorted(found)
