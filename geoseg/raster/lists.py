"""Inputs in a row: folders, globs and lists become rasters and polygons, in pairs if wanted."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any

from geoseg.errors import InputError
from geoseg.raster.bucket import read_object
from geoseg.raster.paths import (
    PARQUET,
    RASTER_SUFFIXES,
    TIFF_SUFFIXES,
    VECTOR_SUFFIXES,
    GdalName,
    check_name,
    parse_name,
    refuse_special_file,
)
from geoseg.raster.records import PROVENANCE, parse_json, understanding
from geoseg.text import quoted_list

MARK = "@"
"""What stands before the name of a list."""

PATTERN = "*?["
"""Characters of which a pattern has one."""

JSON_SUFFIXES = (".json", ".geojson")

COLUMNS = ("path", "file", "href", "url", "location", "ortho")
"""Columns of a table that name rasters, the first that is there."""

HEAD_BYTES = 1_000_000
"""Bytes of a JSON file in which a STAC item or collection must say what it is."""

NO_DATA_ROLES = {"thumbnail", "overview", "metadata"}
"""Roles of assets that are none of the data of an item."""


Keep = Callable[[Path, list[Path]], list[Path]]
"""Folder or pattern, and its files in; those that are meant out."""

Tell = Callable[[str], None]


def find_rasters(
    named: Sequence[Path],
    asset: str | None = None,
    *,
    kinds: Sequence[str] = (),
    tell: Tell = lambda _: None,
) -> list[Path]:
    """Rasters of paths, folders, globs and lists, in the order named and without repetitions.

    A folder gives its rasters sorted by name; a pattern with ``*``, ``?`` or ``[`` its matches
    (``**`` descends into folders); ``@FILE``, a CSV, a STAC item or ItemCollection, and
    stac-geoparquet what they name.

    Args:
        named: What the user names.
        asset: Of STAC items, or the column of a CSV; None: the only one that is a raster.
        kinds: What is meant of folders and patterns that hold several kinds of geoseg's rasters:
            the first of these that is there, and files of others; none: all.
        tell: Is told what is passed over.

    Raises:
        InputError: If a path or list names nothing, or a name is not UTF-8.
    """
    keep = partial(_of_kinds, kinds, tell)
    return list(dict.fromkeys(_expand(named, RASTER_SUFFIXES, asset, keep)))


def find_maps(
    named: Sequence[Path],
    asset: str | None = None,
    *,
    kinds: Sequence[str] = (),
    tell: Tell = lambda _: None,
) -> list[Path]:
    """Class maps, rasters or polygons, as in `find_rasters`; of a folder its rasters, if any.

    Raises:
        InputError: If a path or list names nothing, or a name is not UTF-8.
    """
    found: list[Path] = []
    keep = partial(_of_kinds, kinds, tell)
    for path in named:
        inside = {each.suffix.lower() for each in path.iterdir()} if path.is_dir() else set()
        others = () if inside & {*RASTER_SUFFIXES} else VECTOR_SUFFIXES
        found += _expand([path], (*RASTER_SUFFIXES, *others), asset, keep)
    return list(dict.fromkeys(found))


def find_references(
    named: Sequence[Path],
    asset: str | None = None,
    *,
    kinds: Sequence[str] = (),
    tell: Tell = lambda _: None,
) -> list[Path]:
    """References, rasters or polygons, as in `find_rasters`, with repetitions.

    Raises:
        InputError: If a path or list names nothing, or a name is not UTF-8.
    """
    keep = partial(_of_kinds, kinds, tell)
    return _expand(named, (*RASTER_SUFFIXES, *VECTOR_SUFFIXES), asset, keep)


def _of_kinds(kinds: Sequence[str], tell: Tell, where: Path, files: list[Path]) -> list[Path]:
    """Files without those that are something else of geoseg's own; all, if no other is left."""
    if not kinds or len(files) == 1:
        return files
    is_tiff = {file: file.suffix.lower() in TIFF_SUFFIXES for file in files}
    own = {file: _own_kind(file) if is_tiff[file] else None for file in files}
    wanted = next((kind for kind in kinds if kind in own.values()), None)
    kept = [file for file in files if own[file] in (None, wanted)]
    others = [kind for kind in own.values() if kind not in (None, wanted)]
    if kept and others:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(others).items()))
        tell(f"{where}: {len(kept)} of {len(files)} files taken; passed over: {counts}")
    return kept or files


