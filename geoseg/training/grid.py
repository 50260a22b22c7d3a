"""The trainings of a sweep: a grid, or a search."""

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

TABLES = ("fixed", "grid", "search")

MAXIMIZE, TRIALS = "maximize", "trials"

RANGE_KEYS = {"low", "high", "log", "step"}

MIOU, IOU = "val_miou", "iou_"
"""Metrics that a search may maximize, by their names in history.csv; the second of a class."""

MOST_RUNS, LONGEST_NAME = 10_000, 100
"""Trainings of a grid, and characters of the name of a run folder."""


class Choices(Protocol):
    """The options of a training."""

    def name(self, written: str, /) -> str:
        """The option of this name, or ValueError."""

    def value(self, name: str, written: Any, /) -> Any:
        """The value that an option takes, or ValueError."""

    def is_whole(self, name: str, /) -> bool:
        """Whether an option is a whole number."""

    def is_number(self, name: str, /) -> bool:
        """Whether an option is a number."""


@dataclass(frozen=True)
class Range:
    """Bounds of a number in a search."""

    low: float
    high: float
    whole: bool
    log: bool = False
    step: float | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Trainings of a sweep: a grid, or a search."""

    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Options of all trainings."""

    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Options of which every combination is tried."""

    search: Mapping[str, Range | tuple[Any, ...]] = field(default_factory=dict)
    """Options that a search chooses."""

    trials: int = 0
    """Number of trainings of a search."""

    maximize: str = MIOU
    """Metric of the best epoch that a search maximizes: `MIOU`, or `IOU` and a class."""

    def __post_init__(self) -> None:
        tables = self.fixed, self.grid, self.search
        if any(table.get("devices", 1) not in (1, (1,)) for table in tables):
            raise ValueError(
                "devices: the trainings of a sweep are made one after the other, each by one "
                "process; leave devices out, and for several at once make a sweep for each "
                "device, with a folder of its own"
            )

    def runs(self) -> dict[str, dict[str, Any]]:
        """Options of each training of a grid, by the name of its folder; the last varies first."""
        combinations = itertools.product(*self.grid.values())
        chosen = [dict(zip(self.grid, each, strict=True)) for each in combinations]
        several = {name for name, values in self.grid.items() if len(values) > 1}
        names = [_name({k: v for k, v in each.items() if k in several}) for each in chosen]
        if len(set(names)) < len(names) or max(map(len, names)) > LONGEST_NAME:
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

    It holds options of all trainings, as a ``--config`` does, and either a ``[grid]``, whose
    options are lists, or a ``[search]``, whose options are lists or ``{low, high, log, step}``,
    with ``trials`` and, if it is not ``val_miou``, what it is to ``maximize``.

    Raises:
        InputError: If the file is missing or wrong.
    """
    content = read_toml(path)
    try:
        return _plan(content, choices)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def check_metric(plan: Plan, patch_set: "PatchSet") -> None:
    """Check that trainings on a patch set have the metric that a search is to maximize.

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
            f"{patch_set.folder}: has no validation split, and a [search] needs its metrics; "
            f"make one with `geoseg tile --val 0.15`, or give a [grid]"
        )


def _plan(content: Mapping[str, Any], choices: Choices) -> Plan:
    if odd := [name for name in TABLES if not isinstance(content.get(name, {}), dict)]:
        raise ValueError(f"{odd[0]!r} is a table: options stand in [grid] or [search]")
    if ("grid" in content) == ("search" in content):
        raise ValueError("needs either a [grid] or a [search]")
    # [fixed] is what the options of all trainings were written in before
    shared = {name: value for name, value in content.items() if name not in TABLES}
    fixed = {
        (name := choices.name(written)): choices.value(name, value)
        for written, value in (shared | content.get("fixed", {})).items()
    }
    search = dict(content.get("search", {}))
    trials, maximize = search.pop(TRIALS, 0), search.pop(MAXIMIZE, MIOU)
    if "search" in content and (type(trials) is not int or trials < 1):
        raise ValueError("[search] needs trials = N, the number of trainings")
    if maximize != MIOU and not str(maximize).startswith(IOU):
        raise ValueError(f"maximize = {maximize!r}: it is {MIOU}, or {IOU} and a class")
    varied = {
        "grid": _varied(content.get("grid", {}), choices),
        "search": _varied(search, choices, is_search=True),
    }
    for name, table in varied.items():
        if name in content and not table:
            raise ValueError(f"[{name}] names no option")
        if both := sorted(set(table) & set(fixed)):
            raise ValueError(f"{both[0]!r} is both fixed and in [{name}]")
    if (count := math.prod(map(len, varied["grid"].values()))) > MOST_RUNS:
        raise ValueError(f"[grid] has {count:.3g} combinations; at most {MOST_RUNS} are made")
    return Plan(fixed=fixed, **varied, trials=trials, maximize=str(maximize))


def _varied(
    table: Mapping[str, Any], choices: Choices, *, is_search: bool = False
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for written, values in table.items():
        name = choices.name(written)
        is_range = is_search and isinstance(values, dict)
        found[name] = (_range if is_range else _values)(name, values, choices)
        if is_search and not is_range and any(isinstance(each, tuple) for each in found[name]):
            raise ValueError(f"{name} is a list, which a search cannot choose: fix it")
    return found


def _values(name: str, values: Any, choices: Choices) -> tuple[Any, ...]:
    if not isinstance(values, list) or not values:
        raise ValueError(f"{name} = {values!r} is no list of values, as in {name} = [{values!r}]")
    found = tuple(choices.value(name, value) for value in values)
    if len(set(map(repr, found))) < len(found):
        raise ValueError(f"{name} = {values!r} names a value twice")
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
    is_step = isinstance(step, int | float) and not isinstance(step, bool)
    if step is not None and not (is_step and 0 < step <= high - low):
        raise ValueError(f"{written}: step is a number above 0 and at most high - low")
    if step is not None and choices.is_whole(name) and not isinstance(step, int):
        raise ValueError(f"{written}: step = {step}: {name} is a whole number, and so is its step")
    return Range(low, high, choices.is_whole(name), log, step)


def _word(value: Any) -> str:
    if value is None:
        return "none"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _name(options: Mapping[str, Any]) -> str:
    """A folder's name, possible on every system.

    >>> _name({"lr": 0.001, "encoder_weights": "package:lite0"})
    'lr=0.001,encoder-weights=package-lite0'
    """
    words = {name.replace("_", "-"): _word(value) for name, value in options.items()}
    plain = {
        name: re.sub(r"[^\w.+=-]+", "-", word, flags=re.ASCII).strip("-") or "empty"
        for name, word in words.items()
    }
    return ",".join(f"{name}={word}" for name, word in plain.items()) or "run"
