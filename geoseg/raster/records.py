"""Entries of a JSON record, each checked for its type and bounds as it is read."""

import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from geoseg.errors import GeosegError, InputError
from geoseg.raster.paths import refuse_special_file

MAX_DEPTH = 100
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


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        InputError: If the file cannot be read or is no TOML.
    """
    refuse_special_file(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path}: not a TOML file: {error}") from error
    except RecursionError:
        raise InputError(f"{path}: not a TOML file: it is nested too deeply") from None


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
    for _ in range(MAX_DEPTH):
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


FLOAT32_MAX, FLOAT64_MAX = 3.4028234e38, 1.79e308
"""The largest numbers that networks compute with, and that files hold."""


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ValueError: If the file cannot be read or holds no JSON.
        TypeError: If it holds something else.
    """
    try:
        refuse_special_file(path)
        content = parse_json(path.read_text(encoding="utf-8"))
    except InputError as error:
        raise ValueError(str(error)) from error
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror or error}") from error
    if not isinstance(content, dict):
        raise TypeError(f"it holds {_shown(content)} instead of a JSON object")
    return content


class Fields:
    """The entries of a JSON object. Every method raises ValueError with its name."""

    def __init__(self, content: object, name: str = "") -> None:
        """Check that it is an object.

        Args:
            content: As it was parsed.
            name: Of the object inside the record, for messages; empty for the whole record.

        Raises:
            TypeError: If it is something else.
        """
        if not isinstance(content, dict):
            raise TypeError(f"{name or 'the record'} is an object, got {_shown(content)}")
        self._content = content
        self._prefix = f"{name}." if name else ""

    @property
    def entries(self) -> dict[str, Any]:
        """All of them, as they were parsed."""
        return self._content

    def value(self, key: str) -> Any:
        """An entry of any type."""
        if key not in self._content:
            raise ValueError(f"{self._prefix}{key} is missing")
        return self._content[key]

    def has(self, key: str) -> bool:
        """Whether there is such an entry, and it is not null."""
        return self._content.get(key) is not None

    def text(self, key: str) -> str:
        """A string that is not empty."""
        value = self.value(key)
        if not isinstance(value, str) or not value:
            raise self._wrong(key, "a text", value)
        return value

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self.value(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def whole(self, key: str, low: int, high: int) -> int:
        """A whole number in ``low..high``."""
        value = self.value(key)
        if not _is_whole(value) or not low <= value <= high:
            raise self._wrong(key, f"a whole number in {low}..{high}", value)
        return int(value)

    def number(self, key: str, low: float, high: float) -> float:
        """A finite number in ``low..high``."""
        value = self.value(key)
        if not _is_number(value) or not low <= value <= high:
            raise self._wrong(key, f"a number in {low:g}..{high:g}", value)
        return float(value)

    def numbers(self, key: str, count: int, low: float, high: float) -> tuple[float, ...]:
        """A list of so many finite numbers in ``low..high``."""
        values = self.items(key, count)
        for value in values:
            if not _is_number(value) or not low <= value <= high:
                raise self._wrong(key, f"a list of numbers in {low:g}..{high:g}", value)
        return tuple(float(value) for value in values)

    def texts(self, key: str, count: int) -> tuple[str, ...]:
        """A list of so many strings."""
        values = self.items(key, count)
        for value in values:
            if not isinstance(value, str):
                raise self._wrong(key, "a list of texts", value)
        return tuple(values)

    def items(self, key: str, count: int | None = None) -> list[Any]:
        """A list, of a length if it is given."""
        values = self.value(key)
        if not isinstance(values, list):
            raise self._wrong(key, "a list", values)
        if count is not None and len(values) != count:
            raise ValueError(f"{self._prefix}{key} has {len(values)} entries instead of {count}")
        return values

    def table(self, key: str) -> dict[str, Any]:
        """An object."""
        value = self.value(key)
        if not isinstance(value, dict):
            raise self._wrong(key, "an object", value)
        return value

    def _wrong(self, key: str, wanted: str, value: object) -> ValueError:
        return ValueError(f"{self._prefix}{key} is {wanted}, got {_shown(value)}")


def refuse_unknown(content: Mapping[str, Any], known: set[str]) -> None:
    """See that a record has no other entries.

    Raises:
        ValueError: If it has.
    """
    if unknown := sorted(set(content) - known):
        raise ValueError(f"it has unknown entries: {', '.join(map(_shown, unknown[:5]))}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _shown(value: object) -> str:
    """A value for a message: in one line, and no longer than that."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)} entries"
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**30 else "a huge number"
    return text if len(text) <= 40 else f"{text[:40]}…"  # noqa: PLR2004
