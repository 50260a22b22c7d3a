"""What a user names on the command line becomes a list of files."""

import os
from collections.abc import Sequence
from glob import glob
from pathlib import Path

from geoseg.errors import InputError

RASTER_SUFFIXES = (".tif", ".tiff", ".vrt", ".png", ".jpg", ".jpeg", ".jp2", ".img")
"""What is taken from a folder."""


def find_rasters(named: Sequence[Path]) -> list[Path]:
    """Files of the paths, folders and globs that a user names, in the order named.

    A folder gives its rasters sorted by name, a pattern with ``*``, ``?`` or ``[`` what
    matches (``**`` goes into folders; needed where no shell expands it).

    Raises:
        InputError: If a path names nothing.
    """
    found: list[Path] = []
    for path in named:
        found += _expand(path)
    return list(dict.fromkeys(found))


def unique_names(paths: Sequence[Path]) -> list[str]:
    """A short name for each file, from its stem and as many of its folders as it takes.

    >>> unique_names([Path("a/x.tif"), Path("b/x.tif"), Path("b/y.tif")])
    ['a_x', 'b_x', 'b_y']
    """
    parts = [(*path.parent.parts, path.stem) for path in paths]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["_".join(part[-depth:]).replace(os.sep, "") for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{part[-1]}_{number}" for number, part in enumerate(parts, 1)]


def _expand(path: Path) -> list[Path]:
    if path.is_dir():
        files = [each for each in path.iterdir() if each.suffix.lower() in RASTER_SUFFIXES]
        if not files:
            raise InputError(f"{path}: the folder holds no raster ({', '.join(RASTER_SUFFIXES)})")
        return sorted(files)
    text = str(path)
    if path.exists() or not any(mark in text for mark in "*?["):
        return [path]
    if not (matches := sorted(glob(text, recursive=True))):  # noqa: PTH207 absolute patterns too
        raise InputError(f"{text}: matches no file")
    return [Path(match) for match in matches]
