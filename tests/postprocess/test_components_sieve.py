import numpy as np
import pytest
from maps import applied, blotches, picture
from rasterio.features import sieve as gdals_sieve
from scipy import ndimage

from geoseg.postprocess.components import sieve


def least(pixels, classes=4):
    return dict.fromkeys(range(classes), pixels)


def smallest(indices, connectivity):
    """Pixels of the smallest region."""
    structure = np.ones((3, 3)) if connectivity == 8 else None
    sizes = []
    for value in np.unique(indices[indices != 255]):
        labels, _ = ndimage.label(indices == value, structure)
        sizes += np.bincount(labels.ravel())[1:].tolist()
    return min(sizes)


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_a_speck_takes_the_class_of_its_longest_border(rows):
    speck = picture("00111", "00311", "00111", "00222", "00222")

    sieved = applied(sieve, speck, least(2), 4, rows=rows)

    assert (sieved == picture("00111", "00111", "00111", "00222", "00222")).all()


def test_of_equal_borders_the_class_of_lower_index_counts():
    assert (applied(sieve, picture("113000"), least(2), 4) == picture("110000")).all()


def test_what_lies_inside_a_small_region_follows_it():
    onion = picture("000000", "011110", "012210", "011110", "000000")

    assert (applied(sieve, onion, least(11), 4) == 0).all()


def test_a_limit_holds_for_its_class_only():
    both = picture("000000", "010020", "000000")

    assert (applied(sieve, both, {1: 2}, 4) == picture("000000", "000020", "000000")).all()


def test_nodata_stays_and_is_no_neighbour():
    mostly = picture("000..", "001..", "000.2")

    assert (applied(sieve, mostly, least(2), 4) == picture("000..", "000..", "000.2")).all()


def test_where_nothing_is_large_the_largest_decides():
    islands = picture("112...", "133...", "......", "...023")

    sieved = applied(sieve, islands, least(50), 4)

    assert (sieved == picture("111...", "111...", "......", "...000")).all()


def test_a_bridge_to_its_own_kind_counts_as_one_region():
    diagonal = picture("1000", "0100", "0010", "0001")

    assert (applied(sieve, diagonal, least(4), 8) == diagonal).all()
    assert (applied(sieve, diagonal, least(4), 4) == 0).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("connectivity", [4, 8])
def test_two_classes_come_out_as_gdal_sieves_them(seed, connectivity):
    indices = blotches(seed, classes=2, holes=0)
    for _ in range(2):  # GDAL leaves specks whose neighbours are all specks
        indices = ndimage.median_filter(indices, 2)

    sieved = applied(sieve, indices, least(6), connectivity, rows=7)

    expected = gdals_sieve(indices, 6, connectivity=connectivity)
    assert (indices != expected).any()
    assert (sieved == expected).all()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("connectivity", [4, 8])
def test_no_region_is_left_that_is_too_small_and_strips_do_not_matter(seed, connectivity):
    indices = blotches(seed, holes=0)

    sieved = [applied(sieve, indices, least(9), connectivity, rows=rows) for rows in (2, 7, 43)]

    assert smallest(indices, connectivity) < 9 <= smallest(sieved[0], connectivity)
    assert all((each == sieved[0]).all() for each in sieved)
    assert (applied(sieve, sieved[0], least(9), connectivity) == sieved[0]).all()


def test_nodata_is_the_same_before_and_after():
    indices = blotches(9, holes=0.2)

    sieved = [applied(sieve, indices, least(9), 4, rows=rows) for rows in (2, 43)]

    assert ((sieved[0] == 255) == (indices == 255)).all()
    assert (sieved[0] == sieved[1]).all()
