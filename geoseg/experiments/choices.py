"""Options in a file become those of a dataclass: names and types are checked."""

import difflib
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

Parsers = Mapping[str, Callable[[str], Any]]
"""What makes values of words, by option; they raise `ValueError`."""

Bounds = Mapping[str, tuple[float | None, float | None]]
"""Lowest and highest value, by option; None: any."""

UNSET = ("auto", "none")
"""Words for the None of an option that can be None."""


class Choices:
    """The options that a dataclass has."""

    def __init__(
        self, options: type, parsers: Parsers | None = None, bounds: Bounds | None = None
    ) -> None:
        """Prepare.

        Args:
            options: The dataclass.
            parsers: For options that the command line takes as words, such as ``10m``; they
                take numbers as words, too.
            bounds: Of options that are numbers.
        """
        hints = get_type_hints(options)
        self._types = {field.name: hints[field.name] for field in fields(options)}
        self._parsers = parsers or {}
        self._bounds = bounds or {}

    def name(self, written: str) -> str:
        """The option that is meant; hyphens are as good as underscores.

        Raises:
            ValueError: If there is none.
        """
        name = written.replace("-", "_")
        if name not in self._types:
            near = difflib.get_close_matches(name, self._types, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(self._types)}"
            raise ValueError(f"{written!r} is no option of `geoseg train`; {hint}")
        return name

    def value(self, name: str, written: Any) -> Any:
        """The value that an option takes.

        Args:
            name: Of the option.
            written: A number, a word, true or false, or a list of them.

        Raises:
            ValueError: If it is not of the option's type, or out of its bounds.
        """
        kind, may_be_none = _without_none(self._types[name])
        try:
            value = written if kind is str else self._parsed(name, written)
            if may_be_none and (value is None or value in UNSET):
                return None
            value = _of_type(kind, value)
            self._check_bounds(name, value)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{name} = {written!r}: {error}") from error
        return value

    def _parsed(self, name: str, written: Any) -> Any:
        is_word = isinstance(written, str | int | float) and not isinstance(written, bool)
        return self._parsers[name](str(written)) if is_word and name in self._parsers else written

    def _check_bounds(self, name: str, value: Any) -> None:
        low, high = self._bounds.get(name, (None, None))
        if low is not None and value < low:
            raise ValueError(f"is less than {low}")
        if high is not None and value > high:
            raise ValueError(f"is more than {high}")

    def is_whole(self, name: str) -> bool:
        """Whether an option is a whole number."""
        return _without_none(self._types[name])[0] is int

    def is_number(self, name: str) -> bool:
        """Whether an option is a number."""
        return _without_none(self._types[name])[0] in (int, float)


def _without_none(kind: Any) -> tuple[Any, bool]:
    if get_origin(kind) in (Union, types.UnionType):
        others = [each for each in get_args(kind) if each is not types.NoneType]
        return others[0] if len(others) == 1 else Union[tuple(others)], True  # noqa: UP007
    return kind, False


def _of_type(kind: Any, value: Any) -> Any:
    """The value as of a type.

    >>> _of_type(float, 1), _of_type(Literal["adam", "sgd"], "sgd")
    (1.0, 'sgd')
    """
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"is none of {', '.join(map(str, get_args(kind)))}")
        return value
    if get_origin(kind) is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            raise ValueError("is no list")
        return tuple(_of_type(get_args(kind)[0], part) for part in parts)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (int, float, str, bool):
        if type(value) is not kind:
            raise ValueError(f"is no {_NAMES[kind]}")
        if kind is float and not math.isfinite(value):
            raise ValueError("is no finite number")
        return value
    raise ValueError("cannot be given in a file")


_NAMES = {int: "whole number", float: "number", str: "word", bool: "true or false"}
