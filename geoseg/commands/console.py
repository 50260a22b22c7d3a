"""How commands talk: results on stdout; progress, messages and warnings on stderr."""

import errno
import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal

from geoseg.errors import OutputError
from geoseg.text import ProgressLines, format_table

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdd3]")
"""What a terminal obeys rather than shows, what turns text around, and halves of characters."""

STYLES = {
    "bold": ("\ufdd0", "\x1b[1m"),
    "red": ("\ufdd1", "\x1b[31m"),
    "yellow": ("\ufdd2", "\x1b[33m"),
}
"""Styles of ours: how they are marked until they are printed, and what a terminal obeys."""

PLAIN = ("\ufdd3", "\x1b[0m")
"""The end of a style. Marks are noncharacters of Unicode, which texts do not hold."""


def clean(text: str) -> str:
    r"""Text from files on one line, with what a terminal would obey made visible.

    >>> clean("road\x1b[2J")
    'road\\x1b[2J'
    """
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def echo(text: str, *, end: str = "\n") -> None:
    """Print a result on stdout.

    Lines and our own styles stay; what else a terminal would obey is made visible.

    Raises:
        OutputError: If stdout is closed or full.
        BrokenPipeError: If nobody reads it any more.
    """
    text = "\n".join(map(_obeyed, text.split("\n")))
    try:
        sys.stdout.write(text + end)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # a stream that is closed is a ValueError
        if isinstance(error, OSError) and error.errno == errno.EINVAL:  # Windows' broken pipe
            raise BrokenPipeError from error
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"stdout: cannot be written: {reason}") from error


MARKS = dict((*STYLES.values(), PLAIN))


def _obeyed(line: str) -> str:
    """A line of ours, with what is to be obeyed for our marks."""
    return CONTROL.sub(lambda found: MARKS.get(found[0]) or clean(found[0]), line)


def _marked(text: str) -> str:
    """Text as `clean` gives it, but for our marks."""
    return CONTROL.sub(lambda found: found[0] if found[0] in MARKS else clean(found[0]), text)


def complain(text: str) -> None:
    """Print a message on stderr, on one line; if nobody can hear it, work goes on."""
    with suppress(OSError, ValueError):
        sys.stderr.write(clean(text) + "\n")
        sys.stderr.flush()


class Console:
    """What a command says besides its result."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet = quiet
        self.verbose = verbose

    def info(self, message: str) -> None:
        """A message, unless the user wants quiet."""
        if not self.quiet:
            complain(message)

    def debug(self, message: str) -> None:
        """A message for those who want to know more."""
        if self.verbose:
            complain(message)

    def warn(self, message: str) -> None:
        """Something that may spoil the result; said even if the user wants quiet."""
        complain(f"warning: {message}")

    def progress(self, label: str) -> Callable[[Iterable[Any], int], Iterable[Any]]:
        """A function that gives items on, with a bar on a terminal, elsewhere a line a minute."""
        from tqdm import tqdm

        def given_on(items: Iterable[Any], total: int) -> Iterable[Any]:
            if self._no_bar:
                return self._in_lines(items, label, total)
            return tqdm(items, total=total, desc=clean(label), leave=False)

        return given_on

    def _in_lines(self, items: Iterable[Any], label: str, total: int) -> Iterator[Any]:
        lines = ProgressLines(self.info)
        for done, item in enumerate(items, start=1):
            yield item
            lines.tell(label, done, total)

    @contextmanager
    def steps(self) -> Iterator[Callable[[str, int, int], None]]:
        """A function to be told of progress: what is done, how many of how many."""
        from tqdm import tqdm

        lines = ProgressLines(self.info)
        with tqdm(disable=self._no_bar, leave=False) as bar:

            def tell(label: str, done: int, total: int) -> None:
                if self._no_bar:
                    lines.tell(label, done, total)
                    return
                if done == 1:
                    bar.reset(total)
                bar.set_description(clean(label), refresh=False)
                bar.update(done - bar.n)

            yield tell

    @property
    def _no_bar(self) -> bool:
        return self.quiet or not sys.stderr.isatty()


def styled(text: str, style: Literal["bold", "red", "yellow"]) -> str:
    """Text in a style where a terminal shows it and the user has not set NO_COLOR.

    `echo` turns the marks into what the terminal obeys.

    Source: https://no-color.org
    """
    plain = (
        not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    )
    return clean(text) if plain else f"{STYLES[style][0]}{clean(text)}{PLAIN[0]}"


def wrapped(text: str, *, indent: int, hanging: int = 2) -> str:
    """Text in lines that fit a terminal; elsewhere one line, which others may search and cut."""
    text = _marked(text)
    width = width_of_terminal()
    if width is None:
        return " " * indent + text
    return textwrap.fill(
        text,
        max(width, indent + hanging + 20),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
        break_on_hyphens=False,
    )


def columns(rows: Sequence[Sequence[str]], *, indent: int = 0) -> str:
    """Rows of cells as a table, the first column to the left, numbers to the right.

    On a terminal the columns that do not fit follow below.
    """
    head, *body = [[clean(cell) for cell in row] for row in rows]
    cells = zip(*body, strict=True) if body else [[""] for _ in head]
    left = {title for title, own in zip(head, cells, strict=True) if not all(map(_is_figure, own))}
    named = [dict(zip(head, row, strict=True)) for row in body or [["" for _ in head]]]
    width = width_of_terminal()
    lines = format_table(named, width and width - indent, left=left, least=0, gap="  ")
    return "\n".join(f"{' ' * indent}{line}" if line else "" for line in lines)


def _is_figure(cell: str) -> bool:
    return cell in {"-", ""} or cell.strip("-+")[:1].isdigit()


def width_of_terminal() -> int | None:
    """Characters of a line on stdout; None where it is no terminal: others may search and cut."""
    return shutil.get_terminal_size().columns - 1 if sys.stdout.isatty() else None


def print_json(content: Any) -> None:
    """A result for programs; what is undefined (NaN) is null."""
    from geoseg.raster.atomic import without_nan

    echo(json.dumps(without_nan(content), indent=1))


def in_time(seconds: float) -> str:
    """A time for people.

    >>> in_time(75), in_time(5400), in_time(4.2)
    ('1 min 15 s', '1 h 30 min', '4.2 s')
    """
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.2g} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"
