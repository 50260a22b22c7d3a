import numpy as np
import pytest
from scipy import ndimage

from geoseg.labels.boundary import fold_disk


def test_a_disk_of_radius_2_around_one_pixel():
    image = np.zeros((5, 6), np.bool_)
    image[2, 2] = True

    near = fold_disk(image, 2, np.logical_or)

    assert near.astype(int).tolist() == [
        [0, 0, 1, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 1, 0, 0, 0],
    ]


@pytest.mark.parametrize("distance", [0, 1, 1.4, 1.5, 2, 2.9, 3, 5, 7.3, 40])
@pytest.mark.parametrize("shape", [(31, 23), (1, 50), (50, 1), (3, 4)])
def test_what_is_near_is_what_scipys_distance_transform_says(distance, shape):
    rng = np.random.default_rng(int(distance * 10) + shape[0])
    image = rng.random(shape) < 0.05
    image[0, 0] = True

    near = fold_disk(image, distance, np.logical_or)

    assert (near == (ndimage.distance_transform_edt(~image) <= distance)).all()


@pytest.mark.parametrize("distance", [1, 2.5, 6])
def test_extremes_are_those_of_scipys_filters(distance):
    image = np.random.default_rng(0).integers(0, 255, (40, 30), np.uint8)
    side = int(distance)
    rows, cols = np.mgrid[-side : side + 1, -side : side + 1]
    disk = rows**2 + cols**2 <= distance**2

    smallest = fold_disk(image, distance, np.minimum)
    largest = fold_disk(image, distance, np.maximum)

    near = {"footprint": disk, "mode": "constant"}
    assert (smallest == ndimage.minimum_filter(image, cval=255, **near)).all()
    assert (largest == ndimage.maximum_filter(image, cval=0, **near)).all()


def test_the_input_stays_as_it_was():
    image = np.eye(4, dtype=np.bool_)

    fold_disk(image, 2, np.logical_or)

    assert (image == np.eye(4)).all()
