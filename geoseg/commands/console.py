"""How commands talk: results on stdout; progress, messages and warnings on stderr."""

import errno
import io
import json
import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, Literal

import typer

from geoseg.errors import GeosegError, OutputError
from geoseg.progress import Steps, say
from geoseg.raster.paths import GdalName
from geoseg.raster.upload import sending, told
from geoseg.text import CONTROL, clean, format_table

STYLES = {
    "bold": ("\ufdd0", "\x1b[1m"),
    "red": ("\ufdd1", "\x1b[31m"),
    "yellow": ("\ufdd2", "\x1b[33m"),
}
"""Styles of ours: how they are marked until they are printed, and what a terminal obeys."""

PLAIN = ("\ufdd3", "\x1b[0m")
"""The end of a style. Marks are noncharacters of Unicode, which texts do not hold."""


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


class Console:
    """What a command says besides its result."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet = quiet
        self.verbose = verbose

    def info(self, message: str) -> None:
        """A message, unless the user wants quiet."""
        if not self.quiet:
            say(message)

    def debug(self, message: str) -> None:
        """A message for those who want to know more."""
        if self.verbose:
            say(message)

    def warn(self, message: str) -> None:
        """Something that may spoil the result; said even if the user wants quiet."""
        say(message, "warning")

    def progress(self, label: str) -> Callable[[Iterable[Any], int], Iterable[Any]]:
        """A function that gives items on, of which there are so many, and shows progress."""
        return lambda items, total: self.steps().over(label, items, total)

    def steps(self) -> Steps:
        """What is to be told of progress: step, what is done, how many of how many."""
        return Steps(quiet=self.quiet)


class _NetworkMessages(logging.Handler):
    """Log handler that counts requests to servers that are repeated, and passes messages on."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.repeated = 0
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Count a repeated request, which is at the level of debugging, and say it."""
        repeated = record.levelno == logging.DEBUG
        self.repeated += repeated
        tell = self._console.debug if repeated else self._console.info
        tell(record.getMessage())


@contextmanager
def requests_told(*, quiet: bool = False, verbose: bool = False) -> Iterator[None]:
    """Say what is copied from servers, and at the end how many requests were repeated.

    Args:
        quiet: Say nothing.
        verbose: Say each repeated request.
    """
    console = Console(quiet=quiet, verbose=verbose)
    log, handler = logging.getLogger("geoseg.remote"), _NetworkMessages(console)
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        if (count := handler.repeated) > 0:
            told = (
                "1 request to a server was" if count == 1 else f"{count} requests to servers were"
            )
            console.info(f"{told} repeated")


NOT_SENT = {"train", "sweep"}
"""Commands whose outputs go to disks alone: they write, and read again, for days."""


def call(function: Callable[..., None], given: dict[str, Any]) -> None:
    """Call a command; an output in a bucket is written here and sent, then results are printed."""
    output = given.get("output")
    if not isinstance(output, GdalName) or function.__name__ in NOT_SENT:
        function(**given)
        return
    if given.get("cluster"):
        raise typer.BadParameter(
            f"{output}: --cluster writes to a folder that all workers see, and a bucket is none",
            param_hint="--output",
        )
    failure: GeosegError | typer.Exit | None = None
    results = io.StringIO()
    resume = any(getattr(each, "resume", False) for each in given.values())
    with sending(output, overwrite=given.get("overwrite", False), resume=resume) as local:
        try:
            with redirect_stdout(results):
                function(**given | {"output": local})
        except (GeosegError, typer.Exit) as error:
            failure = error
        said = told(results.getvalue())
    echo(said, end="")
    if failure is not None:
        raise failure


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
