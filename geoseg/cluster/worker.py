"""What runs in the processes of a cluster: the jobs of a group, one after the other."""

import faulthandler
import os
import pickle
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

import psutil

from geoseg.cluster.jobs import as_failure, to_json
from geoseg.errors import GeosegWarning
from geoseg.raster import configure
from geoseg.raster.threads import keep_freed_memory

_alone = Lock()
"""A job takes all of a process: its cores, its working folder and its time limit."""


class RefusedError(Exception):
    """This process cannot do what is asked, though another one may."""


def run_group(order: bytes) -> str:
    """Do the jobs of a group.

    Args:
        order: What `pool` has packed.

    Returns:
        JSON: ``{"jobs": [{"result"} or {"error", "message"}, with "seconds" and "warnings"]}``, or
        ``{"refused": why}``.
    """
    content = pickle.loads(order)  # noqa: S301 by the client, as the function itself
    with _alone:
        try:
            with _in_folder(content["folder"]):
                _configure()
                if content["is_local"]:
                    _take_share(content["processes"])
                return to_json({"jobs": [_done(job, content) for job in content["jobs"]]})
        except RefusedError as error:
            return to_json({"refused": str(error)})


def _done(job: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a job."""
    _tell(content["topic"], job["key"])
    begun = perf_counter()
    with (
        warnings.catch_warnings(record=True) as caught,
        time_limit(job["limit"], is_told=not content["is_local"]),
    ):
        warnings.simplefilter("always", GeosegWarning)
        try:
            answer = {"result": _function(job["work"])(content["plan"], **job["arguments"])}
            to_json(answer)
        except RefusedError:
            raise
        except Exception as error:  # noqa: BLE001 what fails here may go well elsewhere
            answer = as_failure(error)
    said = [str(each.message) for each in caught if issubclass(each.category, GeosegWarning)]
    return answer | {"seconds": perf_counter() - begun, "warnings": said}


def _function(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


def _tell(topic: str, key: str) -> None:
    """Say that a job begins: if the worker dies of it, that is what is known of it."""
    from distributed import get_worker

    with suppress(ValueError):  # not in a worker
        get_worker().log_event(topic, {"begun": key})


@contextmanager
def _in_folder(folder: str) -> Iterator[None]:
    """Work where the command does, so that paths mean the same; the process's folder comes back.

    Raises:
        RefusedError: If the folder is not there.
    """
    before = Path.cwd()
    try:
        os.chdir(folder)
    except OSError as error:
        raise RefusedError(
            f"has no folder {folder} ({error.strerror}); workers need the file system that the "
            f"command sees, under the same paths"
        ) from None
    try:
        yield
    finally:
        os.chdir(before)


def _configure() -> None:
    """Set the process up as the command line does; once is enough, again is harmless."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    configure()
    keep_freed_memory()


_shares: list[int] = []
"""Into how many shares the processors have been divided for this process."""


def _take_share(processes: int) -> None:
    """Keep to a share of the processors, where the system can bind a process to some."""
    from distributed import get_worker

    if processes in _shares:
        return
    _shares.append(processes)
    with suppress(AttributeError, OSError, ValueError):
        process = psutil.Process()
        every, number = process.cpu_affinity(), int(get_worker().name)
        first, stop = (k * len(every) // processes for k in (number, number + 1))
        process.cpu_affinity(every[first:stop] or [every[number % len(every)]])


@contextmanager
def time_limit(seconds: float, *, is_told: bool) -> Iterator[None]:
    """End the process if the block takes longer, whatever it hangs in; others then do its job.

    Args:
        seconds: The limit.
        is_told: Whether stderr, a worker's log, gets the place where it hung.
    """
    with _log(is_told=is_told) as log:
        faulthandler.dump_traceback_later(seconds, exit=True, file=log)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


@contextmanager
def _log(*, is_told: bool) -> Iterator[Any]:
    """A file that the system can write to."""
    number = -1
    with suppress(AttributeError, OSError, ValueError):
        number = sys.stderr.fileno()
    if is_told and number >= 0:
        yield sys.stderr
        return
    with Path(os.devnull).open("w", encoding="utf-8") as nothing:
        yield nothing