def _own_kind(path: Path) -> str | None:
    """What a raster is by the tag of geoseg's own, such as ``scores``; None: it does not say."""
    from geoseg.raster.storage import opened  # many calls list no raster

    try:
        with opened(path) as dataset:
            tags = parse_json(dataset.tags().get(PROVENANCE, "{}"))
    except (InputError, ValueError):
        return None
    kind = tags.get("kind") if isinstance(tags, dict) else None
    return kind if isinstance(kind, str) else None


def _expand(
    named: Sequence[Path], suffixes: Sequence[str], asset: str | None, keep: Keep
) -> list[Path]:
    files = [file for path in named for file in _expand_one(path, suffixes, asset, keep)]
    for file in files:
        check_name(file)
    return files


def _expand_one(
    path: Path,
    suffixes: Sequence[str],
    asset: str | None,
    keep: Keep,
    within: tuple[Path, ...] = (),
) -> list[Path]:
    path = parse_name(path)
    if (source := _list_of(path)) is not None:
        if source in within:
            raise InputError(f"{source}: is a list that names itself")
        rows = _listed(source, asset)
        if not rows:
            raise InputError(f"{source}: the list names nothing")
        nested = (*within, source)
        return [file for row in rows for file in _expand_one(row, suffixes, asset, keep, nested)]
    if isinstance(path, GdalName):
        return [path]
    if path.is_dir() and path.suffix.lower() not in VECTOR_SUFFIXES:
        files = [each for each in path.iterdir() if each.suffix.lower() in suffixes]
        if not files:
            raise InputError(f"{path}: the folder holds none of {', '.join(suffixes)}")
        return keep(path, sorted(files))
    text = str(path)
    if path.exists() or not any(mark in text for mark in PATTERN):
        return [path]
    if not (matches := _matches(text)):
        raise InputError(f"{text}: matches no file")
    return keep(path, [Path(match) for match in matches])


def _matches(text: str) -> list[str]:
    """Files that match a pattern, by name; none of a name that is no pattern."""
    is_pattern = any(mark in text for mark in PATTERN)
    return sorted(glob(text, recursive=True)) if is_pattern else []  # noqa: PTH207 absolute ones


def _list_of(path: Path) -> Path | None:
    """The list that a name stands for: after `MARK`, or a file that can be nothing else."""
    text = path.written if isinstance(path, GdalName) else str(path)
    if text.startswith(MARK) and not path.exists():
        return parse_name(text.removeprefix(MARK))
    suffix = path.suffix.lower()
    if suffix not in (*JSON_SUFFIXES, *PARQUET, ".csv") or not path.is_file():
        return None
    if suffix in JSON_SUFFIXES:
        with path.open("rb") as file:
            return path if b'"stac_version"' in file.read(HEAD_BYTES) else None
    return path if suffix == ".csv" or _is_stac_geoparquet(path) else None


def _listed(source: Path, asset: str | None) -> list[Path]:
    """What a list names, in its order."""
    if source.suffix.lower() in PARQUET:
        items = _rows_of_parquet(source, asset)
        return [beside(href, source.parent) for href in _hrefs(items, asset, source)]
    text = _text_of(source)
    if text.lstrip().startswith("{"):
        with understanding(source):
            items = _items(parse_json(text), source)
            return [beside(href, source.parent) for href in _hrefs(items, asset, source)]
    lines = [line.strip() for line in text.splitlines()]
    if source.suffix.lower() == ".csv":
        rows = _cells(text, asset, source)
    else:
        rows = [line for line in lines if line and not line.startswith("#")]
    return [_found(row, source.parent) for row in rows]


def _text_of(source: Path) -> str:
    refuse_special_file(source)
    try:
        if isinstance(source, GdalName):
            return read_object(source).decode("utf-8-sig")
        return source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: is not UTF-8; save the list as such") from error
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror or error}") from error


