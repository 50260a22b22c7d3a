"""Options of a step, declared once, in its dataclass: type, default, bounds, group and help.

The command line, ``--config`` and the grids of a sweep are made of these declarations.
"""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, TypeVar, cast, get_type_hints

T = TypeVar("T")

CALL = "Options"
"""Group of the options of one call, such as ``--resume``, which typer gives this name too."""

_KEY, _WITHOUT = "option", "without"


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What is declared of an option besides its type and default."""

    help: str
    group: str
    min: float | None = None
    max: float | None = None

    metavar: str | None = None
    """Placeholder of the value in the help; None: made from the type."""

    names: tuple[str, ...] = ()
    """On the command line; empty: the field's name with hyphens."""

    parse: Callable[[str], Any] | None = None
    """Makes a value of a word, or raises ValueError; None: as the type does."""

    repeat: bool = False
    """Whether it may be given several times; `parse` makes an element of a word."""

    none: str | None = None
    """Word for the value None, which is shown as the default; None: there is no such word."""

    unit: str = ""
    """Unit of the numbers of a record, where a word must have one: ``s``."""

    shown: str | None = None
    """Text of the help for a default that is worked out; None: the default itself."""

    def value_of(self, word: str) -> Any:
        """What a word stands for, or of a repeated option one of its words.

        Raises:
            ValueError: If it is none of the option's.
        """
        if self.none is not None and word.lower() == self.none:
            return None
        return self.parse(word) if self.parse else word


class OptionField(NamedTuple):
    """A field of a dataclass of options, or of a dataclass inside it."""

    name: str
    hint: Any
    default: Any
    declaration: Declaration


def option(default: Any, **declared: Any) -> Any:
    """A field of a dataclass of options.

    Args:
        default: Its value unless another is given.
        declared: Fields of `Declaration`.
    """
    return field(default=default, metadata={_KEY: Declaration(**declared)})


def nested(cls: Callable[[], T], *, without: tuple[str, ...]) -> T:
    """A dataclass of options inside another one; some of its options keep their defaults."""
    return field(default_factory=cls, metadata={_WITHOUT: without})


def seed_option(group: str) -> Any:
    """Of what is drawn at random."""
    return option(0, min=0, max=2**31 - 1, group=group, help="Same input, same seed: same result.")


def aoi_option(group: str) -> Any:
    """A file of polygons."""
    return option(None, group=group, help="Polygons; ground outside does not count.")


def device_option(group: str) -> Any:
    """What computes."""
    return option("auto", group=group, help="auto, cpu, cuda, cuda:1, mps.")


def threads_option(group: str) -> Any:
    """How many threads a step has."""
    return option(None, min=1, group=group, shown="one per processor", help="Threads.")


Connectivity = Literal[4, 8]
"""Whether pixels that touch only at a corner are connected (8) or not (4)."""

CONNECTIVITY: Connectivity = 4
"""Of objects and regions, unless the user says otherwise."""


def connectivity_option(group: str) -> Any:
    """Which pixels of a class belong together."""
    what = "8: pixels that touch only at a corner are one region or object."
    declared = {"group": group, "metavar": "4|8", "parse": parse_connectivity, "help": what}
    return option(CONNECTIVITY, **declared)


def parse_connectivity(text: str) -> Connectivity:
    """4 or 8.

    >>> parse_connectivity("8")
    8
    """
    if text not in {"4", "8"}:
        raise ValueError(f"{text!r} is neither 4 nor 8")
    return 8 if text == "8" else 4


@cache
def options_of(cls: type) -> Mapping[str, OptionField]:
    """Options of a dataclass by name; those of dataclasses among its fields are included.

    >>> @dataclass(frozen=True)
    ... class Tiling:
    ...     size: int = option(256, min=16, group="Windows", help="Side, in pixels.")
    >>> options_of(Tiling)["size"].default
    256
    """
    return {each.name: each for each in _walk(cls)}


def _walk(cls: type) -> Iterator[OptionField]:
    hints = get_type_hints(cls)
    for each in fields(cls):
        if _KEY in each.metadata:
            yield OptionField(each.name, hints[each.name], each.default, each.metadata[_KEY])
        elif is_dataclass(hints[each.name]):
            left_out = each.metadata.get(_WITHOUT, ())
            yield from (inner for inner in _walk(hints[each.name]) if inner.name not in left_out)


def build(cls: type[T], given: Mapping[str, Any]) -> T:
    """A dataclass of options from values by name; all others keep their defaults.

    Args:
        cls: The dataclass.
        given: Values by the names of `options_of`; others are passed over.
    """
    hints = get_type_hints(cls)
    arguments: dict[str, Any] = {}
    for each in fields(cls):  # type: ignore[arg-type]
        if _KEY in each.metadata:
            if each.name in given:
                arguments[each.name] = given[each.name]
        elif is_dataclass(inner := hints[each.name]):
            arguments[each.name] = build(cast(type, inner), given)
    return cls(**arguments)


