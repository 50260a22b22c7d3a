"""Text for people: what is safe to print, name lists, tables and attribute values."""

import math
import re
import textwrap
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from numbers import Integral, Real
from typing import TypeGuard

MIN_COLUMN_WIDTH = 9
"""Least width of a column, in characters, so that tables below each other line up."""

REMARKS_TITLE = ""
"""Title of the column of remarks, which has no heading and is left-aligned."""

MAX_NAMES, MAX_NAME_LENGTH = 12, 40
"""Number and length of the names in a message: a camera has 200 bands, a file long names."""


CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdd3]")
"""What a terminal obeys rather than shows, what turns text around, and halves of characters."""


def clean(text: str) -> str:
    r"""Text from files on one line, with what a terminal would obey made visible.

    >>> clean("road\x1b[2J")
    'road\\x1b[2J'
    """
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def short_list(names: Sequence[str]) -> str:
    """Names for a message, cut to a readable length.

    >>> short_list(["red", "green"])
    'red, green'
    >>> short_list([*"abcdefghijklmno"])
    'a, b, c, d, e, f, g, h, i, j, k, l and 3 more'
    >>> len(short_list(["x" * 1000]))
    40
    """
    more = len(names) - MAX_NAMES
    shown = ", ".join(_cut(name, MAX_NAME_LENGTH) for name in names[:MAX_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown


def format_table(
    rows: Sequence[Mapping[str, str]],
    width: int | None = None,
    *,
    left: Collection[str] = (REMARKS_TITLE,),
    least: int = MIN_COLUMN_WIDTH,
    gap: str = " ",
) -> list[str]:
    """Lines of a table; columns beyond the width follow below.

    Args:
        rows: Cells by column title. The first column names the row: it is left-aligned, and
            repeated below. An empty column of remarks is left out.
        width: Width of a line, in characters; None: unlimited.
        left: Titles of further columns that are left-aligned.
        least: Least width of a column, in characters.
        gap: Between columns.

    >>> format_table([{"class": "tree", "IoU": "50.00", "F1": "66.67"}], width=20)
    ['class       IoU', 'tree      50.00', '', 'class        F1', 'tree      66.67']
    """
    name, *columns = rows[0]
    most = max(len(name), *(len(row[name]) for row in rows))
    names = most if width is None else min(most, max(width // 3, MIN_COLUMN_WIDTH))
    sizes = {
        title: max(len(title), *(len(row[title]) for row in rows), least if title else 0)
        for title in columns
    }
    sizes = {title: size + (title == REMARKS_TITLE) for title, size in sizes.items() if size}
    lines: list[str] = []
    for group in _groups(sizes, None if width is None else width - names, len(gap)):
        lines += [""] if lines else []
        for row in ({title: title for title in rows[0]}, *rows):
            cells = [f"{_cut(row[name], names):<{names}}"]
            for title in group:
                text = f" {row[title]}" if title == REMARKS_TITLE else row[title]
                size = sizes[title]
                cells.append(text.ljust(size) if title in left else text.rjust(size))
            lines.append(gap.join(cells).rstrip())
    return lines


def wrap_text(text: str, width: int | None = None) -> list[str]:
    """Wrap a text, further lines indented; one line if there is no width."""
    if width is None:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False) or [""]


def _groups(sizes: Mapping[str, int], width: int | None, gap: int) -> list[list[str]]:
    """Columns grouped by what fits side by side."""
    groups: list[list[str]] = [[]]
    used = 0
    for title, size in sizes.items():
        if width is not None and groups[-1] and used + size + gap > width:
            groups.append([])
            used = 0
        groups[-1].append(title)
        used += size + gap
    return groups


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def subject(names: Sequence[str], kind: str) -> str:
    """Beginning of a sentence on files, the first of them named.

    >>> subject(["a.tif"], "maps")
    'a.tif is'
    >>> subject(["a.tif", "b.tif", "c.tif", "d.tif"], "maps")
    '4 maps (a.tif, b.tif, c.tif ...) are'
    """
    if len(names) == 1:
        return f"{names[0]} is"
    shown = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")  # noqa: PLR2004
    return f"{len(names)} {kind} ({shown}) are"


def quoted_list(names: Sequence[str], most: int = 5) -> str:
    """Quoted names in a sentence, the first of them listed.

    >>> quoted_list(["car", "water"]), quoted_list(["a", "b", "c"], most=2)
    ("'car', 'water'", "'a', 'b' and 1 more")
    """
    shown = ", ".join(_cut(repr(name), MAX_NAME_LENGTH) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def in_bytes(count: float) -> str:
    """A size for people.

    >>> in_bytes(1_500_000)
    '1.5 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


NULLS = ("", "nan", "<na>", "nat")
"""Texts, in lower case, that stand for a missing value."""


def _is_float(value: object) -> TypeGuard[Real]:
    """Whether a cell is a float, Python's or NumPy's (without importing it)."""
    return isinstance(value, Real) and not isinstance(value, Integral)


def as_text(value: object) -> str:
    """Text by which attribute values are compared: 4, 4.0 and "4" are equal."""
    if _is_float(value) and float(value).is_integer():
        return str(int(float(value)))
    return str(value).strip()


def is_null(value: object) -> bool:
    """Whether a cell holds no value: null, NaN, infinity or only spaces.

    >>> [is_null(each) for each in (None, float("nan"), float("inf"), " ", "NaN", 0, "None", "inf")]
    [True, True, True, True, True, False, False, False]
    """
    if _is_float(value) and not math.isfinite(value):
        return True
    return value is None or as_text(value).lower() in NULLS


def is_true(value: object) -> bool:
    """Whether a cell says yes: neither null, nor 0, false or no.

    >>> [is_true(each) for each in (True, 1, "yes", False, 0.0, "No", None)]
    [True, True, True, False, False, False, False]
    """
    return not is_null(value) and as_text(value).lower() not in {"0", "false", "no"}


def named_number(text: str) -> tuple[str, float]:
    """The two sides of ``NAME=NUMBER``; NaN for what is no number.

    >>> named_number("building = .35"), named_number("auto")
    (('building', 0.35), ('', nan))
    """
    name, _, number = (part.strip() for part in text.rpartition("="))
    try:
        return name, float(number)
    except ValueError:
        return name, math.nan


def exact(number: float) -> str:
    """A number with all its digits and without an exponent, to be read back as it was.

    >>> exact(20240115.0), exact(0.12345678), exact(1e-7)
    ('20240115', '0.12345678', '0.0000001')
    """
    return f"{Decimal(repr(float(number))):f}".removesuffix(".0")
