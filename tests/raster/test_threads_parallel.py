import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from geoseg.raster import threads
from geoseg.raster.threads import map_in_order


def test_results_come_in_order_however_long_they_take():
    def work(seconds):
        time.sleep(seconds)
        return seconds

    with ThreadPoolExecutor(4) as pool:
        assert list(map_in_order(pool, work, [0.05, 0, 0.02, 0])) == [0.05, 0, 0.02, 0]


def test_only_a_few_calls_are_started_ahead():
    begun = []

    def arguments():
        for number in range(20):
            begun.append(number)
            yield number

    with ThreadPoolExecutor(2) as pool:
        results = map_in_order(pool, lambda number: number, arguments(), ahead=3)
        assert next(results) == 0
        assert len(begun) <= 5
        assert list(results) == list(range(1, 20))


def test_running_calls_are_waited_for_when_one_fails():
    done = []

    def work(number):
        if number == 0:
            raise LookupError
        time.sleep(0.05)
        done.append(number)

    with ThreadPoolExecutor(2) as pool, pytest.raises(LookupError):
        list(map_in_order(pool, work, range(9), ahead=4))

    count = len(done)
    time.sleep(0.1)
    assert len(done) == count < 8


def test_cores_are_those_that_the_process_is_bound_to(monkeypatch, tmp_path):
    monkeypatch.setattr(threads, "CPU_QUOTA", tmp_path / "none")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5, 7}, raising=False)
    assert threads.core_count() == 3


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("200000 100000", 2), ("50000 100000", 1), ("max 100000", 8), ("6400000 100000", 8)],
)
def test_cores_are_those_whose_time_a_container_has(monkeypatch, tmp_path, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "CPU_QUOTA", tmp_path / "cpu.max")
    threads.CPU_QUOTA.write_text(quota + "\n")
    assert threads.core_count() == cores


def test_cores_are_all_where_processes_are_not_bound(monkeypatch, tmp_path):
    monkeypatch.setattr(threads, "CPU_QUOTA", tmp_path / "none")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert threads.core_count() == os.cpu_count()
