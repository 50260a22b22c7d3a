import numpy as np
import pytest
from maps import applied, blotches, picture
from scipy import ndimage

from geoseg.postprocess.strips import fill_nearest


def expected_fill(indices, filled, reach=np.inf):
    """By scipy: the distance to each class; the nearest, of equals the first."""
    kept = [value for value in np.unique(indices) if value not in (*filled, 255)]
    distances = np.stack([ndimage.distance_transform_edt(indices != value) for value in kept])
    nearest = np.array(kept, np.uint8)[distances.argmin(axis=0)]
    wanted = np.isin(indices, filled) & (distances.min(axis=0) <= reach)
    return np.where(wanted, nearest, indices)


@pytest.mark.parametrize("rows", [1, 5, 43])
@pytest.mark.parametrize("filled", [[0], [2, 3]])
def test_the_nearest_is_scipys_whatever_the_strips(rows, filled):
    indices = blotches(1, classes=5)

    assert (
        applied(fill_nearest, indices, filled, rows=rows) == expected_fill(indices, filled)
    ).all()


@pytest.mark.parametrize("rows", [1, 4, 60])
@pytest.mark.parametrize("reach", [np.inf, 7.5])
def test_far_away_is_exact_too(rows, reach):
    rng = np.random.default_rng(3)
    indices = np.zeros((60, 51), np.uint8)
    indices[rng.random(indices.shape) < 0.003] = 255
    for value in (1, 2, 3):
        indices[*rng.integers(0, 50, 2)] = value

    filled = applied(fill_nearest, indices, [0], reach, rows=rows)

    assert (filled == expected_fill(indices, [0], reach)).all()


def test_of_equally_near_the_class_of_lower_index_counts():
    assert (applied(fill_nearest, picture("30003"), [0]) == 3).all()
    assert (applied(fill_nearest, picture("20001"), [0]) == picture("22111")).all()
    assert (applied(fill_nearest, picture("10002"), [0]) == picture("11122")).all()


def test_nodata_is_passed_over_and_stays():
    assert (applied(fill_nearest, picture("00.1"), [0]) == picture("11.1")).all()


def test_where_there_is_no_other_class_nothing_changes():
    assert (
        applied(fill_nearest, picture("00.", "000"), [0], rows=1) == picture("00.", "000")
    ).all()


def test_one_column_and_one_row_are_enough():
    assert (applied(fill_nearest, picture("0", "0", "0", "2"), [0], rows=1) == 2).all()
