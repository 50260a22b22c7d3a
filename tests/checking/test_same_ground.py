import numpy as np
import pytest
from scenes import ground

from geoseg.checking.same_ground import likeness, same_ground
from geoseg.checking.survey import covering, survey


def pairs_of(patch_set):
    found = survey(patch_set, workers=1, watch=lambda items, _: items)
    return same_ground(patch_set, found, watch=lambda items, _: items)


def test_pairs_are_found_with_their_place(make_set):
    whole = ground(160, 200)
    patch_set = make_set(
        {"image": ground(96, 96, 7)},
        {"image": whole[:, :96, :96]},
        {"image": whole[:, 40:136, 25:121]},
        size=96,
    )

    [pair] = pairs_of(patch_set)

    assert (pair.first, pair.second, pair.rows, pair.cols) == (1, 2, 40, 25)
    assert pair.likeness == pytest.approx(1, abs=1e-3)
    assert pair.votes >= 3


def test_pictures_of_other_ground_are_never_paired(make_set):
    patch_set = make_set(*({"image": ground(96, 96, seed)} for seed in range(12)))

    assert pairs_of(patch_set) == []


def test_likeness_is_the_correlation_of_what_both_show(make_set):
    whole = ground(64, 96)
    negative = 255 - whole[:, :, 32:]
    patch_set = make_set(
        {"image": whole[:, :, :64]}, {"image": whole[:, :, 32:]}, {"image": negative}, size=64
    )
    one, same, other = patch_set.patches

    assert likeness(patch_set, one, same, 0, 32) == pytest.approx(1, abs=1e-3)
    assert likeness(patch_set, one, same, 1, 31) == pytest.approx(1, abs=1e-3)  # a pixel off
    assert likeness(patch_set, one, other, 0, 32) < 0
    assert np.isnan(likeness(patch_set, one, same, 0, 60))  # hardly anything is shared


def test_a_choice_of_patches_covers_the_ground(make_set):
    patches = make_set({"image": ground(64, 64)}, size=8).patches

    assert covering(patches).all()  # none overlaps another
    assert covering(patches[np.repeat(np.arange(len(patches)), 3)]).sum() == len(patches)
