from dataclasses import replace

import numpy as np
import pytest
from rules import LEGEND, VALUES, Rule, brightest_band, random_image

from geoseg.errors import PatchSetError
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Source, TileOptions
from geoseg.patches.tile import tile
from geoseg.prediction.patches import stitched_comparison, stitched_confusion, window_sizes
from geoseg.prediction.plan import PredictOptions


@pytest.fixture(params=["tif", "index"])
def patch_set(request, write_raster, tmp_path):
    """Patches of 8 px whose reference is what the rule finds."""
    image = random_image(48, 64, holes=0)
    source = Source(
        name="town",
        ortho=write_raster("ortho.tif", image),
        reference=write_raster("truth.tif", VALUES[image.argmax(axis=0)]),
    )
    options = TileOptions(
        patch_size=8, stride=8, split_block=16, val=0.3, workers=1, storage=request.param
    )
    tile([source], LEGEND, tmp_path / "patches", options=options)
    return PatchSet.open(tmp_path / "patches")


def test_each_pixel_of_the_split_counts_once(patch_set, bundle):
    found = stitched_confusion(Rule(brightest_band, bundle), bundle, patch_set)

    assert found.total == 64 * len(patch_set.in_split("val"))
    assert found.iou == pytest.approx(np.ones(len(LEGEND)))


def test_an_orthophoto_that_has_grown_since_is_refused(patch_set, bundle, write_raster):
    write_raster("ortho.tif", random_image(56, 64, holes=0))

    with pytest.raises(PatchSetError, match=r"had 48 x 64 pixels .* 56 x 64\); tile again"):
        stitched_confusion(Rule(brightest_band, bundle), bundle, patch_set)


def last_band(image):
    """Scores that always say the last class."""
    scores = np.zeros_like(image)
    scores[..., -1, :, :] = 1
    return scores


def test_two_networks_are_compared_on_the_whole_ground_with_windows_of_any_size(patch_set, bundle):
    ours, theirs = (Rule(each, bundle) for each in (brightest_band, last_band))

    found = stitched_comparison(ours, theirs, bundle, patch_set, 32)

    pixels = 64 * len(patch_set.in_split("val"))
    assert (found.fp32.total, found.int8.total) == (pixels, pixels)
    assert found.fp32.iou == pytest.approx(np.ones(len(LEGEND)))
    assert found.record(32).agreement == found.int8.counts[-1, -1] / pixels
    assert found.patches == len(patch_set.in_split("val"))


def test_windows_are_measured_with_the_sizes_that_a_prediction_would_choose(patch_set, bundle):
    assert window_sizes(bundle, patch_set) == [8, PredictOptions().size(bundle, 48, 64)] == [8, 96]
    assert window_sizes(replace(bundle, sizes=(8,)), patch_set) == [8]
