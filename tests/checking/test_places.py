import pytest
from scenes import ground

from geoseg.checking.places import places
from geoseg.checking.same_ground import SameGround


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


def test_pictures_are_at_places_of_their_own(two):
    assert groups(places(two(), [])) == [[0], [1], [2], [3]]


def test_footprints_that_coincide_are_one_place(two):
    assert groups(places(two(corner=(0, 0)), [])) == [[0, 2], [1, 3]]


def test_windows_of_pictures_with_one_reference_are_one_place(two):
    assert groups(places(two(reference=0), [])) == [[0, 2], [1, 3]]


@pytest.mark.parametrize(
    ("cols", "expected"), [(32, [[0], [1, 2], [3]]), (16, [[0], [1], [2], [3]])]
)
def test_what_the_pixels_show_is_one_place_if_the_windows_coincide(two, cols, expected):
    pair = SameGround(first=0, second=1, rows=1, cols=cols, votes=9, likeness=1.0)

    assert groups(places(two(), [pair])) == expected
