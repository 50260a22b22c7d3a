"""Jobs are sent to the workers of a cluster, and again to others where that is needed."""

import asyncio
import itertools
import pickle
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

import geoseg
from geoseg.cluster.connect import Cluster
from geoseg.cluster.jobs import (
    FINAL,
    MOST_IN_A_GROUP,
    Job,
    TimeLimits,
    as_error,
    delay_before,
    from_json,
)
from geoseg.errors import ClusterError, GeosegError, issue_warning

TRIES = 3
"""Workers on which a job fails before it is given up."""

STRIKES = 2
"""Jobs that failed on a worker and went well on another, from which on it gets no more."""

LEAST_WAITING = 128
"""Tasks that the scheduler knows, besides four for each worker; short ones come by the dozen."""

TICK_S = 1.0
"""Time between two looks at what is waiting."""

FETCH_S = 2.0
"""Time in which the answer of a task that has ended is fetched from its worker."""

GIVE_UP_S = 30.0
"""Time without any worker that may be used, though there are some."""


@dataclass
class _Group:
    """Jobs that are sent as one task."""

    jobs: list[Job]
    workers: frozenset[str] | None
    """Those that may do it; None: all."""


@dataclass
class _State:
    """What is known of a job that is not done."""

    tried: set[str] = field(default_factory=set)
    failures: int = 0
    begun: int = 0
    """How often a worker has begun it."""

    not_before: float = 0.0


Answer = tuple[Job, Any]
"""A job and its result, or the `GeosegError` that it ends in."""


