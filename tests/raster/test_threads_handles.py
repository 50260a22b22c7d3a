from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from geoseg.raster.threads import Handles


class Shop:
    """Opens numbers, and knows which are open."""

    def __init__(self):
        self.open = []
        self.count = 0

    def __call__(self, stack):
        self.count += 1
        self.open.append(self.count)
        stack.callback(self.open.remove, self.count)
        return self.count


def test_a_thread_keeps_its_own():
    shop = Shop()
    handles = Handles(shop)
    together = Barrier(3)

    def ask(_):
        together.wait()
        return {handles.own for _ in range(5)}

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(ask, range(3)))

    assert sorted(found, key=min) == [{1}, {2}, {3}]
    assert shop.open == [1, 2, 3]
    handles.close()
    assert shop.open == []


def test_a_dropped_dataset_is_opened_again():
    shop = Shop()
    handles = Handles(shop)

    assert handles.own == 1
    handles.drop()
    assert shop.open == []
    handles.drop()
    assert handles.own == 2
    handles.close()
    assert shop.open == []
    assert handles.own == 3


def test_what_is_half_open_is_closed():
    shop = Shop()

    def fail(stack):
        shop(stack)
        raise OSError("half")

    handles = Handles(fail)
    with pytest.raises(OSError, match="half"):
        _ = handles.own
    assert shop.open == []
    handles.close()
