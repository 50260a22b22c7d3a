import numpy as np
import pytest
from scipy import ndimage

from geoseg.checking.landmarks import REACH, Landmarks, distance, find_landmarks, thumbnail


@pytest.fixture
def picture():
    """(96, 120) with corners everywhere."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(96, 120)), 2.5)
    return (100 * np.sign(noise)).astype(np.float32)


def placed(landmarks):
    """Places and descriptions together, to be looked up."""
    places = zip(landmarks.rows.tolist(), landmarks.cols.tolist(), strict=True)
    return dict(zip(places, map(tuple, landmarks.keys.tolist()), strict=True))


def test_landmarks_stay_on_the_ground_when_the_window_moves(picture):
    whole = placed(find_landmarks(picture))
    part = placed(find_landmarks(picture[10:, 20:]).moved(10, 20))

    shared = whole.keys() & part.keys()
    assert len(shared) >= len(part) / 2
    keys = [np.array([marks[place] for place in sorted(shared)]) for marks in (whole, part)]
    assert distance(*keys).max() <= 8  # of 96 bits: near the edge the ground is cut


def test_descriptions_do_not_depend_on_brightness_and_contrast(picture):
    one, other = find_landmarks(picture), find_landmarks(picture * 2.5 + 40)

    assert placed(one) == placed(other)


def test_another_picture_has_other_descriptions(picture):
    one, other = find_landmarks(picture), find_landmarks(np.ascontiguousarray(picture[:, ::-1]))

    pairs = [(a, b) for a in one.keys for b in other.keys]
    bits = distance(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
    assert bits.min() > 16


def test_a_corner_is_found_where_it_is():
    square = np.zeros((64, 64), np.float32)
    square[30:, 30:] = 1

    found = find_landmarks(square)

    assert (found.rows.tolist(), found.cols.tolist()) == ([31], [31])


def test_no_description_looks_at_what_has_no_data(picture):
    picture[40:50, 40:60] = np.nan

    found = find_landmarks(picture)

    gap = np.isnan(picture)
    reached = [
        gap[row - REACH : row + REACH + 1, col - REACH : col + REACH + 1].any()
        for row, col in zip(found.rows, found.cols, strict=True)
    ]
    assert len(found) > 0
    assert not any(reached)


@pytest.mark.parametrize(
    "picture",
    [np.zeros((64, 64)), np.full((64, 64), np.nan), np.random.default_rng(0).random((20, 20))],
)
def test_pictures_without_corners_have_no_landmarks(picture):
    assert len(find_landmarks(picture.astype(np.float32))) == 0


def test_distance_counts_bits():
    one = np.array([[0b1011, 0, 7]], np.uint32)
    other = np.array([[0b0001, 0, 0]], np.uint32)

    assert distance(one, other).tolist() == [5]


def test_a_thumbnail_survives_noise_and_tells_pictures_apart(picture):
    rng = np.random.default_rng(1)
    one = thumbnail(picture)
    noisy = thumbnail(picture + rng.normal(0, 5, picture.shape).astype(np.float32))
    other = thumbnail(np.ascontiguousarray(picture[::-1]))

    assert (one.rows.tolist(), one.cols.tolist(), one.is_whole.tolist()) == ([48], [60], [True])
    assert distance(one.keys, noisy.keys)[0] <= 4
    assert distance(one.keys, other.keys)[0] > 20


def test_landmarks_are_joined_in_order(picture):
    one = find_landmarks(picture)

    both = Landmarks.joined([one, thumbnail(picture)])

    assert len(both) == len(one) + 1
    assert both.is_whole.tolist() == [False] * len(one) + [True]
    assert len(Landmarks.joined([])) == 0
