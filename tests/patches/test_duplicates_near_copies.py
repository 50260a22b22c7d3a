import numpy as np
import pytest
from scenes import ground

from geoseg.patches.check import difference_hash, scan
from geoseg.patches.duplicates import co_located, near_copies


def pairs_of(patch_set):
    scans, _ = scan(patch_set, workers=1, watch=lambda items, _: items)
    return near_copies(patch_set, scans, watch=lambda items, _: items).tolist()


def groups(numbers):
    """Which patches have the same number."""
    numbers = numbers.tolist()
    return sorted([n for n, each in enumerate(numbers) if each == own] for own in set(numbers))


@pytest.fixture
def two(make_set):
    """A function that makes a set of two sources of 32 x 64 pixels, of two patches each."""

    def make(**where):
        first = {key: value for key, value in where.items() if key == "corner"}
        sources = {"image": ground(32, 64), **first}, {"image": ground(32, 64, 1), **where}
        return make_set(*sources)

    return make


def test_a_hash_says_where_a_picture_gets_brighter():
    rows, cols = np.indices((18, 18), np.float32)

    assert np.unpackbits(difference_hash(rows)).tolist() == [1] * 64 + [0] * 64
    assert np.unpackbits(difference_hash(cols)).tolist() == [0] * 64 + [1] * 64


def test_a_hash_does_not_change_with_brightness_and_contrast():
    gray = ground(64, 64)[0].astype(np.float32)

    assert np.array_equal(difference_hash(gray), difference_hash(0.3 * gray + 50))


def test_pictures_without_contrast_or_with_gaps_have_no_hash():
    noise = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    gap = np.where(noise > 3, np.nan, noise)

    assert difference_hash(np.ones((32, 32), np.float32)) is None
    assert difference_hash(noise * 0.1) is None  # its cells differ by what is left of the noise
    assert difference_hash(gap) is None
    assert difference_hash(noise[:8]) is None


def test_pictures_of_other_ground_are_never_paired(make_set):
    patch_set = make_set(*({"image": ground(96, 96, seed)} for seed in range(12)), size=48)

    assert pairs_of(patch_set) == []


def test_exact_copies_and_those_of_one_source_are_no_near_copies(make_set):
    picture = ground(32, 32)
    twice = np.concatenate([picture, picture + np.uint8(1)], axis=2)

    assert pairs_of(make_set({"image": picture}, {"image": picture})) == []
    assert pairs_of(make_set({"image": twice})) == []


def test_a_like_hash_alone_makes_no_near_copy(make_set):
    """Their large shapes agree, and their details do not."""
    rng = np.random.default_rng(3)
    shape = np.kron(rng.integers(0, 100, (9, 9)), np.ones((4, 4)))
    one, other = ((shape + rng.integers(0, 156, (3, 36, 36))).astype(np.uint8) for _ in range(2))

    assert pairs_of(make_set({"image": one}, {"image": other}, size=36)) == []


def test_pictures_are_at_places_of_their_own(two):
    assert groups(co_located(two(), np.zeros((0, 2), np.int64))) == [[0], [1], [2], [3]]


def test_footprints_that_coincide_are_one_place(two):
    assert groups(co_located(two(corner=(0, 0)), np.zeros((0, 2), np.int64))) == [[0, 2], [1, 3]]


def test_windows_of_pictures_with_one_reference_are_one_place(two):
    assert groups(co_located(two(reference=0), np.zeros((0, 2), np.int64))) == [[0, 2], [1, 3]]


def test_near_copies_are_at_one_place(two):
    assert groups(co_located(two(), np.array([[1, 2]]))) == [[0], [1, 2], [3]]
