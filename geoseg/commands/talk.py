"""How commands talk: results on stdout; progress, messages and warnings on stderr."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from geoseg.core.undefined import without_nan


class Talk:
    """What a command says besides its result."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet = quiet
        self.verbose = verbose

    def say(self, message: str) -> None:
        """A message, unless the user wants quiet."""
        if not self.quiet:
            typer.echo(message, err=True)

    def detail(self, message: str) -> None:
        """A message for those who want to know more."""
        if self.verbose:
            typer.echo(message, err=True)

    def warn(self, message: str) -> None:
        """Something that may spoil the result; said even if the user wants quiet."""
        typer.echo(f"warning: {message}", err=True)

    def watch(self, label: str) -> Callable[[Iterable[Any], int], Iterable[Any]]:
        """A function that gives items on, with a bar on a terminal."""
        from tqdm import tqdm

        def given_on(items: Iterable[Any], total: int) -> Iterable[Any]:
            return tqdm(items, total=total, desc=label, disable=self._no_bar, leave=False)

        return given_on

    @contextmanager
    def steps(self) -> Iterator[Callable[[str, int, int], None]]:
        """A function to be told of progress: what is done, how many of how many."""
        from tqdm import tqdm

        with tqdm(disable=self._no_bar, leave=False) as bar:

            def tell(label: str, done: int, total: int) -> None:
                if done == 1:
                    bar.reset(total)
                bar.set_description(label, refresh=False)
                bar.update(done - bar.n)

            yield tell

    @property
    def _no_bar(self) -> bool | None:
        return True if self.quiet else not sys.stderr.isatty()


def styled(text: str, **style: Any) -> str:
    """Text in colour or bold where a terminal shows it and the user has not set NO_COLOR.

    Source: https://no-color.org
    """
    plain = (
        not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    )
    return text if plain else typer.style(text, **style)


def wrapped(text: str, *, indent: int, hanging: int = 2) -> str:
    """Text in lines that fit a terminal; elsewhere one line, which others may search and cut.

    Args:
        text: Without line breaks.
        indent: Of all lines, in characters.
        hanging: Of further lines, in addition.
    """
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

    On a terminal the last columns that do not fit are left out, and an ellipsis says so.

    Args:
        rows: Of the same length, the headings first.
        indent: Of all lines, in characters.
    """
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    fitting = _fitting(widths, indent)
    to_the_right = [all(map(_is_figure, cells)) for cells in zip(*rows[1:], strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, to_the_right or [False] * 99, strict=False)
        ]
        more = "" if fitting == len(widths) else "  …"
        lines.append(" " * indent + "  ".join(cells[:fitting]).rstrip() + more)
    return "\n".join(lines)


def _fitting(widths: Sequence[int], indent: int) -> int:
    """How many columns fit; at least the first."""
    limit = width_of_terminal()
    ends = [indent + sum(widths[:n]) + 2 * (n - 1) for n in range(1, len(widths) + 1)]
    if limit is None or ends[-1] <= limit:
        return len(widths)
    ellipsis = 3
    return max(sum(end + ellipsis <= limit for end in ends), 1)


def _is_figure(cell: str) -> bool:
    return cell in {"-", ""} or cell.strip("-+")[:1].isdigit()


def width_of_terminal() -> int | None:
    """Characters of a line on stdout; None where it is no terminal: others may search and cut."""
    return shutil.get_terminal_size().columns - 1 if sys.stdout.isatty() else None


def print_json(content: Any) -> None:
    """A result for programs; what is undefined (NaN) is null."""
    typer.echo(json.dumps(without_nan(content), indent=1))


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
