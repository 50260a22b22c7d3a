import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchvision.transforms.v2 import functional

from geoseg.labels.legend import IGNORE
from geoseg.patches.patch_set import Sample
from geoseg.training.augment import (
    SYMMETRIES,
    Affine,
    Augmentation,
    apply_affine,
    draw_affine,
    rotate_flip,
)

SQUARE = np.array([[1, 2], [3, 4]], np.uint8)
IN_ALL_POSITIONS = [
    [[1, 2], [3, 4]],
    [[2, 4], [1, 3]],
    [[4, 3], [2, 1]],
    [[3, 1], [4, 2]],
    [[2, 1], [4, 3]],
    [[1, 3], [2, 4]],
    [[3, 4], [1, 2]],
    [[4, 2], [3, 1]],
]
SIDE = 32


def square():
    return Sample(np.stack([SQUARE, SQUARE]).astype(np.float32), SQUARE)


def picture(seed=0):
    """Noise in two bands, and three classes in blocks of 4 px."""
    rng = np.random.default_rng(seed)
    image = rng.random((2, SIDE, SIDE), np.float32) * 1000
    return Sample(image, rng.integers(0, 3, (8, 8), np.uint8).repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize("position", range(8))
def test_picture_and_mask_turn_together(position):
    image, mask = rotate_flip(square(), position)

    assert mask.tolist() == IN_ALL_POSITIONS[position]
    assert image.tolist() == [mask.tolist()] * 2


def test_flips_are_mirror_images_and_half_turns():
    found = [rotate_flip(square(), position).mask.tolist() for position in SYMMETRIES["flips"]]

    rows, cols = SQUARE[::-1], SQUARE[:, ::-1]
    assert sorted(found) == sorted(
        each.tolist() for each in (SQUARE, rows, cols, SQUARE[::-1, ::-1])
    )


@pytest.mark.parametrize(
    "warp",
    [
        Affine(angle=30),
        Affine(angle=-100, scale=1.2),
        Affine(scale=0.7, shear=12),
        Affine(angle=45, scale=0.9, shear=-8),
    ],
    ids=str,
)
def test_pixels_come_to_lie_where_scipy_puts_them(warp):
    image, mask = picture()
    angle, slope = math.radians(warp.angle), math.tan(math.radians(warp.shear))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    back = np.linalg.inv(turn @ [[1, -slope], [0, 1]] * warp.scale)[::-1, ::-1]  # rows, columns
    centre = np.full(2, (SIDE - 1) / 2)

    def moved(layer, order):
        offset = centre - back @ centre
        return ndimage.affine_transform(layer, back, offset, order=order, mode="grid-constant")

    found = apply_affine(Sample(image, mask), warp)

    inside = moved(np.ones_like(image[0]), 1)
    whole = inside > 1 - 1e-5
    assert whole.mean() > 0.3
    for band, layer in zip(found.image, image, strict=True):
        np.testing.assert_allclose(band[whole], moved(layer, 1)[whole], atol=0.05)
    assert np.isnan(found.image[:, inside < 0.5 - 1e-5]).all()
    assert (found.mask[inside < 0.5 - 1e-5] == IGNORE).all()
    agreed = (found.mask == moved(mask, 0))[whole]
    assert agreed.mean() > 0.995  # places between two pixels are rounded either way


def test_nothing_to_do_changes_nothing():
    image, mask = picture()
    image[:, 3:9, 5:7] = np.nan
    mask[3:9, 5:7] = IGNORE

    found = apply_affine(Sample(image, mask), Affine())

    np.testing.assert_allclose(found.image, image, rtol=1e-5)
    assert (found.mask == mask).all()


def test_a_quarter_turn_is_the_one_of_the_square():
    found, expected = apply_affine(picture(), Affine(angle=90)), rotate_flip(picture(), 3)

    np.testing.assert_allclose(found.image, expected.image, atol=0.05)
    assert (found.mask == expected.mask).all()


def test_a_part_is_enlarged_to_the_whole():
    image, mask = picture()

    found = apply_affine(Sample(image, mask), Affine(side=0.5, place=(0.5, -0.5)))

    lower_left = mask[16:, :16]
    assert (found.mask == lower_left.repeat(2, 0).repeat(2, 1)).all()
    expected = functional.resize(torch.from_numpy(image[:, 16:, :16]), [32, 32]).numpy()
    np.testing.assert_allclose(found.image[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=0.05)


def test_pixels_without_data_are_not_mixed_into_their_neighbours():
    image = np.full((3, SIDE, SIDE), 7, np.float32)
    image[:, ::3, ::3] = np.nan
    image[:, 10:20, 10:20] = np.nan

    found = apply_affine(
        Sample(image, np.zeros((SIDE, SIDE), np.uint8)), Affine(angle=20, scale=1.2)
    )

    seen = ~np.isnan(found.image)
    np.testing.assert_allclose(found.image[seen], 7, rtol=1e-5)
    assert not seen[:, 14:17, 14:17].any()
    assert seen[:, 2:6].mean() > 0.9  # a missing pixel leaves no larger hole
    assert (found.mask[~seen[0]] == IGNORE).all()
    assert (found.mask[seen[0]] == 0).all()


def test_drawn_warps_keep_within_the_strengths_and_reach_their_ends():
    own = Augmentation(rotation=30, scale=(0.5, 2), shear=10, crop=0.6)
    rng = np.random.default_rng(0)

    warps = [draw_affine(own, rng) for _ in range(500)]

    for name, low, high in [("angle", -30, 30), ("scale", 0.5, 2), ("shear", -10, 10)]:
        drawn = np.array([getattr(warp, name) for warp in warps])
        assert low <= drawn.min() < low + 2
        assert high - 2 < drawn.max() <= high
    assert np.mean([warp.scale < 1 for warp in warps]) == pytest.approx(0.5, abs=0.07)
    reach = [abs(place) + warp.side for warp in warps for place in warp.place]
    assert 0.99 < max(reach) <= 1 + 1e-9


def test_no_strength_draws_the_warp_that_does_nothing():
    assert draw_affine(Augmentation(), np.random.default_rng(0)) == Affine()