def _cells(text: str, column: str | None, source: Path) -> list[str]:
    """The column of a table that names rasters; a table of one column needs no heading."""
    head, *rows = [row for row in csv.reader(text.splitlines()) if any(map(str.strip, row))] or [[]]
    names = [cell.strip() for cell in head]
    lower = [name.lower() for name in names]
    known = [lower.index(each) for each in COLUMNS if each in lower]
    places = [names.index(column)] if column in names else known if column is None else []
    if not places and len(names) == 1 and column is None:
        return [cell.strip() for cell, *_ in (head, *rows)]
    if not places:
        what = f"has no column {column!r}" if column else f"has no column {' or '.join(COLUMNS)}"
        raise InputError(f"{source}: {what}; name one of {quoted_list(names)} with --asset")
    place = places[0]
    cells = [row[place].strip() if len(row) > place else "" for row in rows]
    if "" in cells:
        raise InputError(f"{source}: row {cells.index('') + 2} names nothing in {names[place]!r}")
    return cells


def _items(content: Any, source: Path) -> list[Mapping[str, Any]]:
    """Items of a STAC document."""
    kind = content.get("type")
    if kind in {"Collection", "Catalog"}:
        raise InputError(
            f"{source}: is a STAC {kind}, which only links to its items; name an item, an "
            f"ItemCollection (the result of a search), or stac-geoparquet"
        )
    return list(content.get("features", [content]))


def _is_stac_geoparquet(path: Path) -> bool:
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    try:
        return {"assets", "stac_version"} <= {*pq.read_schema(path).names}
    except (ArrowException, OSError):
        return False


def _rows_of_parquet(source: Path, asset: str | None) -> list[Mapping[str, Any]]:
    """Items of stac-geoparquet, with the asset alone if it is known."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    try:
        file = pa.BufferReader(read_object(source)) if isinstance(source, GdalName) else source
        table = pq.read_table(file, columns=["id", "assets"], partitioning=None)
    except (ArrowException, OSError, KeyError) as error:
        raise InputError(f"{source}: cannot be read as stac-geoparquet: {error}") from error
    with understanding(source):
        assets = table["assets"].combine_chunks()
        known = [field.name for field in assets.type]
        if asset in known:  # far fewer than all of the assets
            hrefs = assets.field(asset).field("href").to_pylist()
            rows = [{asset: {"href": href}} if href else {} for href in hrefs]
        else:
            rows = assets.to_pylist()
        ids = table["id"].to_pylist()
        return [
            {"id": name, "assets": {key: each for key, each in (row or {}).items() if each}}
            for name, row in zip(ids, rows, strict=True)
        ]


def _hrefs(items: Sequence[Mapping[str, Any]], asset: str | None, source: Path) -> list[str]:
    """Where the asset of each item is.

    Raises:
        InputError: If an item does not have it, or none is named and there are several.
    """
    found = []
    for item in items:
        assets = item["assets"]
        wanted = [asset] if asset else [name for name in assets if _is_data(assets[name])]
        if len(wanted) != 1 or wanted[0] not in assets:
            what = f"no asset {asset!r}" if asset else f"{len(wanted) or 'no'} assets with data"
            known = quoted_list(wanted if len(wanted) > 1 else [*assets], most=20)
            advice = f"; name one with --asset: {known}" if known else ""
            raise InputError(f"{source}: item {str(item['id'])!r} has {what}{advice}")
        found.append(str(assets[wanted[0]]["href"]))
    return found


def _is_data(asset: Mapping[str, Any]) -> bool:
    """Whether an asset is a raster or polygons, by its type, or its name if it has none."""
    if NO_DATA_ROLES & {*(asset.get("roles") or ())}:
        return False
    kind = str(asset.get("type") or "")
    suffix = parse_name(str(asset["href"])).suffix.lower()
    return kind.startswith("image/") or suffix in (*RASTER_SUFFIXES, *VECTOR_SUFFIXES)


def beside(name: str, folder: Path) -> Path:
    """What a name in a file of a folder means."""
    path = parse_name(name)
    return path if isinstance(path, GdalName) else folder / path


def _found(name: str, folder: Path) -> Path:
    """What a line of a list means: beside the list if it is there, else in the working folder."""
    path = beside(name, folder)
    if isinstance(path, GdalName):
        return path
    return next((each for each in (path, Path(name)) if each.exists() or _matches(str(each))), path)


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
