"""Jobs, and their answers as JSON: what passes between a command and the workers of a cluster."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import geoseg.errors
from geoseg.errors import (
    ClusterError,
    EmptyError,
    GeosegError,
    GridMismatchError,
    LegendError,
    NoPolygonError,
    OutputConflictError,
    PartlyReadError,
)

FINAL = (EmptyError, GridMismatchError, LegendError, OutputConflictError, PartlyReadError)
"""Failures that are the same wherever a job is done; all others may be a worker's own."""

BASE_S, FIRST_S_PER_WINDOW = 900.0, 60.0
"""Time that a job may take, and more for each of its windows, until jobs are done."""

LEAST_S, TIMES_THE_SLOWEST = 300.0, 10.0
"""Time that a job may take, and how many times the slowest job's per window, from then on."""


@dataclass(frozen=True)
class Job:
    """What is done as one thing, once or, if a worker is lost, again."""

    key: str
    """Names it in messages; its own in a pool."""

    work: str
    """Function that does it, ``package.module:name``, given the pool's plan and the arguments."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Whatever pickle takes, but no arrays."""

    windows: int = 1
    """By which jobs are grouped and their time is limited."""


@dataclass
class TimeLimits:
    """How long jobs may take, by their windows."""

    base: float = BASE_S
    per_window: float = FIRST_S_PER_WINDOW
    _slowest: float = 0.0

    def of(self, job: Job) -> float:
        """Seconds that a job may take."""
        if not self._slowest:
            return self.base + self.per_window * job.windows
        least = min(LEAST_S, self.base)
        return least + TIMES_THE_SLOWEST * self._slowest * job.windows

    def learn(self, job: Job, seconds: float) -> None:
        """Take note of how long a job took."""
        self._slowest = max(self._slowest, seconds / job.windows)


def as_failure(error: BaseException) -> dict[str, Any]:
    """An error for JSON.

    >>> as_failure(EmptyError("no pixel"))
    {'error': 'EmptyError', 'message': 'no pixel'}
    """
    if not isinstance(error, GeosegError):
        said = " ".join(str(error).split())
        return {"error": "ClusterError", "message": f"{type(error).__name__}: {said}"}
    failure: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, NoPolygonError):
        failure |= {"paths": sorted(map(str, error.paths)), "is_plausible": error.is_plausible}
    return failure


def as_error(failure: Mapping[str, Any]) -> GeosegError:
    """The error that `as_failure` was given, with its message.

    >>> as_error({"error": "EmptyError", "message": "no pixel"})
    EmptyError('no pixel')
    """
    kind = getattr(geoseg.errors, failure["error"], ClusterError)
    error: GeosegError = kind.__new__(kind)
    error.args = (failure["message"],)
    if isinstance(error, NoPolygonError):
        error.paths = frozenset(map(Path, failure["paths"]))
        error.is_plausible = failure["is_plausible"]
    return error


def to_json(answer: Any) -> str:
    """An answer as text.

    Raises:
        TypeError: If it holds what JSON does not have, such as an array.
    """
    return json.dumps(answer)


def from_json(text: str) -> Any:
    """What `to_json` was given; lists for tuples."""
    return json.loads(text)


def report_record(report: Any) -> dict[str, Any]:
    """A step's report, a dataclass with the path of an output, for JSON."""
    return {**asdict(report), "path": str(report.path)}


def group_size(jobs: int, workers: int) -> int:
    """Small jobs that are sent to a worker at a time, at most.

    So many that sending them costs little, so few that all workers are done about the same time.

    >>> group_size(300, 2), group_size(3, 4), group_size(1_000_000, 100)
    (18, 1, 64)
    """
    return max(1, min(MOST_IN_A_GROUP, jobs // (workers * GROUPS_PER_WORKER)))


MOST_IN_A_GROUP = 64
"""Jobs, and about as many windows, that are sent to a worker at a time."""

GROUPS_PER_WORKER = 8
"""Groups that each worker gets, at least, if there are enough jobs."""


def delay_before(attempt: int) -> float:
    """Seconds to wait before a job is tried again.

    >>> delay_before(1), delay_before(2)
    (1.0, 4.0)
    """
    return math.pow(4.0, attempt - 1)
