import numpy as np
import pytest
from scenes import ground

from geoseg.checking.likeness import farthest, likeness, likeness_everywhere


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


def test_what_is_like_in_one_corner_only_is_unlike_everywhere(make_set):
    one, other = ground(96, 96, 0), ground(96, 96, 1)
    other[:, :32, :32] = one[:, :32, :32]
    patch_set = make_set({"image": one}, {"image": other})

    assert likeness(patch_set, patch_set.patches[0], patch_set.patches[9], 0, 0) == 1
    assert likeness_everywhere(patch_set, 0, 1, 0, 0) < 0.5


def test_water_of_which_only_the_noise_differs_hardly_counts(make_set):
    rng = np.random.default_rng(0)
    shots = []
    for _ in range(2):
        shot = ground(96, 96)
        shot[:, 32:] = rng.integers(40, 44, (3, 64, 96))
        shots.append({"image": shot})
    patch_set = make_set(*shots)
    pairs = zip(patch_set.patches[:9], patch_set.patches[9:], strict=True)

    assert np.median([likeness(patch_set, *pair, 0, 0) for pair in pairs]) < 0.5
    assert likeness_everywhere(patch_set, 0, 1, 0, 0) > 0.95


def test_sources_that_share_nothing_have_no_likeness(make_set):
    patch_set = make_set({"image": ground(64, 64)}, {"image": ground(64, 64)})

    assert likeness_everywhere(patch_set, 0, 1, 0, 0) == pytest.approx(1)
    assert np.isnan(likeness_everywhere(patch_set, 0, 1, 60, 0))


def test_places_far_from_each_other_are_spread_over_all():
    lattice = np.stack(np.indices((5, 5)), axis=-1).reshape(-1, 2).astype(float)

    corners = lattice[farthest(lattice, 5)].tolist()

    assert sorted(corners) == [[0, 0], [0, 4], [2, 2], [4, 0], [4, 4]]
    assert farthest(lattice[:2], 9) == [0, 1]