def as_word(declared: Declaration, value: Any) -> Any:
    """What is written for a value of a record: its unit is added, and None has a word or none."""
    if value is None:
        return declared.none
    return f"{value}{declared.unit}" if declared.unit else value


def parse_bands(text: str) -> tuple[int, ...]:
    """Band numbers.

    >>> parse_bands("4,1,2")
    (4, 1, 2)
    """
    try:
        bands = tuple(int(part) for part in text.split(","))
    except ValueError:
        bands = ()
    if not bands or min(bands) < 1:
        raise ValueError(f"{text!r} is no list of band numbers such as 1,2,3")
    return bands


def parse_nodata(text: str) -> float | Literal["none"]:
    """A nodata value, or "none" for the wish that every value be data.

    >>> parse_nodata("-9999"), parse_nodata("none")
    (-9999.0, 'none')
    """
    if text.lower() == "none":
        return "none"
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a number nor none") from None


def parse_count(text: str) -> int:
    """A number of things, from 1."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise ValueError(f"{text!r} is no number from 1")


WIDTHS = {"full": 1.0, "half": 0.5, "quarter": 0.25}
"""Widths of a decoder, as shares of its architecture's own."""

MAX_CHANNELS = 1024
"""Most channels of a layer of a decoder."""


def decoder_channels_option(group: str, *, shown: str, **declared: Any) -> Any:
    """The width of a network's decoder."""
    more = "or the channels of its layers, such as 64,32,16,16,16."
    return option(
        None,
        group=group,
        metavar="WIDTH|N[,N...]",
        parse=parse_decoder_channels,
        shown=shown,
        help=f"Width of the decoder: {', '.join(WIDTHS)} (of smp's, at least 16), {more}",
        **declared,
    )


def parse_decoder_channels(text: str) -> str:
    """A width of a decoder, or the channels of its layers.

    >>> parse_decoder_channels("half"), parse_decoder_channels("64, 32")
    ('half', '64,32')
    """
    word = text.strip().lower()
    if word in WIDTHS:
        return word
    numbers = [part.strip() for part in word.split(",")]
    if all(part.isdecimal() and 1 <= int(part) <= MAX_CHANNELS for part in numbers):
        return ",".join(str(int(part)) for part in numbers)
    raise ValueError(
        f"{text!r} is none of {', '.join(WIDTHS)}, and no list of channels (1 to {MAX_CHANNELS}) "
        f"such as 64,32,16,16,16"
    )


def parse_rate(text: str) -> float:
    """A number above 0."""
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise ValueError(f"{text!r} is no number above 0")
    return rate


UNITS = {"B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_size(text: str) -> int:
    """A number of bytes; a number without its unit could be any.

    >>> parse_size("500MB"), parse_size("1.5g")
    (500000000, 1500000000)
    """
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(?:([KMGT])B?|(B))?", text.strip().upper())
    if found is not None and found[2] is found[3] is None and float(found[1]):
        raise ValueError(f"{text!r} has no unit; write {found[1]}MB or {found[1]}GB")
    if found is None or not (size := round(float(found[1]) * UNITS[found[2] or found[3] or "B"])):
        raise ValueError(f"{text!r} is no size such as 500MB or 2GB")
    return size


def parse_bounds(text: str) -> tuple[float, float, float, float]:
    """``(x_min, y_min, x_max, y_max)``.

    >>> parse_bounds("1,2,3.5,4")
    (1.0, 2.0, 3.5, 4.0)
    """
    try:
        x_min, y_min, x_max, y_max = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is no XMIN,YMIN,XMAX,YMAX") from None
    if not all(map(math.isfinite, (x_min, y_min, x_max, y_max))):
        raise ValueError(f"{text!r}: bounds are finite numbers")
    if not (x_min < x_max and y_min < y_max):
        raise ValueError(f"{text!r}: minima come before maxima: XMIN,YMIN,XMAX,YMAX")
    return x_min, y_min, x_max, y_max


def parse_part(text: str) -> tuple[int, int]:
    """One of several parts, from 1; ``auto``, or ``auto/N``: that of this task of an array job.

    >>> parse_part("2/8")
    (2, 8)
    """
    if found := re.fullmatch(r"auto(?:/([1-9]\d*))?", text.strip().lower()):
        return array_part(os.environ, int(found[1]) if found[1] else None)
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"{text!r} is no part such as 2/8, nor auto or auto/8")
    return int(found[1]), int(found[2])


class ArrayPart(tuple[int, int]):  # noqa: SLOT001 slots of tuples are empty
    """The part of a task of an array job, from 1, and the number of parts."""

    source = ""
    """Variables that say so, and from which base they count."""


@dataclass(frozen=True)
class _Array:
    """Environment variables by which a scheduler numbers the tasks of an array job."""

    index: str
    count: str | None = None
    """Number of tasks."""

    first: str | int = 1
    """Lowest index; a number where the scheduler always begins, or the user has to."""

    last: str | None = None
    step: str | None = None


