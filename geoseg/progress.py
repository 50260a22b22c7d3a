"""Progress and messages on stderr: a bar on a terminal, lines in a log, JSON for programs."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, Self

from geoseg.text import clean

Style = Literal["auto", "bar", "json", "none"]
"""How progress is shown: as fits stderr, as a bar, as JSON lines, or not at all."""

Event = Literal["message", "warning", "error", "progress", "epoch"]
"""Kinds of JSON lines."""

LINE_INTERVAL_S = 60.0
"""Seconds between lines, and before the first."""

EVENT_INTERVAL_S = 0.2
"""Least seconds between two JSON lines on the progress of a step, but for its first and last."""

PREFIXES = {"warning": "warning: ", "error": "geoseg: "}
"""What precedes texts for people."""


@dataclass
class _Stderr:
    """How this process talks on stderr, of which it has one."""

    style: Style = "auto"


_STDERR = _Stderr()


def set_style(style: Style) -> None:
    """Choose how progress is shown; with "json" messages are JSON lines, too."""
    _STDERR.style = style


def tells_events() -> bool:
    """Whether stderr is for a program, one JSON object per line."""
    return _STDERR.style == "json"


def say(text: str, event: Event = "message", **facts: Any) -> None:
    """Write a message on stderr, on one line; if nobody can hear it, work goes on.

    Args:
        text: The message.
        event: What it is.
        facts: Further fields of the JSON line.
    """
    if tells_events():
        write_event(event, text=text, **facts)
    else:
        _write(f"{PREFIXES.get(event, '')}{clean(text)}")


def write_event(event: Event, **facts: Any) -> None:
    """Write one JSON line on stderr; what is undefined (NaN) is null."""
    known = {name: None if _is_undefined(value) else value for name, value in facts.items()}
    _write(json.dumps({"event": event, **known}))


def _is_undefined(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _write(line: str) -> None:
    with suppress(OSError, ValueError):  # a stream that is closed is a ValueError
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def in_notebook() -> bool:
    """Whether this process runs the cells of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def bar_class() -> Any:
    """The bar of tqdm; in a notebook a widget, if there are widgets."""
    if in_notebook() and find_spec("ipywidgets"):
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    return tqdm


def notebook_progress(step: str) -> Callable[[Iterable[Any], int], Iterable[Any]]:
    """A function that gives items on; in a notebook with a bar."""
    if not in_notebook():
        return lambda items, _: items
    return lambda items, total: Steps().over(step, items, total)


def shown_as(*, quiet: bool = False) -> Literal["bar", "lines", "events", "nothing"]:
    """How progress is to be shown now."""
    style = _STDERR.style
    if quiet or style == "none":
        return "nothing"
    if style == "json":
        return "events"
    wanted = style == "bar" or sys.stderr.isatty() or in_notebook()
    return "bar" if wanted else "lines"


class ProgressLines:
    """Progress as one line a minute."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """Start the clock.

        Args:
            write: Called with each line.
        """
        self._write = write
        self._start = self._last = time.monotonic()

    def tell(self, label: str, done: int, total: int) -> None:
        """Report that `done` of `total` are finished; written if the last line is a minute old."""
        now = time.monotonic()
        if now - self._last < LINE_INTERVAL_S:
            return
        self._last = now
        share = f" ({done / total:.0%})" if total else ""
        minutes = (now - self._start) / 60
        self._write(f"{label}: {done:,} of {total:,}{share} after {minutes:.0f} min")


class ProgressEvents:
    """Progress as JSON lines, of each step the first, the last, and a few in each second."""

    def __init__(self) -> None:
        self._step: str | None = None
        self._start = self._last = 0.0

    def tell(
        self, step: str, done: int, total: int | None, *, share: float | None = None, **facts: Any
    ) -> None:
        """Report that `done` of `total` are finished.

        Args:
            step: What is being done.
            done: How many, of whatever it has.
            total: How many there are; None: unknown.
            share: Share of the step that is done, 0..1, if these numbers do not say it.
            facts: Further fields.
        """
        now = time.monotonic()
        if step != self._step:
            self._step, self._start = step, now
        elif now - self._last < EVENT_INTERVAL_S and done != total:
            return
        self._last = now
        if share is None and total:
            share = done / total
        write_event(
            "progress",
            step=step,
            done=int(done),
            total=None if total is None else int(total),
            share=None if share is None else round(min(share, 1.0), 4),
            elapsed_s=round(now - self._start, 2),
            **facts,
        )


class Steps:
    """Progress of steps that come one after the other."""

    def __init__(self, *, quiet: bool = False) -> None:
        """Look how progress is to be shown."""
        self._shown = shown_as(quiet=quiet)
        self._lines = ProgressLines(say)
        self._events = ProgressEvents()
        self._bar: Any = None
        self._step: str | None = None

    def tell(self, step: str, done: int, total: int) -> None:
        """Report that `done` of the `total` of a step are finished."""
        if self._shown == "events":
            self._events.tell(step, done, total)
        elif self._shown == "lines":
            self._lines.tell(step, done, total)
        elif self._shown == "bar":
            self._draw(step, done, total)

    def _draw(self, step: str, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = bar_class()(total=total, desc=clean(step), leave=in_notebook())
        elif step != self._step or total != self._bar.total:
            self._bar.set_description(clean(step), refresh=False)
            self._bar.reset(total)
        self._step = step
        self._bar.update(done - self._bar.n)

    def over(self, step: str, items: Iterable[Any], total: int) -> Iterator[Any]:
        """Give items on, as the progress of a step of so many."""
        with self:
            self.tell(step, 0, total)
            for done, item in enumerate(items, start=1):
                yield item
                self.tell(step, done, total)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
