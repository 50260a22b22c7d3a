from pathlib import Path

import numpy as np
import pytest

from geoseg.errors import BundleError
from geoseg.model.segmenter import check_bands, check_gsd, check_values

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
