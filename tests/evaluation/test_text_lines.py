import pytest

from geoseg.evaluation.text import object_lines

ROW = {
    "name": "car",
    "reference": 4,
    "map": 3,
    "matched": 2,
    "left_out": 0,
    "precision": 2 / 3,
    "recall": 0.5,
    "f1": 4 / 7,
    "mean_iou_of_matches": 0.75,
    "ap50": 1 / 3,
    "ap": 0.2,
    "ap_with_scores": True,
}


def test_objects_are_told_in_two_lines():
    found, average = object_lines(ROW)

    assert found.startswith("objects of car: 2 of 4 found, 3 mapped: precision 66.67, recall 50.00")
    assert found.endswith("F1 57.14; mean IoU of matches 75.00")
    assert average == "objects of car: AP at IoU 0.5 33.33, averaged over 0.5 to 0.95 20.00"


def test_without_scores_it_is_said_that_ap_is_of_one_point():
    _, average = object_lines(ROW | {"ap_with_scores": False})

    assert average.endswith("(without scores: of one operating point)")


@pytest.mark.parametrize("mapped", [0, 3])
def test_a_class_without_objects_in_the_reference_is_said_to_be_absent(mapped):
    [line] = object_lines(ROW | {"reference": 0, "map": mapped, "matched": 0})

    assert line == f"objects of car: none in the reference, {mapped} mapped"


def test_polygons_that_are_left_out_are_told():
    assert object_lines(ROW | {"left_out": 7})[2] == (
        "objects of car: 7 polygons have no ground that counts"
    )
