"""Which trainings a sweep is to make: a grid, or a search."""

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from geoseg.errors import InputError
from geoseg.raster.records import read_toml

if TYPE_CHECKING:
    from geoseg.patches.patch_set import PatchSet


class Choices(Protocol):
    """The options of a training."""

    def name(self, written: str, /) -> str:
        """The option that is meant, or ValueError."""
        ...

    def value(self, name: str, written: Any, /) -> Any:
        """The value that an option takes, or ValueError."""
        ...

    def is_whole(self, name: str, /) -> bool:
        """Whether an option is a whole number."""
        ...

    def is_number(self, name: str, /) -> bool:
        """Whether an option is a number."""
        ...


TABLES = ("fixed", "grid", "search")

MAXIMIZE, TRIALS = "maximize", "trials"

RANGE_KEYS = {"low", "high", "log", "step"}

MIOU, IOU = "val_miou", "iou_"
"""Figures that grow as a model gets better, as history.csv calls them; the second of a class."""

MOST_RUNS = 10_000
"""Trainings of a grid."""

LONGEST_NAME = 100
"""Of a run folder, in characters."""


@dataclass(frozen=True)
class Range:
    """Numbers between which a search looks."""

    low: float
    high: float
    whole: bool
    log: bool = False
    step: float | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is tried."""

    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Options of all trainings."""

    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Options of which every combination is tried."""

    search: Mapping[str, Range | tuple[Any, ...]] = field(default_factory=dict)
    """Options that a search chooses."""

    trials: int = 0
    """How many trainings a search makes."""

    maximize: str = MIOU
    """The figure of the best epoch that a search looks for: `MIOU`, or `IOU` and a class."""

    def __post_init__(self) -> None:
        if any(table.get("devices", 1) not in (1, (1,)) for table in self._tables()):
            raise ValueError(
                "devices: the trainings of a sweep are made one after the other, each by one "
                "process; leave devices out, and for several at once make a sweep for each "
                "device, with a folder of its own"
            )

    def _tables(self) -> tuple[Mapping[str, Any], ...]:
        return self.fixed, self.grid, self.search

    def runs(self) -> dict[str, dict[str, Any]]:
        """Options of each training of a grid, by the name of its folder; the last varies first."""
        combinations = itertools.product(*self.grid.values())
        chosen = [dict(zip(self.grid, each, strict=True)) for each in combinations]
        several = {name for name, values in self.grid.items() if len(values) > 1}
        names = [_name({k: v for k, v in each.items() if k in several}) for each in chosen]
        unique = len(set(names)) == len(names) and max(map(len, names)) <= LONGEST_NAME
        if not unique:
            names = [f"run_{number:03}" for number in range(1, len(names) + 1)]
        return {name: {**self.fixed, **each} for name, each in zip(names, chosen, strict=True)}

    def examples(self) -> dict[str, dict[str, Any]]:
        """Options of each training of a grid, by name; of a search those of one."""
        if not self.search:
            return self.runs()
        first = {
            name: space.low if isinstance(space, Range) else space[0]
            for name, space in self.search.items()
        }
        return {"trial": {**self.fixed, **first}}


def read_plan(path: Path, choices: Choices) -> Plan:
    """Read a plan from a TOML file.

    It holds ``[fixed]`` options and either a ``[grid]``, whose options are lists, or a
    ``[search]``, whose options are lists or ``{low, high, log, step}``, with ``trials`` and, if
    it is not ``val_miou``, what it is to ``maximize``.

    Args:
        path: The file.
        choices: The options that there are.

    Raises:
        InputError: If the file is missing or wrong.
    """
    content = read_toml(path)
    try:
        return _plan(content, choices)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def check_figure(plan: Plan, patch_set: "PatchSet") -> None:
    """See that trainings on a patch set have the figure that a search is to maximize.

    Raises:
        InputError: If no class is named so, or there are no patches to validate on.
    """
    if not plan.search:
        return
    known = [MIOU, *(IOU + name for name in patch_set.record.legend.names)]
    if plan.maximize not in known:
        raise InputError(
            f"{patch_set.folder}: trainings have no {plan.maximize!r} to maximize, but "
            f"{', '.join(known)}"
        )
    if not patch_set.in_split("val"):
        raise InputError(
            f"{patch_set.folder}: has no validation split, and a [search] looks for its figures; "
            f"make one with `geoseg tile --val 0.15`, or give a [grid]"
        )


def _plan(content: Mapping[str, Any], choices: Choices) -> Plan:
    for name, table in content.items():
        if name not in TABLES or not isinstance(table, dict):
            raise ValueError(f"has {name!r}; options stand in [fixed], [grid] and [search]")
    if ("grid" in content) == ("search" in content):
        raise ValueError("needs either a [grid] or a [search]")
    fixed = _fixed(content.get("fixed", {}), choices)
    search = dict(content.get("search", {}))
    trials, maximize = search.pop(TRIALS, 0), search.pop(MAXIMIZE, MIOU)
    if "search" in content and (type(trials) is not int or trials < 1):
        raise ValueError("[search] needs trials = N, the number of trainings")
    if maximize != MIOU and not str(maximize).startswith(IOU):
        raise ValueError(f"maximize = {maximize!r}: it is {MIOU}, or {IOU} and a class")
    varied = {
        "grid": _several(content.get("grid", {}), choices),
        "search": _searched(search, choices),
    }
    for name, table in varied.items():
        if name in content and not table:
            raise ValueError(f"[{name}] names no option")
        if both := sorted(set(table) & set(fixed)):
            raise ValueError(f"{both[0]!r} is both in [fixed] and in [{name}]")
    if (count := math.prod(map(len, varied["grid"].values()))) > MOST_RUNS:
        raise ValueError(f"[grid] has {count:.3g} combinations; at most {MOST_RUNS} are made")
    return Plan(
        fixed=fixed,
        grid=varied["grid"],
        search=varied["search"],
        trials=trials,
        maximize=str(maximize),
    )


def _fixed(table: Mapping[str, Any], choices: Choices) -> dict[str, Any]:
    names = {choices.name(written): value for written, value in table.items()}
    return {name: choices.value(name, value) for name, value in names.items()}


def _several(table: Mapping[str, Any], choices: Choices) -> dict[str, tuple[Any, ...]]:
    return {
        (name := choices.name(written)): _values(name, values, choices)
        for written, values in table.items()
    }


def _values(name: str, values: Any, choices: Choices) -> tuple[Any, ...]:
    if not isinstance(values, list) or not values:
        raise ValueError(f"{name} = {values!r} is no list of values, as in {name} = [{values!r}]")
    found = tuple(choices.value(name, value) for value in values)
    if len(set(map(repr, found))) < len(found):
        raise ValueError(f"{name} = {values!r} names a value twice")
    return found


def _searched(table: Mapping[str, Any], choices: Choices) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for written, values in table.items():
        name = choices.name(written)
        is_range = isinstance(values, dict)
        found[name] = (_range if is_range else _values)(name, values, choices)
        if not is_range and any(isinstance(value, tuple) for value in found[name]):
            raise ValueError(f"{name} is a list, which a search cannot choose: put it in [fixed]")
    return found


def _range(name: str, table: Mapping[str, Any], choices: Choices) -> Range:
    written = f"{name} = {{low = ..., high = ...}}"
    if not choices.is_number(name):
        raise ValueError(f"{name} is no number: give a list of values")
    if not {"low", "high"} <= set(table) <= RANGE_KEYS:
        raise ValueError(f"{written} may also have log = true or step; got {sorted(table)}")
    low, high = (choices.value(name, table[end]) for end in ("low", "high"))
    log, step = table.get("log", False), table.get("step")
    if low is None or high is None or not low < high:
        raise ValueError(f"{written}: low is less than high")
    if not isinstance(log, bool) or (log and not low > 0) or (log and step is not None):
        raise ValueError(f"{written}: log = true is of numbers above 0, and without step")
    if step is not None and not (_is_number(step) and 0 < step <= high - low):
        raise ValueError(f"{written}: step is a number above 0 and at most high - low")
    if step is not None and choices.is_whole(name) and not isinstance(step, int):
        raise ValueError(f"{written}: step = {step}: {name} is a whole number, and so is its step")
    return Range(low, high, choices.is_whole(name), log, step)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _name(options: Mapping[str, Any]) -> str:
    """A folder's name, possible on every system.

    >>> _name({"lr": 0.001, "encoder_weights": "package:lite0"})
    'lr=0.001,encoder-weights=package-lite0'
    """
    if not options:
        return "run"
    words = [f"{name.replace('_', '-')}={_word(value)}" for name, value in options.items()]
    return ",".join(words)


def _word(value: Any) -> str:
    text = "none" if value is None else str(value)
    return re.sub(r"[^\w.+=-]+", "-", text, flags=re.ASCII).strip("-") or "empty"
