"""How commands talk: results on stdout; progress, messages and warnings on stderr."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
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
