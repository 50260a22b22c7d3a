"""Outputs are checked against inputs and each other before any work.

Paths are compared by identity: links are followed, and two names of one file, as on
case-insensitive file systems, are the same.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

from geoseg.errors import OutputConflictError
from geoseg.raster.atomic import refuse_existing
from geoseg.raster.folders import (
    CHECK,
    EVALUATION,
    MODEL,
    PART,
    PATCH_SET,
    TRAINING,
    WINDOWS,
    FolderKind,
    refuse_locked,
)
from geoseg.raster.paths import GdalName, absolute_name, files_in
from geoseg.raster.records import parse_json
from geoseg.raster.upload import object_of, refuse_existing_object

APPENDED_SUFFIXES = (".aux.xml", ".ovr", ".msk", ".msk.ovr", ".vat.dbf")
"""Suffixes of sidecars that follow the whole name of a raster."""

REPLACED_SUFFIXES = (
    *(".qml", ".prj", ".wld", ".tfw", ".tifw", ".jgw", ".pgw", ".j2w", ".aux", ".rrd", ".hdr"),
    *(".shx", ".dbf", ".cpg", ".sbn", ".sbx", ".qix"),
)
"""Suffixes of sidecars that replace that of a raster or shapefile."""

VRT_SOURCE = re.compile(r"<SourceFilename([^>]*)>([^<]+)<")

MAX_VRT_BYTES = 50_000_000
"""Size, in bytes, up to which a VRT is searched for its sources."""

INPUT_FOLDERS = (PATCH_SET, TRAINING, MODEL, EVALUATION, WINDOWS, CHECK, PART)
"""Kinds of folders that are an input as a whole; no output may lie in them."""


@dataclass(frozen=True)
class Output:
    """An output file or folder of a command."""

    path: Path
    kind: FolderKind | None = None
    """Kind of folder, which is replaced as a whole; None: it is a file."""


def check_outputs(outputs: Iterable[Output], inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse outputs that may not be written, before any work.

    Args:
        outputs: All outputs of the command.
        inputs: All inputs; sidecars, and files named by patch sets and VRTs, are added.
        overwrite: Whether existing outputs may be replaced.

    Raises:
        OutputConflictError: If an output is an input, holds one or lies in one, or is another
            output or lies in one.
        OutputExistsError: If an output exists and may not be replaced, or another process is
            writing it.
        OutputError: If a name is impossible.
    """
    outputs = list(outputs)
    refuse_conflicts(outputs, inputs)
    for each in outputs:
        refuse_existing_object(each.path, overwrite=overwrite, kind=each.kind)
    files = [each.path for each in outputs if each.kind is None]
    refuse_existing(*files, overwrite=overwrite)
    for each in outputs:
        if each.kind is not None:
            refuse_existing(each.path, overwrite=overwrite, kind=each.kind)
        refuse_locked(each.path)


def refuse_conflicts(outputs: Sequence[Output], inputs: Iterable[Path]) -> None:
    """Refuse outputs that are, hold or lie in an input or another output.

    Raises:
        OutputConflictError: If one does.
    """
    _folders_around.cache_clear()
    read = _Inputs(inputs)
    written: dict[object, Path] = {}
    replaced: dict[object, Path] = {}
    for each in outputs:
        own = _identities(each.path)
        read.refuse(each, own)
        if (other := _first(written, own)) is not None:
            raise OutputConflictError(
                f"{each.path}: two outputs have the same path (the other is {other}); name another "
                f"for one of them"
            )
        written |= dict.fromkeys(own, each.path)
        if each.kind is not None:
            replaced |= dict.fromkeys(own, each.path)
    for each in outputs if replaced else ():
        if (folder := _first(replaced, _around(each.path))) is not None:
            raise OutputConflictError(
                f"{each.path}: lies in another output, {folder}, which is replaced as a whole; "
                f"name a path outside of it"
            )