SCHEDULERS = {
    "SLURM": _Array(
        index="SLURM_ARRAY_TASK_ID",
        count="SLURM_ARRAY_TASK_COUNT",
        first="SLURM_ARRAY_TASK_MIN",
        last="SLURM_ARRAY_TASK_MAX",
        step="SLURM_ARRAY_TASK_STEP",
    ),
    "AWS Batch": _Array("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", first=0),
    "Kubernetes": _Array("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS", first=0),
    "Grid Engine": _Array(
        index="SGE_TASK_ID",
        first="SGE_TASK_FIRST",
        last="SGE_TASK_LAST",
        step="SGE_TASK_STEPSIZE",
    ),
    "PBS": _Array("PBS_ARRAY_INDEX"),
    "Torque": _Array("PBS_ARRAYID"),
}
"""Kubernetes has no variable for the count: `JOB_COMPLETIONS` is set in the manifest.

Source: the schedulers' manuals, such as https://slurm.schedmd.com/job_array.html.
"""


def array_part(environment: Mapping[str, str], count: int | None = None) -> ArrayPart:
    """The part that falls to this task of an array job.

    Args:
        environment: Of the process.
        count: Number of parts; None: as the environment says.

    Raises:
        ValueError: If no scheduler is known by its variables, they contradict each other or the
            count, or the count is in none of them.

    >>> array_part({"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "8"})
    (1, 8)
    """
    known = [each for each in SCHEDULERS.values() if _is_number(environment.get(each.index))]
    if not known:
        names = ", ".join(each.index for each in SCHEDULERS.values())
        raise ValueError(f"auto: this is no task of an array job: none of {names} is set")
    parts = [_part_of(each, environment, count) for each in known]
    for part, each in zip(parts, known, strict=True):
        if part != parts[0]:
            raise ValueError(
                f"auto: {known[0].index} says part {parts[0][0]} of {parts[0][1]}, {each.index} "
                f"part {part[0]} of {part[1]}; write the part as I/N"
            )
    return parts[0]


def _part_of(array: _Array, environment: Mapping[str, str], count: int | None) -> ArrayPart:
    """The part of a task by the variables of one scheduler."""

    def number(name: str | None, default: int | None = None) -> int | None:
        text = environment.get(name or "")
        return int(text) if text is not None and _is_number(text) else default

    task, step = number(array.index) or 0, number(array.step, 1) or 1
    base = array.first if isinstance(array.first, int) else number(array.first, 1)
    first, last = base or 0, number(array.last)
    told = number(array.count)
    spanned = None if last is None else (last - first) // step + 1
    if told is not None and spanned is not None and told != spanned:
        raise ValueError(
            f"auto: the array has {told} tasks from {first} to {last}, and some are left out; "
            f"submit all, with --resume what is done is skipped, or write the part as I/N"
        )
    told = told or spanned
    if told and count and told != count:
        raise ValueError(
            f"auto/{count}: the array has {told} tasks ({array.count or array.last}); submit "
            f"{count}, with --resume what is done is skipped, or write the part as I/N"
        )
    total = told or count
    if total is None:
        where = f" or set {array.count}" if array.index == "JOB_COMPLETION_INDEX" else ""
        raise ValueError(
            f"auto: {array.index} is {task}, but how many tasks there are is not said; write "
            f"auto/N with their number{where}"
        )
    place, rest = divmod(task - first, step)
    if rest or not 0 <= place < total:
        raise ValueError(
            f"auto: {array.index} is {task}, which is none of {total} tasks counted from {first}"
            f"{f' in steps of {step}' if step > 1 else ''}; submit the array from {first}, or "
            f"write the part as I/N"
        )
    part = ArrayPart((place + 1, total))
    part.source = f"{array.index} = {task}, counted from {first}"
    return part


def _is_number(text: str | None) -> bool:
    return text is not None and text.strip().isdecimal()


def part_mark(part: tuple[int, int]) -> str:
    """What the name of a part ends in; names sort as the parts do.

    >>> part_mark((2, 12))
    'part-02-of-12'
    """
    index, count = part
    return f"part-{index:0{len(str(count))}}-of-{count}"


SECONDS = {"h": 3600, "m": 60, "s": 1}
"""Seconds of each unit, in the order in which a duration names them."""


def parse_duration(text: str) -> float:
    """Seconds; a number without its unit could be any.

    >>> parse_duration("10m"), parse_duration("1.5h"), parse_duration("1h 30m 5s")
    (600.0, 5400.0, 5405.0)
    """
    number = r"([0-9]*\.?[0-9]+)"
    named = text.strip().lower()
    if re.fullmatch(number, named) and float(named):
        raise ValueError(
            f"{text!r} has no unit; write {named}s, {named}m or {named}h, for seconds, minutes "
            f"or hours"
        )
    found = re.fullmatch(r"\s*".join(rf"(?:{number}\s*{unit})?" for unit in SECONDS), named)
    numbers = zip(found.groups("0"), SECONDS.values(), strict=True) if found else ()
    if not (seconds := sum(float(each) * unit for each, unit in numbers)):
        raise ValueError(f"{text!r} is no time such as 90s, 10m or 1h30m")
    return seconds