class Pool:
    """Does jobs on a cluster: no more than a bounded number of them is known to the scheduler.

    A group whose worker is lost is given to another one by Dask. A job that fails is tried on
    three workers. A worker that refuses, or on which fails what goes well elsewhere, gets no more.
    """

    def __init__(
        self,
        cluster: Cluster,
        plan: Any,
        *,
        group: int = 1,
        limits: TimeLimits | None = None,
        warn: Callable[[str], None] = lambda _: None,
        info: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Prepare to send jobs.

        Args:
            cluster: Where to.
            plan: What all jobs are given besides their arguments; pickled.
            group: Jobs that are sent at a time, at most; never more windows than
                `MOST_IN_A_GROUP`.
            limits: Of time.
            warn: Is told of workers that are not used any more; what jobs warn of is a
                `GeosegWarning` here, too.
            info: Is told of what the user waits for.
        """
        self._cluster = cluster
        self.plan = plan
        self._group = group
        self._limits = limits or TimeLimits()
        self._warn, self._info = warn, info
        self._topic = f"geoseg-{uuid.uuid4().hex[:12]}"
        self._numbers = itertools.count()
        self._urgent: deque[Job] = deque()
        self._again: list[Job] = []
        self._flying: dict[Any, _Group] = {}
        self._landed: SimpleQueue[Any] = SimpleQueue()
        self._states: dict[str, _State] = {}
        self._benched: dict[str, str] = {}
        self._strikes: Counter[str] = Counter()
        self._looked = 0.0
        self._usable_at = monotonic()
        self._heard_at = monotonic()
        self._workers: dict[str, Any] = {}
        self._call = _by_value()

    def add(self, job: Job) -> None:
        """Have a job done before those that wait."""
        self._urgent.append(job)

    def run(self, jobs: Iterable[Job] = ()) -> Iterator[Answer]:
        """Do jobs, and those that are added meanwhile; give each as it is done.

        Args:
            jobs: Taken as workers become free.

        Raises:
            ClusterError: If the scheduler is lost, or no worker can be used.
        """
        waiting = iter(jobs)
        client = self._cluster.client
        client.subscribe_topic(self._topic, self._heard)
        try:
            while True:
                self._look()
                is_empty = self._fill(waiting)
                if is_empty and not self._flying and not self._again and not self._urgent:
                    return
                yield from self._settle(self._next_landed())
        finally:
            self._stop()

    def _stop(self) -> None:
        client = self._cluster.client
        if client.status == "running":
            client.unsubscribe_topic(self._topic)
            if self._flying:
                client.cancel(list(self._flying), force=True)
        self._flying.clear()

    def _heard(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Take note of a job that begins; runs in the client's thread."""
        self._state(event[1]["begun"]).begun += 1

    def _state(self, key: str) -> _State:
        return self._states.setdefault(key, _State())

    def _look(self) -> None:
        """Look at the workers now and then: which there are, and what waits for those gone."""
        if monotonic() - self._looked < TICK_S:
            return
        self._looked = monotonic()
        self._cluster.refuse_lost()
        self._workers = self._cluster.workers
        usable = self._workers.keys() - self._benched.keys()
        if usable or not self._workers:
            self._usable_at = monotonic()
        elif monotonic() - self._usable_at > GIVE_UP_S:
            reasons = "; ".join(dict.fromkeys(self._benched.values()))
            raise ClusterError(f"{self._cluster.name}: no worker can be used: {reasons}")
        if self._workers or not self._flying:
            self._heard_at = monotonic()
        elif monotonic() - self._heard_at > 6 * 10:
            self._heard_at = monotonic()
            self._info(f"{self._cluster.name}: has no workers; waiting for new ones")
        for future, group in list(self._flying.items()):
            if group.workers is not None and not group.workers & usable:
                self._flying.pop(future)
                self._cluster.client.cancel([future], force=True)
                self._again += group.jobs

    def _fill(self, waiting: Iterator[Job]) -> bool:
        """Send as much as there is room for; whether nothing more waits."""
        room = 4 * max(len(self._workers), 1) + LEAST_WAITING - len(self._flying)
        groups: list[_Group] = []
        while self._urgent and len(groups) < room:
            groups.append(self._allowed([self._urgent.popleft()]))
        now = monotonic()
        for job in [each for each in self._again if self._state(each.key).not_before <= now]:
            self._again.remove(job)
            groups.append(self._allowed([job]))
        is_empty = False
        while len(groups) < room and not is_empty:
            jobs, is_empty = self._take(waiting)
            if jobs:
                groups.append(self._allowed(jobs))
        if groups:
            self._send(groups)
        return is_empty

    def _take(self, waiting: Iterator[Job]) -> tuple[list[Job], bool]:
        """The next jobs that go together, and whether they are the last."""
        jobs: list[Job] = []
        while len(jobs) < self._group and sum(each.windows for each in jobs) < MOST_IN_A_GROUP:
            job = next(waiting, None)
            if job is None:
                return jobs, True
            jobs.append(job)
        return jobs, False

    def _allowed(self, jobs: list[Job]) -> _Group:
        """Jobs with the workers that may do them: not those that failed, if there are others."""
        tried = set().union(*(self._states[j.key].tried for j in jobs if j.key in self._states))
        if not tried and not self._benched:
            return _Group(jobs, None)
        usable = self._workers.keys() - self._benched.keys()
        chosen = frozenset(usable - tried or usable)
        return _Group(jobs, chosen or None)

    def _send(self, groups: Sequence[_Group]) -> None:
        """Send groups, those for the same workers in one message."""
        alike: dict[frozenset[str] | None, list[_Group]] = {}
        for group in groups:
            alike.setdefault(group.workers, []).append(group)
        for workers, own in alike.items():
            futures = self._cluster.client.map(
                partial(self._call, geoseg.__version__),
                [self._packed(group.jobs) for group in own],
                key=[f"{self._topic}-{next(self._numbers)}" for _ in own],
                workers=None if workers is None else sorted(workers),
                pure=False,
            )
            for future, group in zip(futures, own, strict=True):
                self._flying[future] = group
                future.add_done_callback(self._landed.put)

    def _packed(self, jobs: Sequence[Job]) -> bytes:
        orders = [
            {
                "key": job.key,
                "work": job.work,
                "arguments": job.arguments,
                "limit": self._limits.of(job),
            }
            for job in jobs
        ]
        return pickle.dumps(
            {
                "jobs": orders,
                "plan": self.plan,
                "folder": str(Path.cwd()),
                "topic": self._topic,
                "is_local": self._cluster.is_local,
                "processes": self._cluster.expected,
            }
        )

    def _next_landed(self) -> list[Any]:
        """Tasks that have ended; none within a while is possible."""
        found = []
        try:
            found.append(self._landed.get(timeout=TICK_S / 2))
            while True:
                found.append(self._landed.get_nowait())
        except Empty:
            return [each for each in found if each in self._flying]

    def _settle(self, futures: Sequence[Any]) -> Iterator[Answer]:
        """Answers of tasks that have ended; those without one are sent again."""
        told = self._gathered([each for each in futures if each.status == "finished"])
        for future in futures:
            group = self._flying.pop(future)
            if future in told:
                yield from self._taken(group, from_json(told[future]))
            else:
                yield from self._lost(group, future)

    def _gathered(self, futures: Sequence[Any]) -> dict[Any, str]:
        """What tasks gave; an answer whose worker ends before it is fetched is missing."""

        async def fetch() -> list[Any]:
            waits = [asyncio.wait_for(each.result(), FETCH_S) for each in futures]
            return await asyncio.gather(*waits, return_exceptions=True)

        answers = self._cluster.client.sync(fetch) if futures else []
        found = zip(futures, answers, strict=True)
        return {each: answer for each, answer in found if isinstance(answer, str)}

    def _taken(self, group: _Group, answer: Mapping[str, Any]) -> Iterator[Answer]:
        worker = answer["worker"]
        if "refused" in answer:
            self._bench(worker, answer["refused"])
            self._again += group.jobs
            return
        for job, own in zip(group.jobs, answer["jobs"], strict=True):
            for said in own["warnings"]:
                issue_warning(said)
            state = self._states.get(job.key, _State())
            if "result" in own:
                self._limits.learn(job, own["seconds"])
                self._strikes.pop(worker, None)
                self._strike(state.tried - {worker})
                yield self._ended(job, own["result"])
            else:
                yield from self._failed(job, as_error(own), worker)

    def _lost(self, group: _Group, future: Any) -> Iterator[Answer]:
        """Jobs of a task that Dask has given up: its workers died, or could not understand it."""
        from distributed import KilledWorker

        self._cluster.refuse_lost()
        error = future.exception() if future.status == "error" else None
        if error is None:  # the answer is lost, or the scheduler has forgotten the task
            self._cluster.client.cancel([future], force=True)
            self._again += group.jobs
            return
        for job in group.jobs:
            begun = self._state(job.key).begun
            if isinstance(error, KilledWorker) and begun < TRIES:
                self._again.append(job)
            elif isinstance(error, KilledWorker):
                yield self._ended(
                    job,
                    ClusterError(
                        f"{job.key}: {begun} workers ended while they did it: the system killed "
                        f"them (out of memory?), or it took longer than its limit of "
                        f"{self._limits.of(job):.0f} s"
                    ),
                )
            else:
                said = " ".join(f"{type(error).__name__}: {error}".split())
                yield from self._failed(job, ClusterError(f"{job.key}: {said}"), "")

    def _failed(self, job: Job, error: GeosegError, worker: str) -> Iterator[Answer]:
        state = self._state(job.key)
        state.failures += 1
        state.tried.add(worker)
        if isinstance(error, FINAL) or state.failures >= TRIES:
            yield self._ended(job, error)
            return
        state.not_before = monotonic() + delay_before(state.failures)
        self._again.append(job)

    def _ended(self, job: Job, result: Any) -> Answer:
        self._states.pop(job.key, None)
        return job, result

    def _strike(self, workers: Iterable[str]) -> None:
        """Hold a job that went well elsewhere against workers on which it failed."""
        for worker in workers:
            self._strikes[worker] += 1
            if self._strikes[worker] >= STRIKES:
                self._bench(worker, f"{STRIKES} jobs failed there that went well elsewhere")

    def _bench(self, worker: str, why: str) -> None:
        if worker not in self._benched:
            self._benched[worker] = why
            self._warn(f"worker {worker} is not used: {why}")


def _by_value() -> Callable[[str, bytes], str]:
    """The function that workers get: not by its name, as their geoseg may be another, or none."""

    def run(version: str, order: bytes) -> str:
        import json

        from distributed import get_worker

        worker = {"worker": get_worker().address}
        try:
            import geoseg
        except ImportError as error:
            return json.dumps(worker | {"refused": f"geoseg is not installed there: {error}"})
        if geoseg.__version__ != version:
            which = f"geoseg {geoseg.__version__} is installed there, {version} here"
            return json.dumps(worker | {"refused": which})
        from geoseg.cluster.worker import run_group

        return json.dumps(json.loads(run_group(order)) | worker)

    return run
