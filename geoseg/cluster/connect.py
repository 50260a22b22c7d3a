"""Clusters by name: processes of this machine, a Dask scheduler, or jobs of a batch system."""

import gc
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

from geoseg.errors import ClusterError
from geoseg.raster.threads import core_count

BATCH_SYSTEMS = {"slurm": "SLURM", "pbs": "PBS", "lsf": "LSF", "sge": "SGE"}
"""Batch systems by the names of users, and as dask-jobqueue has them."""

JOBS = 8
"""Jobs of a batch system, unless the user names a number."""

FORMS = "local:4, tcp://HOST:8786, slurm, pbs, lsf or sge (slurm:20 for 20 jobs), or FILE.json"

PATIENCE_S = 10.0
"""Time without a worker after which the user is told, and again each minute."""


class ClusterName(NamedTuple):
    """A cluster as the user names it."""

    kind: str
    """``local``, ``address``, ``file``, or a batch system."""

    number: int = 0
    """Of processes, or jobs."""

    place: str = ""
    """Address, or file."""

    @classmethod
    def parse(cls, text: str) -> "ClusterName":
        """A name.

        Raises:
            ValueError: If it is of no known form.

        >>> ClusterName.parse("local:4"), ClusterName.parse("slurm").number
        (ClusterName(kind='local', number=4, place=''), 8)
        """
        if found := re.fullmatch(r"(local|slurm|pbs|lsf|sge)(?::(\d+))?", text):
            kind, number = found[1], found[2]
            if number is not None and int(number) < 1:
                raise ValueError(f"{text!r}: at least one process is needed")
            usual = JOBS if kind != "local" else core_count()
            return cls(kind, int(number) if number else usual)
        if re.fullmatch(r"(tcp|tls|ws|wss|ucx|ucxx)://\S+", text):
            return cls("address", place=text)
        if text.endswith(".json"):
            return cls("file", place=text)
        raise ValueError(f"{text!r} is no cluster; write {FORMS}")


@dataclass
class Cluster:
    """A cluster that is connected."""

    name: str
    client: Any
    is_local: bool
    expected: int
    """Workers that it will have; 0: unknown."""

    @property
    def workers(self) -> dict[str, Any]:
        """Workers that it has now, by address.

        Raises:
            ClusterError: If the scheduler is lost.
        """
        found: dict[str, Any] | None = self.client.scheduler_info(n_workers=-1).get("workers")
        if found is None:
            raise self._lost
        return found

    def wait_for_workers(self, info: Callable[[str], None]) -> int:
        """Wait until there is a worker, and of a local cluster until all are there.

        Returns:
            How many workers there are, or will be.
        """
        wanted = self.expected if self.is_local else 1
        begun, told = monotonic(), 0.0
        while (count := len(self.workers)) < wanted:
            self.refuse_lost()
            waited = monotonic() - begun
            if waited > PATIENCE_S and waited - told > 6 * PATIENCE_S * bool(told):
                told = waited
                info(f"{self.name}: waiting for workers, {count} so far")
            sleep(0.05)
        return max(count, self.expected)

    def refuse_lost(self) -> None:
        """See that the scheduler is there.

        Raises:
            ClusterError: If it is not.
        """
        if self.client.status not in ("running", "connecting"):
            raise self._lost

    @property
    def _lost(self) -> ClusterError:
        return ClusterError(
            f"{self.name}: the connection to the scheduler is lost; what is done stays, go on with "
            f"--resume"
        )


@contextmanager
def connected(text: str) -> Iterator[Cluster]:
    """Start or find a cluster; what was started ends with the block.

    Args:
        text: Its name, as `ClusterName` takes it.

    Raises:
        ClusterError: If it cannot be reached, or Dask is not installed.
        ValueError: If the name is of no known form.
    """
    name = ClusterName.parse(text)
    try:
        import dask
        import distributed
    except ImportError as error:
        raise ClusterError(
            f"--cluster needs Dask, which is not installed ({error}): pip install 'geoseg[dask]'"
        ) from None
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.enter_context(dask.config.set(SETTINGS))
        try:
            target, expected = _TARGETS.get(name.kind, _batch_system)(name, stack)
            client = distributed.Client(**target, set_as_default=False, timeout=PATIENCE_S)
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            said = " ".join(str(error).split())
            raise ClusterError(f"--cluster {text}: cannot be reached: {said}") from error
        stack.callback(_close, client)
        yield Cluster(text, client, name.kind == "local", expected)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave what goes wrong to `pool`, which tells it in a line; Dask logs much of it besides."""
    names = [each for each in logging.root.manager.loggerDict if each.startswith("distributed")]
    loggers = [logging.getLogger(each) for each in ("asyncio", "distributed", *names)]
    levels = [each.level for each in loggers]
    try:
        for each in loggers:
            each.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        gc.collect()  # a task of Dask that nobody waits for any more complains as it goes
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


SETTINGS = {
    "distributed.admin.low-level-log-length": 1000,
    "distributed.scheduler.allowed-failures": 2,
    "distributed.worker.profile.enabled": False,
}
"""Of clusters that are started here."""


def _local(name: ClusterName, stack: ExitStack) -> tuple[dict[str, Any], int]:
    """Processes of this machine, each with its share of the processors."""
    import dask
    from distributed import LocalCluster

    threads = str(max(core_count() // name.number, 1))
    own = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    stay = {
        "distributed.nanny.pre-spawn-environ": own,
        "distributed.deploy.lost-worker-timeout": "9999h",
    }
    stack.enter_context(dask.config.set(stay))  # a process that ends is replaced, however often
    cluster = LocalCluster(
        n_workers=name.number,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit=0,  # each step limits its own
        silence_logs=logging.CRITICAL,
    )
    stack.callback(_close, cluster)
    return {"address": cluster}, name.number


def _address(name: ClusterName, _: ExitStack) -> tuple[dict[str, Any], int]:
    return {"address": name.place}, 0


def _file(name: ClusterName, _: ExitStack) -> tuple[dict[str, Any], int]:
    if not Path(name.place).is_file():
        raise ClusterError(
            f"--cluster {name.place}: no such file; `dask scheduler --scheduler-file` writes it"
        )
    return {"scheduler_file": name.place}, 0


def _batch_system(name: ClusterName, stack: ExitStack) -> tuple[dict[str, Any], int]:
    """Jobs of a batch system, by the user's configuration of dask-jobqueue."""
    import dask_jobqueue

    cluster = getattr(dask_jobqueue, f"{BATCH_SYSTEMS[name.kind]}Cluster")()
    stack.callback(_close, cluster)
    cluster.scale(jobs=name.number)
    return {"address": cluster}, name.number


_TARGETS: dict[str, Callable[[ClusterName, ExitStack], tuple[dict[str, Any], int]]] = {
    "local": _local,
    "address": _address,
    "file": _file,
}


def _close(each: Any) -> None:
    """End a client or a cluster, whatever state it is in."""
    with suppress(Exception):
        each.close(timeout=5)
