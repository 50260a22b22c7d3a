"""Work in threads on files that must not be closed under them."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, wait
from typing import Any, TypeVar

R = TypeVar("R")

AHEAD = 32
"""Pieces of work that are begun before the result of the first is taken."""


def map_in_order(
    pool: Executor, work: Callable[..., R], *arguments: Iterable[Any], ahead: int = AHEAD
) -> Generator[R]:
    """Results in the order of the arguments, as from `Executor.map`, but ``ahead`` at a time.

    If one fails, or the consumer stops, what has not begun is cancelled and what has is
    waited for: afterwards no thread uses the caller's files any more.
    """
    begun: deque[Future[R]] = deque()
    try:
        for each in zip(*arguments, strict=True):
            if len(begun) == ahead:
                yield begun.popleft().result()
            begun.append(pool.submit(work, *each))
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()
        wait(begun)
