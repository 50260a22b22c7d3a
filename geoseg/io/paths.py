"""What a user names on the command line becomes a list of files."""

import os
from collections.abc import Sequence
from glob import glob
from pathlib import Path

from geoseg.errors import InputError

RASTER_SUFFIXES = (".tif", ".tiff", ".vrt", ".png", ".jpg", ".jpeg", ".jp2", ".img")
"""What is taken from a folder of orthophotos."""

VECTOR_SUFFIXES = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".gml", ".kml")
"""What is taken for polygons rather than a raster."""


def find_rasters(named: Sequence[Path]) -> list[Path]:
    """Rasters of the paths, folders and globs that a user names, in the order named.

    A folder gives its rasters sorted by name, a pattern with ``*``, ``?`` or ``[`` what
    matches (``**`` goes into folders; needed where no shell expands it). What is named
    twice counts once.

    Raises:
        InputError: If a path names nothing, or a name is not UTF-8.
    """
    return list(dict.fromkeys(_expand(named, RASTER_SUFFIXES)))


def find_references(named: Sequence[Path]) -> list[Path]:
    """References, rasters or polygons, as `find_rasters` finds them; a repetition counts.

    Raises:
        InputError: If a path names nothing, or a name is not UTF-8.
    """
    return _expand(named, (*RASTER_SUFFIXES, *VECTOR_SUFFIXES))


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


def check_name(path: Path) -> None:
    """See that GDAL, which takes UTF-8 only, can be told of a file.

    Raises:
        InputError: If its name cannot be written so.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(f"{str(path)!a}: the name is not UTF-8; rename it") from None


def _expand(named: Sequence[Path], suffixes: Sequence[str]) -> list[Path]:
    files = [file for path in named for file in _expand_one(path, suffixes)]
    for file in files:
        check_name(file)
    return files


def _expand_one(path: Path, suffixes: Sequence[str]) -> list[Path]:
    if path.is_dir():
        files = [each for each in path.iterdir() if each.suffix.lower() in suffixes]
        if not files:
            raise InputError(f"{path}: the folder holds none of {', '.join(suffixes)}")
        return sorted(files)
    text = str(path)
    if path.exists() or not any(mark in text for mark in "*?["):
        return [path]
    if not (matches := sorted(glob(text, recursive=True))):  # noqa: PTH207 absolute patterns too
        raise InputError(f"{text}: matches no file")
    return [Path(match) for match in matches]
