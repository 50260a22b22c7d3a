"""Functions that are called on the workers of a cluster, with each of many items."""

import base64
import pickle
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from geoseg.cluster.connect import Cluster, connected
from geoseg.cluster.jobs import Job, group_size
from geoseg.cluster.pool import Pool
from geoseg.errors import GeosegError
from geoseg.raster.reader import RasterReader

T = TypeVar("T")

R = TypeVar("R")

JOB_PX = 1 << 18
"""Pixels that count as a window, by which time is limited and calls are grouped."""

SIZE_UNKNOWN = 64
"""Windows of a map whose pixels are not known, such as one of polygons."""


class Load(NamedTuple):
    """What is known of a call before it is made."""

    name: str
    """For messages."""

    windows: int
    """By which calls are grouped and their time is limited."""

    @classmethod
    def of_raster(cls, path: Path) -> "Load":
        """A call that goes through a raster."""
        with suppress(GeosegError), RasterReader(path, palette_index=True) as reader:
            return cls(str(path), ceil(reader.grid.height * reader.grid.width / JOB_PX))
        return cls(str(path), SIZE_UNKNOWN)


class Calls:
    """Calls functions on a cluster. What they are given and return is whatever pickle takes."""

    def __init__(
        self, cluster: Cluster, *, warn: Callable[[str], None], info: Callable[[str], None]
    ) -> None:
        """Prepare.

        Args:
            cluster: Where to.
            warn: Is told of what may spoil the result.
            info: Is told of what the user waits for.
        """
        self._cluster = cluster
        self._warn, self._info = warn, info

    @property
    def workers(self) -> int:
        """How many workers there are, or will be; waits for the first."""
        return self._cluster.wait_for_workers(self._info)

    def each(
        self, work: Callable[[T], R], items: Mapping[int, T], load: Callable[[T], Load]
    ) -> Iterator[tuple[int, R | GeosegError]]:
        """Call a function with each item; give what it returns, or its failure, as it comes.

        Args:
            work: A function by its name, or a part of one; called again where a worker is lost.
            items: By numbers.
            load: What is known of the call with an item.

        Raises:
            ClusterError: If the cluster is lost, or none of its workers can be used.
        """
        numbers: dict[str, int] = {}

        def jobs() -> Iterator[Job]:
            for number, item in items.items():
                name, windows = load(item)
                key = f"{name} ({number})" if name in numbers else name
                numbers[key] = number
                yield Job(key, f"{__name__}:call", {"item": packed(item)}, windows)

        group = group_size(len(items), self.workers)
        pool = Pool(self._cluster, work, group=group, warn=self._warn, info=self._info)
        for job, answer in pool.run(jobs()):
            found = answer if isinstance(answer, GeosegError) else unpacked(answer)
            yield numbers[job.key], found


@contextmanager
def calls_on(
    name: str, *, warn: Callable[[str], None], info: Callable[[str], None]
) -> Iterator[Calls]:
    """Calls on a cluster that is started or found by its name.

    Raises:
        ClusterError: If it cannot be reached.
    """
    with connected(name) as cluster:
        yield Calls(cluster, warn=warn, info=info)


def call(work: Callable[[Any], Any], *, item: str) -> str:
    """The job of a worker: what a function returns, as text."""
    return packed(work(unpacked(item)))


def packed(content: Any) -> str:
    """Content as text."""
    return base64.b85encode(zlib.compress(pickle.dumps(content))).decode()


def unpacked(text: str) -> Any:
    """What `packed` was given."""
    return pickle.loads(zlib.decompress(base64.b85decode(text)))  # noqa: S301 of our own workers
