import numpy as np
import pytest
from maps import blotches, picture
from scipy import ndimage

from geoseg.postprocess.components import RegionSurvey, StripParts, label

STRUCTURES = {4: None, 8: np.ones((3, 3))}


def surveyed(values, rows, connectivity, marks=None):
    """The regions, and the region of each pixel."""
    survey = RegionSurvey(connectivity)
    parts = [slice(start, start + rows) for start in range(0, len(values), rows)]
    for part in parts:
        own = None if marks is None else marks[part]
        survey.add(StripParts.of(values[part], connectivity, own))
    regions = survey.result()
    numbers = regions.by_strip(np.arange(len(regions.values)))
    strips = [
        own[label(values[part], connectivity).labels]
        for own, part in zip(numbers, parts, strict=True)
    ]
    return regions, np.concatenate(strips)


def scipys(values, connectivity):
    """The same by scipy, class by class."""
    labels = np.zeros(values.shape, int)
    for value in np.unique(values):
        found, _ = ndimage.label(values == value, STRUCTURES[connectivity])
        labels = np.where(found, found + labels.max(), labels)
    return labels


def test_corners_connect_only_if_they_are_to():
    values = picture("12", "21")

    assert len(label(values, 4).values) == 4
    assert len(label(values, 8).values) == 2


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("rows", [1, 2, 7, 43])
def test_regions_are_scipys_whatever_the_strips(connectivity, rows):
    values = blotches(rows)

    regions, labels = surveyed(values, rows, connectivity)

    expected = scipys(values, connectivity)
    pairs = np.unique(np.stack([labels.ravel(), expected.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(labels)) == len(np.unique(expected))
    assert (regions.values[labels] == values).all()
    assert (regions.areas == np.bincount(labels.ravel())).all()


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_region_is_marked_if_one_of_its_pixels_is(rows):
    values = picture("1212", "1111", "2212")
    marks = np.zeros(values.shape, bool)
    marks[0, 2] = marks[2, 0] = True

    regions, labels = surveyed(values, rows, 4, marks)

    assert regions.marked[labels].tolist() == [
        [True, False, True, False],
        [True, True, True, True],
        [True, True, True, False],
    ]
