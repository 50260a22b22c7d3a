"""Large maps on a cluster: their strips are postprocessed, their cells traced, in parts."""

import pickle
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import count, pairwise
from math import ceil
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from geoseg.cluster.calls import JOB_PX, Calls, Load
from geoseg.errors import GeosegError
from geoseg.postprocess.strips import EachStrip, Strip
from geoseg.raster.atomic import writing
from geoseg.raster.threads import in_order
from geoseg.vectorize.cells import CELL_PX
from geoseg.vectorize.vectorize import Tracing

R = TypeVar("R")

LEAST_WINDOWS = 64
"""Windows of a map, from which on it may be divided."""

MOST_WINDOWS = 64
"""Windows of a part, about, at most: what is lost with a worker stays small."""

PARTS_PER_WORKER = 4
"""Parts for each worker, if there is enough: the fast do more."""


class _Part(NamedTuple):
    """Neighbouring strips or cells."""

    load: Load
    content: Any
    """Numbers of the cells, or the file of the strips."""


class DividedMap:
    """A map whose parts are done by the workers of a cluster.

    What is too large to be sent passes in files, in the folder of what is being made.
    """

    def __init__(self, calls: Calls, path: Path, tell: Callable[[str, int, int], None]) -> None:
        """Prepare.

        Args:
            calls: What calls workers.
            path: The map.
            tell: Is told of progress.
        """
        self._calls = calls
        self._path = path
        self._tell = tell
        self._passes = count(1)

    def trace(self, tracing: Tracing, numbers: range) -> tuple[str, ...]:
        """Trace cells, as `Tracing.run` does.

        Raises:
            GeosegError: If some cannot be traced; the others stay.
        """
        parts = self._parts("cells", numbers, CELL_PX**2)
        notes: dict[str, None] = {}
        answers = in_order(self._calls.each(partial(_trace, tracing), parts, attrgetter("load")))
        for done, answer in enumerate(answers, start=1):
            notes |= dict.fromkeys(_returned(answer))
            self._tell("trace", done, len(parts))
        return tuple(notes)

    def strips(self, folder: Path) -> EachStrip:
        """What calls a function with each strip, as `map` does.

        Args:
            folder: Takes the files.
        """
        return partial(self._each_strip, folder)

    def _each_strip(
        self, folder: Path, work: Callable[[Strip], R], strips: Sequence[Strip]
    ) -> Iterator[R]:
        window = strips[0].window
        parts = self._parts("strips", range(len(strips)), window.height * window.width)
        number = next(self._passes)
        for index, (load, numbers) in parts.items():
            place = folder / f"pass_{number}_{index}"
            _store(place, (work, strips[numbers.start : numbers.stop]))
            parts[index] = _Part(load, place)
        for answer in in_order(self._calls.each(_do_strips, parts, attrgetter("load"))):
            place = _returned(answer)
            yield from _stored(place)
            place.unlink()

    def _parts(self, what: str, numbers: range, pixels: int) -> dict[int, _Part]:
        """Neighbouring things, of so many pixels each, divided evenly."""
        windows = len(numbers) * pixels / JOB_PX
        parts = max(PARTS_PER_WORKER * self._calls.workers, ceil(windows / MOST_WINDOWS))
        parts = min(parts, len(numbers))
        found = {}
        edges = [len(numbers) * edge // parts for edge in range(parts + 1)]
        for index, (start, stop) in enumerate(pairwise(edges)):
            own = numbers[start:stop]
            name = f"{self._path}: {what} {own.start} to {own.stop - 1}"
            found[index] = _Part(Load(name, ceil(windows / parts)), own)
        return found


def is_large(path: Path, maps: int, calls: Calls) -> bool:
    """Whether a map, one of so many, is divided: if else there were workers without any."""
    return maps < calls.workers and Load.of_raster(path).windows >= LEAST_WINDOWS


def _trace(tracing: Tracing, part: _Part) -> tuple[str, ...]:
    """The job of a worker."""
    return tracing.run(part.content)


def _do_strips(part: _Part) -> Path:
    """The job of a worker: the file of what a function returns of strips."""
    work, strips = _stored(part.content)
    with closing(strips[0].source):
        found = [work(strip) for strip in strips]
    done: Path = part.content.with_suffix(".done")
    _store(done, found)
    return done


def _returned(answer: Any) -> Any:
    """What a call has returned; a failure is raised."""
    if isinstance(answer, GeosegError):
        raise answer
    return answer


def _store(place: Path, content: Any) -> None:
    """Write content down; the file is whole, whoever else writes the same."""
    own = place.with_suffix(f".{uuid4().hex}")
    with writing(place):
        own.write_bytes(zlib.compress(pickle.dumps(content), 1))
        own.replace(place)


def _stored(place: Path) -> Any:
    """What `_store` was given."""
    return pickle.loads(zlib.decompress(place.read_bytes()))  # noqa: S301 of our own workers
