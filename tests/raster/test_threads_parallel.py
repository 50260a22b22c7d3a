import time
from concurrent.futures import ThreadPoolExecutor

import pytest

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