class _Inputs:
    """Inputs of a command, by file identity."""

    def __init__(self, named: Iterable[Path]) -> None:
        self._files: dict[object, Path] = {}
        self._stems: dict[object, Path] = {}
        self._folders: dict[object, Path] = {}
        self._above: dict[object, Path] = {}
        seen: set[Path] = set()
        todo = list(named)
        while todo:
            path = todo.pop()
            if path not in seen:
                seen.add(path)
                self._add(path)
                todo += _named_by(path)

    def _add(self, path: Path) -> None:
        self._files |= dict.fromkeys(_identities(path), path)
        if not isinstance(path, GdalName):
            whole = _real(path)
            self._stems[whole.parent / whole.stem] = path
        if any((path / kind.record).is_file() for kind in INPUT_FOLDERS):
            self._folders |= dict.fromkeys(_identities(path), path)
        for identity in _around(path):
            self._above.setdefault(identity, path)

    def refuse(self, output: Output, own: frozenset[object]) -> None:
        """Refuse an output that is, holds or lies in an input.

        Raises:
            OutputConflictError: If it does.
        """
        path = object_of(output.path) or output.path
        if (same := _first(self._files, own)) is not None:
            also = "" if same == path else f", {same}"
            raise OutputConflictError(f"{path}: is an input{also}; name another output")
        held = _first(self._above, own) if output.kind is not None else None
        if held is not None:
            raise OutputConflictError(
                f"{path}: holds an input, {held}, and would be replaced as a whole; name another "
                f"folder"
            )
        if (folder := _first(self._folders, _around(output.path))) is not None:
            raise OutputConflictError(
                f"{path}: lies in an input, {folder}; name a path outside of it"
            )
        if (owner := self._beside(output.path)) is not None:
            raise OutputConflictError(f"{path}: belongs to an input, {owner}; name another output")

    def _beside(self, path: Path) -> Path | None:
        """The input of which an existing file is a sidecar."""
        if not path.is_file():
            return None
        whole = _real(path)
        for suffix in APPENDED_SUFFIXES:
            if whole.name.lower().endswith(suffix):
                owner = self._files.get(whole.with_name(whole.name[: -len(suffix)]))
                if owner is not None:
                    return owner
        if whole.suffix.lower() in REPLACED_SUFFIXES:
            return self._stems.get(whole.parent / whole.stem)
        return None


def _named_by(path: Path) -> Iterator[Path]:
    """Files that an input names and that are read with it."""
    yield from files_in(path)
    with suppress(OSError, ValueError, TypeError, AttributeError, LookupError):
        if path.suffix.lower() == ".vrt" and path.is_file():
            yield from _members(path)
        elif (path / PATCH_SET.record).is_file():
            yield from _sources(path)


def _members(vrt: Path) -> Iterator[Path]:
    """Source files of a VRT."""
    if vrt.stat().st_size > MAX_VRT_BYTES:
        return
    for attributes, name in VRT_SOURCE.findall(vrt.read_text(encoding="utf-8", errors="replace")):
        relative = re.search(r'relativeToVRT\s*=\s*"1"', attributes) is not None
        yield vrt.resolve().parent / name if relative else Path(name)


def _sources(patch_set: Path) -> Iterator[Path]:
    """Orthophotos, references and polygons of a patch set, and the set that holds its pixels."""
    record = parse_json((patch_set / PATCH_SET.record).read_text(encoding="utf-8"))
    folder = patch_set.resolve()
    names = [each[key] for each in record["sources"] for key in ("ortho", "reference")]
    areas = record.get("reference", {}).get("labelled_areas")
    own = [record.get(name) for name in ("aoi", "corrections", "pixels")]
    more = [*own, areas, *record["read"].get("stacked", ())]
    for name in chain(names, filter(None, more)):
        yield absolute_name(name, folder)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _identities(path: Path) -> frozenset[object]:
    """Identities of a path: its resolved name, and its device and inode; of a URL itself."""
    if isinstance(path, GdalName):
        return frozenset({path})
    url = object_of(path)
    others: set[object] = {url} if url else set()
    with suppress(OSError, ValueError):
        about = path.stat()
        if about.st_ino:
            return frozenset({_real(path), (about.st_dev, about.st_ino), *others})
    return frozenset({_real(path), *others})


def _around(path: Path) -> frozenset[object]:
    """Identities of the parent folders of a path, as named and resolved."""
    if isinstance(path, GdalName):
        return frozenset(path.parents)
    named = Path(os.path.abspath(path))  # noqa: PTH100 it follows no links
    return _folders_around(_real(path).parent) | _folders_around(named.parent)


@cache
def _folders_around(folder: Path) -> frozenset[object]:
    """Identities of a folder and its parents; cached, as many files share one."""
    above = folder.parent
    return _identities(folder) | (_folders_around(above) if above != folder else frozenset())


def _first(known: Mapping[object, Path], wanted: frozenset[object]) -> Path | None:
    """The path of the first known identity."""
    return next((known[each] for each in wanted if each in known), None)
