"""What is told of a file or folder: for people and for programs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under headings."""

    head: Sequence[str]
    """Names of the columns."""

    rows: Sequence[Sequence[str]]
    """Cells, already as text."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What a file or folder is."""

    path: Path
    """The file or folder."""

    kind: str
    """What it is, in two or three words."""

    lines: Mapping[str, str]
    """Facts for people, by name; empty ones are not shown."""

    facts: Mapping[str, Any]
    """Facts for programs."""

    tables: Sequence[Table] = ()
    """What has more than one dimension."""

    hints: Sequence[str] = field(default_factory=tuple)
    """What will hurt later, and what to do."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            **self.facts,
            "hints": list(self.hints),
        }


def number(value: object) -> str:
    """A figure for people; a dash for what is undefined, which some records have as "".

    >>> number(0.13204), number(7.0), number(None), number("")
    ('0.132', '7', '-', '-')
    """
    defined = isinstance(value, int | float) and not math.isnan(value)
    return f"{value:.4g}" if defined else "-"


def counted(count: int, word: str) -> str:
    """A number and what is counted.

    >>> counted(1, "band"), counted(3, "band")
    ('1 band', '3 bands')
    """
    return f"{count} {word}{'' if count == 1 else 's'}"


def shares(named: Mapping[str, float]) -> str:
    """Shares of a whole, for people.

    >>> shares({"road": 1, "grass": 3})
    'road 25.0%, grass 75.0%'
    """
    total = sum(named.values()) or 1
    return ", ".join(f"{name} {value / total:.1%}" for name, value in named.items())
