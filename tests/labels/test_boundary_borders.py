import numpy as np
import pytest
from scipy import ndimage

from geoseg.labels.boundary import BorderCounts, border_labels, near_border
from geoseg.labels.legend import IGNORE


def array(rows):
    """Labels of a picture: ``.`` is 0, ``#`` is 1, ``o`` is 2, ``?`` is unlabelled."""
    classes = {".": 0, "#": 1, "o": 2, "?": 255}
    return np.array([[classes[mark] for mark in row] for row in rows], np.uint8)


def marks(mask):
    return ["".join("x" if pixel else "-" for pixel in row) for row in mask]


def count(reference, predicted, distance, counts=None):
    everything = np.ones(reference.shape, np.bool_)
    counted = everything if counts is None else counts
    labels = border_labels(reference, predicted, counts=counted, distance=distance)
    return BorderCounts.of_labels(labels, 3)


TRUTH = array(["......", ".###..", ".###..", ".###..", "......", "......"])
RIGHT = array(["......", "..###.", "..###.", "..###.", "......", "......"])  # by one pixel


def test_pixels_within_1_px_of_another_class():
    assert marks(near_border(TRUTH, 1)) == [
        "-xxx--",
        "xxxxx-",
        "xx-xx-",
        "xxxxx-",
        "-xxx--",
        "------",
    ]


def test_unlabelled_ground_makes_no_border_and_is_near_none():
    labels = array(["..?###", "..?###", "......"])

    assert marks(near_border(labels, 1)) == ["------", "---xxx", "---xxx"]


def test_the_maps_edge_makes_no_border():
    assert not near_border(array(["###", "###", "###"]), 2).any()


def test_a_map_of_one_pixels_shift_written_out():
    counted = count(TRUTH, RIGHT, 1)

    assert counted.rim_reference.tolist() == [12, 8, 0]
    assert counted.rim_map.tolist() == [12, 8, 0]
    assert counted.rim_both.tolist() == [4, 4, 0]  # two columns above, below, and inside
    assert counted.iou[:2].tolist() == pytest.approx([4 / 20, 4 / 12])
    assert counted.f1[:2].tolist() == [1, 1]  # every border lies within 1 px of the other
    assert np.isnan(counted.iou[2])
    assert np.isnan(counted.f1[2])


def test_a_class_with_a_border_only_in_the_map_has_f1_0_and_is_not_in_the_mean():
    counted = count(array(["....", "...."]), array(["..#.", "...."]), 1)

    assert counted.f1[:2].tolist() == [0, 0]
    assert counted.iou[:2].tolist() == [0, 0]
    assert np.isnan(counted.recall[1])
    assert np.isnan(counted.mean_f1)


def test_ground_that_only_one_of_them_knows_makes_no_border():
    reference, predicted = array(["..##", "????"]), array(["..##", "#..."])

    assert count(reference, predicted, 1).iou[:2].tolist() == [1, 1]


def rim(mask, distance):
    """Pixels of a mask near its outside; the edge of the picture is no outside."""
    return mask & (ndimage.distance_transform_edt(mask) <= distance)


@pytest.mark.parametrize("distance", [1, 2, 3.5, 6])
def test_counts_are_those_of_scipys_distance_transform(distance):
    rng = np.random.default_rng(int(distance))
    reference = rng.integers(0, 3, (9, 11)).repeat(7, 0).repeat(5, 1).astype(np.uint8)
    predicted = np.roll(reference, (1, 2), (0, 1))
    predicted[20:25, 20:30] = 1

    counted = count(reference, predicted, distance)

    for index in range(3):
        truth, found = reference == index, predicted == index
        rims = [rim(mask, distance) for mask in (truth, found)]
        lines = [rim(mask, 1) for mask in (truth, found)]
        to_truth, to_found = (ndimage.distance_transform_edt(~line) for line in lines)
        both, either = rims[0] & rims[1], rims[0] | rims[1]
        assert counted.iou[index] == pytest.approx(both.sum() / either.sum())
        assert counted.precision[index] == pytest.approx((to_truth[lines[1]] <= distance).mean())
        assert counted.recall[index] == pytest.approx((to_found[lines[0]] <= distance).mean())


def test_parts_of_a_map_add_up_to_the_whole():
    rng = np.random.default_rng(3)
    reference, predicted = rng.choice([0, 1, 2, IGNORE], (2, 20, 20)).astype(np.uint8)
    left = np.arange(20)[None, :].repeat(20, 0) < 9

    both = count(reference, predicted, 2, left) + count(reference, predicted, 2, ~left)
    whole = count(reference, predicted, 2)

    assert both.rim_both.tolist() == whole.rim_both.tolist()
    assert both.found_map.tolist() == whole.found_map.tolist()
    assert both.f1.tolist() == whole.f1.tolist()
