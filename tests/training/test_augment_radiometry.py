import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from geoseg.labels.lookup import color_bands
from geoseg.training.augment import Augmentation, BandStatistics, color_jitter, erase, gaussian_blur


def bands(low=(0, 0, 0), high=(200, 200, 200), rgb=(0, 1, 2)):
    low, high = (torch.tensor(each, dtype=torch.float32)[:, None, None] for each in (low, high))
    return BandStatistics(low=low, span=high - low, mean=(low + high) / 2, rgb=rgb)


def picture(side=24, seed=0):
    """Values 0..200 in three bands, a hole among them."""
    image = np.random.default_rng(seed).random((3, side, side), np.float32) * 200
    image[:, 4:7, 4:7] = np.nan
    return image


def changed(image, own, known=None, seed=0):
    return color_jitter(image, own, known or bands(), np.random.default_rng(seed))


EVERYTHING = Augmentation(brightness=0.2, contrast=0.3, gamma=0.5, noise=0.05, blur=1)


@pytest.mark.parametrize("seed", range(4))
def test_other_units_give_the_same_picture_in_these_units(seed):
    image = picture()
    factor, offset = np.array([[[40]], [[0.01]], [[1]]]), np.array([[[1000]], [[-1]], [[0]]])
    ends = (np.array([0, 200])[:, None] * factor[:, 0, 0] + offset[:, 0, 0]).tolist()

    there = changed((image * factor + offset).astype(np.float32), EVERYTHING, bands(*ends), seed)

    here = changed(image, EVERYTHING, seed=seed)
    np.testing.assert_allclose((there - offset) / factor, here, atol=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_pixels_without_data_stay_so_and_take_no_part(seed):
    image = picture()
    image[:, ~np.isnan(image[0])] = 90

    found = changed(image, replace(EVERYTHING, noise=0, saturation=0.5), seed=seed)

    missing = np.isnan(image)
    assert (np.isnan(found) == missing).all()
    values = found[~missing]
    np.testing.assert_allclose(values, values[0], rtol=1e-5)


def test_what_is_given_stays_as_it_is():
    image = picture()

    changed(image, replace(EVERYTHING, saturation=0.5))

    assert np.array_equal(image, picture(), equal_nan=True)


def test_brightness_moves_all_pixels_of_a_band_by_a_share_of_its_range():
    image = np.zeros((2, 4, 4), np.float32)
    known = bands((0, 0), (100, 5000), None)

    steps = [changed(image, Augmentation(brightness=0.1), known, seed) for seed in range(300)]

    first, second = np.array(steps).transpose(1, 0, 2, 3)
    assert np.ptp(first, axis=(1, 2)).max() == 0
    assert -10 <= first.min() < -9
    assert 9 < first.max() <= 10
    np.testing.assert_allclose(second, 50 * first, rtol=1e-5)


def test_contrast_moves_values_from_or_to_the_mean():
    image = np.float32([[[40, 100, 160]]]).repeat(3, axis=0)

    for seed in range(20):
        low, mean, high = changed(image, Augmentation(contrast=0.5), seed=seed)[0, 0]
        assert mean == pytest.approx(100)
        assert 30 <= high - 100 <= 90
        assert high - 100 == pytest.approx(100 - low, rel=1e-5)


def test_gamma_bends_the_range_and_leaves_its_ends():
    image = np.float32([[[-20, 0, 50, 100, 200, 260]]]).repeat(3, axis=0)

    found = [changed(image, Augmentation(gamma=1), seed=seed)[0, 0] for seed in range(50)]

    for values in found:
        np.testing.assert_allclose(values[[0, 1, 4, 5]], [-20, 0, 200, 260], atol=1e-3)
        power = np.log(values[3] / 200) / np.log(0.5)
        assert 0.5 - 1e-4 <= power <= 2 + 1e-4
        assert values[2] == pytest.approx(200 * 0.25**power, rel=1e-4)
    assert np.min(found, axis=0)[3] < 60
    assert np.max(found, axis=0)[3] > 130


def test_saturation_is_that_of_torchvision_up_to_its_grey():
    image = np.nan_to_num(picture(), nan=50)

    found = changed(image, Augmentation(saturation=0.9), seed=3)

    factor = 1 + np.random.default_rng(3).uniform(-1, 1) * 0.9
    expected = functional.adjust_saturation(torch.from_numpy(image / 1000 + 0.4), factor)
    np.testing.assert_allclose(found, (expected.numpy() - 0.4) * 1000, atol=0.5)


def test_saturation_changes_the_colours_alone_wherever_they_are():
    image = np.float32([[[9]], [[30]], [[20]], [[10]]])
    known = bands((0,) * 4, (40,) * 4, color_bands(("nir", "Blue", "green", "red")))

    found = changed(image, Augmentation(saturation=0.5), known)

    hues = [colorsys.rgb_to_hsv(*each[:0:-1].ravel() / 50)[0] for each in (image, found)]
    assert found[0] == 9
    assert found[3, 0, 0] != 10
    assert hues[0] == pytest.approx(hues[1], abs=1e-5)


def test_blur_is_that_of_torchvision():
    image = np.nan_to_num(picture(), nan=50)

    found = gaussian_blur(image, 1.5)

    expected = functional.gaussian_blur(torch.from_numpy(image), [7, 7], [1.5, 1.5]).numpy()
    np.testing.assert_allclose(found[:, 3:-3, 3:-3], expected[:, 3:-3, 3:-3], rtol=1e-4)


def test_noise_has_no_mean_and_at_most_its_spread():
    image = np.full((3, 64, 64), 100, np.float32)

    noises = [changed(image, Augmentation(noise=0.05), seed=seed) - 100 for seed in range(40)]

    spreads = np.array([noise.std() for noise in noises])
    assert np.mean(spreads == 0) == pytest.approx(0.5, abs=0.2)
    assert 8 < spreads.max() <= 10 * 1.05
    assert max(abs(noise.mean()) for noise in noises) < 0.5


def test_erasing_takes_a_rectangle_of_all_bands():
    image = np.ones((2, 50, 50), np.float32)

    lost = np.isnan(erase(image, Augmentation(erasing=1), np.random.default_rng(0)))

    rows, cols = lost[0].any(axis=1), lost[0].any(axis=0)
    assert (lost == np.outer(rows, cols)).all()
    assert 5 <= rows.sum() <= 20
    assert 5 <= cols.sum() <= 20


def test_erasing_is_as_frequent_as_it_is_likely():
    image, own = np.ones((1, 10, 10), np.float32), Augmentation(erasing=0.3)
    rng = np.random.default_rng(0)

    erased = [np.isnan(erase(image, own, rng)).any() for _ in range(400)]

    assert np.mean(erased) == pytest.approx(0.3, abs=0.06)
    assert not np.isnan(image).any()


@pytest.mark.parametrize("count", [1, 3])
def test_bands_are_lost_whole_and_never_all(count):
    image, own = np.ones((count, 2, 2), np.float32), Augmentation(band_dropout=0.6)
    rng = np.random.default_rng(0)

    lost = [np.isnan(erase(image, own, rng)) for _ in range(200)]

    assert all((each.all(axis=(1, 2)) == each.any(axis=(1, 2))).all() for each in lost)
    numbers = {int(each[:, 0, 0].sum()) for each in lost}
    assert numbers == set(range(count))
