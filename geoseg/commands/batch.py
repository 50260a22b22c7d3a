"""Several inputs in a row: one bad file does not stop the others, and is named at the end."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from geoseg.commands.talk import Talk
from geoseg.errors import BatchError, GeosegError, OutputError

T = TypeVar("T")
R = TypeVar("R")


class Batch:
    """Results and failures of a row of inputs."""

    def __init__(self, talk: Talk) -> None:
        self.failures: list[str] = []
        self._talk = talk
        self._count = 0

    def run(self, items: Iterable[T], work: Callable[[T], R]) -> list[R]:
        """Results of the items that went well.

        Raises:
            GeosegError: If there is only one item, and it fails.
            OutputError: If there is no way to write: the others would fail as well.
        """
        todo = list(items)
        self._count = len(todo)
        results = []
        for item in todo:
            try:
                results.append(work(item))
            except GeosegError as error:
                if len(todo) == 1 or isinstance(error, OutputError):
                    raise
                self.failures.append(str(error))
                self._talk.warn(str(error))
        return results

    def finish(self) -> None:
        """Name the failures.

        Raises:
            BatchError: If there are any.
        """
        if self.failures:
            raise BatchError(
                f"{len(self.failures)} of {self._count} inputs failed: {'; '.join(self.failures)}"
            )
