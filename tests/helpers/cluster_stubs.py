"""What workers of a test cluster do in place of predictions."""

import os
import time
from pathlib import Path

import numpy as np
from distributed import get_worker

from geoseg.errors import EmptyError, RasterError


def give(plan, *, value):
    return [plan, value]


def first_worker_dies(plan, *, marker):
    if not Path(marker).exists():
        Path(marker).touch()
        os._exit(9)
    return "done"


def every_worker_dies(plan):
    os._exit(9)


def first_worker_hangs(plan, *, marker):
    if not Path(marker).exists():
        Path(marker).touch()
        time.sleep(600)
    return "done"


def fail(plan, *, log):
    with Path(log).open("a") as file:
        file.write(f"{get_worker().address}\n")
    raise RasterError("torn.tif: cannot be read")


def fail_for_good(plan, *, log):
    with Path(log).open("a") as file:
        file.write("tried\n")
    raise EmptyError("no pixel with data")


def full_disk_on_one_worker(plan, *, address):
    if get_worker().address == address:
        raise OSError(28, "No space left on device")
    time.sleep(0.05)
    return get_worker().address


def array(plan):
    return np.zeros(3)


def folder(plan):
    return str(Path.cwd())
