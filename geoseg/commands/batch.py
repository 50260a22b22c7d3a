"""Several inputs of a command: their results, and the failures that do not stop the others."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from geoseg.commands.console import Console
from geoseg.errors import BatchError, GeosegError, NoPolygonError, OutputError, OutputExistsError
from geoseg.raster.atomic import write_text
from geoseg.raster.records import parse_json
from geoseg.raster.threads import Each, one_by_one

if TYPE_CHECKING:
    from geoseg.cluster.maps import DividedMap

FAILURES = "failed.json"
"""In a folder of outputs: the inputs of which there is none, and why."""

MOST_REASONS = 3
"""Failures that are told once more at the end."""

T = TypeVar("T")

R = TypeVar("R")

Together = Callable[[Mapping[int, T]], Iterable[tuple[int, R | GeosegError]]]
"""Does the work of numbered items, and gives what comes of each, in any order."""


class Batch:
    """Results and failures of a row of inputs.

    With a record, failures outlive the process: a batch that is resumed names them again
    without trying, unless it is told to. A failure is forgotten when its input goes well,
    and not before.
    """

    def __init__(
        self,
        console: Console,
        *,
        record: Path | None = None,
        resume: bool = False,
        retry_failed: bool = False,
    ) -> None:
        self.failures: dict[str, str] = {}
        self._console = console
        self._record = record
        self._skip = _read(record) if record and resume and not retry_failed else {}
        self._count = 0

    def run(
        self,
        items: Iterable[T],
        work: Callable[[T], R],
        *,
        name: Callable[[T], str] = str,
        once_more: Callable[[T, NoPolygonError, Sequence[R]], R] | None = None,
        together: "Together[T, R] | None" = None,
    ) -> list[R]:
        """Results of the items that went well, in order.

        Args:
            items: The inputs.
            work: What is done with each.
            name: By which failures are known.
            once_more: Judges what no polygon lies on when the results of the others are known.
            together: Does the work of many at a time, instead of ``work``.

        Raises:
            GeosegError: If there is only one item, and it fails.
            OutputError: If there is no way to write: the others would fail as well.
        """
        todo = list(items)
        self._count = len(todo)
        results: dict[int, R] = {}
        absent: dict[int, NoPolygonError] = {}

        def attempt(number: int, job: Callable[[], R]) -> None:
            try:
                results[number] = job()
            except GeosegError as error:
                if isinstance(error, NoPolygonError) and number not in absent:
                    absent[number] = error
                else:
                    self._fail(name(todo[number]), error)
            else:
                self._keep(name(todo[number]), None)

        wanted = {}
        for number, item in enumerate(todo):
            if (known := self._skip.get(name(item))) is not None:
                self._note(name(item), f"{known} (not tried again; --retry-failed does)")
            elif together is None:
                attempt(number, partial(work, item))
            else:
                wanted[number] = item
        for number, found in together(wanted) if together and wanted else ():
            attempt(number, partial(_given, found))
        others = list(results.values())
        for number, reason in absent.items():
            attempt(number, partial(once_more or _raised, todo[number], reason, others))
        return [results[number] for number in sorted(results)]

    def finish(self) -> None:
        """Name the failures.

        Raises:
            BatchError: If there are any.
        """
        if self.failures:
            reasons = list(self.failures.values())
            told = "; ".join(reasons[:MOST_REASONS])
            if (more := len(reasons) - MOST_REASONS) > 0:
                kept = f" and {self._record}" if self._record else ""
                told += f"; and {more} more, each in a warning above{kept}"
            raise BatchError(f"{len(reasons)} of {self._count} inputs failed: {told}")

    def _fail(self, name: str, error: GeosegError) -> None:
        """Note why an input failed; if it is the only one, or there is no way to write: raise."""
        in_the_way = isinstance(error, OutputExistsError)
        if self._count == 1 or (isinstance(error, OutputError) and not in_the_way):
            raise error
        self._note(name, str(error))
        if not in_the_way:  # that is no fault of the input
            self._keep(name, str(error))

    def _note(self, name: str, reason: str) -> None:
        self.failures[name] = reason
        self._console.warn(reason)

    def _keep(self, name: str, reason: str | None) -> None:
        """Write down why an input failed, or that it did not."""
        if self._record is None:
            return
        known = _read(self._record)
        wanted = {each: why for each, why in known.items() if each != name or reason is not None}
        if reason is not None:
            wanted[name] = reason
        if wanted == known:
            return
        if wanted:
            write_text(self._record, json.dumps(wanted, indent=1, ensure_ascii=False) + "\n")
        else:
            self._record.unlink(missing_ok=True)


def _given(found: Any) -> Any:
    """A result that is there, or the failure that is there instead."""
    if isinstance(found, GeosegError):
        raise found
    return found


def _raised(_: object, reason: GeosegError, __: object) -> Any:
    raise reason


def _read(record: Path) -> dict[str, str]:
    """What failed in an earlier run."""
    try:
        content = parse_json(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def on_cluster(
    name: str | None,
    console: Console,
    step: str,
    work: Callable[[T], Any],
    raster: Callable[[T], Path],
    taken: Callable[[T, Any], R],
    divided: "Callable[[T, DividedMap], Any] | None" = None,
) -> Together[T, R] | None:
    """Do the work of a batch on a cluster, a job for each input; None without a cluster.

    A large map is divided instead, if there are fewer maps than workers.

    Args:
        name: The cluster.
        console: Shows progress and warnings.
        step: What is being done.
        work: What workers do with an input; a function by its name, or a part of one.
        raster: The raster of an input by which its work is measured.
        taken: Makes a result of what they return.
        divided: Does the work of a large map in parts; None: it is not divided.
    """
    if name is None:
        return None

    def together(items: Mapping[int, T]) -> Iterable[tuple[int, R | GeosegError]]:
        from geoseg.cluster.calls import Load, calls_on
        from geoseg.cluster.maps import DividedMap, is_large

        def load(item: T) -> Load:
            return Load.of_raster(raster(item))

        def in_parts(item: T) -> Any:
            return divided and divided(item, DividedMap(calls, raster(item), steps.tell))

        told = {"warn": console.warn, "info": console.info}
        with calls_on(name, **told) as calls, console.steps() as steps:
            large = {
                number: item
                for number, item in items.items()
                if divided and is_large(raster(item), len(items), calls)
            }
            small = {number: item for number, item in items.items() if number not in large}
            found = chain(calls.each(work, small, load), one_by_one(in_parts, large))
            for done, (number, answer) in enumerate(found, start=1):
                failed = isinstance(answer, GeosegError)
                yield number, answer if failed else taken(items[number], answer)
                steps.tell(step, done, len(items))

    return together


@contextmanager
def each_on(name: str | None, console: Console, raster: Callable[[Any], Path]) -> Iterator[Each]:
    """What calls a function with each of many inputs: on a cluster, or without one here.

    Args:
        name: The cluster.
        console: Shows warnings.
        raster: The raster of an input by which its work is measured.

    Raises:
        ClusterError: If the cluster cannot be reached.
    """
    if name is None:
        yield one_by_one
        return
    from geoseg.cluster.calls import Load, calls_on

    with calls_on(name, warn=console.warn, info=console.info) as calls:
        yield partial(calls.each, load=lambda item: Load.of_raster(raster(item)))
