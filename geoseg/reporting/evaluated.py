"""What an evaluation tells of its maps: their files, and how it has read them."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from geoseg.core.legend_map import legend_from_dict
from geoseg.errors import GeosegError, InputError
from geoseg.io.records import read_record, understanding
from geoseg.io.reference import ReferenceOptions
from geoseg.reporting.reading import Ground, Reading

EVALUATION = "evaluation.json"
"""Record by which an evaluation's folder is known."""


class EvaluatedMap(NamedTuple):
    """A map that was evaluated."""

    name: str
    """As the evaluation calls it; empty for that of a sample."""

    class_map: Path
    """The map."""

    references: tuple[Path, ...]
    """The first ones count first."""


class Evaluated(NamedTuple):
    """What of an evaluation can be shown."""

    maps: list[EvaluatedMap]
    """Those that are there."""

    reading: Reading
    """How all of them were read."""

    missing: list[str]
    """What is not there any more."""


def read_evaluated(folder: Path, *, references: bool = True) -> Evaluated:
    """The maps of an evaluation, and how it has read them.

    Args:
        folder: Of the evaluation.
        references: Whether references are wanted, too.

    Raises:
        InputError: If the record cannot be read.
    """
    record = read_record(folder / EVALUATION)
    with understanding(folder / EVALUATION):
        return _evaluated(folder, record, references=references)


def _evaluated(folder: Path, record: Mapping[str, Any], *, references: bool) -> Evaluated:
    missing: list[str] = []

    def found(name: str | None, what: str = "") -> Path | None:
        path = _found(folder, Path(name)) if name else None
        if name and path is None:
            missing.append(f"{name}, of which {folder} tells, is not there{what}")
        return path

    maps = []
    for name, told in _inputs(record).items():
        class_map = found(told.get("map"))
        named = [told.get("reference"), *told.get("further_references", [])] if references else []
        paths = tuple(path for each in named if (path := found(each)))
        if class_map is not None:
            maps.append(EvaluatedMap(name, class_map, paths))
    how = record.get("reading") or {}
    grounds = []
    if references:
        whole = ": the reference is shown on all ground"
        areas = (found(how.get(name), whole) for name in ("aoi", "labelled_areas"))
        grounds += [Ground(path) for path in areas if path]
        if patches := found(how.get("patches"), whole):
            grounds.append(Ground(patches, how.get("split")))
    return Evaluated(maps, _reading(folder, record, grounds), missing)


def _reading(folder: Path, record: Mapping[str, Any], grounds: Sequence[Ground]) -> Reading:
    """What the record says of it; that of a sample says nothing."""
    how, legend = record.get("reading") or {}, record.get("legend")
    known = {each.name for each in fields(ReferenceOptions)} - {"labelled_areas"}
    options = {name: how[name] for name in known if name in how}
    try:
        return Reading(
            legend=None if legend is None else legend_from_dict(legend),
            reference=ReferenceOptions(**options),
            grounds=tuple(grounds),
            by_map_values=True,
        )
    except (GeosegError, KeyError, TypeError) as error:
        raise InputError(f"{folder / EVALUATION}: its legend cannot be read: {error}") from error


def _inputs(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of each map that was evaluated, its files; that of a sample has no name."""
    inputs: dict[str, Any] = record.get("inputs") or {}
    return {"": inputs} if isinstance(inputs.get("map"), str) else inputs


def _found(folder: Path, path: Path) -> Path | None:
    """What was named where the evaluation was made, or lies beside its folder."""
    places = (path, folder.parent / path, folder.parent / path.name)
    return next((place for place in places if place.exists()), None)
