from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rules import LEGEND, VALUES, Rule, brightest_band, random_image

from geoseg.errors import BundleError, EmptyError, OutputExistsError
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Source, TileOptions
from geoseg.patches.tile import tile
from geoseg.prediction.patches import predict_patches


@pytest.fixture
def patch_set(write_raster, tmp_path):
    """Patches of 8 px with holes, some for training and some for validation."""
    image = random_image(48, 64, holes=0.1)
    truth = VALUES[image.argmax(axis=0)]
    source = Source(
        name="town",
        ortho=write_raster("ortho.tif", image, nodata=0),
        reference=write_raster("truth.tif", truth),
    )
    options = TileOptions(patch_size=8, stride=8, split_block=16, val=0.3, workers=1)
    tile([source], LEGEND, tmp_path / "patches", options=options)
    return PatchSet.open(tmp_path / "patches")


@pytest.mark.parametrize("split", ["train", "val", None])
def test_patches_are_predicted_each_on_its_own_ground(patch_set, bundle, tmp_path, split, read):
    reports = predict_patches(
        patch_set, Rule(brightest_band, bundle), tmp_path / "maps", split=split, batch_size=3
    )

    wanted = [patch for patch in patch_set.patches if split in (None, patch.split)]
    assert len(reports) == len(wanted) > 0
    for patch, report in zip(wanted, reports, strict=True):
        assert report.path == tmp_path / "maps" / f"{patch_set.name_of(patch)}.tif"
        image, _ = patch_set.read(patch)
        hole = np.isnan(image).any(axis=0)
        expected = np.where(hole, 255, VALUES[np.nan_to_num(image).argmax(axis=0)])
        with rasterio.open(report.path) as file:
            assert (file.read(1) == expected).all()
            assert file.transform == patch_set.grid_of(patch).transform


def test_a_split_without_patches_is_refused_like_all_that_would_produce_nothing(
    patch_set, bundle, tmp_path
):
    with pytest.raises(EmptyError):
        predict_patches(patch_set, Rule(brightest_band, bundle), tmp_path / "maps", split="test")


def test_existing_maps_of_patches_are_refused_before_others_are_written(
    patch_set, bundle, tmp_path, files
):
    last = tmp_path / "maps" / f"{patch_set.name_of(patch_set.patches[-1])}.tif"
    last.parent.mkdir()
    last.write_bytes(b"precious")

    with pytest.raises(OutputExistsError):
        predict_patches(patch_set, Rule(brightest_band, bundle), tmp_path / "maps")

    assert files(last.parent) == [last.name]


@pytest.mark.parametrize("change", [{"bands": 4}, {"gsd": 5.0}])
def test_patches_of_other_data_are_refused(patch_set, bundle, tmp_path, change):
    with pytest.raises(BundleError, match="patches: "):
        predict_patches(
            patch_set, Rule(brightest_band, replace(bundle, **change)), tmp_path / "maps"
        )
