import numpy as np
import pytest
from maps import applied, blotches, picture
from scipy import ndimage

from geoseg.postprocess.postprocess import majority


def mode_or_own(values):
    """Of a square around a pixel, by counting; -1 lies beyond the map."""
    own = values[len(values) // 2]
    classes, counts = np.unique(values[(values >= 0) & (values != 255)], return_counts=True)
    if own == 255 or np.count_nonzero(counts == counts.max()) > 1:
        return own
    return classes[counts.argmax()]


@pytest.mark.parametrize("side", [3, 5, 9])
def test_the_commonest_class_is_the_one_that_counting_gives(side):
    indices = blotches(side, classes=4)

    smoothed = [applied(majority, indices, side, rows=rows) for rows in (1, 4, 43)]

    expected = ndimage.generic_filter(
        indices.astype(int), mode_or_own, side, mode="constant", cval=-1
    )
    assert all((each == expected).all() for each in smoothed)


def test_no_class_comes_between_two_others():
    edge = picture("0002222", "0002222", "0002222")

    assert (applied(majority, edge, 3) == edge).all()


def test_a_tie_changes_nothing():
    tie = picture("01")  # one pixel each

    assert (applied(majority, tie, 3) == tie).all()


def test_nodata_neither_counts_nor_changes():
    hole = picture("...", ".1.", "..0")

    assert (applied(majority, hole, 3) == hole).all()


def test_a_square_wider_than_the_map_is_possible():
    assert (applied(majority, picture("001"), 9, rows=1) == 0).all()
