"""Options of the functions: keywords, whose values may be words as on the command line."""

import os
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union, cast, get_args, get_origin

from geoseg.errors import InputError
from geoseg.options import OptionField, build, options_of
from geoseg.raster.paths import parse_name

T = TypeVar("T")


def build_each(classes: Sequence[type], given: Mapping[str, Any]) -> tuple[Any, ...]:
    """A dataclass of each class from values by name, each of which one at least must have.

    Raises:
        InputError: If a word is none of an option's.
        TypeError: If none has an option that is named.
    """
    known = {name: each for cls in classes for name, each in options_of(cls).items()}
    if unknown := sorted({*given} - {*known}):
        raise TypeError(f"no option is called {', '.join(unknown)}; known are {sorted(known)}")
    values = {name: _value_of(known[name], value) for name, value in given.items()}
    return tuple(build(cls, values) for cls in classes)


def options_from(cls: type[T], options: T | None, given: Mapping[str, Any]) -> T:
    """The dataclass of options itself, or one from values by name.

    Raises:
        TypeError: If both are given, or an option that is named does not exist.
    """
    if options is None:
        return cast(T, build_each((cls,), given)[0])
    if given:
        raise TypeError(f"options, or keywords ({', '.join(given)}), not both")
    return options


def _value_of(each: OptionField, given: Any) -> Any:
    """A value of an option; of a word, what the command line makes of it.

    Raises:
        InputError: If there is no such word.
    """
    if type(given) in (list, tuple):  # and not of a class of its own, such as a Length
        repeat = each.declaration.repeat
        return tuple(_element_of(each, value, words=repeat) for value in given)
    value = _element_of(each, given, words=True)
    return (value,) if each.declaration.repeat and isinstance(given, str) else value


def _element_of(each: OptionField, given: Any, *, words: bool) -> Any:
    """A value that is no list, or one of a list; a word has its meaning if there are ``words``."""
    declared = each.declaration
    if words and declared.parse is not None and isinstance(given, str):
        try:
            return declared.value_of(given)
        except ValueError as error:
            raise InputError(f"{each.name}: {error}") from error
    kind = without_none(each.hint)
    is_path = Path in {kind, *get_args(kind)}
    return parse_name(given) if is_path and isinstance(given, str | os.PathLike) else given


def without_none(hint: Any) -> Any:
    """A type without its None.

    >>> without_none(int | None), without_none(tuple[int, ...])
    (<class 'int'>, tuple[int, ...])
    """
    if get_origin(hint) in (Union, types.UnionType):
        others = [each for each in get_args(hint) if each is not types.NoneType]
        return others[0] if len(others) == 1 else Union[tuple(others)]  # noqa: UP007
    return hint
