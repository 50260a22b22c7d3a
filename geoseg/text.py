"""The classes of a map: index, value in files, name and colour, and what sources call them."""

import math
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import TypeGuard

MIN_COLUMN_WIDTH = 9
"""Characters of a column, so that tables one below the other look alike."""

REMARKS_TITLE = ""
"""Title of a column of remarks, which has no heading and stands to the left."""

MAX_NAMES, MAX_NAME_LENGTH = 12, 40
"""Names that a message lists, and their characters: a camera has 200 bands, a file long names."""


def short_list(names: Sequence[str]) -> str:
    """Names for a message, in a length that can be read.

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


def format_table(rows: Sequence[Mapping[str, str]], width: int | None = None) -> list[str]:
    """Lines of a table; its columns, if they are too many for the width, below each other.

    Args:
        rows: Cells by the titles of their columns. The first column names the row: it stands to
            the left and is repeated. A column of remarks is left out if there are none.
        width: Characters of a line; None: as many as are needed.

    >>> format_table([{"class": "tree", "IoU": "50.00", "F1": "66.67"}], width=20)
    ['class       IoU', 'tree      50.00', '', 'class        F1', 'tree      66.67']
    """
    name, *columns = rows[0]
    most = max(len(name), *(len(row[name]) for row in rows))
    names = most if width is None else min(most, max(width // 3, MIN_COLUMN_WIDTH))
    sizes = {
        title: max(len(title), *(len(row[title]) for row in rows), MIN_COLUMN_WIDTH if title else 0)
        for title in columns
    }
    sizes = {title: size + (title == REMARKS_TITLE) for title, size in sizes.items() if size}
    lines: list[str] = []
    for group in _groups(sizes, None if width is None else width - names):
        lines += [""] if lines else []
        for row in ({title: title for title in rows[0]}, *rows):
            cells = [
                f" {row[title]}" if title == REMARKS_TITLE else f"{row[title]:>{sizes[title]}}"
                for title in group
            ]
            lines.append(" ".join([f"{_cut(row[name], names):<{names}}", *cells]).rstrip())
    return lines


def wrap_text(text: str, width: int | None = None) -> list[str]:
    """Lines of a text: the first full, further ones indented; one if there is no width."""
    if width is None:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False) or [""]


def _groups(sizes: Mapping[str, int], width: int | None) -> list[list[str]]:
    """Columns that stand beside each other."""
    groups: list[list[str]] = [[]]
    used = 0
    for title, size in sizes.items():
        if width is not None and groups[-1] and used + size + 1 > width:
            groups.append([])
            used = 0
        groups[-1].append(title)
        used += size + 1
    return groups


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def subject(names: Sequence[str], kind: str) -> str:
    """The beginning of a sentence on some files, of which the first are named.

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
    """Names in a sentence, of which the first are told.

    >>> quoted_list(["car", "water"]), quoted_list(["a", "b", "c"], most=2)
    ("'car', 'water'", "'a', 'b' and 1 more")
    """
    told = ", ".join(_cut(repr(name), MAX_NAME_LENGTH) for name in names[:most])
    return told if len(names) <= most else f"{told} and {len(names) - most} more"


LINE_INTERVAL_S = 60.0
"""From one line to the next, and from the beginning to the first."""


class ProgressLines:
    """Writes how far work is, a line a minute."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """Start the clock.

        Args:
            write: Takes a line.
        """
        self._write = write
        self._began = self._told = time.monotonic()

    def tell(self, label: str, done: int, total: int) -> None:
        """Take how many of how many are done; write it if the last line is a minute old."""
        now = time.monotonic()
        if now - self._told < LINE_INTERVAL_S:
            return
        self._told = now
        share = f" ({done / total:.0%})" if total else ""
        minutes = (now - self._began) / 60
        self._write(f"{label}: {done:,} of {total:,}{share} after {minutes:.0f} min")


NULLS = ("", "nan", "<na>", "nat")
"""Texts, in lower case, that stand for no value at all in a column."""


def _is_float(value: object) -> TypeGuard[Real]:
    """Whether a cell is a floating-point number, NumPy's too, which need not be imported."""
    return isinstance(value, Real) and not isinstance(value, Integral)


def as_text(value: object) -> str:
    """Attribute values compare as text: 4, 4.0 and "4" are the same."""
    if _is_float(value) and float(value).is_integer():
        return str(int(float(value)))
    return str(value).strip()


def is_null(value: object) -> bool:
    """Whether a cell of a column holds no value: null, NaN, infinity or nothing but space.

    >>> [is_null(each) for each in (None, float("nan"), float("inf"), " ", "NaN", 0, "None", "inf")]
    [True, True, True, True, True, False, False, False]
    """
    if _is_float(value) and not math.isfinite(value):
        return True
    return value is None or as_text(value).lower() in NULLS
