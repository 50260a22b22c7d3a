import numpy as np
import pytest

from geoseg.labels.legend import Legend
from geoseg.patches.record import (
    ClassShares,
    Patch,
    PatchTable,
    hint_at_few_polygons,
    warn_of_few_labels,
)
from geoseg.raster.window import Window
from geoseg.text import format_table

LEGEND = Legend.from_dict({"class": [{"name": name} for name in ("grass", "car", "sea")]})


def shares(*rows):
    """Of patches with a split, a share of valid pixels and the shares of the classes."""
    window = Window(row_off=0, col_off=0, height=8, width=8)
    patches = [
        Patch(source=0, window=window, split=split, valid_share=valid, class_shares=classes)
        for split, valid, classes in rows
    ]
    return ClassShares.of(PatchTable.of(patches, size=8), LEGEND)


def test_there_is_a_line_for_each_class_and_one_for_what_has_none():
    found = shares(
        ("train", 1.0, (0.5, 0.25, 0.0)),
        ("train", 0.5, (0.25, 0.0, 0.0)),
        ("val", 1.0, (0.9997, 0.0003, 0.0)),
    )

    assert format_table(found.rows()) == [
        "class            train       val",
        "grass            50.0%    100.0%",
        "car              16.7%     <0.1%",
        "sea                  -         -",
        "(unlabelled)     33.3%         -",
    ]


def test_shares_of_a_split_add_to_one():
    rng = np.random.default_rng(0)
    rows = [("test", 0.9, tuple(rng.uniform(0, 0.3, 3).tolist())) for _ in range(20)]

    (own,) = shares(*rows).splits.values()

    assert sum(own.values()) == pytest.approx(1)


def test_a_class_that_a_split_lacks_is_told_once():
    found = shares(("train", 1.0, (0.5, 0.0, 0.5)), ("val", 1.0, (0.5, 0.5, 0.0)))

    assert found.warnings() == [
        "no pixel of 'car' in the training split: the model will not know it",
        "no pixel of 'sea' in the validation split: its figures leave it out",
    ]


def test_a_class_that_is_nowhere_is_told_once_for_all_splits():
    found = shares(("train", 1.0, (0.5, 0.5, 0.0)), ("val", 1.0, (0.5, 0.5, 0.0)))

    assert found.warnings() == ["no pixel of 'sea' in any split"]
    assert found.warnings(counted=["grass", "car"]) == []


def test_a_split_of_one_class_has_nothing_to_tell_apart():
    found = shares(("train", 1.0, (0.0, 0.5, 0.0)), ("val", 1.0, (0.2, 0.3, 0.1)))

    (warning,) = found.warnings()
    assert warning.startswith("the training split holds one class only, 'car': there is nothing")


@pytest.mark.parametrize(("share", "warned"), [(0.049, True), (0.05, False), (1, False), (0, True)])
def test_little_ground_is_told(share, warned):
    assert bool(warn_of_few_labels(share)) == warned
    assert bool(hint_at_few_polygons(share, "other")) == warned
