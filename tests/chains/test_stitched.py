import numpy as np
import pytest
from rules import LEGEND, VALUES, Rule, brightest_band, random_image

from geoseg.chains import stitched_confusion
from geoseg.errors import PatchSetError
from geoseg.io.patch_record import Source
from geoseg.io.patches import PatchSet
from geoseg.tiling import TileOptions, tile


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
