"""Parts of a map's polygons, made apart: folders of cells."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geoseg.errors import InputError
from geoseg.raster.atomic import staged, writing
from geoseg.raster.folders import PART
from geoseg.raster.records import read_record

FILES = ("map", "aoi", "scores", "confidence")
"""Entries of what decides the polygons that are files: path, size and time."""


def is_part(path: Path) -> bool:
    """Whether a folder is a part of polygons."""
    return path.is_dir() and PART.is_kind_of(path)


def is_done(folder: Path, about: Mapping[str, Any]) -> bool:
    """Whether a folder is a whole part that the same decided.

    Args:
        folder: The folder.
        about: What decides the polygons.
    """
    if not is_part(folder):
        return False
    try:
        record = _read(folder)
    except InputError:
        return False
    wanted = json.loads(json.dumps([_anywhere(about), about["part"]]))
    return bool([record["about"], record["part"]] == wanted)


def piece(folder: Path, number: int) -> Path:
    """The file of a cell."""
    return folder / f"piece_{number}.safetensors"


def write_part(
    output: Path, folder: Path, record: Mapping[str, Any], numbers: range, *, overwrite: bool
) -> None:
    """Make a folder of cells a part.

    Args:
        output: The folder to write.
        folder: Where the cells are; they are moved.
        record: What decides the polygons (``about``), and what a map of parts is made of.
        numbers: The cells.
        overwrite: Whether an existing part may be replaced.

    Raises:
        OutputError: If it cannot be written.
    """
    about = record["about"]
    content = {
        **record,
        "kind": PART.name,
        "part": about["part"],
        "cells": [numbers.start, numbers.stop],
        "about": _anywhere(about),
    }
    with staged(output, overwrite=overwrite, kind=PART) as partial, writing(output):
        partial.mkdir()
        for number in numbers:
            piece(folder, number).rename(piece(partial, number))
        (partial / PART.record).write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_parts(folders: Sequence[Path]) -> tuple[dict[str, Any], list[Path]]:
    """The record of a map's parts, and the files of all its cells in reading order.

    Args:
        folders: All parts, in any order.

    Raises:
        InputError: If a part is missing, damaged, there twice, or of another map.
    """
    if other := next((each for each in folders if not is_part(each)), None):
        raise InputError(f"{other}: is no part of polygons; name the parts of one map alone")
    records = {folder: _read(folder) for folder in folders}
    first = records[folders[0]]
    count = first["part"][1]
    for folder, record in records.items():
        if record["about"] != first["about"] or record["part"][1] != count:
            raise InputError(f"{folder}: is a part of another map, or made with other options")
    found = sorted(record["part"][0] for record in records.values())
    if missing := sorted({*range(1, count + 1)} - {*found}):
        raise InputError(f"of {count} parts, {missing} are missing")
    if len(found) > count:
        twice = next(each for each in found if found.count(each) > 1)
        raise InputError(f"part {twice} of {count} is there more than once")
    in_order = sorted(records.items(), key=lambda each: each[1]["part"])
    return first, [
        piece(folder, number) for folder, record in in_order for number in range(*record["cells"])
    ]


def _anywhere(about: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the polygons, in a form that is the same for copies on other machines."""
    files = {name: about[name] for name in FILES if about[name]}
    copies = {name: [Path(path).name, *state[:1]] for name, (path, *state) in files.items()}
    return {name: value for name, value in {**about, **copies}.items() if name != "part"}


def _read(folder: Path) -> dict[str, Any]:
    """The record of a part.

    Raises:
        InputError: If it is damaged, or a cell is missing.
    """
    record = read_record(folder / PART.record)
    try:
        missing = [n for n in range(*record["cells"]) if not piece(folder, n).is_file()]
        _ = record["about"]["legend"], record["part"][1], record["tags"], record["grid"]
    except (LookupError, TypeError) as error:
        raise InputError(f"{folder / PART.record}: is damaged: {error}") from error
    if missing:
        raise InputError(f"{folder}: {piece(folder, missing[0]).name} is missing")
    return record
