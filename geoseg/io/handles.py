"""Datasets that threads do not share."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any


class Handles:
    """A dataset for each thread that asks: GDAL's are not to be shared.

    Args:
        open_one: Opens a dataset, and leaves with the stack what is to be done at the end.
    """

    def __init__(self, open_one: Callable[[ExitStack], Any]) -> None:
        self._open_one = open_one
        self._local = threading.local()
        self._lock = threading.Lock()
        self._stacks: list[ExitStack] = []

    @property
    def own(self) -> Any:
        """This thread's dataset, opened when it is first asked for."""
        if not hasattr(self._local, "dataset"):
            with ExitStack() as stack:  # what is half open is closed
                self._local.dataset = self._open_one(stack)
                self._local.stack = stack.pop_all()
                with self._lock:
                    self._stacks.append(self._local.stack)
        return self._local.dataset

    def drop(self) -> None:
        """Close this thread's dataset; when it asks again, another is opened."""
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
