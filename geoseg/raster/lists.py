"""Inputs in a row: folders, globs and lists become rasters and polygons, in pairs if wanted."""

import re
from collections.abc import Sequence
from glob import glob
from pathlib import Path

from geoseg.errors import InputError
from geoseg.raster.paths import RASTER_SUFFIXES, VECTOR_SUFFIXES, GdalName, check_name, parse_name


def find_rasters(named: Sequence[Path]) -> list[Path]:
    """Rasters of paths, folders and globs, in the order named and without repetitions.

    A folder gives its rasters sorted by name; a pattern with ``*``, ``?`` or ``[`` its matches
    (``**`` descends into folders).

    Raises:
        InputError: If a path names nothing, or a name is not UTF-8.
    """
    return list(dict.fromkeys(_expand(named, RASTER_SUFFIXES)))


def find_maps(named: Sequence[Path]) -> list[Path]:
    """Class maps, rasters or polygons, as in `find_rasters`; of a folder its rasters, if any.

    Raises:
        InputError: If a path names nothing, or a name is not UTF-8.
    """
    found: list[Path] = []
    for path in named:
        inside = {each.suffix.lower() for each in path.iterdir()} if path.is_dir() else set()
        others = () if inside & {*RASTER_SUFFIXES} else VECTOR_SUFFIXES
        found += _expand([path], (*RASTER_SUFFIXES, *others))
    return list(dict.fromkeys(found))


def find_references(named: Sequence[Path]) -> list[Path]:
    """References, rasters or polygons, as in `find_rasters`, with repetitions.

    Raises:
        InputError: If a path names nothing, or a name is not UTF-8.
    """
    return _expand(named, (*RASTER_SUFFIXES, *VECTOR_SUFFIXES))


def _expand(named: Sequence[Path], suffixes: Sequence[str]) -> list[Path]:
    files = [file for path in named for file in _expand_one(path, suffixes)]
    for file in files:
        check_name(file)
    return files


def _expand_one(path: Path, suffixes: Sequence[str]) -> list[Path]:
    path = parse_name(path)
    if isinstance(path, GdalName):
        return [path]
    if path.is_dir() and path.suffix.lower() not in VECTOR_SUFFIXES:
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


def match_by_order(
    rasters: Sequence[Path], references: Sequence[Path], *, kind: str = "reference"
) -> list[Path]:
    """Pair references with rasters by order; a single reference serves all.

    Raises:
        InputError: If the numbers differ.
    """
    if len(references) == 1:
        return [*references] * len(rasters)
    if len(rasters) != len(references):
        raise InputError(
            f"{len(rasters)} rasters and {len(references)} {kind}s: give one {kind} for "
            f"each, one for all, or join them by name with --pair name"
        )
    return [*references]


def match_by_name(
    rasters: Sequence[Path], references: Sequence[Path], *, kind: str = "reference"
) -> list[Path]:
    """Pair references with rasters by name: equal names, or one a prefix or suffix of the other.

    Of several with that name, the one with most parent folders in common counts.

    Raises:
        InputError: If a raster has no reference, or several that fit equally.
    """
    return [_best_match(raster, references, kind) for raster in rasters]


def _best_match(raster: Path, references: Sequence[Path], kind: str) -> Path:
    fitting = [each for each in references if _fits(each.stem, raster.stem)]
    if not fitting:
        raise InputError(f"{raster}: no {kind} has its name")
    exact = [each for each in fitting if each.stem == raster.stem] or fitting
    kinship = [_common_folders(each, raster) for each in exact]
    best = [each for each, common in zip(exact, kinship, strict=True) if common == max(kinship)]
    if len(best) > 1:
        raise InputError(f"{raster}: several {kind}s fit: {', '.join(map(str, best))}")
    return best[0]


def _fits(reference: str, raster: str) -> bool:
    """Whether one name is a prefix or suffix of the other.

    Numbers stay whole: ``tile_1`` is no prefix of ``tile_10_mask``.
    """
    long, short = sorted((reference, raster), key=len, reverse=True)
    edge = r"(?!(?<=\d)\d)"
    return bool(
        re.match(re.escape(short) + edge, long) or re.search(edge + re.escape(short) + "$", long)
    )


def _common_folders(one: Path, other: Path) -> int:
    count = 0
    for mine, yours in zip(one.resolve().parts, other.resolve().parts, strict=False):
        if mine != yours:
            break
        count += 1
    return count
