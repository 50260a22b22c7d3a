from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geoseg.errors import BundleError
from geoseg.model.segmenter import check_bands, check_gsd, check_values, scene_distance

HERE = Path("ortho.tif")


def test_another_number_of_bands_is_refused_with_both_numbers(bundle):
    check_bands(bundle, 3, HERE)

    with pytest.raises(BundleError, match="has 4 bands, the model takes 3"):
        check_bands(bundle, 4, HERE)


@pytest.mark.parametrize("gsd", [0.5, 0.41, 0.59, None])
def test_a_gsd_near_the_models_or_unknown_passes(bundle, gsd):
    check_gsd(bundle, gsd, HERE)


@pytest.mark.parametrize("gsd", [0.39, 0.61, 5])
def test_a_gsd_off_by_more_than_a_fifth_is_refused(bundle, gsd):
    with pytest.raises(BundleError, match="--resample"):
        check_gsd(bundle, gsd, HERE)


def test_16_bit_files_with_8_bit_values_pass(bundle):
    check_values(bundle, np.arange(256, dtype=np.uint16), HERE)


@pytest.mark.parametrize("values", [np.arange(4000, dtype=np.uint16), np.linspace(0, 1, 9)])
def test_values_on_another_scale_are_refused(bundle, values):
    with pytest.raises(BundleError, match="rescale"):
        check_values(bundle, values, HERE)


def trained_on(bundle, mean, std):
    return replace(bundle, training={"statistics": {"mean": mean, "std": std}})


@pytest.mark.parametrize(
    ("values", "far"),
    [
        ((80, 120), False),
        ((88, 128), False),
        ((92, 132), True),  # brighter by half a standard deviation and more
        ((86, 114), False),
        ((88, 112), True),  # flat
        ((60, 140), True),
    ],
)
def test_a_scene_is_far_if_its_mean_or_contrast_is_off(bundle, values, far):
    known = trained_on(bundle, [100.0] * 3, [20.0] * 3)

    distances = scene_distance(known, np.tile(np.array(values, np.uint8), (3, 50)))

    assert [band.is_far for band in distances] == [far] * 3
    assert [band.name for band in distances] == list(bundle.band_names)
    assert distances[0].shift == (np.mean(values) - 100) / 20
    assert distances[0].contrast == np.std(values) / 20


@pytest.mark.parametrize(
    "statistics",
    [
        None,
        {},
        "none",
        {"mean": [1.0], "std": [1.0]},
        {"mean": [1, 2, "3"], "std": [1] * 3},
        {"mean": [0.0] * 3, "std": [1.0, 0.0, 1.0]},
    ],
)
def test_statistics_that_are_missing_damaged_or_of_constant_bands_tell_no_distance(
    bundle, statistics
):
    known = replace(bundle, training={} if statistics is None else {"statistics": statistics})

    assert scene_distance(known, np.ones((3, 5), np.uint8)) == ()


def test_a_sample_without_pixels_has_no_distance(bundle):
    assert scene_distance(trained_on(bundle, [1.0] * 3, [1.0] * 3), np.ones((3, 0))) == ()
