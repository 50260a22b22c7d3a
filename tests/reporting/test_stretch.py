import numpy as np
import pytest

from geoseg.reporting.stretch import Stretch, averaged, visible_bands, with_alpha


def pixel(red, alpha):
    return [red, 0, 0, alpha]


def test_a_square_becomes_its_mean():
    picture = np.array(
        [[pixel(10, 255), pixel(20, 255)], [pixel(30, 255), pixel(40, 255)]], np.uint8
    )

    assert averaged(picture, 2).tolist() == [[pixel(25, 255)]]


def test_what_is_transparent_has_no_part_in_the_mean():
    picture = np.array(
        [
            [pixel(99, 0), pixel(20, 255), pixel(99, 0)],
            [pixel(30, 255), pixel(99, 0), pixel(99, 0)],
        ],
        np.uint8,
    )

    assert averaged(picture, 2).tolist() == [[pixel(25, 255), pixel(0, 0)]]


def test_the_last_squares_may_be_cut():
    picture = np.full((3, 5, 4), 255, np.uint8)

    assert (averaged(picture, 4) == np.full((1, 2, 4), 255)).all()


def test_each_band_may_have_its_own_stretch():
    image = np.array([[[0, 100]], [[1000, 3000]]])

    stretched = Stretch.of(image.reshape(2, -1))(image)

    assert stretched.tolist() == [[[0, 255]], [[0, 255]]]


def test_nothing_known_is_no_failure():
    assert Stretch.of(np.zeros(0))(np.array([[[0.0, np.nan, 1.0]]])).tolist() == [[[0, 0, 255]]]


@pytest.mark.parametrize(("bands", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (4, [0, 1, 2])])
def test_three_bands_are_seen(bands, shown):
    image = np.arange(bands)[:, None, None]

    assert visible_bands(image).ravel().tolist() == shown


def test_what_is_not_valid_is_transparent_black():
    colors = np.full((3, 1, 2), 7, np.uint8)

    assert with_alpha(colors, np.array([[True, False]])).tolist() == [[[7, 7, 7, 255], [0] * 4]]
