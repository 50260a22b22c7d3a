import numpy as np
import pytest
from scenes import ground

from geoseg.checking.same_ground import same_ground
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


def test_a_patch_that_looks_like_another_by_chance_makes_no_shared_ground(make_set):
    """As of two scenes of Dubai, of which two patches of 32 pixels had a correlation of 0.91."""
    one, other = ground(64, 64, 0), ground(64, 64, 1)
    rng = np.random.default_rng(2)
    other[:, 16:32, 16:32] = one[:, 32:48, :16] + rng.integers(0, 2, (3, 16, 16), np.uint8)

    assert pairs_of(make_set({"image": one}, {"image": other}, size=16)) == []


def test_a_corner_or_two_do_not_lower_the_bound_for_whole_pictures(make_set):
    """One picture and its one corner agree here, at a correlation of 0.88."""
    one = ground(34, 34, 121)
    noise = np.random.default_rng(121).normal(0, 60, one.shape)
    other = (one + noise).clip(0, 255).astype(np.uint8)

    assert pairs_of(make_set({"image": one}, {"image": other}, size=34)) == []


def test_a_choice_of_patches_covers_the_ground(make_set):
    patches = make_set({"image": ground(64, 64)}, size=8).patches

    assert covering(patches).all()  # none overlaps another
    assert covering(patches[np.repeat(np.arange(len(patches)), 3)]).sum() == len(patches)
