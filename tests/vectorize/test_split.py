"""Objects that touch are told apart, and none is torn."""

import numpy as np
import pytest
from scipy import ndimage

from geoseg.vectorize.split import split

FIELD = (90, 90)


def turned(angle):
    """(2, height, width) coordinates along and across a direction, from the middle of the field."""
    rows, columns = np.indices(FIELD) - 45
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return columns * cos + rows * sin, rows * cos - columns * sin


def inside(along, across, box):
    """Pixels of a box: from, to along; from, to across."""
    left, right, top, bottom = box
    return (along >= left) & (along < right) & (across >= top) & (across < bottom)


@pytest.mark.parametrize("angle", range(0, 90, 8))
def test_a_rectangle_and_an_l_are_one_object(angle):
    house = inside(*turned(angle), (-28, 28, -9, 9))
    wing = inside(*turned(angle), (10, 28, 0, 30))

    assert np.array_equal(split(house), house)
    assert np.array_equal(split(house | wing), house | wing)


@pytest.mark.parametrize("seed", range(5))
def test_a_rough_border_tears_nothing(seed):
    draw = np.random.default_rng(seed).random(FIELD)
    rough = 25 * (ndimage.gaussian_filter(draw, 1.5) - 0.5)
    along, across = turned(20)
    house = inside(along + rough, across + rough, (-28, 28, -11, 11))
    largest = ndimage.label(house)[0]
    house = largest == np.bincount(largest[largest > 0]).argmax()

    assert split(house).max() == 1


@pytest.mark.parametrize("angle", [0, 30, 45])
def test_houses_that_touch_along_a_neck_are_divided_there(angle):
    place = turned(angle)
    left, right = inside(*place, (-26, -2, -10, 10)), inside(*place, (2, 26, -10, 10))
    neck = inside(*place, (-2, 2, -4, 4)) & ~left & ~right

    objects = split(left | right | neck)

    assert len(np.unique(objects[left])) == len(np.unique(objects[right])) == 1
    assert objects.max() == 2


def test_low_scores_divide_a_row_without_a_neck():
    row = inside(*turned(0), (-30, 30, -10, 10))
    scores = np.where(row, 0.95, 0.2)
    scores[:, [34, 35, 54, 55]] = np.where(row, 0.6, 0.2)[:, [34, 35, 54, 55]]

    assert split(row).max() == 1
    assert split(row, np.where(row, 0.95, 0.2)).max() == 1
    assert split(row, scores).max() == 3


def test_objects_are_connected_by_sides_of_pixels():
    noise = np.random.default_rng(1).random(FIELD) < 0.6

    objects = split(noise)

    assert np.array_equal(objects > 0, noise)
    for number in range(1, objects.max() + 1):
        assert ndimage.label(objects == number)[1] == 1


def test_a_full_and_an_empty_mask_are_no_special_case():
    assert (split(np.ones((5, 7), np.bool_)) == 1).all()
    assert not split(np.zeros((5, 7), np.bool_)).any()
