import threading

import pytest

from geoseg.raster.threads import prefetch


@pytest.mark.parametrize("count", [0, 1, 2, 50])
@pytest.mark.parametrize("depth", [1, 2, 100])
def test_items_come_in_order(count, depth):
    assert list(prefetch(iter(range(count)), depth)) == list(range(count))


def test_none_is_an_item():
    assert list(prefetch([None, 1, None])) == [None, 1, None]


def test_an_exception_comes_where_its_item_would_have():
    def items():
        yield 1
        raise LookupError("no more")

    taken = prefetch(items())

    assert next(taken) == 1
    with pytest.raises(LookupError, match="no more"):
        next(taken)


def test_the_thread_stops_if_the_consumer_does():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    source = endless()
    before = threading.active_count()
    taken = prefetch(source)
    assert next(taken) == 1
    taken.close()

    assert threading.active_count() == before
    source.close()
    assert closed.is_set()


def test_no_more_than_depth_is_computed_ahead():
    computed = []
    asked = threading.Semaphore(0)

    def items():
        for number in range(20):
            computed.append(number)
            asked.release()
            yield number

    taken = prefetch(items(), depth=3)
    next(taken)
    for _ in range(5):  # one taken, three waiting, one in hand
        asked.acquire(timeout=10)

    assert computed == [0, 1, 2, 3, 4]
    taken.close()
