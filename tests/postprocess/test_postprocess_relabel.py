import numpy as np
import pytest
from maps import applied, blotches, picture
from scipy import ndimage

from geoseg.postprocess.postprocess import PixelRule, apply_rules, fill_holes


def scipys_holes(indices, around, limit, connectivity):
    """By scipy: regions of other classes that neither touch the frame nor nodata."""
    ring = np.ones((3, 3)) if connectivity == 4 else None
    framed = np.pad(indices, 1, constant_values=255)
    labels, count = ndimage.label((framed != around) & (framed != 255), ring)
    beyond = np.unique(labels[ndimage.binary_dilation(framed == 255, np.ones((3, 3)))])
    filled = framed.copy()
    for number in set(range(1, count + 1)) - set(beyond.tolist()):
        if (labels == number).sum() < limit:
            filled[labels == number] = around
    return filled[1:-1, 1:-1]


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_hole_of_several_classes_is_filled_as_a_whole(rows):
    yard = picture("11111", "10231", "11111")

    assert (applied(fill_holes, yard, 1, 4, 4, rows=rows) == 1).all()
    assert (applied(fill_holes, yard, 1, 3, 4, rows=rows) == yard).all()


@pytest.mark.parametrize(
    "open_one",
    [
        picture("11111", "11011", "11011"),  # to the map's edge
        picture("11111", "110.1", "11111"),  # to nodata
        picture("11111", "11011", "111.1", "11111"),
    ],
)
def test_what_is_open_is_no_hole(open_one):
    assert (applied(fill_holes, open_one, 1, 9, 4, rows=1) == open_one).all()


def test_walls_that_touch_at_corners_close_only_if_corners_connect():
    ring = picture("0010", "0101", "0010", "0000")

    assert applied(fill_holes, ring, 1, 9, 8)[1, 2] == 1
    assert (applied(fill_holes, ring, 1, 9, 4) == ring).all()


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("rows", [1, 6, 43])
def test_holes_are_scipys_whatever_the_strips(connectivity, rows):
    rng = np.random.default_rng(rows)
    indices = np.where(rng.random((43, 37)) < 0.75, 1, rng.integers(0, 3, (43, 37)))
    indices[20:22, 5:9] = 255

    filled = applied(fill_holes, indices.astype(np.uint8), 1, 6, connectivity, rows=rows)

    expected = scipys_holes(indices, 1, 6, connectivity)
    assert (expected != indices).any()
    assert (filled == expected).all()


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_rules_know_the_whole_region(rows):
    cars = picture("1000", "1001", "1000", "0222")
    rules = [PixelRule(1, larger=False, pixels=3, to_class=2)]

    ruled = applied(apply_rules, cars, rules, 4, rows=rows)

    assert (ruled == picture("1000", "1002", "1000", "0222")).all()


def test_the_first_rule_that_holds_counts_and_sees_the_map_as_it_was():
    row = picture("1102220")
    rules = [
        PixelRule(1, larger=False, pixels=5, to_class=2),
        PixelRule(1, larger=False, pixels=9, to_class=3),
        PixelRule(2, larger=True, pixels=2, to_class=0),
        PixelRule(2, larger=True, pixels=3, to_class=3),
    ]

    assert (applied(apply_rules, row, rules, 4) == picture("2200000")).all()


def test_rules_that_do_not_hold_change_nothing():
    indices = blotches(2)

    assert (applied(apply_rules, indices, [PixelRule(0, True, 10**6, 1)], 8) == indices).all()
