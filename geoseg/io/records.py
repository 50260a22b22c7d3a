"""Records of geoseg's in JSON: read, and found damaged."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from geoseg.errors import GeosegError, InputError
from geoseg.io.sources import refuse_special_file

DEEPEST = 100
"""Lists and tables within each other; no record of geoseg's comes near."""


def read_record(path: Path) -> dict[str, Any]:
    """The table in a file.

    Raises:
        InputError: If the file cannot be read or holds something else.
    """
    refuse_special_file(path)
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path}: is damaged: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: is damaged: it holds no table")
    return content


def parse_json(text: str) -> Any:
    """JSON that is not nested too deeply for those who go through it.

    Raises:
        ValueError: If it is, or is no JSON.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level = [content]
    for _ in range(DEEPEST):
        level = [each for every in level for each in _parts(every)]
    if level:
        raise ValueError("it is nested too deeply")
    return content


def _parts(content: Any) -> Iterator[Any]:
    if isinstance(content, dict):
        yield from content.values()
    elif isinstance(content, list):
        yield from content


def check_types(value: Any) -> None:
    """See that the fields of a dataclass hold what their annotations say.

    Raises:
        TypeError: If one does not.
    """
    for name, hint in get_type_hints(type(value)).items():
        if not _fits(found := getattr(value, name), hint):
            raise TypeError(f"{name} is {found!r:.60}")


def _fits(value: Any, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        fits = isinstance(value, str | int) and value in parts
    elif origin in {Union, UnionType}:
        fits = any(_fits(value, part) for part in parts)
    elif origin is tuple:
        fits = isinstance(value, tuple) and all(_fits(each, parts[0]) for each in value)
    elif hint in {float, int}:
        fits = isinstance(value, int if hint is int else int | float) and not isinstance(
            value, bool
        )
    else:
        fits = hint is Any or isinstance(value, origin or hint)
    return fits


@contextmanager
def understanding(path: Path) -> Iterator[None]:
    """Take a record whose entries are missing or of other types than geoseg's for damaged.

    For code that makes nothing but values of what `read_record` gave.

    Raises:
        InputError: Instead of the error.
    """
    try:
        yield
    except GeosegError as error:
        folder = str(path.parent)
        if str(path) in str(error) or (folder != "." and folder in str(error)):
            raise
        raise InputError(f"{path}: is damaged: {error}") from error
    except KeyError as error:
        raise InputError(f"{path}: is damaged: {error} is missing") from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{path}: is damaged: {error}") from error
