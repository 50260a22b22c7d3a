"""JSON and TOML records, with entries checked for type and bounds."""

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

PROVENANCE = "GEOSEG"
"""Tag with the provenance of a raster, as JSON."""

MAX_DEPTH = 100
"""Nesting depth of JSON; no record of geoseg comes near."""


def read_record(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: If the file cannot be read, or is not a JSON object.
    """
    refuse_special_file(path)
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path}: is damaged: {error}") from error
    if not isinstance(content, dict):
        held = _shown(content)
        raise InputError(f"{path}: is damaged: it holds {held} instead of a JSON object")
    return content


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        InputError: If the file cannot be read, or is not TOML.
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
    """Parse JSON, refusing deep nesting, so that recursion over it is safe.

    Raises:
        ValueError: If it is nested too deeply, or not JSON.
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
    """Check the fields of a dataclass against their annotations.

    Raises:
        TypeError: If one has another type.
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
    """Report errors of interpreting a record as a damaged file.

    For code that only interprets what `read_record` returned.

    Raises:
        InputError: In place of the error.
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
"""Largest numbers of networks and of files."""


def read_object(path: Path) -> dict[str, Any]:
    """`read_record` for a caller that names the file.

    Raises:
        ValueError: If the file cannot be read, or is not a JSON object.
    """
    try:
        return read_record(path)
    except InputError as error:
        said = str(error).removeprefix(f"{path}: ").removeprefix("is damaged: ")
        raise ValueError(said) from error


class Fields:
    """Typed access to a JSON object; every method raises ValueError with the name of the entry."""

    def __init__(self, content: object, name: str = "") -> None:
        """Check that it is an object.

        Args:
            content: Parsed JSON.
            name: Name of the object inside the record, for messages; empty for the record.

        Raises:
            TypeError: If it has another type.
        """
        if not isinstance(content, dict):
            raise TypeError(f"{name or 'the record'} is an object, got {_shown(content)}")
        self._content = content
        self._prefix = f"{name}." if name else ""

    @property
    def entries(self) -> dict[str, Any]:
        """The parsed object."""
        return self._content

    def value(self, key: str) -> Any:
        """An entry of any type."""
        if key not in self._content:
            raise ValueError(f"{self._prefix}{key} is missing")
        return self._content[key]

    def has(self, key: str) -> bool:
        """Whether an entry exists and is not null."""
        return self._content.get(key) is not None

    def text(self, key: str) -> str:
        """A non-empty string."""
        value = self.value(key)
        if not isinstance(value, str) or not value:
            raise self._wrong(key, "a text", value)
        return value

    def flag(self, key: str) -> bool:
        """A boolean."""
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
        """A list of ``count`` finite numbers in ``low..high``."""
        values = self.items(key, count)
        for value in values:
            if not _is_number(value) or not low <= value <= high:
                raise self._wrong(key, f"a list of numbers in {low:g}..{high:g}", value)
        return tuple(float(value) for value in values)

    def texts(self, key: str, count: int) -> tuple[str, ...]:
        """A list of ``count`` strings."""
        values = self.items(key, count)
        for value in values:
            if not isinstance(value, str):
                raise self._wrong(key, "a list of texts", value)
        return tuple(values)

    def items(self, key: str, count: int | None = None) -> list[Any]:
        """A list, of length ``count`` if that is given."""
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
    """Refuse unknown entries.

    Raises:
        ValueError: If there are any.
    """
    if unknown := sorted(set(content) - known):
        raise ValueError(f"it has unknown entries: {', '.join(map(_shown, unknown[:5]))}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _shown(value: object) -> str:
    """A value for a message, on one short line."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)} entries"
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**30 else "a huge number"
    return text if len(text) <= 40 else f"{text[:40]}…"  # noqa: PLR2004
