"""Threads: results in order, GDAL's environment and one dataset per thread."""

import ctypes
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any, Protocol, TypeVar

from geoseg.errors import GeosegError

R = TypeVar("R")

T = TypeVar("T")

MAX_AHEAD = 32
"""Calls started before the result of the first is taken."""

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Processor time of a container on Linux: microseconds, or ``max``, and of how many."""


def core_count() -> int:
    """Cores that this process may use.

    The machine may have more: a batch system or ``taskset`` binds processes to some of its cores,
    and a container has a share of their time.
    """
    bound = getattr(os, "sched_getaffinity", None)  # Linux alone
    cores = len(bound(0)) if bound else os.cpu_count() or 1
    try:
        quota, period = map(int, CPU_QUOTA.read_text(encoding="ascii").split())
    except (OSError, ValueError):  # no container, or no limit
        return cores
    return max(min(cores, quota // period), 1)


def map_in_order(
    pool: Executor, work: Callable[..., R], *arguments: Iterable[Any], ahead: int = MAX_AHEAD
) -> Generator[R]:
    """Results in the order of the arguments, like `Executor.map`, with ``ahead`` calls in flight.

    If one fails, or the consumer stops, pending calls are cancelled and running ones waited for:
    afterwards no thread uses the caller's files.
    """
    running: deque[Future[R]] = deque()
    try:
        for each in zip(*arguments, strict=True):
            if len(running) == ahead:
                yield running.popleft().result()
            running.append(pool.submit(work, *each))
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()
        wait(running)


class Each(Protocol):
    """Calls a function with each of numbered items, here or in other processes."""

    def __call__(
        self, work: Callable[[T], R], items: Mapping[int, T], /
    ) -> Iterable[tuple[int, R | GeosegError]]:
        """What it returns of each, or the failure that it ends in, in any order."""
        ...


def one_by_one(
    work: Callable[[T], R], items: Mapping[int, T]
) -> Iterator[tuple[int, R | GeosegError]]:
    """As `Each`: here, one item after the other."""
    for number, item in items.items():
        found: R | GeosegError
        try:
            found = work(item)
        except GeosegError as error:
            found = error
        yield number, found


def in_order(found: Iterable[tuple[int, R]]) -> Iterator[R]:
    """Numbered things by their numbers, from 0 on; what comes early waits.

    >>> list(in_order([(2, "c"), (0, "a"), (1, "b")]))
    ['a', 'b', 'c']
    """
    early: dict[int, R] = {}
    following = 0
    for number, each in found:
        early[number] = each
        while following in early:
            yield early.pop(following)
            following += 1


def logged() -> AbstractContextManager[Any]:
    """An environment in which rasterio logs GDAL's errors, if this thread has none yet.

    To enter one takes as long as to read a small window from GDAL's cache.
    """
    import rasterio.env

    return nullcontext() if rasterio.env.hasenv() else rasterio.Env()


def reading_pool(threads: int) -> ThreadPoolExecutor:
    """A pool whose threads enter that environment once, instead of with every read."""
    return ThreadPoolExecutor(threads, initializer=lambda: logged().__enter__())


class Handles:
    """One dataset per thread: those of GDAL must not be shared.

    Args:
        open_one: Opens a dataset; what must be closed goes onto the stack.
    """

    def __init__(self, open_one: Callable[[ExitStack], Any]) -> None:
        self._open_one = open_one
        self._local = threading.local()
        self._lock = threading.Lock()
        self._stacks: list[ExitStack] = []

    @property
    def own(self) -> Any:
        """This thread's dataset, opened on first use."""
        if not hasattr(self._local, "dataset"):
            with ExitStack() as stack:  # closes what is half open
                self._local.dataset = self._open_one(stack)
                self._local.stack = stack.pop_all()
                with self._lock:
                    self._stacks.append(self._local.stack)
        return self._local.dataset

    def drop(self) -> None:
        """Close this thread's dataset; the next use opens another."""
        if hasattr(self._local, "dataset"):
            with self._lock:
                self._stacks.remove(self._local.stack)
            self._local.stack.close()
            del self._local.dataset, self._local.stack

    def close(self) -> None:
        """Close the datasets of all threads."""
        for stack in self._stacks:
            stack.close()
        self._stacks.clear()
        self._local = threading.local()


M_TRIM_THRESHOLD = -1

M_MMAP_THRESHOLD = -3

KEPT_BLOCK_BYTES = 1 << 30
"""Size, in bytes, up to which freed blocks are kept for the next array."""


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks instead of returning them and faulting them in again.

    Does nothing without glibc.

    Source: mallopt(3).
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK_BYTES)
    mallopt(M_TRIM_THRESHOLD, KEPT_BLOCK_BYTES)
