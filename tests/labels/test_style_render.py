import numpy as np
import pytest
import rasterio

from geoseg.errors import RasterError
from geoseg.labels.style import BandOptions, Stretch, averaged, is_value_mask, with_alpha


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


@pytest.mark.parametrize(
    ("names", "wanted", "shown"),
    [
        (("blue", "green", "red", "nir"), {}, (3, 2, 1)),
        (("coastal", "b2", "b3", "b4"), {}, (1, 2, 3)),
        (("a", "b"), {}, (1,)),
        (("blue", "green", "red", "nir"), {"bands": (4, 3, 2)}, (4, 3, 2)),
        (("blue", "green", "red", "nir"), {"band_names": ("NIR", "red", "green")}, (4, 3, 2)),
        (("a",), {"bands": (4, 3, 2)}, None),
    ],
)
def test_bands_are_shown_by_name_or_as_the_user_says(write_raster, names, wanted, shown):
    image = np.zeros((len(names), 2, 2), np.uint8)
    path = write_raster("ortho.tif", image, photometric="minisblack", alpha="no")
    with rasterio.open(path, "r+") as file:
        file.descriptions = names

    assert BandOptions(**wanted).options_for(path).bands == shown


def test_an_unknown_band_name_is_reported_with_the_known_ones(write_raster):
    path = write_raster("ortho.tif", np.zeros((3, 2, 2), np.uint8))

    with pytest.raises(RasterError, match=r"ortho\.tif: has no band 'nir'; its bands are red, g"):
        BandOptions(band_names=("nir", "red", "green")).options_for(path)


@pytest.mark.parametrize(
    ("values", "is_mask"),
    [
        (np.array([0, 255, 0], np.uint8), True),
        (np.array([-1, 4, 7], np.int16), True),
        (np.arange(33, dtype=np.uint8), False),
        (np.array([0.0, 1.0], np.float32), False),
        (np.zeros(0, np.uint8), False),
    ],
)
def test_a_few_whole_numbers_are_a_mask(values, is_mask):
    assert is_value_mask(values) == is_mask


def test_what_is_not_valid_is_transparent_black():
    colors = np.full((3, 1, 2), 7, np.uint8)

    assert with_alpha(colors, np.array([[True, False]])).tolist() == [[[7, 7, 7, 255], [0] * 4]]
